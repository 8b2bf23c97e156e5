use ipc_rpc::service;

#[service]
trait Store {
    #[rpc(name = "")]
    fn put(&self);
    #[rpc(name = "two words")]
    fn two(&self);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn put(&'static self, value: u8);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, value: u8) where Self: Sized;
}

fn main() {}

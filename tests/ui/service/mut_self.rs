use ipc_rpc::service;

#[service]
trait Store {
    fn put(&mut self, value: u8);
}

fn main() {}

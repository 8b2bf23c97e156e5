use ipc_rpc::service;

#[service]
trait Store {
    fn put(value: u8);
}

fn main() {}

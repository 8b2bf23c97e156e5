use ipc_rpc::service;

#[service]
trait Store {
    fn add(&self, a: u8, a: u8) -> u8;
}

fn main() {}

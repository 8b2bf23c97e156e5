use ipc_rpc::service;

#[service]
trait Store {
    async fn put(&self, value: u8) -> u8;
}

fn main() {}

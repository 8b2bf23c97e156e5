use ipc_rpc::service;

#[service]
trait Store {
    const fn put(&self, value: u8);
}

fn main() {}

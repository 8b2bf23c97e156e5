use ipc_rpc::service;

#[service]
trait Store {
    unsafe fn put(&self, value: u8);
}

fn main() {}

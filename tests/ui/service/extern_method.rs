use ipc_rpc::service;

#[service]
trait Store {
    extern "C" fn put(&self, value: u8);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    unsafe extern "C" fn put(&self, value: u8, _: ...);
}

fn main() {}

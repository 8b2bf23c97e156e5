use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, at: *const u8, len: u32);
    fn call(&self, with: fn(u8) -> u8);
    fn calls(&self, with: Vec<extern "C" fn()>);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    pub fn put(&self);
    pub(crate) fn get(&self) -> u8;
}

fn main() {}

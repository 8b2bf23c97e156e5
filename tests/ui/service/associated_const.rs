use ipc_rpc::service;

#[service]
trait Store {
    const LIMIT: u32;
    fn put(&self);
}

fn main() {}

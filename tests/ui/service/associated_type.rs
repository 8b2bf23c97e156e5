use ipc_rpc::service;

#[service]
trait Store {
    type Item;
    fn put(&self);
}

fn main() {}

//! The dispatcher takes what implements the service.
use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, value: u8);
}

struct Server;

fn main() {
    let _ = StoreDispatcher::new(Server);
}

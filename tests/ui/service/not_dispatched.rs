//! A server takes the dispatcher of what implements the service, not the thing itself.
use ipc_rpc::{Server, service};

#[service]
trait Store {
    fn put(&self, value: u8);
}

struct Shelf;

impl Store for Shelf {
    fn put(&self, _value: u8) {}
}

fn main() {
    let _ = Server::bind("store").unwrap().serve(Shelf);
}

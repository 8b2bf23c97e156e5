use ipc_rpc::service;

#[service]
unsafe trait Store {
    fn put(&self);
}

struct Server;

unsafe impl Store for Server {
    fn put(&self) {}
}

fn main() {
    let _ = StoreDispatcher::new(Server);
    let _ = StoreClient::connect("store").unwrap().put();
}

use ipc_rpc::service;

#[service]
struct Store;

#[service]
impl Store {
    pub fn put(&self) {}
}

#[service]
fn store() {}

#[service]
pub enum Kind {
    One,
}

#[service]
mod inner {}

fn main() {
    store();
    Store.put();
    let _ = Kind::One;
}

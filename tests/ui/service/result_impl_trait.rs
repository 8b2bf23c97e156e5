use ipc_rpc::service;

#[service]
trait Store {
    fn all(&self) -> impl Iterator<Item = u8>;
    fn boxed(&self) -> Box<dyn Iterator<Item = u8>>;
}

fn main() {}

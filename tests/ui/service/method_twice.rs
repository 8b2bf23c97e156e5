use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, a: u8);
    fn r#put(&self, b: u16);
}

fn main() {}

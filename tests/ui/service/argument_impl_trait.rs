use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, value: impl Into<String>);
    fn all(&self, values: Vec<impl Copy>);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, value: &dyn std::fmt::Debug);
    fn call(&self, value: Box<dyn std::fmt::Display>);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn all(&self) -> impl Into<u64>;
    fn boxed(&self) -> Box<dyn std::fmt::Debug>;
}

fn main() {}

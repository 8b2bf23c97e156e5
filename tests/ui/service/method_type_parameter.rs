use ipc_rpc::service;

#[service]
trait Store {
    fn put<T>(&self, value: T);
    fn cast<A, B: Into<A>>(&self, value: B) -> A;
    fn fine(&self, value: u8);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store<T, const N: usize> {
    fn put(&self, value: T);
}

#[service]
trait Lend<'a> {
    fn put(&self, value: u8);
}

#[service]
trait Bound
where
    Self: Send,
{
    fn put(&self, value: u8);
}

fn main() {}

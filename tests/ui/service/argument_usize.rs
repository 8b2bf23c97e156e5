use ipc_rpc::service;

#[service]
trait Store {
    fn at(&self, index: usize) -> isize;
    fn all(&self, indexes: &[usize], offsets: Option<&[core::primitive::isize]>);
}

fn main() {}

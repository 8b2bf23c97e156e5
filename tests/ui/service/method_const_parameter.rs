use ipc_rpc::service;

#[service]
trait Store {
    fn put<const N: usize>(&self, value: [u8; N]);
}

fn main() {}

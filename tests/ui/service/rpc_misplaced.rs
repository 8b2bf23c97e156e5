use ipc_rpc::service;

#[service]
trait Store {
    #[rpc(name = "N")]
    const N: u8;
    #[rpc(name = "T")]
    type T;
    fn put(&self, #[rpc(name = "b")] a: u8);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn read(&self) -> std::io::Result<u64>;
    fn write(&self) -> Result;
}

fn main() {}

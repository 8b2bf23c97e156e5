use ipc_rpc::service;

type Result<T = u64> = std::result::Result<T, String>;

#[service]
trait Store {
    fn read(&self) -> std::io::Result<u64>;
    fn list(&self) -> Result<Vec<u8>>;
    fn write(&self) -> Result;
}

fn main() {}

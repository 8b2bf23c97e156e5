use ipc_rpc::service;

#[service]
trait Store {
    fn add(&self, a: u8, #[cfg(unix)] b: u8) -> u8;
}

fn main() {}

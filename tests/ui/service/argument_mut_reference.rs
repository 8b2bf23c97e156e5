use ipc_rpc::service;

#[service]
trait Store {
    fn fill(&self, buffer: &mut [u8]) -> u32;
    fn bump(&self, number: &mut u32);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn add(&self, (a, b): (u8, u8)) -> u8 { a + b }
    fn first(&self, [a, ..]: [u8; 4]) -> u8 { a }
    fn skip(&self, _: u8);
    fn grow(&self, mut a: u8) -> u8 { a += 1; a }
    fn lend(&self, ref a: u8) -> u8 { *a }
}

fn main() {}

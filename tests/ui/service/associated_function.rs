use ipc_rpc::service;

#[service]
trait Store {
    fn new() -> u32;
    fn limit() -> u32 { 5 }
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn close(self);
    fn reset(mut self) -> u8;
}

fn main() {}

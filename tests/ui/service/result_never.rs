use ipc_rpc::service;

#[service]
trait Store {
    fn exit(&self) -> !;
}

fn main() {}

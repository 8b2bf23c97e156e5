use ipc_rpc::service;

#[service]
trait Store {
    fn close(self: Box<Self>);
    fn share(self: &std::sync::Arc<Self>) -> u8;
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn text(&self, text: str);
    fn bytes(&self, bytes: [u8]);
}

fn main() {}

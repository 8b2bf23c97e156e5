use ipc_rpc::service;

#[service]
trait Store {
    #[rpc(name = "put")]
    fn put_text(&self, text: &str);
    fn put(&self, bytes: &[u8]);
    #[rpc(name = "put")]
    fn put_number(&self, number: u64);
}

fn main() {}

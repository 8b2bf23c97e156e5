use ipc_rpc::service;

#[service]
trait Store {
    #[cfg(not(any()))]
    #[rpc(name = "put")]
    fn put_text(&self, text: &str);
    #[cfg_attr(all(), cfg(all()))]
    #[rpc(name = "put")]
    fn put_bytes(&self, bytes: &[u8]);
    #[cfg(any())]
    #[rpc(name = "put")]
    fn never_there(&self);
}

fn main() {}

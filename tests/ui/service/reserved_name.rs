use ipc_rpc::service;

#[service]
trait Store {
    fn connect(&self);
    fn r#clone(&self) -> u8;
    fn view(&self);
    fn start(&self);
    fn with_timeout(&self, ms: u32);
    fn connect_with(&self);
    fn batch(&self, all: &[u8]);
    async fn flush(&self);
    fn flush_async(&self);
    fn with_context(&self);
    fn with_metadata(&self);
    fn with_trace(&self);
}

fn main() {}

use ipc_rpc::service;

#[service]
trait Store {
    fn connect(&self);
    fn r#clone(&self) -> u8;
    fn view(&self);
    fn start(&self);
    fn with_timeout(&self, ms: u32);
    fn connect_with(&self);
}

fn main() {}

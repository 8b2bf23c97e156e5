use ipc_rpc::service;

#[service]
trait Store {
    fn r#type(&self) -> u8;
    #[rpc(name = "type")]
    fn kind(&self) -> u8;
}

fn main() {}

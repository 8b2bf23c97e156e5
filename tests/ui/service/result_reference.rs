use ipc_rpc::service;

#[service]
trait Store {
    fn name(&self) -> &str;
    fn bytes(&self) -> &[u8];
    fn both(&self) -> (u8, &String);
    fn maybe(&self) -> Option<&str>;
    fn failing(&self) -> Result<&Vec<u8>, &'static str>;
}

fn main() {}

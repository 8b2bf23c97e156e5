use ipc_rpc::service;

#[service]
trait Store {
    fn twice(&self, text: &&str);
    fn list(&self, texts: Vec<&str>);
    fn slice(&self, texts: &[&str]);
    fn pair(&self, pair: (&[u8], u8));
    fn option(&self, option: Option<Option<&u64>>);
    fn array(&self, array: [&[&str]; 2]);
}

fn main() {}

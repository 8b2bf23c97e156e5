use ipc_rpc::service;

#[service]
trait Store {
    fn put(&self, text: &'static str);
    fn list(&self, texts: Vec<&'static str>);
    fn cow(&self, text: std::borrow::Cow<'_, str>);
    fn anonymous(&self, text: &'_ str);
}

fn main() {}

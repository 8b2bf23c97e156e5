use ipc_rpc::service;

#[service]
trait Store {
    fn put<'a>(&self, value: &'a str);
}

fn main() {}

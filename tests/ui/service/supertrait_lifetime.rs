use ipc_rpc::service;

trait Lend<'a> {}

#[service]
trait Store: Send + Sync + 'static + for<'a> Lend<'a> {
    fn put(&self, value: u8);
}

fn main() {}

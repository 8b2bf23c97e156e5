use ipc_rpc::{Archived, service};

#[service]
trait Store {
    fn value(&self, value: Archived<String>);
    fn list(&self, list: &[Archived<String>]);
    fn result(&self) -> Archived<String>;
}

fn main() {}

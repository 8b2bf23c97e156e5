use ipc_rpc::{Kept, service};

#[service]
trait Store {
    fn reference(&self, value: &Kept<String>);
    fn optional(&self, value: Option<Kept<String>>);
    fn list(&self, list: Vec<Kept<u8>>);
    fn of_what(&self, value: Kept);
    fn result(&self) -> Kept<String>;
}

fn main() {}

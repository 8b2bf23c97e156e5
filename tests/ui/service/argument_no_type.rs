use ipc_rpc::service;

macro_rules! text {
    () => {
        String
    };
}

#[service]
trait Store {
    fn guess(&self, value: _);
    fn list(&self, values: Vec<_>);
    fn never(&self, value: !);
    fn made(&self, value: text!()) -> text!();
}

fn main() {}

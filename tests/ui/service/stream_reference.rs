use ipc_rpc::{Streaming, service};

#[service]
trait Files {
    fn write(&self, lines: &Streaming<String>);
    fn append(&self, lines: &mut Streaming<String>);
    fn tail(&self) -> &Streaming<String>;
}

fn main() {}

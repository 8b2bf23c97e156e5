use ipc_rpc::{Streaming, service};

#[service]
trait Log {
    #[rpc(oneway)]
    fn write(&self, lines: Streaming<String>);
}

fn main() {}

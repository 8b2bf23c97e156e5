use ipc_rpc::{Streaming, service};

#[service]
trait Files {
    fn write(&self, lines: Streaming);
    fn tail(&self) -> Streaming;
    fn more(&self) -> Streaming<String, u8>;
}

fn main() {}

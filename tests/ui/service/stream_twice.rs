use ipc_rpc::{Streaming, service};

#[service]
trait Files {
    fn copy(&self, from: Streaming<Vec<u8>>, to: Streaming<String>) -> u64;
}

fn main() {}

//! What is made again has to be something that can be made again.

use ipc_rpc::{Streaming, service};

#[service]
trait Journal {
    #[rpc(idempotent, oneway)]
    fn note(&self, text: &str);

    #[rpc(idempotent)]
    fn copy(&self, lines: Streaming<String>) -> u64;

    #[rpc(idempotent = true)]
    fn set(&self, value: u64);
}

fn main() {}

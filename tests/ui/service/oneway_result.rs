use ipc_rpc::{Streaming, service};

#[service]
trait Log {
    #[rpc(oneway)]
    fn count(&self, line: &str) -> u64;
    #[rpc(oneway)]
    async fn check(&self, line: &str) -> Result<(), String>;
    #[rpc(oneway)]
    fn tail(&self) -> Streaming<String>;
    #[rpc(oneway)]
    fn fine(&self) -> ();
}

fn main() {
    let _ = |log: &LogClient| log.fine();
}

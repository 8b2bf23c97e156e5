use ipc_rpc::{Streaming, service};

#[service]
trait Lines {
    fn all(&self) -> Streaming<String>;
}

#[service]
trait Jobs {
    fn run(&self, lines: &LinesClient);
}

fn main() {}

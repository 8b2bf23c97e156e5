//! The macro goes by the name `Context`; rustc says what is wrong with another type of this name.
use ipc_rpc::{Message, service};

#[derive(Message)]
struct Context {
    line: u32,
}

#[service]
trait Jobs {
    fn run(&self, context: &Context);
    async fn run_later(&self, context: &Context);
}

fn main() {}

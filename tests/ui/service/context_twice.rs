use ipc_rpc::{Context, service};

#[service]
trait Jobs {
    fn run(&self, ctx: &Context, name: &str, again: &ipc_rpc::Context);
}

fn main() {}

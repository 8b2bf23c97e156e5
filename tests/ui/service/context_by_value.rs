use ipc_rpc::{Context, service};

#[service]
trait Jobs {
    fn run(&self, ctx: Context);
    fn change(&self, ctx: &mut Context);
    fn maybe(&self, ctx: Option<&Context>);
    fn long<'a>(&self, ctx: &'a Context);
}

fn main() {}

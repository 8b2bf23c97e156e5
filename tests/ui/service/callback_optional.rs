use ipc_rpc::service;

#[service]
trait Progress {
    fn done(&self, share: f32);
}

#[service]
trait Jobs {
    fn run(&self, progress: Option<&ProgressClient>);
    fn all(&self, progress: &[&ProgressClient]);
}

fn main() {}

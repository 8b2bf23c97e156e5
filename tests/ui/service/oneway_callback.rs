use ipc_rpc::service;

#[service]
trait Progress {
    fn done(&self, share: f32);
}

#[service]
trait Jobs {
    #[rpc(oneway)]
    fn run(&self, progress: &ProgressClient);
}

fn main() {}

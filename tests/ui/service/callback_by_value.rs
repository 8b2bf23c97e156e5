use ipc_rpc::service;

#[service]
trait Progress {
    fn done(&self, share: f32);
}

#[service]
trait Jobs {
    fn run(&self, progress: ProgressClient);
    fn change(&self, progress: &mut ProgressClient);
}

fn main() {}

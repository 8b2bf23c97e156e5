use ipc_rpc::service;

#[service]
trait Progress {
    fn done(&self, share: f32);
}

#[service]
trait Jobs {
    fn run(&self, progress: &ProgressClient);
}

struct Bar;

impl Progress for Bar {
    fn done(&self, _: f32) {}
}

fn main() {
    let _ = |jobs: &JobsClient| jobs.run(&Bar);
}

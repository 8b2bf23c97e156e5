use ipc_rpc::service;

#[service(mock = true)]
trait Jobs {
    #[rpc(oneway = true)]
    fn run(&self);
    #[rpc(blocking, oneway, oneway)]
    fn note(&self);
    #[rpc(blocking(4))]
    fn wait(&self);
}

fn main() {
    let _ = JobsDispatcher::new(JobsMock::new().on_run(|| {}));
}

use ipc_rpc::service;

#[service]
trait Jobs {
    #[rpc(blocking)]
    async fn run(&self) -> u8;
}

fn main() {}

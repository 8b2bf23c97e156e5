use ipc_rpc::service;

#[service]
trait Archive {
    #[rpc(blocking)]
    async fn compress(&self, level: u32) -> u64;
}

fn main() {}

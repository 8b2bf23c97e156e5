use ipc_rpc::Message;

#[derive(Message)]
enum Never {}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    since: std::time::Instant,
}

fn main() {}

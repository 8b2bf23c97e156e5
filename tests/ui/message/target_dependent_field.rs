use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    limit: usize,
    offsets: Vec<(u8, isize)>,
}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    text: String,
}

struct ArchivedQuery;

fn main() {}

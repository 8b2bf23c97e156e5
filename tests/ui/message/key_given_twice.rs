use ipc_rpc::Message;

#[derive(Message)]
#[message(archived = A)]
#[message(archived = B)]
struct Query {
    text: String,
}

fn main() {}

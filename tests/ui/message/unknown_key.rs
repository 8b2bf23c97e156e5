use ipc_rpc::Message;

#[derive(Message)]
#[message(compact)]
struct Query {
    text: String,
}

fn main() {}

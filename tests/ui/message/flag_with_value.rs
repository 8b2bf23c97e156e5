use ipc_rpc::Message;

#[derive(Message)]
#[message(no_debug = true)]
struct Query {
    text: String,
}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
#[message(view = Seen)]
struct Query {
    text: String,
}

#[derive(Message)]
#[message(view = Tint)]
enum Color {
    Red,
    Green,
}

fn main() {}

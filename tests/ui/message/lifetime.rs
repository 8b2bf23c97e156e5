use ipc_rpc::Message;

#[derive(Message)]
struct Query<'a> {
    text: std::borrow::Cow<'a, str>,
}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
#[message(fast)]
#[repr(packed)]
struct Query<'a> {
    text: &'a str,
    #[message(skip)]
    limit: usize,
}

/// Using the type gives no further errors.
fn send<T: Message>(_: T) {}

fn main() {
    send(Query { text: "", limit: 1 });
}

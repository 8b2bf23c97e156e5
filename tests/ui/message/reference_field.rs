use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    text: &'static str,
    list: Vec<Option<&'static [u8]>>,
}

fn main() {}

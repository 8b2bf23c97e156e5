use ipc_rpc::Message;

#[derive(Message)]
#[message(plain)]
#[repr(C)]
struct Query {
    text: String,
}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    callback: fn(u8) -> u8,
    object: Box<dyn std::any::Any>,
    address: *const u8,
    slice: Box<[u8]>,
}

fn main() {}

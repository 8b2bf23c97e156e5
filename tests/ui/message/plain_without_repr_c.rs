use ipc_rpc::Message;

#[derive(Message)]
#[message(plain)]
struct Pixel {
    x: u16,
    y: u16,
}

fn main() {}

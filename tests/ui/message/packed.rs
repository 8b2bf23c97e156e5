use ipc_rpc::Message;

#[derive(Message)]
#[repr(C, packed(2))]
struct Tight {
    a: u8,
    b: u32,
}

fn main() {}

use ipc_rpc::Message;

#[derive(Message)]
#[message(plain)]
#[repr(C)]
enum Shape {
    Unit,
    Circle(f32),
}

fn main() {}

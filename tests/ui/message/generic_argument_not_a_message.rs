use ipc_rpc::Message;

#[derive(Message)]
struct Page<T> {
    items: Vec<T>,
}

fn send<T: Message>() {}

fn main() {
    send::<Page<std::rc::Rc<u8>>>();
}

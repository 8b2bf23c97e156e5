use ipc_rpc::Message;

#[derive(Message)]
#[message(archived = Query)]
struct Query {
    text: String,
}

#[derive(Message)]
#[message(archived = Stored, view = Stored)]
enum Shape {
    Circle(f32),
}

fn main() {}

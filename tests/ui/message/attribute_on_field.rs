use ipc_rpc::Message;

#[derive(Message)]
struct Query {
    #[message(skip)]
    text: String,
}

#[derive(Message)]
enum Shape {
    #[message(default)]
    Unit,
    Circle {
        #[message(rename = "radius")]
        r: f32,
    },
}

fn main() {}

//! Serves the suite of `ways`: `ways_server NAME FORM`, where FORM is `blocking`, `async` (the executor of the server),
//! `tokio` or `smol`. Prints `bound` when clients can connect.

use ipc_rpc::Server;
use ipc_rpc_tests::helper;
use ipc_rpc_tests::ways::{asynchronous, blocking};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, form] = arguments.as_slice() else { panic!("NAME FORM") };
    let server = Server::bind(name).expect("a free name");
    helper::live_no_longer_than_the_test(|line| panic!("no command {line}"));
    println!("bound");
    let dispatcher = || asynchronous::WaysDispatcher::new(asynchronous::Keeper::default());
    let ended = match form.as_str() {
        "blocking" => server.serve(blocking::WaysDispatcher::new(blocking::Keeper::default())),
        "async" => server.serve(dispatcher()),
        "tokio" => tokio::runtime::Runtime::new().expect("a runtime").block_on(server.serve_async(dispatcher())),
        "smol" => smol::block_on(server.serve_async(dispatcher())),
        other => panic!("no form {other}"),
    };
    ended.expect("a serving server");
}

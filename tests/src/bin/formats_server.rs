//! Serves `Formats`: `formats_server NAME [snapshot]`. Prints `bound` when clients can connect.

use ipc_rpc::{Server, Trust};
use ipc_rpc_tests::formats::{FormatsDispatcher, Museum};
use ipc_rpc_tests::helper;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a name");
    let trust = if arguments.next().is_some() { Trust::Snapshot } else { Trust::InPlace };
    let server = Server::builder().trust(trust).service(FormatsDispatcher::new(Museum::default()));
    let server = server.bind(&name).expect("a free name");
    helper::live_no_longer_than_the_test(|line| panic!("no command {line}"));
    println!("bound");
    server.run().expect("a serving server");
}

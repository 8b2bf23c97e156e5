//! A method with a body is a default for implementors, and called over the wire like the others.

use ipc_rpc::service;

#[service]
trait Greeter: Send + Sync {
    fn name(&self) -> String;
    fn greet(&self, polite: bool) -> String {
        let greeting = if polite { "Good day" } else { "Hi" };
        format!("{greeting}, {}", self.name())
    }
    fn unused(&self, _number: u8) {}
}

struct Server;

impl Greeter for Server {
    fn name(&self) -> String {
        "Ada".into()
    }
}

fn main() {
    assert_eq!(Server.greet(true), "Good day, Ada");
    let dispatcher = GreeterDispatcher::new(Server);
    assert_eq!(ipc_rpc::__private::Dispatch::service(&dispatcher).methods.len(), 3);
    let _ = |client: &GreeterClient| client.greet(false);
}

//! Several services in one module, with methods of the same names, implemented by one type.

use ipc_rpc::service;

#[service]
trait Add {
    fn run(&self, a: u8, b: u8) -> u8;
}

#[service]
trait Sub {
    fn run(&self, a: u8, b: u8) -> u8;
}

struct Server;

impl Add for Server {
    fn run(&self, a: u8, b: u8) -> u8 {
        a + b
    }
}

impl Sub for Server {
    fn run(&self, a: u8, b: u8) -> u8 {
        a - b
    }
}

fn main() {
    let all: [Box<dyn ipc_rpc::__private::Dispatch>; 2] =
        [Box::new(AddDispatcher::new(Server)), Box::new(SubDispatcher::new(Server))];
    assert_eq!(all.map(|each| each.service().name), ["Add", "Sub"]);
    let _ = |add: &AddClient, sub: &SubClient| (add.run(1, 2).is_ok(), sub.run(2, 1).is_ok());
}

//! A handler's future moves between threads.
use std::rc::Rc;

use ipc_rpc::service;

#[service]
trait Jobs {
    async fn run(&self) -> u8;
}

struct Server;

async fn rest() {}

impl Jobs for Server {
    async fn run(&self) -> u8 {
        let count = Rc::new(1);
        rest().await;
        *count
    }
}

fn main() {
    let _ = JobsDispatcher::new(Server);
}

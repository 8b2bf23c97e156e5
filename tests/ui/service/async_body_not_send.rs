use std::rc::Rc;

use ipc_rpc::service;

#[service]
trait Jobs {
    async fn rest(&self);
    async fn run(&self) -> u8 {
        let count = Rc::new(1);
        self.rest().await;
        *count
    }
}

fn main() {}

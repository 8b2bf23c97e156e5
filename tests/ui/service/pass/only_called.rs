//! A program that only calls a service, or only serves it, has no dead code.
#![deny(warnings)]

mod called {
    #[ipc_rpc::service]
    pub trait Called {
        fn first(&self);
        fn second(&self) -> u8;
    }

    #[ipc_rpc::service(mock)]
    trait Neither {
        fn first(&self);
        async fn second(&self, called: &CalledClient, ctx: &ipc_rpc::Context);
        #[rpc(oneway)]
        fn third(&self);
        fn fourth(&self, items: ipc_rpc::Streaming<u8>) -> ipc_rpc::Streaming<u8>;
    }
}

mod served {
    #[ipc_rpc::service]
    pub trait Served {
        fn first(&self);
        fn second(&self) -> u8;
    }
}

struct Server;

impl served::Served for Server {
    fn first(&self) {}
    fn second(&self) -> u8 {
        2
    }
}

fn main() {
    let _ = served::ServedDispatcher::new(Server);
    let _ = |client: &called::CalledClient| client.first().is_ok();
}

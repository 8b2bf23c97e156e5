//! A service whose trait is local to a function.
#![deny(warnings)]

use ipc_rpc::service;

fn main() {
    #[service]
    trait Local {
        fn ping(&self) -> u8;
    }

    struct Server;

    impl Local for Server {
        fn ping(&self) -> u8 {
            1
        }
    }

    let dispatcher = LocalDispatcher::new(Server);
    assert_eq!(ipc_rpc::__private::Dispatch::service(&dispatcher).name, "Local");
    let _ = |client: &LocalClient| client.ping().is_ok();

    #[service(mock)]
    trait Mocked {
        async fn call_back(&self, local: &LocalClient) -> u8 {
            local.ping().unwrap_or_default()
        }
    }
    let _ = MockedDispatcher::new(MockedMock::new());
    let _ = |client: &MockedClient| client.start();
}

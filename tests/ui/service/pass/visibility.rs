//! The client and the dispatcher are as visible as the trait, and no lint sees more than the user wrote.
#![deny(warnings, unreachable_pub, private_interfaces, private_bounds, dead_code)]

mod outer {
    mod hidden {
        #[derive(Debug)]
        pub(super) struct Private;
    }

    pub(crate) mod inner {
        #[ipc_rpc::service(mock)]
        pub(super) trait ToParent {
            fn ping(&self);
            async fn ping_back(&self, own: &ToOuterClient, ctx: &ipc_rpc::Context) -> Option<u8> {
                own.ping().ok().map(|()| ctx.is_cancelled().into())
            }
            fn stream(&self, items: ipc_rpc::Streaming<u8>) -> ipc_rpc::Streaming<u8> {
                items
            }
        }

        #[ipc_rpc::service]
        pub(in crate::outer) trait ToOuter {
            fn ping(&self);
        }

        #[ipc_rpc::service]
        pub(crate) trait ToCrate {
            fn ping(&self);
        }

        #[ipc_rpc::service]
        trait Own {
            fn ping(&self);
        }

        struct Server;

        impl Own for Server {
            fn ping(&self) {}
        }

        impl ToParent for Server {
            fn ping(&self) {}
        }

        impl ToOuter for Server {
            fn ping(&self) {}
        }

        pub(crate) fn own() -> impl Sized {
            let _ = |client: &OwnClient| client.ping().is_ok();
            (OwnDispatcher::new(Server), ToParentDispatcher::new(Server), ToOuterDispatcher::new(Server))
        }
    }

    pub(crate) fn clients() {
        let _ = |a: &inner::ToParentClient, b: &inner::ToOuterClient| (a.ping().is_ok(), b.view().ping().is_ok());
        let _ = hidden::Private;
    }
}

struct Server;

impl outer::inner::ToCrate for Server {
    fn ping(&self) {}
}

fn main() {
    outer::clients();
    outer::inner::own();
    let _ = outer::inner::ToCrateDispatcher::new(Server);
    let _ = |client: &outer::inner::ToCrateClient| client.ping().is_ok();
}

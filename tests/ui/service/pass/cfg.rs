//! A method that `cfg` removes is nowhere, and the others are counted without it.

use ipc_rpc::service;

#[service]
#[cfg(all())]
trait Store {
    #[cfg(any())]
    fn gone(&self, missing: NoSuchType) -> NoSuchType;
    fn first(&self) -> u8;
    #[cfg_attr(all(), cfg(any()))]
    fn gone_as_well(&self);
    #[cfg(all())]
    #[cfg(not(any()))]
    fn second(&self) -> u8;
    #[cfg(any())]
    fn either(&self) -> u8;
    #[cfg(not(any()))]
    fn either(&self) -> u16;
    #[cfg(any())]
    #[rpc(name = "sum")]
    fn sum_old(&self);
    #[cfg_attr(any(), cfg(any()))]
    #[rpc(name = "sum")]
    fn sum_new(&self);
}

/// What is absent does not make it a service with streams, nor one that calls back.
#[service(mock)]
trait Streams {
    #[cfg(any())]
    async fn gone(&self, items: Streaming<NoSuchType>, back: &NoSuchClient) -> NoSuchType;
    #[cfg(all())]
    #[cfg_attr(all(), cfg(any()))]
    fn gone_as_well(&self) -> Streaming<NoSuchType>;
    #[cfg(all())]
    async fn present(&self) -> u8 {
        1
    }
}

#[service]
trait Lends {
    fn call(&self, streams: &StreamsClient);
}

#[service]
#[cfg(any())]
trait Absent {
    fn put(&self, missing: NoSuchType);
}

#[service]
trait Empty {
    #[cfg(any())]
    fn gone(&self);
}

struct Server;

impl Store for Server {
    fn first(&self) -> u8 {
        1
    }
    fn second(&self) -> u8 {
        2
    }
    fn either(&self) -> u16 {
        3
    }
    fn sum_new(&self) {}
}

impl Empty for Server {}

fn main() {
    let dispatcher = StoreDispatcher::new(Server);
    let methods = ipc_rpc::__private::Dispatch::service(&dispatcher).methods;
    let names: Vec<_> = methods.iter().map(|method| method.name).collect();
    assert_eq!(names, ["first", "second", "either", "sum"]);
    let empty = EmptyDispatcher::new(Server);
    assert!(ipc_rpc::__private::Dispatch::service(&empty).methods.is_empty());
    let streams = StreamsDispatcher::new(StreamsMock::new().on_present(|| 2));
    let service = ipc_rpc::__private::Dispatch::service(&streams);
    assert_eq!((service.methods.len(), service.callbacks.len()), (1, 0));
    let _ = move |client: &LendsClient| client.call(&streams).is_ok();
    let _ = |client: &StoreClient| client.either().unwrap_or(0u16);
}

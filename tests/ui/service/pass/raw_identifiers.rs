//! Raw identifiers: without `r#` on the wire and in generated names, with it in Rust.
#![allow(non_camel_case_types)]

use ipc_rpc::{Context, service};

#[service(mock)]
trait r#trait {
    fn r#type(&self, r#in: u8, r#match: &str) -> u8;
    async fn r#async(&self, r#fn: &Context, r#in: &str) -> u64 {
        let _ = r#fn;
        r#in.len() as u64
    }
    #[rpc(name = "fn")]
    fn call(&self) -> u8;
}

struct Server;

impl r#trait for Server {
    fn r#type(&self, r#in: u8, _: &str) -> u8 {
        r#in
    }
    fn call(&self) -> u8 {
        1
    }
}

fn use_client(client: &traitClient) -> Result<u8, ipc_rpc::CallError> {
    client.r#type(1, "a")?;
    client.call()
}

fn main() {
    let dispatcher = traitDispatcher::new(Server);
    let described = ipc_rpc::__private::Dispatch::service(&dispatcher);
    assert_eq!(described.name, "trait");
    assert_eq!(described.methods[0].name, "type");
    assert_eq!(described.methods[0].params[0].name, "in");
    assert_eq!(described.methods[1].name, "async");
    assert_eq!(described.methods[1].params[0].name, "in");
    assert_eq!(described.methods[2].name, "fn");
    assert_eq!(r#trait::r#type(&traitMock::new().on_type(|a, _| a + 1), 1, ""), 2);
    let _ = traitMock::new().on_async(|_, text| text.len() as u64);
    let _ = use_client;
}

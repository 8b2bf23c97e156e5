//! The crate under another name, and behind a facade.

use ::ipc_rpc as rpc;

mod facade {
    pub mod deep {
        pub use ::ipc_rpc::*;
    }
}

/// Takes the place of the crate in paths that start with its plain name.
#[allow(dead_code)]
mod ipc_rpc {}

#[rpc::service(mock, crate = crate::facade::deep)]
trait Facade {
    fn put(&self, value: &str, all: Option<&[u8]>) -> Result<u8, String>;
    async fn run(&self, ctx: &rpc::Context, lines: rpc::Streaming<u8>) -> rpc::Streaming<u8> {
        let _ = (ctx.is_cancelled(), self.put("a", None));
        lines
    }
    async fn call_back(&self, client: &inner::RenamedClient);
}

mod inner {
    #[super::rpc::service(crate = super::rpc)]
    pub(super) trait Renamed {
        fn put(&self, value: u8) -> u8;
    }
}

fn main() {
    let _ = |client: &FacadeClient| client.put("a", None).is_ok();
    let _ = FacadeDispatcher::new(FacadeMock::new().on_call_back(|client| assert!(client.put(1).is_ok())));
    let _ = |client: &inner::RenamedClient| client.put(1).is_ok();
}

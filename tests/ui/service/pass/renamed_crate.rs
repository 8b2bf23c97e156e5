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

#[rpc::service(crate = crate::facade::deep)]
trait Facade {
    fn put(&self, value: &str, all: Option<&[u8]>) -> Result<u8, String>;
}

mod inner {
    #[super::rpc::service(crate = super::rpc)]
    pub(super) trait Renamed {
        fn put(&self, value: u8) -> u8;
    }
}

fn main() {
    let _ = |client: &FacadeClient| client.put("a", None).is_ok();
    let _ = |client: &inner::RenamedClient| client.put(1).is_ok();
}

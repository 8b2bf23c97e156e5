//! A dispatcher whose client is the untyped stub, so that a call can be made in two halves.

use ipc_rpc::__private::{Dispatch, Incoming, Pair, Refused, Replied, ServiceDesc, Stub};

/// That of some service.
pub struct Bare<D>(pub D);

impl<D: Dispatch> Dispatch for Bare<D> {
    fn service(&self) -> &'static ServiceDesc {
        self.0.service()
    }

    #[inline]
    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
        self.0.dispatch(method, call)
    }
}

impl<D: Dispatch> Pair for Bare<D> {
    type Client = Stub;

    fn client(stub: Stub) -> Stub {
        stub
    }
}

//! Callbacks: objects of a client that its server calls while, and after, it serves the call that lent them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::call_error::CallError;
use crate::message::private_exports::{Desc, Kind};
use crate::service::{Dispatch, Incoming, Refused, ServiceDesc};
use crate::status;
use crate::stub::Stub;

/// A generated client that can be an argument: what a server calls an object of its client by.
pub trait Handle: 'static {
    /// A client over a connection.
    #[doc(hidden)]
    fn over(stub: Stub) -> Self;
    /// The service that it calls.
    #[doc(hidden)]
    fn service() -> &'static ServiceDesc;
    /// What it is made of.
    #[doc(hidden)]
    fn stub(&self) -> &Stub;
}

/// What can be passed where a method takes a `&C`: the dispatcher `XDispatcher` of an object, where `C` is `XClient`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no object that the server can call as a `{C}`",
    label = "pass the dispatcher of an object: `&XDispatcher::new(object)` where the trait has `&XClient`"
)]
pub trait Callback<C>: Sync {
    /// The object, to be kept for as long as the server calls it.
    #[doc(hidden)]
    fn share(&self) -> Arc<dyn Dispatch>;
}

/// An object that a call lends. The client takes it back when this is dropped, at the end of the call, unless the server has
/// kept its handle.
#[derive(Debug)]
#[must_use = "dropping it takes the object back"]
pub struct Lent {
    number: u32,
}

impl Lent {
    /// What the object is called by in the arguments.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// Describes an argument that is a handle, for fingerprints. The methods of its service are compared one by one when the
/// server first calls.
pub fn handle_desc<C: Handle>() -> &'static Desc {
    static KNOWN: Mutex<Option<HashMap<&'static str, &'static Desc>>> = Mutex::new(None);
    let service = C::service();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry(service.name).or_insert_with(|| {
        // Once for each service of a program.
        let name: &'static str = Box::leak(format!("callback {}", service.name).into_boxed_str());
        Box::leak(Box::new(Desc { id: std::any::TypeId::of::<C>(), kind: Kind::Primitive(name) }))
    })
}

impl Stub {
    /// Lends an object to the server for a call that follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn lend_callback<C: Handle>(&self, object: &impl Callback<C>) -> Result<Lent, CallError> {
        let _ = object.share();
        Ok(Lent { number: 0 })
    }
}

impl Incoming<'_> {
    /// The handle of an object that came with the call.
    ///
    /// # Errors
    /// The client cannot be called.
    pub fn callback<C: Handle>(&self, number: u32) -> Result<C, Refused> {
        Err(Refused { status: status::REJECTED, reason: format!("object {number} cannot be called") })
    }
}

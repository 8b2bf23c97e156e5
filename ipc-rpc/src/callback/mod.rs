//! Callbacks: objects of a client that its server calls while, and after, it serves the call that lent them.
//!
//! # A second channel, the other way round
//! A client whose service takes handles makes a pair of sockets when it connects, keeps one end and sends the other along
//! with its memory. Nothing happens there until an object is lent: then the client starts a callee on its end
//! (`lending.rs`), and at the first handle the server shakes hands over the other end, as a client does, with memory that
//! the server brings (`remote.rs`). From there on roles are reversed and nothing else is new: an object is the `target` of
//! a request.
//!
//! # Whose an object is
//! The call that lends an object owns it: [`Lent`] takes it back when the call ends, in whatever way, without a message. A
//! handler that wants it for longer clones its handle; then the server says *keep* before it answers, and *released* when
//! the last clone is gone. An object that nobody keeps is free when the call has returned.

mod lending;
mod remote;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use crate::admitted::Admitted;
use crate::call_error::CallError;
use crate::message::private_exports::{Desc, Kind};
use crate::service::{Dispatch, Incoming, Refused, ServiceDesc};
use crate::stub::Stub;

pub(crate) use lending::{Lending, Table, serve, server_of};
pub(crate) use remote::{First, Later, Object, Remote, judge};

pub use lending::Lent;

/// First of the method numbers that are about objects and not methods of them.
pub(crate) const FIRST_METHOD: u16 = 0x3f10;
/// The server keeps its handle beyond the call that lent the object.
pub(crate) const KEEP: u16 = 0x3f10;
/// The server has dropped the last clone of a handle that it kept.
pub(crate) const RELEASED: u16 = 0x3f11;
/// What is said of an object whose call has ended.
pub(crate) const TAKEN_BACK: &str = "the object is not lent any more: the call that lent it has ended";
/// Last of those method numbers.
pub(crate) const LAST_METHOD: u16 = 0x3f1f;

/// A generated client that can be an argument: what a server calls an object of its client by.
///
/// ```
/// use ipc_rpc::{Handle, service};
///
/// #[service]
/// pub trait Progress { fn done(&self, part: u32); }
///
/// fn name<C: Handle>() -> &'static str { std::any::type_name::<C>() }
/// assert!(name::<ProgressClient>().contains("ProgressClient"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the client of a service",
    label = "an argument `&XClient` is what the handler calls back by",
    note = "a message of such a name goes as `&Archived<{Self}>`"
)]
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

/// What can be passed where a method takes a `&C`: the dispatcher `XDispatcher` of an object, where `C` is `XClient`. See
/// [Callbacks](crate#callbacks).
///
/// ```
/// use ipc_rpc::{Callback, service, testing};
///
/// #[service]
/// pub trait Ask { fn is_fine(&self, question: &str) -> bool; }
/// #[service]
/// pub trait Tidy { fn tidy(&self, folder: &str, ask: &AskClient) -> u32; }
///
/// struct Broom;
/// impl Tidy for Broom {
///     fn tidy(&self, folder: &str, ask: &AskClient) -> u32 {
///         u32::from(ask.is_fine(&format!("empty {folder}?")).unwrap_or(false))
///     }
/// }
/// struct Careful;
/// impl Ask for Careful {
///     fn is_fine(&self, question: &str) -> bool { question.contains("/tmp") }
/// }
///
/// /// Goes on with whatever can be asked.
/// fn tidy_all(tidy: &TidyClient, ask: &impl Callback<AskClient>) -> Result<u32, ipc_rpc::CallError> {
///     ["/home", "/tmp"].into_iter().map(|folder| tidy.tidy(folder, ask)).sum()
/// }
///
/// let (tidy, _server) = testing::pair(TidyDispatcher::new(Broom))?;
/// assert_eq!(tidy_all(&tidy, &AskDispatcher::new(Careful))?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no object that the server can call as a `{C}`",
    label = "pass the dispatcher of an object: `&XDispatcher::new(object)` where the trait has `&XClient`"
)]
pub trait Callback<C>: Sync {
    /// The object, to be kept for as long as the server calls it.
    #[doc(hidden)]
    fn share(&self) -> Arc<dyn Dispatch>;
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

/// The services that calls of these can be called back on, each once.
fn services_of(all: &[&'static ServiceDesc]) -> Vec<&'static ServiceDesc> {
    let mut found: Vec<&'static ServiceDesc> = Vec::new();
    for service in all.iter().flat_map(|service| service.callbacks).map(|service| service()) {
        if !found.iter().any(|f| f.name == service.name) {
            found.push(service);
        }
    }
    found
}

impl Stub {
    /// Lends an object to the server for a call that follows.
    ///
    /// # Errors
    /// [`CallError::NotLent`].
    pub fn lend_callback<C: Handle>(&self, object: &impl Callback<C>) -> Result<Lent, CallError> {
        let service = C::service();
        let connection = self.session.share();
        let lending = connection.lending.as_ref();
        let lent = lending.ok_or_else(|| "the service takes no handles".into()).and_then(|lending| {
            let object = object.share();
            lending.lend(service, object)
        });
        lent.map_err(|reason| CallError::NotLent { service: service.name, reason })
    }
}

impl Incoming<'_> {
    /// The handle of an object that came with the call.
    ///
    /// # Errors
    /// The client cannot be called.
    pub fn callback<C: Handle>(&self, number: u32) -> Result<C, Refused> {
        self.client().callbacks.handle(number, None)
    }
}

impl Admitted {
    /// The handle of an object that came with the call.
    ///
    /// # Errors
    /// The client cannot be called.
    pub async fn callback<C: Handle>(&self, number: u32) -> Result<C, Refused> {
        let gone = || Refused::new(crate::status::REJECTED, "the call is over");
        // Asked outside of the call's lock: the first time hands are shaken.
        let remote = self.client(|client| client.callbacks.clone()).ok_or_else(gone)?;
        poll_fn(|cx| remote.poll_open(cx)).await;
        remote.handle(number, Some(self.later()))
    }
}

//! A service as the runtime sees it: its description, and the dispatcher that runs its methods.
//!
//! # Safety
//! Reads a request at the address the call block gives, and writes the reply there.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use ipc_core::arena::NoExtent;
use ipc_core::callee::Call;

use crate::admitted::Admitted;
use crate::context::Context;
use crate::message::private_exports::{Buffer, Desc, Grow, access, access_unchecked, encode};
use crate::message::{EncodeError, Message, MessageError};
use crate::router::Client;
use crate::status;
use crate::trust::Reading;

/// In errors, in place of a method: waiting for the server to be done with one-way requests.
pub(crate) const FLUSH: u16 = u16::MAX;

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceDesc {
    /// Name of the trait.
    pub name: &'static str,
    /// Its methods; the position in this list is the method's index.
    pub methods: &'static [MethodDesc],
    /// The services whose handles its methods take: the client serves these to the server.
    pub callbacks: &'static [fn() -> &'static ServiceDesc],
}

/// What a method is made of.
#[derive(Debug)]
pub struct MethodDesc {
    /// Name on the wire.
    pub name: &'static str,
    /// Its arguments, in order.
    pub params: &'static [ParamDesc],
    /// Its result.
    pub result: fn() -> &'static Desc,
    /// Its caller does not wait for a reply.
    pub oneway: bool,
    /// Its handler waits for others, so that somebody else has to look for requests meanwhile.
    pub long: bool,
}

/// One argument of a method.
#[derive(Debug)]
pub struct ParamDesc {
    /// Its name in the trait.
    pub name: &'static str,
    /// The owned type that travels.
    pub desc: fn() -> &'static Desc,
}

/// Runs the methods of one service; written by `#[service]`.
///
/// The type is named by users as `XDispatcher`; only [`Server`](crate::Server) calls these methods.
pub trait Dispatch: Send + Sync + 'static {
    /// The service.
    #[doc(hidden)]
    fn service(&self) -> &'static ServiceDesc;
    /// Runs method `method` of it.
    #[doc(hidden)]
    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused>;
}

/// A dispatcher that knows its client; written by `#[service]`, used by [`testing::pair`](crate::testing::pair).
pub trait Pair: Dispatch {
    /// The client type.
    type Client;
    /// A client over a connection.
    #[doc(hidden)]
    fn client(stub: crate::stub::Stub) -> Self::Client;
}

/// Proof that a reply was written.
#[derive(Debug)]
pub struct Replied {
    pub(crate) len: usize,
}

/// Why there is no reply to a request.
#[derive(Debug)]
pub struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl From<MessageError> for Refused {
    #[cold]
    fn from(error: MessageError) -> Self {
        Refused { status: status::REJECTED, reason: error.to_string() }
    }
}

/// What an [`Incoming`] needs of the call besides its memory; all of it off the common path.
pub(crate) trait Lent {
    /// Memory for a reply that outgrows its first buffer.
    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoExtent>;
    /// The object of the connection that the request is for.
    fn target(&self) -> u16;
    /// What the handler may know of the call.
    fn context(&self) -> Context;
}

impl Lent for Call<'_, Client> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoExtent> {
        self.grow_reply(used, needed)
    }

    fn target(&self) -> u16 {
        self.target()
    }

    fn context(&self) -> Context {
        Context::default()
    }
}

/// One call on its way to a handler.
pub struct Incoming<'a> {
    request: NonNull<u8>,
    request_len: usize,
    reply: Buffer,
    call: &'a mut (dyn Lent + 'a),
    client: &'a Client,
}

impl<'a> Incoming<'a> {
    /// # Safety
    /// `len` bytes at `request` are readable and do not change for `'a` (with `Reading::Snapshot` they are a private
    /// copy, else the peer vouches for it); `reply` bytes are writable and not part of them.
    pub(crate) unsafe fn new(
        request: NonNull<u8>,
        len: usize,
        reply: (NonNull<u8>, usize),
        call: &'a mut (dyn Lent + 'a),
        client: &'a Client,
    ) -> Self {
        Incoming { request, request_len: len, reply: Buffer { data: reply.0, len: reply.1 }, call, client }
    }

    /// The client that calls.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn client(&self) -> &'a Client {
        self.client
    }

    /// The stream or the callback of this connection that the request is for; 0: none.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn target(&self) -> u16 {
        self.call.target()
    }

    /// What the handler may know of the call.
    pub fn context(&self) -> Context {
        self.call.context()
    }

    /// Hands the call over to the future that `f` makes, which may end on another thread. What this returns is ignored if
    /// the call is under way.
    ///
    /// # Errors
    /// The server has admitted as many calls as it may.
    pub fn run<F>(self, f: impl FnOnce(Admitted) -> F) -> Result<Replied, Refused>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _ = f;
        Err(Refused { status: status::REJECTED, reason: "asynchronous methods are not served yet".into() })
    }

    /// The arguments, where they lie.
    ///
    /// # Errors
    /// The request is no valid archive of `A`.
    #[inline]
    pub fn args<A: Message>(&self) -> Result<&A::Form, Refused> {
        if self.client.reading == Reading::Unchecked {
            // SAFETY: readable and unchanged by the promise of `new`; that they are valid is what the user promised when
            // he chose this level.
            let form = unsafe { access_unchecked::<A>(self.request.as_ptr(), self.request_len) };
            return form.ok_or_else(|| Refused { status: status::REJECTED, reason: "the request is too short".into() });
        }
        // SAFETY: readable and unchanged by the promise of `new`.
        Ok(unsafe { access::<A>(self.request.as_ptr(), self.request_len)? })
    }

    /// Writes the reply.
    ///
    /// # Errors
    /// The value cannot be sent; the handler has run.
    #[inline]
    pub fn reply<R: Message>(self, value: &R) -> Result<Replied, Refused> {
        let mut grow = GrowReply(self.call);
        let mut buffer = self.reply;
        if buffer.len == 0 && size_of::<R::Form>() > 0 {
            // There is no room behind the request, and where there is none the address may be any.
            buffer = grow.grow(0, size_of::<R::Form>()).map_err(refused)?;
        }
        // SAFETY: the buffer is this call's by the promise of `new`, or the extent just taken.
        let len = unsafe { encode::<R>(value, buffer, &mut grow) }.map_err(refused)?;
        Ok(Replied { len })
    }

    /// Refuses a method number that this service does not have.
    ///
    /// # Errors
    /// Always.
    #[cold]
    pub fn unknown_method(self) -> Result<Replied, Refused> {
        Err(Refused { status: status::REJECTED, reason: "the service has no method of this number".into() })
    }
}

#[cold]
fn refused(error: EncodeError) -> Refused {
    Refused { status: status::RESULT, reason: error.to_string() }
}

/// Lets a reply grow.
pub(crate) struct GrowReply<'a>(pub(crate) &'a mut (dyn Lent + 'a));

// SAFETY: `Call::grow_reply` gives writable memory of at least `needed` bytes at an address that is 8 modulo 16, as that of
// every reply buffer with room is, with the first `used` bytes in place.
unsafe impl Grow for GrowReply<'_> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        match self.0.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(_) => Err(EncodeError::OutOfMemory { needed }),
        }
    }
}

//! A service as the runtime sees it: its description, and the dispatcher that runs its methods.
//!
//! # Safety
//! Reads a request at the address the call block gives, and writes the reply there.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use ipc_core::callee::{Attached, Call, Deferred};
use ipc_core::lane::{Parcel, Undeliverable};
use ipc_core::layout::{REPLIED, STUB};
use ipc_core::memory::NoMemory;

use crate::admitted::{self, Admitted};
use crate::body::{Body, write_stub};
use crate::context::{Context, Extra};
use crate::intercept::Layered;
use crate::kept::Holding;
use crate::message::private_exports::{Buffer, Desc, Grow, access_unchecked, access_with, encode, encode_flat};
use crate::message::{EncodeError, Message, MessageError};
use crate::record::Taken;
use crate::router::Client;
use crate::status;
use crate::stub::no_file;
use crate::trust::{Reading, Snapshot};

/// In errors, in place of a method: waiting for the server to be done with one-way requests.
pub(crate) const FLUSH: u16 = u16::MAX;
/// In errors, in place of a method: a round trip that runs none.
#[cfg(feature = "dynamic")]
pub(crate) const PING: u16 = u16::MAX - 1;

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceDesc {
    /// Name of the trait.
    pub name: &'static str,
    /// What its comments say.
    pub docs: &'static str,
    /// Its methods; the position in this list is the method's index.
    pub methods: &'static [MethodDesc],
    /// The services whose handles its methods take: the client serves these to the server.
    pub callbacks: &'static [fn() -> &'static ServiceDesc],
    /// The fingerprints of its methods if their types are not known here; `None`: they are those of the types.
    pub fingerprints: Option<&'static [u64]>,
}

/// What a method is made of.
#[derive(Debug)]
pub struct MethodDesc {
    /// Name on the wire.
    pub name: &'static str,
    /// What its comments say.
    pub docs: &'static str,
    /// Its arguments, in order.
    pub params: &'static [ParamDesc],
    /// Its result.
    pub result: fn() -> &'static Desc,
    /// Its caller does not wait for a reply.
    pub oneway: bool,
    /// Running it twice is as good as once.
    pub idempotent: bool,
    /// Its handler is a future.
    pub asynchronous: bool,
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
///
/// ```
/// use ipc_rpc::{Dispatch, Server, ServerBuilder, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// /// A server of whatever service, with the settings of this program.
/// fn ours(service: impl Dispatch) -> ServerBuilder {
///     Server::builder().workers(2).service(service)
/// }
/// assert!(format!("{:?}", ours(CalcDispatcher::new(Adder))).contains("Calc"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no dispatcher of a service",
    label = "pass the dispatcher of an object: `XDispatcher::new(object)` for a `trait X`"
)]
pub trait Dispatch: Send + Sync + 'static {
    /// The service.
    #[doc(hidden)]
    fn service(&self) -> &'static ServiceDesc;
    /// Runs method `method` of it.
    #[doc(hidden)]
    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused>;
}

/// A dispatcher that knows its client; written by `#[service]`, used by [`testing::pair`](crate::testing::pair).
///
/// ```
/// use ipc_rpc::{ConnectError, Pair, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// /// What many tests begin with.
/// fn pair<D: Pair>(dispatcher: D) -> Result<(D::Client, testing::PairServer), ConnectError> {
///     testing::pair(dispatcher)
/// }
/// let (calc, _server) = pair(CalcDispatcher::new(Adder))?;
/// assert_eq!(calc.add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// Why there is no reply to a request. One pointer, so that a `Result` with it is given back in registers.
#[derive(Debug)]
pub struct Refused(Box<(u16, String)>);

impl Refused {
    #[cold]
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Refused(Box::new((status, reason.into())))
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.0
    }

    pub(crate) fn reason(&self) -> &str {
        &self.0.1
    }
}

impl From<MessageError> for Refused {
    #[cold]
    #[inline(never)]
    fn from(error: MessageError) -> Self {
        Refused::new(status::REJECTED, error.to_string())
    }
}

/// Memory for a reply.
pub(crate) trait ReplyMemory {
    /// Where it goes.
    fn buffer(&self) -> (NonNull<u8>, usize);
    /// More of it, with the first `used` bytes in place.
    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory>;
    /// Has the reply refer to memory where it lies, if it can.
    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached;
    /// Sends a descriptor along.
    fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable>;
    /// Sends the file in which the reply lies, with `len` bytes, behind so many descriptors.
    fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable>;
    /// Does the reply lie in a file that was sent?
    fn has_sent_body(&self) -> bool;
    /// Does the caller read replies where they lie?
    fn lends(&self) -> bool;
}

/// What an [`Incoming`] needs of the call besides its memory; all of it off the common path.
pub(crate) trait Lent: ReplyMemory {
    /// The method's number.
    fn method(&self) -> u16;
    /// The object of the connection that the request is for.
    fn target(&self) -> u16;
    /// What the handler may know of the call.
    fn context(&self, client: &Client) -> Context;
    /// The private copy of the request, if there is one.
    fn copy(&self) -> Option<Arc<Snapshot>>;
    /// Keeps the memory of the request beyond the call.
    fn keep(&self) -> Option<Holding>;
    /// What is around its handler, if that is a future.
    fn layered(&mut self) -> Option<Layered> {
        None
    }
    /// The descriptors that came with the request and were not taken.
    fn rest_of_parcel(&mut self) -> Parcel;
    /// What is to be written down about it when it is answered.
    fn taken(&mut self) -> Option<Taken> {
        None
    }
    /// Takes the call away from its worker.
    fn defer(&mut self) -> Deferred<Client>;
    /// The reply is an error of the handler's own.
    fn failed(&self);
}

impl ReplyMemory for Call<'_, Client> {
    #[inline]
    fn buffer(&self) -> (NonNull<u8>, usize) {
        self.reply_buffer()
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.grow_reply(used, needed)
    }

    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        Call::attach(self, data, len)
    }

    fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        Call::send(self, index, descriptor)
    }

    fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable> {
        Call::send_body(self, behind, file, len)
    }

    fn has_sent_body(&self) -> bool {
        Call::has_sent_body(self)
    }

    fn lends(&self) -> bool {
        Call::lends(self)
    }
}

impl Lent for Call<'_, Client> {
    fn method(&self) -> u16 {
        Call::method(self)
    }

    fn target(&self) -> u16 {
        Call::target(self)
    }

    fn context(&self, client: &Client) -> Context {
        Context::of(self.watch(), client, Extra::default())
    }

    fn copy(&self) -> Option<Arc<Snapshot>> {
        None
    }

    fn keep(&self) -> Option<Holding> {
        Call::keep(self).map(Holding::Block)
    }

    fn rest_of_parcel(&mut self) -> Parcel {
        Parcel::default()
    }

    fn defer(&mut self) -> Deferred<Client> {
        Call::defer(self)
    }

    fn failed(&self) {
        Call::failed(self, REPLIED);
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

    /// Keeps the memory of the request beyond the call.
    pub(crate) fn keep(&self) -> Option<Holding> {
        self.call.keep()
    }

    /// The client that calls.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn client(&self) -> &'a Client {
        self.client
    }

    /// The number of the method.
    #[allow(dead_code)] // Streams will ask.
    pub(crate) fn method(&self) -> u16 {
        self.call.method()
    }

    /// The stream or the callback of this connection that the request is for; 0: none.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn target(&self) -> u16 {
        self.call.target()
    }

    /// What the handler may know of the call.
    pub fn context(&self) -> Context {
        self.call.context(self.client)
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
        admitted::run(self.client, self.call, self.request_len, f)
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
            return form.ok_or_else(too_short);
        }
        // SAFETY: readable and unchanged by the promise of `new`.
        Ok(unsafe { access_with::<A>(self.request.as_ptr(), self.request_len, self.client.loans.clone())? })
    }

    /// Writes the reply.
    ///
    /// # Errors
    /// The value cannot be sent; the handler has run.
    #[inline]
    pub fn reply<R: Message>(self, value: &R) -> Result<Replied, Refused> {
        // SAFETY: the buffer is this call's by the promise of `new`.
        let replied = unsafe { write_reply::<R, _>(value, self.reply, &mut *self.call) };
        if value.is_error() && replied.is_ok() {
            self.call.failed();
        }
        replied
    }

    /// Refuses a method number that this service does not have.
    ///
    /// # Errors
    /// Always.
    #[cold]
    pub fn unknown_method(self) -> Result<Replied, Refused> {
        Err(Refused::new(status::REJECTED, "the service has no method of this number"))
    }
}

#[cold]
#[inline(never)]
fn refused(error: EncodeError) -> Refused {
    let (status, reason) = status::of(&error);
    Refused::new(status, reason)
}

#[cold]
#[inline(never)]
pub(crate) fn too_short() -> Refused {
    Refused::new(status::REJECTED, "the request is too short")
}

/// Writes a reply.
///
/// # Errors
/// The value cannot be sent.
///
/// # Safety
/// `buffer` is the reply's memory, writable, and stays so until it grows.
#[inline]
pub(crate) unsafe fn write_reply<R: Message, M: ReplyMemory + ?Sized>(
    value: &R,
    buffer: Buffer,
    memory: &mut M,
) -> Result<Replied, Refused> {
    // SAFETY: the caller's promise.
    if let Some(len) = unsafe { encode_flat::<R>(value, buffer) } {
        return Ok(Replied { len });
    }
    // SAFETY: the caller's promise.
    unsafe { write_long_reply(value, buffer, memory) }
}

/// The same for a reply of parts, or without room. A function of its own, so that short ones need little of the stack.
///
/// # Safety
/// As for [`write_reply`].
#[inline(never)]
unsafe fn write_long_reply<R: Message, M: ReplyMemory + ?Sized>(
    value: &R,
    mut buffer: Buffer,
    memory: &mut M,
) -> Result<Replied, Refused> {
    let mut grow = GrowReply { memory, pieces: 0, body: Body::default() };
    if buffer.len == 0 && size_of::<R::Form>() > 0 {
        // There is no room behind the request, and where there is none the address may be any.
        buffer = grow.grow(0, size_of::<R::Form>()).map_err(refused)?;
    }
    // SAFETY: the caller's promise, or the extent just taken.
    let mut len = unsafe { encode::<R>(value, buffer, &mut grow) }.map_err(refused)?;
    if grow.body.is_used() {
        len = grow.seal(len).map_err(refused)?;
    }
    Ok(Replied { len })
}

/// Lets a reply grow.
struct GrowReply<'a, M: ?Sized> {
    memory: &'a mut M,
    /// How many descriptors went along.
    pieces: u32,
    body: Body,
}

impl<M: ReplyMemory + ?Sized> GrowReply<'_, M> {
    /// Sends the file in which a reply of `len` bytes lies; gives the length of what is in the block in place of it.
    #[cold]
    fn seal(&mut self, len: usize) -> Result<usize, EncodeError> {
        let file = self.body.seal(len).map_err(no_file)?;
        self.memory.send_body(self.pieces, file.as_fd(), len)?;
        let (mut data, mut room) = self.memory.buffer();
        if room < STUB {
            (data, room) = self.memory.grow(0, STUB).map_err(EncodeError::OutOfMemory)?;
        }
        // SAFETY: the reply's memory, until the call is finished.
        unsafe { write_stub(data, room, len) }.ok_or_else(|| EncodeError::OutOfMemory(NoMemory::fixed(len)))
    }
}

// SAFETY: `grow_reply` of a call gives writable memory of at least `needed` bytes at an address that is 8 modulo 16, as that
// of every reply buffer with room is, with the first `used` bytes in place.
unsafe impl<M: ReplyMemory + ?Sized> Grow for GrowReply<'_, M> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        if !self.memory.lends() {
            // SAFETY: `used` bytes of the reply's memory are written.
            let file = unsafe { self.body.grow(self.memory.buffer().0, used, needed) };
            if let Some(buffer) = file {
                return buffer.map_err(no_file);
            }
        }
        match self.memory.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(none) => Err(EncodeError::OutOfMemory(none)),
        }
    }

    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.memory.attach(data, len)
    }

    fn descriptor(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), EncodeError> {
        self.memory.send(index, descriptor)?;
        self.pieces = index + 1;
        Ok(())
    }
}

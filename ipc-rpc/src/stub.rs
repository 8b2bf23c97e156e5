//! The untyped client that a generated client is made of, and the path of a call through it.
//!
//! # Safety
//! Encodes arguments into the memory of a call block, and reads replies where they lie.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Draft, Failure, Holder, Limit, NoBlock, Pending};
use ipc_core::lane::{self, Parcel};
use ipc_core::memory::NoMemory;
use ipc_core::swap::Reading;

use crate::body::{Body, write_stub};
use crate::call_error::{CallError, MethodName};
use crate::callback::{First, Later};
use crate::connect::{ClientConfig, ConnectError, Connection};
use crate::context::{WITH_CONTEXT, Wire};
use crate::handshake::NO_METHOD;
use crate::loan::{Loan, LoanError};
use crate::message::private_exports::{Attached, Buffer, Grow, access_with, encode, owned, result_form};
use crate::message::{Argument, EncodeError, MAX_ALIGN, Message, MessageError};
use crate::reply::Reply;
use crate::service::ServiceDesc;
use crate::session::{Session, Told};
use crate::terms::{Special, Terms, Timeout};
use crate::trust::{Snapshot, Trust};

/// The most 8-byte words of a context: what the tag of a block has room for.
const MAX_CONTEXT: usize = (1 << 12) - 1;

/// A client without types: a session, and how calls are made in it. Cheap to clone, usable from many threads.
#[derive(Clone)]
pub struct Stub {
    // Dropped before the session that it counts the users of.
    pub(crate) lent: First,
    pub(crate) session: Arc<Session>,
    pub(crate) timeout: Timeout,
    /// Most stubs have none.
    pub(crate) special: Option<Arc<Special>>,
    pub(crate) told: Told,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.session.read();
        f.debug_struct("Stub")
            .field("service", &connection.service.name)
            .field("path", &connection.path)
            .field("timeout", &self.timeout)
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

impl Stub {
    /// Connects to the service called `name`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(
        service: &'static ServiceDesc,
        name: impl AsRef<str>,
        config: &ClientConfig,
    ) -> Result<Stub, ConnectError> {
        let connection = Connection::open(service, name.as_ref(), config)?;
        Ok(Stub::of(Session::lasting(connection, config), config))
    }

    /// A stub of a session over this connection and no other.
    pub(crate) fn over(connection: Connection, config: &ClientConfig) -> Stub {
        Stub::of(Session::fixed(Arc::new(connection)), config)
    }

    fn of(session: Arc<Session>, config: &ClientConfig) -> Stub {
        // What has a target takes the long way: the short one does not look.
        let special = (session.read().target != 0).then(Arc::default);
        let timeout = Timeout::Configured(config.timeout);
        Stub { lent: First::default(), session, timeout, special, told: Told::default() }
    }

    /// What a handler is given to call an object of its client.
    pub(crate) fn for_object(connection: Connection, config: &ClientConfig, later: Option<&Arc<Later>>) -> Stub {
        let mut stub = Stub::over(connection, config);
        stub.lent = First::of(&stub.session, later);
        stub
    }

    /// Calls a method whose result is an `R`.
    ///
    /// # Errors
    /// [`CallError`].
    #[inline]
    pub fn call<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<R, CallError> {
        self.call_and(method, args, || ())
    }

    /// Calls a method whose result is an `R`, and does something else when the request is on its way.
    ///
    /// # Errors
    /// [`CallError`].
    #[inline(always)]
    pub fn call_and<A: Message, R: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        meanwhile: impl FnOnce(),
    ) -> Result<R, CallError> {
        if !self.is_plain() {
            return self.call_on_terms(method, args);
        }
        let reading = self.session.read();
        let connection: &Connection = &reading;
        // By value: what is referred to has to lie in memory.
        let again =
            move |error, until| self.again(connection, method, error, until, move |stub| stub.call(method, args));
        let limit = self.limit();
        let pending = match connection.begin(&*connection.caller, method, args, limit) {
            Ok(pending) => pending,
            Err(error) => return again(error, limit.moment()),
        };
        meanwhile();
        let read = move |answer| connection.read_last(method, answer);
        connection.wait(method, pending, limit, move || self.allowed(), read, again)
    }

    #[cold]
    #[inline(never)]
    fn call_on_terms<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<R, CallError> {
        if let Some(chain) = self.interceptors() {
            return self.intercepted(chain, method, true, R::is_error, |stub| stub.call_on_terms(method, args));
        }
        let connection = self.session.read();
        let again = |error, until| self.again(&connection, method, error, until, |stub| stub.call(method, args));
        let terms = self.terms(&connection, method)?;
        let read = |answer| connection.read(method, &answer);
        match self.begin_on(&connection, &*connection.caller, method, args, &terms) {
            Ok(pending) => connection.wait(method, pending, terms.limit, || terms.allowed, read, again),
            Err(error) => again(error, terms.limit.moment()),
        }
    }

    /// Calls a method whose result is a `Result<R, E>`.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    #[inline]
    pub fn call_result<A: Message, R: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<R, CallError<E>> {
        let result = self.call::<A, Result<R, E>>(method, args);
        result.map_err(CallError::widen)?.map_err(CallError::Handler)
    }

    /// Calls a method whose result is an `R`, and leaves the reply where it lies.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn view<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Reply<R>, CallError> {
        self.send_and(method, args, |_| false, move |answer| reply(method, answer))
    }

    /// Calls a method whose result is a `Result<R, E>`, and leaves an `Ok` where it lies.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub fn view_result<A: Message, R: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Reply<R>, CallError<E>> {
        let result = self.send_and(method, args, Result::is_err, move |answer| Ok(reply_result(method, answer)));
        result.map_err(CallError::widen)?
    }

    /// The path of a call as far as the reply's bytes; goes on with `then`.
    #[inline(always)]
    pub(crate) fn send_and<A: Message, T>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        failed: fn(&T) -> bool,
        then: impl Fn(Answer<Shared>) -> Result<T, CallError> + Copy,
    ) -> Result<T, CallError> {
        if !self.is_plain() {
            let send = |stub: &Stub| stub.send_on_terms(method, args).and_then(then);
            return match self.interceptors() {
                Some(chain) => self.intercepted(chain, method, true, failed, send),
                None => send(self),
            };
        }
        let connection = self.session.read();
        let again = |error, until| {
            self.again(&connection, method, error, until, |stub| stub.send_on_terms(method, args).and_then(then))
        };
        let limit = self.limit();
        match connection.begin(Shared(Reading::share(&connection)), method, args, limit) {
            Ok(pending) => connection.wait(method, pending, limit, || self.allowed(), then, again),
            Err(error) => again(error, limit.moment()),
        }
    }

    /// The same for a call that is made again, or that is no plain one.
    #[cold]
    #[inline(never)]
    fn send_on_terms<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Answer<Shared>, CallError> {
        let connection = self.session.read();
        let again =
            |error, until| self.again(&connection, method, error, until, |stub| stub.send_on_terms(method, args));
        let terms = self.terms(&connection, method)?;
        match self.begin_on(&connection, Shared(Reading::share(&connection)), method, args, &terms) {
            Ok(pending) => connection.wait(method, pending, terms.limit, || terms.allowed, Ok, again),
            Err(error) => again(error, terms.limit.moment()),
        }
    }

    /// Takes memory for `len` elements, that calls refer to instead of copying it.
    ///
    /// # Errors
    /// [`LoanError`].
    pub fn loan<T: Message>(&self, len: usize) -> Result<Loan<T>, LoanError> {
        let connection = self.session.read();
        let method = MethodName { service: connection.service.name, method: "loan" };
        // A peer that is not trusted could change what is written there while this process refers to it.
        let lends = connection.caller.lends() && connection.trust == Trust::InPlace;
        Loan::with(len, method, |bytes| match lends {
            true => connection.caller.loan(bytes).map(Some),
            false => Ok(None),
        })
    }

    /// The present connection's calling side.
    pub fn caller(&self) -> Arc<Caller> {
        self.session.read().caller.clone()
    }

    /// First half of any call.
    ///
    /// # Errors
    /// [`CallError`]; nothing was sent.
    pub(crate) fn begin_on<C: Holder, A: Message>(
        &self,
        connection: &Connection,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
        terms: &Terms,
    ) -> Result<Pending<C>, CallError> {
        match Caller::draft(caller, terms.limit) {
            Ok(draft) => self.submit(connection, draft, method, args, terms, terms.limit),
            Err(why) => Err(connection.not_sent(method, why)),
        }
    }

    /// Writes the arguments of any call into a block and lends it. Descriptors have as long as `patience` says to go along.
    #[inline]
    pub(crate) fn submit<C: Holder, A: Message>(
        &self,
        connection: &Connection,
        mut draft: Draft<C>,
        method: u16,
        args: &impl Argument<A>,
        terms: &Terms,
        patience: Limit,
    ) -> Result<Pending<C>, CallError> {
        let number = connection.number(method)?;
        let written = write(&mut draft, args, patience).and_then(|len| {
            if !draft.refers() || !self.says() {
                return Ok(len);
            }
            // What refers to loans cannot be moved when the context is written behind it: with room for that, once more.
            draft.grow(0, len + 8 * MAX_CONTEXT + 2 * MAX_ALIGN).map_err(EncodeError::OutOfMemory)?;
            write(&mut draft, args, patience)
        });
        match written {
            Ok(len) => self.submit_special(connection, draft, number, len, method, terms),
            Err(error) => Err(connection.not_encoded(method, error)),
        }
    }

    /// Lends a block that has arguments of `len` bytes, with what else the request has.
    #[inline(never)]
    fn submit_special<C: Holder>(
        &self,
        connection: &Connection,
        mut draft: Draft<C>,
        mut number: u16,
        mut len: usize,
        method: u16,
        terms: &Terms,
    ) -> Result<Pending<C>, CallError> {
        let mut extra = 0;
        if self.says()
            && let Some(added) = self.origin(|trace, metadata| append(&mut draft, len, &(trace, metadata)))
        {
            (len, extra) = added.map_err(|error| connection.not_encoded(method, error))?;
            number |= WITH_CONTEXT;
        }
        if terms.target != 0 || extra != 0 {
            draft.address(terms.target, extra);
        }
        let quiet = self.special.as_ref().and_then(|special| special.batch.as_ref()).is_some_and(|b| b.is_open());
        Ok(if quiet { draft.submit_quietly(number, len, terms.limit) } else { draft.submit(number, len, terms.limit) })
    }
}

impl Connection {
    /// First half of a plain call: a block, the arguments in it, one swap.
    ///
    /// # Errors
    /// [`CallError`]; nothing was sent.
    #[inline(always)]
    pub(crate) fn begin<C: Holder, A: Message>(
        &self,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
        limit: Limit,
    ) -> Result<Pending<C>, CallError> {
        let number = self.number(method)?;
        let mut draft = match Caller::draft(caller, limit) {
            Ok(draft) => draft,
            Err(why) => return Err(self.not_sent(method, why)),
        };
        match write(&mut draft, args, limit) {
            Ok(len) => Ok(draft.submit(number, len, limit)),
            Err(error) => Err(self.not_encoded(method, error)),
        }
    }

    /// The method's number on this connection.
    #[inline]
    pub(crate) fn number(&self, method: u16) -> Result<u16, CallError> {
        let number = self.numbers.get(usize::from(method)).copied().unwrap_or(NO_METHOD);
        if number == NO_METHOD { Err(self.incompatible(method)) } else { Ok(number) }
    }

    /// Second half of a call. Goes on with `then` if there is a reply, else with `fail`, which is told why, and when the call
    /// would have been over as far as that was fixed.
    #[inline(always)]
    pub(crate) fn wait<C: Holder, T>(
        &self,
        method: u16,
        pending: Pending<C>,
        limit: Limit,
        allowed: impl Fn() -> Duration + Copy,
        then: impl FnOnce(Answer<C>) -> Result<T, CallError>,
        fail: impl Fn(CallError, u64) -> Result<T, CallError> + Copy,
    ) -> Result<T, CallError> {
        let answered = move |answer: Answer<C>| fail(self.not_replied(method, &answer, allowed()), answer.deadline());
        let failed = move |failure, _, deadline| fail(self.failed(method, failure, allowed()), deadline);
        pending.wait_then(limit, then, answered, failed)
    }

    #[cold]
    fn incompatible(&self, method: u16) -> CallError {
        let name = self.name(method);
        let mismatch = self.mismatches.iter().find(|m| m.method == name);
        let mismatch = mismatch.cloned().unwrap_or(crate::handshake::Mismatch { method: name, difference: None });
        CallError::Incompatible(Box::new(mismatch))
    }

    #[cold]
    pub(crate) fn not_sent(&self, method: u16, why: NoBlock) -> CallError {
        match why {
            NoBlock::Busy => self.busy(method),
            _ => self.failed(method, Failure::NotStarted, Duration::ZERO),
        }
    }

    /// All blocks are in use.
    #[cold]
    pub(crate) fn busy(&self, method: u16) -> CallError {
        let reason = match self.caller.usage().kept {
            0 => String::new(),
            1 => "the server keeps the arguments of 1 call".into(),
            kept => format!("the server keeps the arguments of {kept} calls"),
        };
        CallError::Busy { method: self.name(method), server: false, reason: reason.into() }
    }

    #[cold]
    pub(crate) fn not_encoded(&self, method: u16, error: EncodeError) -> CallError {
        CallError::not_encoded(self.name(method), error)
    }
}

/// An answer, left where it lies.
pub(crate) fn reply<R: Message>(method: u16, answer: Answer<Shared>) -> Result<Reply<R>, CallError> {
    let (service, loans) = (answer.holder().0.service, answer.holder().0.loans.clone());
    let held = Held::of(answer).map_err(|error| service.invalid(method, error))?;
    let (bytes, len) = held.bytes();
    // SAFETY: readable as long as `held` lives; unchanged as the trust level has it.
    let form = unsafe { access_with::<R>(bytes.as_ptr(), len, loans) };
    let form = std::ptr::from_ref(form.map_err(|error| service.invalid(method, error))?);
    // SAFETY: `form` lies in the bytes that `held` keeps, and was checked.
    Ok(unsafe { Reply::new(held, form) })
}

/// An answer with a result, left where it lies if it is an `Ok`.
pub(crate) fn reply_result<R: Message, E: Message>(
    method: u16,
    answer: Answer<Shared>,
) -> Result<Reply<R>, CallError<E>> {
    let (service, loans) = (answer.holder().0.service, answer.holder().0.loans.clone());
    let held = Held::of(answer).map_err(|error| service.invalid(method, error).widen())?;
    let (bytes, len) = held.bytes();
    // SAFETY: readable as long as `held` lives; unchanged as the trust level has it.
    let form = unsafe { access_with::<Result<R, E>>(bytes.as_ptr(), len, loans) };
    let form = form.map_err(|error| service.invalid(method, error).widen())?;
    match result_form::<R, E>(form) {
        Ok(form) => {
            let form = std::ptr::from_ref(form);
            // SAFETY: `form` lies in the bytes that `held` keeps, and was checked with all of them.
            Ok(unsafe { Reply::new(held, form) })
        }
        Err(form) => match owned::<E>(form) {
            Ok(error) => Err(CallError::Handler(error)),
            Err(error) => Err(service.invalid(method, error).widen()),
        },
    }
}

/// Writes arguments into a draft; gives their length.
#[inline(always)]
pub(crate) fn write<C: Holder, A: Message>(
    draft: &mut Draft<C>,
    args: &impl Argument<A>,
    patience: Limit,
) -> Result<usize, EncodeError> {
    let (data, len) = draft.buffer();
    if size_of::<A::Res>() == 0 {
        // SAFETY: the buffer is this draft's until it is submitted or grown.
        return unsafe { encode::<A>(args, Buffer { data, len }, &mut GrowFlat(draft)) };
    }
    write_parts(draft, args, patience)
}

/// The same for arguments of parts, which may be long and may bring descriptors. Others stay in registers without it.
#[inline]
fn write_parts<C: Holder, A: Message>(
    draft: &mut Draft<C>,
    args: &impl Argument<A>,
    patience: Limit,
) -> Result<usize, EncodeError> {
    let (data, len) = draft.buffer();
    let mut grow = GrowDraft { draft, patience, pieces: 0, body: Body::default() };
    // SAFETY: the buffer is this draft's until it is submitted or grown.
    let len = unsafe { encode::<A>(args, Buffer { data, len }, &mut grow) }?;
    if grow.body.is_used() { grow.seal(len) } else { Ok(len) }
}

/// Lets arguments grow that are nothing but a form: they refer to nothing.
struct GrowFlat<'a, C: Holder>(&'a mut Draft<C>);

// SAFETY: as for `GrowDraft`.
unsafe impl<C: Holder> Grow for GrowFlat<'_, C> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        match self.0.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(none) => Err(EncodeError::OutOfMemory(none)),
        }
    }
}

struct GrowDraft<'a, C: Holder> {
    draft: &'a mut Draft<C>,
    /// How long descriptors have to go along.
    patience: Limit,
    /// How many did.
    pieces: u32,
    body: Body,
}

impl<C: Holder> GrowDraft<'_, C> {
    /// Sends the file in which `len` bytes of arguments lie; gives the length of what is in the block in place of them.
    #[cold]
    fn seal(&mut self, len: usize) -> Result<usize, EncodeError> {
        let file = self.body.seal(len).map_err(no_file)?;
        self.draft.send_body(self.pieces, file.as_fd(), self.patience)?;
        let (data, room) = self.draft.buffer();
        // SAFETY: the buffer is this draft's until it is submitted or grown.
        unsafe { write_stub(data, room, len) }.ok_or_else(|| EncodeError::OutOfMemory(NoMemory::fixed(len)))
    }
}

/// The error of a file that a message was written into.
#[cold]
pub(crate) fn no_file(error: std::io::Error) -> EncodeError {
    EncodeError::Unsupported { reason: format!("the file for it: {error}").into() }
}

// SAFETY: `Draft::grow` gives writable memory of at least `needed` bytes, at an address that is 8 modulo 16 as that of every
// draft is, with the first `used` bytes in place.
unsafe impl<C: Holder> Grow for GrowDraft<'_, C> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        if !self.draft.lends() {
            // SAFETY: `used` bytes of this draft's memory are written.
            let file = unsafe { self.body.grow(self.draft.buffer().0, used, needed) };
            if let Some(buffer) = file {
                return buffer.map_err(no_file);
            }
        }
        match self.draft.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(none) => Err(EncodeError::OutOfMemory(none)),
        }
    }

    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        if self.draft.attach(data, len) { Attached::Yes } else { Attached::No }
    }

    fn export(&mut self, index: u32, data: NonNull<u8>, len: usize) -> Option<NonNull<u8>> {
        self.draft.export(index, data, len, self.patience)
    }

    fn descriptor(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), EncodeError> {
        self.draft.send(index, descriptor, self.patience)?;
        self.pieces = index + 1;
        Ok(())
    }
}

/// Writes a context behind the `len` bytes of arguments in a draft; gives the length of both and the tag's word for it. The
/// context starts at a multiple of 16 and, as its length is a multiple of 8, ends the request: its root is found there, and
/// the arguments' root is found by the number of bytes that were skipped.
fn append<C: Holder>(
    draft: &mut Draft<C>,
    len: usize,
    context: &impl Argument<Wire>,
) -> Result<(usize, u16), EncodeError> {
    let start = len.next_multiple_of(MAX_ALIGN);
    let mut behind = GrowBehind { draft, start };
    if behind.room().len == 0 {
        behind.grow(0, 1)?;
    }
    let Buffer { data, len: room } = behind.room();
    let skipped = data.as_ptr().wrapping_sub(start - len);
    // SAFETY: the draft's memory has more than `start` bytes, and those from `len` on hold nothing.
    unsafe { skipped.write_bytes(0, start - len) };
    // SAFETY: the buffer is the draft's memory from `start` on, until it is grown.
    let words = unsafe { encode::<Wire>(context, Buffer { data, len: room }, &mut behind) }? / 8;
    if words > MAX_CONTEXT {
        return Err(EncodeError::TooLarge { limit: MAX_CONTEXT * 8 });
    }
    Ok((start + words * 8, (words << 4 | (start - len)) as u16))
}

/// The memory of a draft from `start` on.
struct GrowBehind<'a, C: Holder> {
    draft: &'a mut Draft<C>,
    start: usize,
}

impl<C: Holder> GrowBehind<'_, C> {
    fn room(&self) -> Buffer {
        let (data, len) = self.draft.buffer();
        let data = data.as_ptr().wrapping_add(self.start);
        Buffer { data: NonNull::new(data).unwrap_or(NonNull::dangling()), len: len.saturating_sub(self.start) }
    }
}

// SAFETY: as for a whole draft; `start` is a multiple of 16, so the rest of one begins at the same address modulo 16.
unsafe impl<C: Holder> Grow for GrowBehind<'_, C> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        if self.draft.refers() {
            return Err(EncodeError::OutOfMemory(NoMemory::fixed(needed)));
        }
        match self.draft.grow(self.start + used, self.start + needed) {
            Ok(_) => Ok(self.room()),
            Err(none) => Err(EncodeError::OutOfMemory(none)),
        }
    }
}

/// For a call that does not wait.
pub(crate) const AT_ONCE: Limit = Limit::Until(0);

/// A connection that a call or a held reply keeps open.
#[derive(Debug, Clone)]
pub(crate) struct Shared(pub(crate) Arc<Connection>);

// SAFETY: it is always to the caller of the one connection, which it keeps.
unsafe impl Holder for Shared {}

impl Deref for Shared {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.0.caller
    }
}

/// The memory of a reply that is kept.
#[derive(Debug)]
pub(crate) enum Held {
    InPlace(Answer<Shared>),
    Copied(Snapshot),
}

impl Held {
    pub(crate) fn of(answer: Answer<Shared>) -> Result<Self, MessageError> {
        if answer.holder().0.trust == Trust::InPlace {
            return Ok(Held::InPlace(answer));
        }
        let (bytes, len) = answer.bytes();
        // SAFETY: the bytes are this answer's.
        let copy = unsafe { Snapshot::of(bytes, len) }?;
        // With an answer that is let go of, what came along would be too.
        let parcel = lane::unpack(Parcel::default());
        drop(answer);
        lane::unpack(parcel);
        Ok(Held::Copied(copy))
    }

    pub(crate) fn bytes(&self) -> (std::ptr::NonNull<u8>, usize) {
        match self {
            Held::InPlace(answer) => answer.bytes(),
            Held::Copied(copy) => copy.bytes(),
        }
    }
}

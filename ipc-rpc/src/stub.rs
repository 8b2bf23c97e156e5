//! The untyped client that a generated client is made of, and the path of a call through it.
//!
//! # Safety
//! Encodes arguments into the memory of a call block, and reads replies where they lie.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Draft, Failure, Holder, Limit, NoBlock, Pending};
use ipc_core::clock;
use ipc_core::layout::{NOT_RUN, REPLIED};

use crate::call_error::{CallError, MethodName};
use crate::connect::{ClientConfig, ConnectError, Connection};
use crate::handshake::NO_METHOD;
use crate::message::private_exports::{Buffer, Grow, access, encode, owned, result_form};
use crate::message::{Argument, EncodeError, Message, MessageError};
use crate::reply::Reply;
use crate::service::ServiceDesc;
use crate::status;
use crate::trust::{Snapshot, Trust};

/// How long calls of a stub may take.
#[derive(Debug, Clone, Copy)]
enum Timeout {
    /// As configured: measured from when a call stops being short.
    Configured(Option<Duration>),
    /// As asked for: measured from the start, and told to the server.
    Asked(Duration),
}

/// A client without types: a connection and how long its calls may take. Cheap to clone, usable from many threads.
#[derive(Clone)]
pub struct Stub {
    connection: Arc<Connection>,
    timeout: Timeout,
}

impl fmt::Debug for Stub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stub")
            .field("service", &self.connection.service.name)
            .field("path", &self.connection.path)
            .field("timeout", &self.timeout)
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
        Ok(Stub::over(Connection::open(service, name.as_ref(), config)?, config))
    }

    pub(crate) fn over(connection: Connection, config: &ClientConfig) -> Stub {
        Stub { connection: Arc::new(connection), timeout: Timeout::Configured(config.timeout) }
    }

    /// The same connection with another limit for each call.
    pub fn with_timeout(&self, timeout: Duration) -> Stub {
        Stub { connection: self.connection.clone(), timeout: Timeout::Asked(timeout) }
    }

    /// Calls a method whose result is an `R`.
    ///
    /// # Errors
    /// [`CallError`].
    #[inline]
    pub fn call<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<R, CallError> {
        let limit = self.limit();
        let pending = self.begin(&*self.connection.caller, method, args, limit)?;
        self.end(method, pending, limit)
    }

    /// Second half of a call: waits for the reply and reads it.
    ///
    /// # Errors
    /// [`CallError`].
    #[inline]
    pub fn end<R: Message, C: Holder>(&self, method: u16, pending: Pending<C>, limit: Limit) -> Result<R, CallError> {
        self.wait(method, pending, limit, |answer| self.read::<R, R, _>(method, &answer, owned::<R>))
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
        let answer = self.send(&*self.connection.caller, method, args).map_err(CallError::widen)?;
        let result = self.read::<Result<R, E>, Result<R, E>, _>(method, &answer, owned::<Result<R, E>>);
        result.map_err(CallError::widen)?.map_err(CallError::Handler)
    }

    /// Calls a method whose result is an `R`, and leaves the reply where it lies.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn view<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Reply<R>, CallError> {
        let answer = self.send(Shared(self.connection.clone()), method, args)?;
        let held = self.hold(answer);
        let (bytes, len) = held.bytes();
        // SAFETY: readable as long as `held` lives; unchanged as the trust level has it.
        let form = unsafe { access::<R>(bytes.as_ptr(), len) };
        let form = std::ptr::from_ref(form.map_err(|error| self.invalid(method, error))?);
        // SAFETY: `form` lies in the bytes that `held` keeps, and was checked.
        Ok(unsafe { Reply::new(held, form) })
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
        let answer = self.send(Shared(self.connection.clone()), method, args).map_err(CallError::widen)?;
        let held = self.hold(answer);
        let (bytes, len) = held.bytes();
        // SAFETY: readable as long as `held` lives; unchanged as the trust level has it.
        let form = unsafe { access::<Result<R, E>>(bytes.as_ptr(), len) };
        let form = form.map_err(|error| self.invalid(method, error).widen())?;
        match result_form::<R, E>(form) {
            Ok(form) => {
                let form = std::ptr::from_ref(form);
                // SAFETY: `form` lies in the bytes that `held` keeps, and was checked with all of them.
                Ok(unsafe { Reply::new(held, form) })
            }
            Err(form) => match owned::<E>(form) {
                Ok(error) => Err(CallError::Handler(error)),
                Err(error) => Err(self.invalid(method, error).widen()),
            },
        }
    }

    /// The path of a call as far as the reply's bytes.
    #[inline]
    fn send<C: Holder, A: Message>(
        &self,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Answer<C>, CallError> {
        let limit = self.limit();
        let pending = self.begin(caller, method, args, limit)?;
        self.wait(method, pending, limit, Ok)
    }

    /// How long the call that begins now may take.
    #[inline]
    pub fn limit(&self) -> Limit {
        match self.timeout {
            Timeout::Configured(None) => Limit::None,
            Timeout::Configured(Some(timeout)) => Limit::Lazy(timeout),
            Timeout::Asked(timeout) => Limit::Until(clock::after(timeout)),
        }
    }

    /// The connection's calling side.
    pub fn caller(&self) -> &Caller {
        &self.connection.caller
    }

    /// First half of a call: a block, the arguments in it, one swap.
    ///
    /// # Errors
    /// [`CallError`]; nothing was sent.
    #[inline]
    pub fn begin<C: Holder, A: Message>(
        &self,
        caller: C,
        method: u16,
        args: &impl Argument<A>,
        limit: Limit,
    ) -> Result<Pending<C>, CallError> {
        let number = self.connection.numbers.get(usize::from(method)).copied().unwrap_or(NO_METHOD);
        if number == NO_METHOD {
            return Err(self.incompatible(method));
        }
        let mut draft = match Caller::draft(caller, limit) {
            Ok(draft) => draft,
            Err(why) => return Err(self.not_sent(method, why)),
        };
        let (data, len) = draft.buffer();
        // SAFETY: the buffer is this draft's until it is submitted or grown.
        let encoded = unsafe { encode::<A>(args, Buffer { data, len }, &mut GrowDraft(&mut draft)) };
        let len = match encoded {
            Ok(len) => len,
            Err(error) => return Err(CallError::Arguments { method: self.name(method), error }),
        };
        Ok(draft.submit(number, len, limit))
    }

    #[inline(always)]
    fn wait<C: Holder, T>(
        &self,
        method: u16,
        pending: Pending<C>,
        limit: Limit,
        then: impl FnOnce(Answer<C>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let answered = |answer: Answer<C>| {
            if answer.status() == REPLIED { then(answer) } else { Err(self.not_replied(method, &answer)) }
        };
        pending.wait_then(limit, answered, |failure| Err(self.failed(method, failure)))
    }

    /// Reads an owned value out of a reply.
    #[inline]
    fn read<R: Message, T, C: Holder>(
        &self,
        method: u16,
        answer: &Answer<C>,
        read: impl FnOnce(&R::Form) -> Result<T, MessageError>,
    ) -> Result<T, CallError> {
        let (bytes, len) = answer.bytes();
        if self.connection.trust == Trust::InPlace {
            // SAFETY: the bytes are this answer's; the server is trusted not to change them.
            let form = unsafe { access::<R>(bytes.as_ptr(), len) };
            return form.and_then(read).map_err(|error| self.invalid(method, error));
        }
        // SAFETY: the bytes are this answer's.
        let copy = unsafe { Snapshot::copy(bytes, len) };
        let (bytes, len) = copy.bytes();
        // SAFETY: the bytes are a private copy.
        let form = unsafe { access::<R>(bytes.as_ptr(), len) };
        form.and_then(read).map_err(|error| self.invalid(method, error))
    }

    /// The memory of a reply that is kept.
    fn hold(&self, answer: Answer<Shared>) -> Held {
        if self.connection.trust == Trust::InPlace {
            return Held::InPlace(answer);
        }
        let (bytes, len) = answer.bytes();
        // SAFETY: the bytes are this answer's.
        Held::Copied(unsafe { Snapshot::copy(bytes, len) })
    }

    fn name(&self, method: u16) -> MethodName {
        let service = self.connection.service;
        let method = service.methods.get(usize::from(method)).map_or("?", |m| m.name);
        MethodName { service: service.name, method }
    }

    #[cold]
    fn incompatible(&self, method: u16) -> CallError {
        let name = self.name(method);
        let mismatch = self.connection.mismatches.iter().find(|m| m.method == name);
        let mismatch = mismatch.cloned().unwrap_or(crate::handshake::Mismatch { method: name, difference: None });
        CallError::Incompatible(Box::new(mismatch))
    }

    #[cold]
    fn invalid(&self, method: u16, error: MessageError) -> CallError {
        CallError::Reply { method: self.name(method), error }
    }

    #[cold]
    fn not_sent(&self, method: u16, why: NoBlock) -> CallError {
        match why {
            NoBlock::Busy => CallError::Busy { method: self.name(method) },
            _ => self.failed(method, Failure::NotStarted),
        }
    }

    #[cold]
    fn failed(&self, method: u16, failure: Failure) -> CallError {
        let method = self.name(method);
        if !matches!(failure, Failure::TimedOut) {
            self.connection.sweep();
        }
        match failure {
            Failure::TimedOut => CallError::TimedOut { method, after: self.allowed(), may_have_run: true },
            Failure::NotStarted => CallError::NotStarted { method },
            Failure::Corrupt(error) => CallError::Protocol { method, error },
            _ => CallError::MayHaveRun { method },
        }
    }

    fn allowed(&self) -> Duration {
        match self.timeout {
            Timeout::Configured(limit) => limit.unwrap_or(Duration::MAX),
            Timeout::Asked(limit) => limit,
        }
    }

    #[cold]
    fn not_replied<C: Holder>(&self, method: u16, answer: &Answer<C>) -> CallError {
        let (bytes, len) = answer.bytes();
        // SAFETY: the bytes are this answer's; a text is at most some thousand bytes, more is not looked at.
        let copy = unsafe { Snapshot::copy(bytes, len.min(4096)) };
        let (bytes, len) = copy.bytes();
        // SAFETY: a private copy of `len` bytes.
        let text = String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), len) });
        let (method, text) = (self.name(method), Box::<str>::from(text));
        match answer.status() {
            NOT_RUN => CallError::TimedOut { method, after: self.allowed(), may_have_run: false },
            status::PANICKED => CallError::Panicked { method, message: text },
            status::RESULT => CallError::Result { method, reason: text },
            _ => CallError::Rejected { method, reason: text },
        }
    }
}

struct GrowDraft<'a, C: Holder>(&'a mut Draft<C>);

// SAFETY: `Draft::grow` gives writable memory of at least `needed` bytes, at an address that is 8 modulo 16 as that of every
// draft is, with the first `used` bytes in place.
unsafe impl<C: Holder> Grow for GrowDraft<'_, C> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        match self.0.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(_) => Err(EncodeError::OutOfMemory { needed }),
        }
    }
}

/// A connection that a held reply keeps open.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Connection>);

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
    pub(crate) fn bytes(&self) -> (std::ptr::NonNull<u8>, usize) {
        match self {
            Held::InPlace(answer) => answer.bytes(),
            Held::Copied(copy) => copy.bytes(),
        }
    }
}

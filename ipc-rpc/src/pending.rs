//! Calls that have been sent and are waited for later.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Limit, NoBlock};
use ipc_core::clock;
use ipc_core::swap::Reading;

use crate::call_error::CallError;
use crate::connect::Connection;
use crate::message::{Argument, Message};
use crate::stub::{AT_ONCE, Shared, Stub, write};
use crate::terms::{Terms, Way};

/// A call under way: a result that is there, or will be.
///
/// Made by the methods of `client.start()`. [`wait`](Pending::wait) blocks; [`try_wait`](Pending::try_wait) and
/// [`is_ready`](Pending::is_ready) do not; and it is a [`Future`] that any executor can poll. The three can be mixed. Dropping
/// it cancels the call: a handler that has not begun will not, one that runs can see it in its context.
///
/// It may outlive the client and go to another thread. Until it is waited for or dropped it keeps one of the
/// [`blocks`](crate::ClientConfig::blocks) of the connection, also when its reply is there.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc {
///     fn add(&self, a: u64, b: u64) -> u64;
/// }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// let first = calc.start().add(1, 2)?;
/// let second = calc.start().add(3, 4)?; // both are under way
/// assert_eq!(first.wait()?, 3);
/// assert_eq!(second.wait()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a pending call cancels it"]
pub struct Pending<T, E = Infallible> {
    /// Until the result has been given.
    lent: Option<Lent>,
    limit: Limit,
    /// The limit, from the start of the call.
    allowed: Duration,
    method: u16,
    read: Read<T, E>,
}

type Lent = ipc_core::caller::Pending<Shared>;

/// Reads a reply. Not known from `T` and `E` alone: a method may return an `Infallible` error.
type Read<T, E> = fn(&Connection, u16, &Answer<Shared>) -> Result<T, CallError<E>>;

impl<T, E> Pending<T, E> {
    /// Waits for the result.
    ///
    /// ```
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
    /// let sum = calc.start().add(2, 3)?;
    /// assert_eq!(sum.wait()?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Panics
    /// If the result has been given before, by [`try_wait`](Pending::try_wait) or as a future.
    pub fn wait(self) -> Result<T, CallError<E>> {
        let Pending { lent, limit, allowed, method, read } = self;
        let Some(lent) = lent else { spent() };
        finish(lent, limit, allowed, method, read)
    }

    /// The result, if it is there; it is given once.
    ///
    /// ```
    /// use ipc_rpc::{service, testing};
    ///
    /// #[service]
    /// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// struct Adder;
    /// impl Calc for Adder {
    ///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
    /// }
    ///
    /// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
    /// let mut pending = calc.start().add(1, 2)?;
    /// let sum = loop {
    ///     match pending.try_wait() {
    ///         Some(sum) => break sum?,
    ///         None => std::thread::yield_now(), // or something useful
    ///     }
    /// };
    /// assert_eq!(sum, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If the result has been given before.
    pub fn try_wait(&mut self) -> Option<Result<T, CallError<E>>> {
        let Some(lent) = &self.lent else { spent() };
        if !lent.is_ready() {
            // Whoever looks now and then has to hear of the end of his time as well.
            let deadline = match self.limit {
                Limit::None => u64::MAX,
                Limit::Until(deadline) => deadline,
                Limit::Lazy(timeout) => {
                    let deadline = clock::after(timeout);
                    self.limit = Limit::Until(deadline);
                    deadline
                }
            };
            if deadline == u64::MAX || clock::now() < deadline {
                lent.holder().notify(); // It may be one of a batch, which is not over.
                return None;
            }
        }
        Some(self.finish())
    }

    /// Whether [`wait`](Pending::wait) would return at once, with a result or because the connection is over.
    ///
    /// ```
    /// use ipc_rpc::{service, testing};
    ///
    /// #[service]
    /// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// struct Adder;
    /// impl Calc for Adder {
    ///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
    /// }
    ///
    /// let (calc, _server) = testing::pair(CalcDispatcher::new(Adder))?;
    /// let pending = calc.start().add(1, 2)?;
    /// while !pending.is_ready() {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(pending.wait()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        let Some(lent) = &self.lent else { return false };
        let ready = lent.is_ready();
        if !ready {
            lent.holder().notify(); // It may be one of a batch, which is not over.
        }
        ready
    }

    /// As [`Pending::wait`], of one that is still used as a future.
    fn finish(&mut self) -> Result<T, CallError<E>> {
        let Some(lent) = self.lent.take() else { spent() };
        let &mut Pending { limit, allowed, method, read, .. } = self;
        finish(lent, limit, allowed, method, read)
    }
}

/// Waits, and gives the result.
#[inline(always)]
fn finish<T, E>(lent: Lent, limit: Limit, allowed: Duration, method: u16, read: Read<T, E>) -> Result<T, CallError<E>> {
    let replied = |answer: Answer<Shared>| read(&answer.holder().0, method, &answer);
    let answered = |answer: Answer<Shared>| Err(answer.holder().0.not_replied(method, &answer, allowed).widen());
    let failed = |failure, Shared(connection): Shared, _| Err(connection.failed(method, failure, allowed).widen());
    lent.wait_then(limit, replied, answered, failed)
}

#[cold]
fn spent() -> ! {
    panic!("the result of this call has been given already")
}

impl<T, E> Future for Pending<T, E> {
    type Output = Result<T, CallError<E>>;

    /// # Panics
    /// If the result has been given before.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limit = self.limit;
        let Some(lent) = &mut self.lent else { spent() };
        ready!(lent.poll_ready(cx, limit));
        Poll::Ready(self.finish())
    }
}

impl<T, E> fmt::Debug for Pending<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.lent.as_ref().map(|lent| lent.holder().0.name(self.method));
        f.debug_struct("Pending").field("method", &name).field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// How far [`join_all`] looks ahead: a block's line takes about as long from core to core as two replies take to be read.
const AHEAD: usize = 1;

/// Waits for several calls and gives their results in the same order.
///
/// All are taken from the iterator before the first is waited for. When one fails, those behind it are cancelled.
///
/// ```
/// use ipc_rpc::{CallError, join_all, service, testing};
///
/// #[service]
/// pub trait Calc {
///     fn square(&self, a: u64) -> u64;
/// }
/// struct Plain;
/// impl Calc for Plain {
///     fn square(&self, a: u64) -> u64 { a * a }
/// }
///
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Plain))?;
/// // One notification for all of them.
/// let calls = calc.batch(|calc| (1..=5).map(|n| calc.square(n)).collect::<Result<Vec<_>, CallError>>())?;
/// assert_eq!(join_all(calls)?, [1, 4, 9, 16, 25]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first [`CallError`].
pub fn join_all<T, E>(calls: impl IntoIterator<Item = Pending<T, E>>) -> Result<Vec<T>, CallError<E>> {
    let mut calls = calls.into_iter().collect::<Vec<_>>().into_iter();
    let mut results = Vec::with_capacity(calls.len());
    while let Some(call) = calls.next() {
        if let Some(lent) = calls.as_slice().get(AHEAD).and_then(|call| call.lent.as_ref()) {
            lent.prefetch();
        }
        results.push(call.wait()?);
    }
    Ok(results)
}

impl Stub {
    /// Sends a call of a method whose result is an `R`.
    ///
    /// # Errors
    /// [`CallError`]: it was not sent; [`CallError::Busy`] if there is no free block right now.
    #[inline]
    pub fn start<A: Message, R: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<Pending<R>, CallError> {
        self.start_reading(method, args, |connection, method, answer| connection.read::<R, _>(method, answer))
    }

    /// Sends a call of a method whose result is a `Result<R, E>`.
    ///
    /// # Errors
    /// As [`Stub::start`].
    #[inline]
    pub fn start_result<A: Message, R: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Pending<R, E>, CallError<E>> {
        let read: Read<R, E> = |connection, method, answer| connection.read_result::<R, E, _>(method, answer);
        self.start_reading(method, args, read).map_err(CallError::widen)
    }

    #[inline]
    fn start_reading<A: Message, T, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: Read<T, E>,
    ) -> Result<Pending<T, E>, CallError> {
        let way = self.way();
        if let Way::OnTerms = way {
            return match self.start_on_terms(method, args) {
                Ok((lent, Terms { limit, allowed, .. })) => {
                    Ok(Pending { lent: Some(lent), limit, allowed, method, read })
                }
                Err(error) => Err(*boxed(error)),
            };
        }
        let connection = self.session.read();
        let number = connection.number(method)?;
        let mut draft = match Caller::try_draft(Shared(Reading::share(&connection))) {
            Ok(draft) => draft,
            Err(why) => return Err(*boxed(self.not_begun(&connection, method, why))),
        };
        let len = match write(&mut draft, args, AT_ONCE) {
            Ok(len) => len,
            Err(error) => return Err(*boxed(connection.not_encoded(method, error))),
        };
        let (limit, allowed) = (self.limit(), self.allowed());
        let lent = draft.lend(number, len, limit, matches!(way, Way::Quiet));
        Ok(Pending { lent: Some(lent), limit, allowed, method, read })
    }

    #[inline(never)]
    fn start_on_terms<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(Lent, Terms), CallError> {
        let connection = self.session.share();
        let terms = self.terms(&connection, method)?;
        match Caller::try_draft(Shared(connection.clone())) {
            Ok(draft) => Ok((self.submit(&connection, draft, method, args, &terms, AT_ONCE)?, terms)),
            Err(why) => Err(self.not_begun(&connection, method, why)),
        }
    }

    /// Nothing here waits, but the next call may find another connection.
    #[cold]
    fn not_begun(&self, connection: &Connection, method: u16, why: NoBlock) -> CallError {
        if why != NoBlock::Busy {
            self.session.dial(connection.id());
        }
        connection.not_sent(method, why)
    }
}

/// An error on its way into a result that is to stay in registers if there is none: as long as only code that is inlined
/// writes to it.
#[cold]
#[inline(never)]
fn boxed(error: CallError) -> Box<CallError> {
    Box::new(error)
}

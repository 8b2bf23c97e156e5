//! Calls that have been sent and are waited for later.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Limit, NoBlock, Sleeping};
use ipc_core::clock;
use ipc_core::swap::Reading;

use crate::call_error::CallError;
use crate::connect::Connection;
use crate::intercept::{Attempts, Call, Chain, Done, End, Layered, SKIPPED, Step, What, Wish, drive};
use crate::message::{Argument, Message};
use crate::session::NEVER;
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
    state: State,
    limit: Limit,
    /// The limit, from the start of the call.
    allowed: Duration,
    method: u16,
    read: Read<T, E>,
}

type Lent = ipc_core::caller::Pending<Shared>;

enum State {
    Lent(Lent),
    /// With interceptors.
    Around(Box<Around>),
    /// The result has been given.
    Spent,
}

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
        let Pending { state, limit, allowed, method, read } = self;
        match state {
            State::Lent(lent) => finish_read(lent, limit, allowed, method, read),
            State::Around(around) => around.wait(limit, allowed, method, read),
            State::Spent => spent(),
        }
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
        if matches!(self.state, State::Spent) {
            spent();
        }
        if let Some(lent) = self.under_way()
            && !lent.is_ready()
        {
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
                if let Some(lent) = self.under_way() {
                    lent.holder().notify(); // It may be one of a batch, which is not over.
                }
                return None;
            }
        }
        match Pin::new(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None, // Interceptors are still at it.
        }
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
        let Some(lent) = self.under_way() else { return !matches!(self.state, State::Spent) };
        let ready = lent.is_ready();
        if !ready {
            lent.holder().notify(); // It may be one of a batch, which is not over.
        }
        ready
    }

    /// As [`Pending::wait`], of one that is still used as a future.
    fn finish(&mut self) -> Result<T, CallError<E>> {
        let State::Lent(lent) = mem::replace(&mut self.state, State::Spent) else { spent() };
        let &mut Pending { limit, allowed, method, read, .. } = self;
        finish_read(lent, limit, allowed, method, read)
    }

    /// The call, if it has not been waited for.
    fn under_way(&self) -> Option<&Lent> {
        match &self.state {
            State::Lent(lent) => Some(lent),
            State::Around(around) => around.lent.as_ref(),
            State::Spent => None,
        }
    }
}

/// The interceptors of a call, and what has become of it.
type Work = (Layered, Attempts<Answer<Shared>, Infallible>);

/// A call with interceptors, as far as they have come.
struct Around {
    /// The call, and what asked for it, until it is over.
    lent: Option<Lent>,
    wish: Arc<Wish>,
    /// Never locked: for whoever has a reference to a pending call in another thread.
    work: Mutex<Work>,
    /// When the call is over and they are still at it: until when.
    left: Option<Sleeping<Shared>>,
}

impl Around {
    /// The call is over: they are told of its end.
    fn note(&mut self, limit: Limit, allowed: Duration, method: u16) {
        if let Some(lent) = self.lent.take() {
            let until = Some(limit.moment()).filter(|until| *until != NEVER);
            self.left = until.map(|until| Caller::sleep_async(Shared(lent.holder().0.clone()), until));
            let told = self.work().1.note(finish(lent, limit, allowed, method, Ok));
            self.wish.fulfil(Some(told));
        }
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish<T, E>(self, over: Result<Done, CallError>, method: u16, read: Read<T, E>) -> Result<T, CallError<E>> {
        let work = self.work.into_inner().unwrap_or_else(PoisonError::into_inner);
        let answer = work.1.finish(over).map_err(CallError::widen)?;
        read(&answer.holder().0, method, &answer)
    }

    #[cold]
    fn wait<T, E>(mut self, limit: Limit, allowed: Duration, method: u16, read: Read<T, E>) -> Result<T, CallError<E>> {
        self.note(limit, allowed, method);
        let (layered, attempts) = self.work();
        let run = |call: Call| attempts.instead().unwrap_or_else(|| Err(call.denied(SKIPPED)));
        let end = End { at: limit.moment(), if_so: None };
        let over = drive(layered, &end, run).unwrap_or_else(|| Err(attempts.late(allowed)));
        self.finish(over, method, read)
    }

    #[cold]
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        limit: Limit,
        allowed: Duration,
        method: u16,
    ) -> Poll<Result<Done, CallError>> {
        loop {
            let (layered, attempts) = self.work();
            match layered.poll(cx) {
                Poll::Ready(Step::Over(over)) => return Poll::Ready(over),
                Poll::Ready(Step::Wanted(What::Run(_), wish)) => wish.fulfil(attempts.instead()),
                Poll::Ready(Step::Wanted(What::Pause(_), wish)) => wish.fulfil(None),
                Poll::Pending => match &mut self.lent {
                    Some(lent) => {
                        ready!(lent.poll_ready(cx, limit));
                        self.note(limit, allowed, method);
                    }
                    None => {
                        let Some(left) = &mut self.left else { return Poll::Pending };
                        ready!(Pin::new(left).poll(cx));
                        return Poll::Ready(Err(self.work().1.late(allowed)));
                    }
                },
            }
        }
    }
}

/// Waits, and gives the result.
#[inline(always)]
fn finish_read<T, E>(
    lent: Lent,
    limit: Limit,
    allowed: Duration,
    method: u16,
    read: Read<T, E>,
) -> Result<T, CallError<E>> {
    finish(lent, limit, allowed, method, |answer| read(&answer.holder().0, method, &answer))
}

/// Waits, and goes on with `replied` if there is a reply.
#[inline(always)]
fn finish<T, E>(
    lent: Lent,
    limit: Limit,
    allowed: Duration,
    method: u16,
    replied: impl FnOnce(Answer<Shared>) -> Result<T, CallError<E>>,
) -> Result<T, CallError<E>> {
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
        let this = &mut *self;
        match &mut this.state {
            State::Lent(lent) => ready!(lent.poll_ready(cx, this.limit)),
            State::Around(around) => {
                let over = ready!(around.poll(cx, this.limit, this.allowed, this.method));
                let State::Around(around) = mem::replace(&mut this.state, State::Spent) else { spent() };
                return Poll::Ready(around.finish(over, this.method, this.read));
            }
            State::Spent => spent(),
        }
        Poll::Ready(this.finish())
    }
}

impl<T, E> fmt::Debug for Pending<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.under_way().map(|lent| lent.holder().0.name(self.method));
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
        if let Some(lent) = calls.as_slice().get(AHEAD).and_then(Pending::under_way) {
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
        let read: Read<R, Infallible> = |connection, method, answer| connection.read::<R, _>(method, answer);
        self.start_reading(method, args, read, |_| false)
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
        self.start_reading(method, args, read, |answer| answer.holder().0.is_failure::<R, E, _>(answer))
    }

    #[inline]
    fn start_reading<A: Message, T, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: Read<T, E>,
        failed: fn(&Answer<Shared>) -> bool,
    ) -> Result<Pending<T, E>, CallError<E>> {
        let way = self.way();
        if let Way::OnTerms = way {
            if let Some(chain) = self.interceptors() {
                return self.start_intercepted(chain, method, args, read, failed);
            }
            return match self.start_on_terms(method, args) {
                Ok((lent, Terms { limit, allowed, .. })) => {
                    Ok(Pending { state: State::Lent(lent), limit, allowed, method, read })
                }
                Err(error) => Err(*boxed(error)),
            };
        }
        let connection = self.session.read();
        let number = match connection.number(method) {
            Ok(number) => number,
            Err(error) => return Err(*boxed(error)),
        };
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
        Ok(Pending { state: State::Lent(lent), limit, allowed, method, read })
    }

    /// Runs its interceptors as far as the call, which is sent then.
    #[cold]
    #[inline(never)]
    fn start_intercepted<A: Message, T, E>(
        &self,
        chain: &Arc<Chain>,
        method: u16,
        args: &impl Argument<A>,
        read: Read<T, E>,
        failed: fn(&Answer<Shared>) -> bool,
    ) -> Result<Pending<T, E>, CallError<E>> {
        let (mut layered, mut attempts, until) = self.begin_intercepted(chain, method, false, failed);
        loop {
            let (what, wish) = match layered.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Step::Over(over)) => return Err(attempts.not_begun(over).widen()),
                Poll::Ready(Step::Wanted(what, wish)) => (what, wish),
                Poll::Pending => {
                    let why = "an interceptor has it wait, which calls that are started do not";
                    return Err(attempts.denied(why).widen());
                }
            };
            let What::Run(call) = what else {
                wish.fulfil(None);
                continue;
            };
            if let Some(last) = attempts.instead() {
                wish.fulfil(Some(last));
                continue;
            }
            match call.enter(|| self.for_attempt(&call, until).start_on_terms(method, args)) {
                Some(Ok((lent, Terms { limit, allowed, .. }))) => {
                    let around = Around { lent: Some(lent), wish, work: Mutex::new((layered, attempts)), left: None };
                    let state = State::Around(Box::new(around));
                    return Ok(Pending { state, limit, allowed, method, read });
                }
                Some(Err(error)) => wish.fulfil(Some(attempts.note(Err(error)))),
                None => wish.fulfil(Some(attempts.note(Err(call.denied(SKIPPED))))),
            }
        }
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
fn boxed<E>(error: CallError) -> Box<CallError<E>> {
    Box::new(error.widen())
}

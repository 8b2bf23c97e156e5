//! A call that a future serves: from its admission to its one answer.
//!
//! # Ownership
//! The call itself, a [`Deferred`], lies in the [`Job`] until it is answered; the request's bytes are the server's for so long.
//! Arguments are borrowed from [`Admitted`], which lies in the handler's future, and answering takes an `Admitted`: so no
//! reference outlives the answer. [`Serving`] is that future with what the framework does around it. It notes why a future
//! ends early *before* it drops it, and the `Admitted` that is dropped with it answers accordingly. Only while a panic unwinds
//! it leaves that to the `Serving`, which then knows what the panic said.
//!
//! # Safety
//! Reads a request where it lies, and writes the reply where it goes.
#![allow(unsafe_code)]

use std::fmt;
use std::mem;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{self, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use ipc_core::callee::{Attached, Deferred};
use ipc_core::clock;
use ipc_core::lane::{self, Parcel, Undeliverable};
use ipc_core::layout::{ABANDONED, NOT_RUN, REPLIED, STOPPING};
use ipc_core::memory::NoMemory;

use crate::call_error::CallError;
use crate::callback::Later;
use crate::context::{Context, Entered, Extra};
use crate::executor::{BoxFuture, drop_quietly, lock, wake_quietly};
use crate::intercept::{self, Done, FOREIGN, Layered, SKIPPED, Step, What, Wish};
use crate::kept::Holding;
use crate::message::Message;
use crate::message::private_exports::{Buffer, access_unchecked, access_with, decode};
use crate::record::Taken;
use crate::router::{self, Client};
use crate::runtime::Runtime;
use crate::service::{self, Lent, Refused, Replied, ReplyMemory};
use crate::status;
use crate::trust::{Reading, Snapshot};

/// A call whose handler is a future: it may end later, on another thread.
pub struct Admitted {
    job: Arc<Job>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("context", self.job.context()).finish_non_exhaustive()
    }
}

/// What is known of an admitted call.
pub(crate) struct Job {
    state: Mutex<State>,
    tie: Arc<Tie>,
    /// Bytes of the arguments; a context may lie behind them.
    args_len: usize,
    /// What the ends of its callbacks' handles have left to be done before the answer.
    later: Arc<Later>,
    /// A private copy of the request, if its bytes are not trusted to stay as they are.
    copy: Option<Arc<Snapshot>>,
    /// The descriptors that came with the request, if any did.
    parcel: Option<Mutex<Parcel>>,
    context: Context,
    /// The same as interceptors have changed it.
    changed: OnceLock<Context>,
    /// The answer that is held back until they have seen it; `None`: it is not, or not any more.
    held: Mutex<Option<Held>>,
    /// What is to be written down about it when it is answered.
    taken: Mutex<Option<Taken>>,
    target: u16,
    method: u16,
}

/// The handler's answer, once it has given one.
type Held = Option<Result<Replied, Refused>>;

struct State {
    /// The call, until it is answered.
    call: Option<Deferred<Client>>,
    /// Its place in [`Tasks`].
    place: usize,
    /// How to answer if the future ends without.
    ending: (u16, String),
    /// A panic has dropped the [`Admitted`].
    orphaned: bool,
    /// The handler has returned an error.
    failed: bool,
}

impl ReplyMemory for Deferred<Client> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.grow_reply(used, needed)
    }

    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        Deferred::attach(self, data, len)
    }

    fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        Deferred::send(self, index, descriptor)
    }

    fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable> {
        Deferred::send_body(self, behind, file, len)
    }

    fn has_sent_body(&self) -> bool {
        Deferred::has_sent_body(self)
    }

    fn lends(&self) -> bool {
        Deferred::lends(self)
    }

    fn buffer(&self) -> (NonNull<u8>, usize) {
        self.reply_buffer()
    }
}

impl Job {
    /// Answers, unless that was done or is held back.
    fn answer(&self, result: Result<Replied, Refused>) {
        match &mut *lock(&self.held) {
            Some(held @ None) => return *held = Some(result),
            Some(Some(_)) => return,
            None => {}
        }
        self.answer_now(result);
    }

    /// Answers, unless that was done, with this in place of what is held back.
    fn answer_now(&self, result: Result<Replied, Refused>) {
        *lock(&self.held) = None;
        let (taken, place, failed) = {
            let mut state = lock(&self.state);
            (state.call.take(), state.place, state.failed)
        };
        let Some(call) = taken else { return };
        if failed && result.is_ok() {
            call.failed();
        }
        drop(self.parcel.as_ref().map(|parcel| mem::take(&mut *lock(parcel))));
        let reply = Outcome(Some((call, place, result)), lock(&self.taken).take());
        let endings = self.later.take();
        if let Some((call, ..)) = reply.0.as_ref().filter(|_| !endings.is_empty()) {
            let client = call.peer();
            let (tasks, runtime) = (client.tasks.clone(), client.runtime.clone());
            let settled = async move {
                for ending in endings {
                    ending.run().await;
                }
                drop(reply);
            };
            spawn(&tasks, &runtime, Box::pin(settled));
        }
    }

    /// Answers as [`State::ending`] says, unless that was done.
    fn answer_early(&self) {
        let (status, reason) = {
            let mut state = lock(&self.state);
            if state.call.is_none() {
                return;
            }
            std::mem::take(&mut state.ending)
        };
        self.answer(Err(Refused::new(status, reason)));
    }

    /// No answer is held back any more.
    fn let_go(&self) {
        let held = lock(&self.held).take().flatten();
        if let Some(result) = held {
            self.answer_now(result);
        }
    }

    fn context(&self) -> &Context {
        self.changed.get().unwrap_or(&self.context)
    }

    /// The handler has not been polled, and will not.
    fn end_unrun(&self) {
        let stopping = lock(&self.state).call.as_ref().is_some_and(|call| call.peer().runtime.is_stopping());
        match stopping {
            true => self.end_with(STOPPING, String::new()),
            false if self.is_over() || self.is_late() => self.end_with(NOT_RUN, String::new()),
            false => self.end_with(status::BUSY, "its runtime has dropped the call".into()),
        }
    }

    fn end_with(&self, status: u16, reason: String) {
        lock(&self.state).ending = (status, reason);
    }

    /// Is the answer of no use to anybody?
    fn is_over(&self) -> bool {
        let state = lock(&self.state);
        let Some(call) = &state.call else { return false };
        call.is_cancelled() || call.is_gone() || call.peer().runtime.is_stopping()
    }

    /// Is its time over? Its caller gives it up then, and says what became of it: an answer of ours could only be worse. So
    /// this counts for calls that have not begun.
    fn is_late(&self) -> bool {
        self.deadline().is_some_and(|deadline| clock::now() >= deadline)
    }

    /// Has its future polled, if there is a reason to drop it. `false`: it is answered.
    pub(crate) fn look(&self) -> bool {
        if lock(&self.state).call.is_none() {
            return false;
        }
        if self.is_over() {
            self.tie.wake();
        }
        true
    }

    /// Has it looked at one day, if nobody wakes it.
    fn look_later(self: &Arc<Self>) {
        let runtime = lock(&self.state).call.as_ref().map(|call| call.peer().runtime.clone());
        if let Some(runtime) = runtime {
            runtime.look_later(self);
        }
    }

    /// Lets an interceptor wait until `moment`.
    fn pause(&self, moment: u64, wish: &Arc<Wish>) {
        let runtime = lock(&self.state).call.as_ref().map(|call| call.peer().runtime.clone());
        match runtime {
            Some(runtime) => runtime.wake_later(wish, moment),
            None => wish.fulfil(None),
        }
    }

    /// When its caller stops waiting, as far as that is known.
    pub(crate) fn deadline(&self) -> Option<u64> {
        lock(&self.state).call.as_ref().and_then(Deferred::deadline)
    }
}

/// A call and its answer, which is given when this is dropped.
struct Outcome(Option<(Deferred<Client>, usize, Result<Replied, Refused>)>, Option<Taken>);

impl Drop for Outcome {
    fn drop(&mut self) {
        let Some((mut call, place, result)) = self.0.take() else { return };
        // Before the answer: the client may call again at once, and is not to be told that it has too many calls.
        call.peer().tasks.answered(&call.peer().runtime, place);
        let (status, len) = match result {
            Ok(replied) => (REPLIED, replied.len),
            Err(refused) => {
                call.peer().note(&refused);
                router::refuse(&mut call, refused.status(), refused.reason())
            }
        };
        if let Some(taken) = self.1.take() {
            router::put_down(taken, &call, (status, len));
        }
        call.finish(status, len);
    }
}

impl Admitted {
    /// The arguments, where they lie.
    ///
    /// # Errors
    /// The request is no valid archive of `A`.
    pub fn args<A: Message>(&self) -> Result<&A::Form, Refused> {
        let state = lock(&self.job.state);
        // It is here for as long as the `Admitted` is: only `finish` and the drop take it.
        let Some(call) = &state.call else { return Err(answered()) };
        let (request, reading) = match &self.job.copy {
            Some(copy) => (copy.bytes().0, Reading::Snapshot),
            None => (call.request().0, call.peer().reading),
        };
        if reading == Reading::Unchecked {
            // SAFETY: readable and unchanged while `self` is borrowed, see "Ownership"; that the bytes are valid is what the
            // user promised when he chose this level.
            let form = unsafe { access_unchecked::<A>(request.as_ptr(), self.job.args_len) };
            return form.ok_or_else(service::too_short);
        }
        let loans = call.peer().loans.clone();
        // SAFETY: readable while `self` is borrowed, see "Ownership"; unchanged, because they are a private copy or the peer is
        // trusted.
        Ok(unsafe { access_with::<A>(request.as_ptr(), self.job.args_len, loans)? })
    }

    /// Makes an owned argument of a part of what [`Admitted::args`] gave.
    ///
    /// # Errors
    /// See [`Message`]; or a descriptor has not come along.
    #[inline]
    pub fn owned<T: Message>(&self, form: &T::Form) -> Result<T, Refused> {
        match &self.job.parcel {
            None => Ok(decode::<T>(form)?),
            Some(parcel) => {
                let mut parcel = lock(parcel);
                lane::unpack(mem::take(&mut *parcel));
                let value = decode::<T>(form);
                *parcel = lane::unpack(Parcel::default());
                Ok(value?)
            }
        }
    }

    /// What the handler may know of the call.
    pub fn context(&self) -> Context {
        self.job.context().clone()
    }

    /// The stream or the callback of this connection that the request is for; 0: none.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn target(&self) -> u16 {
        self.job.target
    }

    /// Keeps the memory of the request beyond the call.
    pub(crate) fn keep(&self) -> Option<Holding> {
        let block = || lock(&self.job.state).call.as_ref().and_then(Deferred::keep).map(Holding::Block);
        self.job.copy.clone().map(Holding::Copy).or_else(block)
    }

    /// Where the ends of its callbacks' handles leave what is to be done before the answer.
    pub(crate) fn later(&self) -> &Arc<Later> {
        &self.job.later
    }

    /// The number of the method.
    pub(crate) fn method(&self) -> u16 {
        self.job.method
    }

    /// Asks the client that calls; `None`: the call is answered, which it is not for as long as this lives.
    #[allow(dead_code)] // Streams and callbacks will ask.
    pub(crate) fn client<T>(&self, ask: impl FnOnce(&Client) -> T) -> Option<T> {
        let state = lock(&self.job.state);
        state.call.as_ref().map(|call| ask(call.peer()))
    }

    /// Writes the reply.
    ///
    /// # Errors
    /// The value cannot be sent; the handler has run.
    pub fn reply<R: Message>(&self, value: &R) -> Result<Replied, Refused> {
        let mut state = lock(&self.job.state);
        let Some(call) = &mut state.call else { return Err(answered()) };
        let (data, len) = call.reply_buffer();
        // SAFETY: the buffer is this call's until it is finished, which takes the lock held here.
        let replied = unsafe { service::write_reply::<R, _>(value, Buffer { data, len }, call) };
        state.failed = value.is_error() && replied.is_ok();
        replied
    }

    /// Answers.
    pub fn finish(self, result: Result<Replied, Refused>) {
        self.job.answer(result);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if thread::panicking() {
            lock(&self.job.state).orphaned = true;
        } else {
            self.job.answer_early();
        }
    }
}

#[cold]
fn answered() -> Refused {
    Refused::new(status::RESULT, "the call is answered")
}

/// Takes a call away from its worker and gives it to the future that `f` makes.
///
/// # Errors
/// Too many calls are admitted.
pub(crate) fn run<F>(
    client: &Client,
    call: &mut dyn Lent,
    args_len: usize,
    f: impl FnOnce(Admitted) -> F,
) -> Result<Replied, Refused>
where
    F: Future<Output = ()> + Send + 'static,
{
    let context = call.context(client);
    let (copy, target, method) = (call.copy(), call.target(), call.method());
    let parcel = Some(call.rest_of_parcel()).filter(|parcel| !parcel.is_empty()).map(Mutex::new);
    let (place, tie) = client.tasks.admit(&client.runtime)?;
    let ending = (ABANDONED, String::new());
    let taken = Mutex::new(call.taken());
    let around = call.layered().map(Around::new);
    let held = Mutex::new(around.is_some().then_some(None));
    let state = Mutex::new(State { call: Some(call.defer()), place, ending, orphaned: false, failed: false });
    let (later, changed) = (Arc::default(), OnceLock::new());
    let job =
        Arc::new(Job { state, tie, args_len, later, copy, parcel, context, changed, held, taken, target, method });
    let admitted = Admitted { job: job.clone() };
    let mut serving = Serving { future: None, around, job, begun: false, tied: false };
    match catch_unwind(AssertUnwindSafe(|| f(admitted))) {
        Ok(future) => serving.future = Some(Box::pin(future)),
        Err(panic) => serving.job.end_with(status::PANICKED, router::message_of(panic)),
    }
    if serving.future.is_some() {
        client.runtime.serve(serving);
    }
    // Not looked at: the call goes on elsewhere.
    Ok(Replied { len: 0 })
}

/// The future of a handler, and what is done around it.
pub(crate) struct Serving {
    future: Option<BoxFuture<'static>>,
    /// What is around it.
    around: Option<Around>,
    job: Arc<Job>,
    begun: bool,
    /// The [`Tie`] knows a waker.
    tied: bool,
}

impl Serving {
    /// Drops the handler's future, and answers if it has not.
    fn end(&mut self) {
        self.job.let_go();
        if let Some(future) = self.future.take() {
            if !self.begun {
                self.job.end_unrun();
            }
            let _scope = Entered::new(self.job.context().clone());
            drop_quietly(future);
        }
        drop_quietly(self.around.take());
        if lock(&self.job.state).orphaned {
            self.job.answer_early();
        }
        if std::mem::take(&mut self.tied) {
            self.job.tie.clear();
        }
    }
}

impl Serving {
    fn poll_handler(&mut self, cx: &mut task::Context<'_>) -> thread::Result<Poll<()>> {
        let Some(future) = &mut self.future else { return Ok(Poll::Ready(())) };
        self.begun = true;
        let _scope = Entered::new(self.job.context().clone());
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
    }

    /// Polls the interceptors, and the handler when they have asked for it. Ready: it is answered.
    fn poll_around(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some(mut around) = self.around.take() else { return Poll::Ready(()) };
        let polled = self.poll_inside(&mut around, cx);
        self.around = Some(around);
        let over = ready!(polled);
        let held = lock(&self.job.held).take().flatten();
        self.job.answer_now(match (over, held) {
            (Ok(_), Some(result)) => result,
            (Ok(_), None) => Err(Refused::new(status::DENIED, FOREIGN)),
            (Err(error), _) => {
                let (status, reason) = status::of_error(error, self.begun);
                Err(Refused::new(status, reason))
            }
        });
        Poll::Ready(())
    }

    fn poll_inside(&mut self, around: &mut Around, cx: &mut task::Context<'_>) -> Poll<Result<Done, CallError>> {
        loop {
            match around.layered.poll(cx) {
                Poll::Ready(Step::Over(over)) => return Poll::Ready(over),
                Poll::Ready(Step::Wanted(What::Pause(until), wish)) => self.job.pause(until, &wish),
                Poll::Ready(Step::Wanted(What::Run(call), wish)) => match &around.told {
                    Some(told) => wish.fulfil(Some(told.clone())),
                    None if around.running.is_some() => wish.fulfil(Some(Err(call.denied("it runs already")))),
                    None => {
                        let extra = Extra { metadata: call.metadata.clone(), trace: call.trace };
                        let _first = self.job.changed.set(self.job.context.with_extra(extra));
                        around.running = Some((call, wish));
                    }
                },
                Poll::Pending => {
                    let Some((call, wish)) = &around.running else { return Poll::Pending };
                    let method = call.method();
                    let given_up = wish.is_given_up();
                    let polled =
                        if given_up { Some(Ok(Poll::Ready(()))) } else { call.enter(|| self.poll_handler(cx)) };
                    let told = match polled {
                        Some(Ok(Poll::Pending)) => return Poll::Pending,
                        Some(Ok(Poll::Ready(()))) => {
                            // One that is given up answers when it is dropped.
                            if let Some(future) = self.future.take() {
                                let _scope = Entered::new(self.job.context().clone());
                                drop_quietly(future);
                            }
                            let failed = lock(&self.job.state).failed;
                            match &*lock(&self.job.held) {
                                Some(Some(Err(refused))) => {
                                    Err(status::error(refused.status(), refused.reason(), method, Duration::ZERO))
                                }
                                _ => Ok(Done { failed }),
                            }
                        }
                        Some(Err(panic)) => {
                            Err(CallError::Panicked { method, message: router::message_of(panic).into() })
                        }
                        None => Err(call.denied(SKIPPED)),
                    };
                    wish.fulfil(Some(told.clone()));
                    (around.running, around.told) = (None, Some(told));
                }
            }
        }
    }
}

/// The interceptors around a handler's future.
struct Around {
    layered: Layered,
    /// They have asked for the handler.
    running: Option<(intercept::Call, Arc<Wish>)>,
    /// They were told how it has ended.
    told: Option<Result<Done, CallError>>,
}

impl Around {
    fn new(layered: Layered) -> Self {
        Around { layered, running: None, told: None }
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.future.is_none() && this.around.is_none() {
            return Poll::Ready(());
        }
        if this.job.is_over() || !this.begun && this.job.is_late() {
            this.end();
            return Poll::Ready(());
        }
        let intercepted = this.around.is_some();
        let polled = match this.around {
            Some(_) => catch_unwind(AssertUnwindSafe(|| this.poll_around(cx))),
            None => this.poll_handler(cx),
        };
        match polled {
            Ok(Poll::Pending) => {
                this.job.tie.polled_by(cx.waker());
                if !std::mem::replace(&mut this.tied, true) {
                    this.job.look_later();
                }
                // Who found a reason to drop the future before that has woken nobody, or an earlier waker.
                if !this.job.is_over() {
                    return Poll::Pending;
                }
            }
            Ok(Poll::Ready(())) => {}
            Err(panic) if intercepted => {
                this.job.answer_now(Err(Refused::new(status::PANICKED, router::message_of(panic))));
            }
            Err(panic) => this.job.end_with(status::PANICKED, router::message_of(panic)),
        }
        this.end();
        Poll::Ready(())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// The way from a reason to drop a future to whoever polls it.
#[derive(Debug, Default)]
pub(crate) struct Tie(Mutex<Option<Waker>>);

impl Tie {
    fn wake(&self) {
        let waker = lock(&self.0).clone();
        if let Some(waker) = waker {
            wake_quietly(waker);
        }
    }

    fn polled_by(&self, waker: &Waker) {
        let mut known = lock(&self.0);
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            let old = known.replace(waker.clone());
            drop(known);
            drop(old);
        }
    }

    fn clear(&self) {
        let waker = lock(&self.0).take();
        drop(waker);
    }
}

/// The futures that work for a client.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    places: Mutex<Places>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Places {
    ties: Vec<Option<Arc<Tie>>>,
    free: Vec<usize>,
    /// Calls that were admitted and are not answered.
    calls: usize,
}

impl Places {
    fn tie(&mut self) -> (usize, Arc<Tie>) {
        let tie = Arc::<Tie>::default();
        let place = self.free.pop().unwrap_or(self.ties.len());
        match self.ties.get_mut(place) {
            Some(free) => *free = Some(tie.clone()),
            None => self.ties.push(Some(tie.clone())),
        }
        (place, tie)
    }

    fn untie(&mut self, place: usize) {
        if self.ties.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }
}

impl Tasks {
    /// A place for one more call.
    fn admit(&self, runtime: &Runtime) -> Result<(usize, Arc<Tie>), Refused> {
        let mut places = lock(&self.places);
        if places.calls >= runtime.limits.calls {
            return Err(busy("of this client", runtime.limits.calls, "calls"));
        }
        if !runtime.count_in() {
            return Err(busy("of all clients", runtime.limits.all_calls, "all_calls"));
        }
        places.calls += 1;
        Ok(places.tie())
    }

    /// The call in this place is to be answered.
    fn answered(&self, runtime: &Runtime, place: usize) {
        {
            let mut places = lock(&self.places);
            places.calls -= 1;
            places.untie(place);
        }
        runtime.count_out();
    }

    /// There is a reason to drop all futures.
    pub(crate) fn wake(&self) {
        let ties: Vec<_> = lock(&self.places).ties.iter().flatten().cloned().collect();
        for tie in ties {
            tie.wake();
        }
    }

    /// The client is gone. Drops nothing of a user's: that is left to whoever polls.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }
}

/// A future that works for a client besides its calls; dropped when the client is gone.
struct Tied {
    future: Option<BoxFuture<'static>>,
    tasks: Arc<Tasks>,
    runtime: Weak<Runtime>,
    place: usize,
    tie: Arc<Tie>,
}

impl Tied {
    fn end(&mut self) {
        if let Some(future) = self.future.take() {
            drop_quietly(future);
            self.tie.clear();
            lock(&self.tasks.places).untie(self.place);
        }
    }
}

impl Future for Tied {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        this.tie.polled_by(cx.waker());
        let stopping = this.runtime.upgrade().is_none_or(|runtime| runtime.is_stopping());
        if !stopping && !this.tasks.closed.load(Ordering::SeqCst) {
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {}
                // Said already by the panic hook.
                Err(panic) => drop(router::message_of(panic)),
            }
        }
        this.end();
        Poll::Ready(())
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a future for a client besides its calls; it is dropped when the client is gone.
fn spawn(tasks: &Arc<Tasks>, runtime: &Arc<Runtime>, future: BoxFuture<'static>) {
    let (place, tie) = lock(&tasks.places).tie();
    let (tasks, server) = (tasks.clone(), Arc::downgrade(runtime));
    runtime.spawn(Box::pin(Tied { future: Some(future), tasks, runtime: server, place, tie }));
}

#[cold]
fn busy(whose: &str, limit: usize, name: &str) -> Refused {
    Refused::new(status::BUSY, format!("it works on {limit} calls {whose}, as many as `Limits::{name}` allows"))
}

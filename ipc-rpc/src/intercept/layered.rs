//! The interceptors of one call at work.
//!
//! # Inside out
//! The future of an interceptor owns all it uses, so that it can be anybody's, but a call borrows: its arguments, the request,
//! the thread. So the call is not inside of that future. The innermost [`Next::run`] only asks for it: it leaves its wish in
//! the [`Desk`] that all of one call share, and whoever drives the call ([`drive`] with a thread, others with a task) finds it
//! there when the future has nothing else to do, fulfils it, and says what came of it.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ipc_core::clock;

use super::{Call, Chain, Done, Intercepted};
use crate::call_error::CallError;
use crate::executor::lock;
use crate::park;

/// What is left to be done of a call behind an [`Interceptor`](super::Interceptor): further interceptors, then the call itself.
///
/// ```
/// use ipc_rpc::intercept::{Call, Done, Next};
/// use ipc_rpc::CallError;
///
/// /// A call that has not run is made once more, a little later.
/// async fn twice(call: Call, next: Next) -> Result<Done, CallError> {
///     let error = match next.run(call.clone()).await {
///         Err(error) if call.is_repeatable() && error.is_retryable() => error,
///         done => return done,
///     };
///     println!("once more: {error}");
///     next.pause(std::time::Duration::from_millis(1)).await;
///     next.run(call).await
/// }
/// # let _ = |call, next| twice(call, next);
/// ```
#[derive(Clone)]
pub struct Next {
    chain: Arc<Chain>,
    /// How many of them have been called.
    at: usize,
    desk: Arc<Desk>,
}

impl Next {
    /// Makes the call. It can be made more than once, if [`Call::is_repeatable`]: the last that is done counts.
    ///
    /// The example at [`Next`] calls it.
    ///
    /// # Errors
    /// [`CallError`]: as the caller gets it, if it is passed on. That the handler returned an error is no such error, but
    /// [`Done::failed`].
    pub async fn run(&self, call: Call) -> Result<Done, CallError> {
        match self.chain.0.get(self.at) {
            Some(interceptor) => {
                let next = Next { at: self.at + 1, ..self.clone() };
                interceptor.call(call, next).await
            }
            None => {
                let method = call.method;
                let fulfilled = self.ask(What::Run(call)).await;
                fulfilled.unwrap_or(Err(CallError::Abandoned { method }))
            }
        }
    }

    /// Waits so long, without a runtime: the thread that waits for the call, if one does. Not longer than the call may take.
    ///
    /// The example at [`Next`] calls it.
    pub async fn pause(&self, time: Duration) {
        self.ask(What::Pause(clock::after(time))).await;
    }

    fn ask(&self, what: What) -> Asking<'_> {
        Asking { desk: &self.desk, what: Some(what), wish: Arc::default() }
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("interceptors", &(self.chain.0.len() - self.at)).finish_non_exhaustive()
    }
}

/// What whoever drives a call is asked to do.
pub(crate) enum What {
    Run(Call),
    /// Until this moment.
    Pause(u64),
}

/// What has come of it: `None` of a pause.
type Outcome = Option<Result<Done, CallError>>;

/// Something that was asked for; nobody wants it any more when the other end of it is dropped.
#[derive(Default)]
pub(crate) struct Wish(Mutex<(Option<Outcome>, Option<Waker>)>);

impl Wish {
    pub(crate) fn fulfil(&self, outcome: Outcome) {
        let mut state = lock(&self.0);
        state.0 = Some(outcome);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_given_up(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// What was asked for and is not begun, and who is to be woken for it: what asks may be polled elsewhere than the interceptors.
#[derive(Default)]
struct Desk(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    wishes: VecDeque<(What, Arc<Wish>)>,
    driver: Option<Waker>,
}

struct Asking<'a> {
    desk: &'a Desk,
    what: Option<What>,
    wish: Arc<Wish>,
}

impl Future for Asking<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = lock(&self.wish.0);
        if let Some(outcome) = state.0.take() {
            return Poll::Ready(outcome);
        }
        let old = state.1.replace(cx.waker().clone());
        drop(state);
        drop(old);
        if let Some(what) = self.what.take() {
            let mut asked = lock(&self.desk.0);
            asked.wishes.push_back((what, self.wish.clone()));
            let driver = asked.driver.take();
            drop(asked);
            if let Some(driver) = driver {
                driver.wake();
            }
        }
        Poll::Pending
    }
}

/// The next thing to do for a call with interceptors.
pub(crate) enum Step {
    /// It has ended so.
    Over(Result<Done, CallError>),
    /// Something is asked for.
    Wanted(What, Arc<Wish>),
}

/// The interceptors of one call.
pub(crate) struct Layered {
    future: Intercepted,
    desk: Arc<Desk>,
}

impl Layered {
    pub(crate) fn new(chain: &Arc<Chain>, call: Call) -> Self {
        let desk = Arc::<Desk>::default();
        let next = Next { chain: chain.clone(), at: 0, desk: desk.clone() };
        Layered { future: Box::pin(async move { next.run(call).await }), desk }
    }

    /// What is to be done next. Not to be called any more when it is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Poll::Ready(over) = self.poll_over(cx) {
            return Poll::Ready(Step::Over(over));
        }
        let mut asked = lock(&self.desk.0);
        while let Some((what, wish)) = asked.wishes.pop_front() {
            if !wish.is_given_up() {
                return Poll::Ready(Step::Wanted(what, wish));
            }
        }
        let old = asked.driver.replace(cx.waker().clone());
        drop(asked);
        drop(old);
        Poll::Pending
    }

    /// Has it ended, whatever else is to be done? As [`Layered::poll`].
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<Done, CallError>> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

/// Until when a call is driven.
pub(crate) struct End<'a> {
    /// This moment.
    pub(crate) at: u64,
    /// Or until this is so, as is looked now and then.
    pub(crate) if_so: Option<&'a dyn Fn() -> bool>,
}

impl End<'_> {
    /// Between two looks.
    const TICK: u64 = 10_000_000;

    /// Sleeps until `moment`, or until this thread is unparked if it `may_be_called`. `false`: it is the end.
    fn sleep(&self, moment: u64, may_be_called: bool) -> bool {
        let tick = self.if_so.map_or(u64::MAX, |_| Self::TICK);
        loop {
            let now = clock::now();
            if now > self.at || self.if_so.is_some_and(|so| so()) {
                return false;
            }
            let left = moment.min(self.at).saturating_sub(now);
            if left == 0 && !may_be_called {
                return true;
            }
            let time = Duration::from_nanos(left.clamp(1, tick));
            if may_be_called {
                std::thread::park_timeout(time);
                return true;
            }
            std::thread::sleep(time);
        }
    }
}

/// Drives a call with this thread: `attempt` makes it. `None`: at the end the interceptors still wait.
pub(crate) fn drive(
    layered: &mut Layered,
    end: &End<'_>,
    mut attempt: impl FnMut(Call) -> Result<Done, CallError>,
) -> Option<Result<Done, CallError>> {
    let waker = park::waker();
    let mut cx = Context::from_waker(&waker);
    loop {
        match layered.poll(&mut cx) {
            Poll::Ready(Step::Over(over)) => return Some(over),
            Poll::Ready(Step::Wanted(What::Run(call), wish)) => wish.fulfil(Some(attempt(call))),
            Poll::Ready(Step::Wanted(What::Pause(moment), wish)) => {
                if !end.sleep(moment, false) {
                    return None;
                }
                wish.fulfil(None);
            }
            Poll::Pending => {
                if !end.sleep(u64::MAX, true) {
                    return None;
                }
            }
        }
    }
}

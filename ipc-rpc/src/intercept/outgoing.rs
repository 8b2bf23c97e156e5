//! Interceptors around the calls of a client.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ipc_core::caller::Caller;

use super::{Call, Chain, Done, End, Interceptor, Kind, Layered, Step, What, drive};
use crate::call_error::{CallError, MethodName};
use crate::session::NEVER;
use crate::stub::{Shared, Stub};

/// What has become of the attempts of one call.
pub(crate) struct Attempts<T, E> {
    method: MethodName,
    repeatable: bool,
    /// Whether a reply is the handler's error.
    failed: fn(&T) -> bool,
    /// The last reply.
    reply: Option<Result<T, E>>,
    /// The end of one that cannot be made again.
    last: Option<Result<Done, CallError>>,
    /// How the first one has ended that has run, or may have.
    ran: Option<Result<Done, CallError>>,
}

impl<T, E> Attempts<T, E> {
    fn new(call: &Call, failed: fn(&T) -> bool) -> Self {
        Attempts { method: call.method, repeatable: call.kind.repeatable, failed, reply: None, last: None, ran: None }
    }

    /// What to say in place of another attempt, if there can be none.
    pub(crate) fn instead(&self) -> Option<Result<Done, CallError>> {
        self.last.clone()
    }

    pub(crate) fn denied(&self, reason: &str) -> CallError<E> {
        CallError::Denied { method: self.method, reason: reason.into() }
    }

    /// What the caller gets when the interceptors have ended so, and the call has not been made.
    pub(crate) fn not_begun(&self, over: Result<Done, CallError>) -> CallError<E> {
        over.map_or_else(CallError::widen, |_| self.denied(FOREIGN))
    }

    /// Notes how an attempt has ended, and gives what interceptors are told of it.
    pub(crate) fn note(&mut self, result: Result<T, CallError<E>>) -> Result<Done, CallError> {
        let told = match result.map_err(CallError::split) {
            Ok(value) => {
                let failed = (self.failed)(&value);
                self.reply = Some(Ok(value));
                Ok(Done { failed })
            }
            Err(Err(error)) => {
                self.reply = Some(Err(error));
                Ok(Done { failed: true })
            }
            Err(Ok(error)) => Err(error),
        };
        if !self.repeatable {
            self.last = Some(told.clone());
        }
        if told.as_ref().err().is_none_or(CallError::may_have_run) {
            self.ran.get_or_insert_with(|| told.clone());
        }
        told
    }

    /// Notes that an attempt was begun whose end nobody will hear of.
    pub(crate) fn note_given_up(&mut self) {
        self.ran.get_or_insert(Err(CallError::MayHaveRun { method: self.method }));
    }

    /// The time of the call is over, which was so long, and its interceptors still wait for something.
    pub(crate) fn late(&self, after: Duration) -> CallError {
        CallError::TimedOut { method: self.method, after, may_have_run: false }
    }

    /// What the caller gets when the interceptors have ended so. He is to know of it if an attempt has run before the one that
    /// they speak of, or if they do not let its reply pass.
    pub(crate) fn finish(self, over: Result<Done, CallError>) -> Result<T, CallError<E>> {
        match (over, self.reply) {
            (Err(error), _) => Err(match (self.ran, &error) {
                (None, _) => error.widen(),
                // What interceptors of the server do in this case.
                (Some(_), CallError::Denied { .. }) => {
                    CallError::Result { method: self.method, reason: error.to_string().into() }
                }
                (Some(_), _) => error.of_more_than_one(self.method).widen(),
            }),
            (Ok(_), Some(reply)) => reply.map_err(CallError::Handler),
            (Ok(_), None) => Err(CallError::Denied { method: self.method, reason: FOREIGN.into() }),
        }
    }
}

impl Stub {
    /// The same connection with one more interceptor around each call, inside of those that there are.
    pub fn with_interceptor(&self, interceptor: impl Interceptor) -> Stub {
        self.with_special(|special| {
            let mut chain = special.interceptors.as_deref().cloned().unwrap_or_default();
            chain.push(interceptor);
            special.interceptors = Some(Arc::new(chain));
        })
    }

    /// The interceptors of its calls, if it has any.
    #[inline]
    pub(crate) fn interceptors(&self) -> Option<&Arc<Chain>> {
        self.special.as_ref()?.interceptors.as_ref()
    }

    /// The interceptors of a call that begins now, the attempts of it, and when it is over.
    pub(crate) fn begin_intercepted<T, E>(
        &self,
        chain: &Arc<Chain>,
        method: u16,
        repeatable: bool,
        failed: fn(&T) -> bool,
    ) -> (Layered, Attempts<T, E>, u64) {
        let connection = self.session.read();
        // Of a call that is part of one that is over it is 0: the attempt says so.
        let until = Some(self.deadline(&connection, method)).filter(|until| *until != 0).unwrap_or(NEVER);
        let kind = Kind::of(connection.service.methods.get(usize::from(method)), repeatable);
        let deadline = Some(until).filter(|until| *until != NEVER);
        let call = Call::new(connection.name(method), kind, self.said(), deadline, None);
        drop(connection);
        let attempts = Attempts::new(&call, failed);
        (Layered::new(chain, call), attempts, until)
    }

    /// What makes the attempts of a call: without interceptors, with what they have made of it.
    pub(crate) fn for_attempt(&self, call: &Call, until: u64) -> Stub {
        self.with_special(|special| {
            special.interceptors = None;
            special.say(call.metadata.clone(), call.trace);
            special.until = Some(until).filter(|until| *until != NEVER);
        })
    }

    /// Makes a call with `attempt`, inside of the interceptors.
    #[cold]
    #[inline(never)]
    pub(crate) fn intercepted<T, E>(
        &self,
        chain: &Arc<Chain>,
        method: u16,
        repeatable: bool,
        failed: fn(&T) -> bool,
        mut attempt: impl FnMut(&Stub) -> Result<T, CallError<E>>,
    ) -> Result<T, CallError<E>> {
        let (mut layered, mut attempts, until) = self.begin_intercepted(chain, method, repeatable, failed);
        let end = End { at: until, if_so: None };
        let over = drive(&mut layered, &end, |call| match attempts.instead() {
            Some(last) => last,
            None => match call.enter(|| attempt(&self.for_attempt(&call, until))) {
                Some(result) => attempts.note(result),
                None => Err(call.denied(SKIPPED)),
            },
        });
        let over = over.unwrap_or_else(|| Err(attempts.late(self.allowed())));
        attempts.finish(over)
    }

    /// The same without a thread.
    pub(crate) async fn intercepted_async<T, E, F: Future<Output = Result<T, CallError<E>>>>(
        &self,
        chain: &Arc<Chain>,
        method: u16,
        repeatable: bool,
        failed: fn(&T) -> bool,
        mut attempt: impl FnMut(Stub) -> F,
    ) -> Result<T, CallError<E>> {
        let (mut layered, mut attempts, until) = self.begin_intercepted(chain, method, repeatable, failed);
        let sleep = |until| Caller::sleep_async(Shared(self.session.share()), until);
        loop {
            let mut late = None;
            let step = poll_fn(|cx| match layered.poll(cx) {
                Poll::Pending if until != NEVER => {
                    let late = late.get_or_insert_with(|| Box::pin(sleep(until)));
                    late.as_mut().poll(cx).map(|()| Step::Over(Err(attempts.late(self.allowed()))))
                }
                step => step,
            });
            let (what, wish) = match step.await {
                Step::Over(over) => return attempts.finish(over),
                Step::Wanted(what, wish) => (what, wish),
            };
            let call = match what {
                What::Run(call) => call,
                What::Pause(end) => {
                    sleep(end.min(until)).await;
                    wish.fulfil(None);
                    continue;
                }
            };
            if let Some(last) = attempts.instead() {
                wish.fulfil(Some(last));
                continue;
            }
            let mut running = pin!(attempt(self.for_attempt(&call, until)));
            let mut begun = false;
            let ended = poll_fn(|cx| {
                if let Poll::Ready(over) = layered.poll_over(cx) {
                    return Poll::Ready(Err(over));
                }
                if wish.is_given_up() {
                    return Poll::Ready(Ok(None));
                }
                begun = true;
                match call.enter(|| running.as_mut().poll(cx)) {
                    Some(polled) => polled.map(|result| Ok(Some(result))),
                    None => Poll::Ready(Ok(Some(Err(call.denied(SKIPPED).widen())))),
                }
            });
            let ended = ended.await;
            if begun && !matches!(ended, Ok(Some(_))) {
                attempts.note_given_up();
            }
            match ended {
                Err(over) => return attempts.finish(over),
                Ok(Some(result)) => wish.fulfil(Some(attempts.note(result))),
                Ok(None) => {}
            }
        }
    }
}

/// What is said of a call that was not made and is said to be done.
pub(crate) const FOREIGN: &str = "an interceptor gave back what another call has ended with";
/// What is said of a call whose interceptor has given a scope that does not run what it is given.
pub(crate) const SKIPPED: &str = "an interceptor's scope did not run it";

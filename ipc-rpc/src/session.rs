//! What stays when a connection does not: the connection of a client, and how it gets another one.
//!
//! # A call's way here
//! A call reads the present connection without counting itself ([`ipc_core::swap`]) and goes its way over it. Only a call that
//! fails comes back here ([`Stub::again`]): if it cannot have run, or may run twice, it waits until the connection that
//! it failed on has been replaced, and is made anew, arguments and all, over the new one.
//!
//! # Dialling
//! Nothing is done before a call has failed. The first one that has starts a thread, which tries to connect, waits a while
//! when that fails, and ends when it has succeeded or when patience is over. All calls wait for it, blocking ones on a
//! condition, futures by their wakers; it also wakes those whose time is over. Behind the end of patience calls fail at once,
//! but one now and then has it tried again.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ipc_core::caller::{Limit, NoBlock};
use ipc_core::clock;
use ipc_core::socket::MAX_PATH;
use ipc_core::swap::{Reading, Swap};
use ipc_core::sync::lock;

use crate::call_error::CallError;
use crate::connect::{ClientConfig, ConnectError, Connection};
use crate::reconnect::{ConnectionEvent, Reconnect};
use crate::service::ServiceDesc;
use crate::stub::Stub;

pub(crate) const NEVER: u64 = u64::MAX;
/// The first and the longest pause between looks whether those have left that were calling over a connection that is replaced.
const SWEEP: Duration = Duration::from_millis(1);
const LONGEST_SWEEP: Duration = Duration::from_secs(1);
/// Between two looks for futures whose time is over, while a server takes its time to answer.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// Of how many losses of one-way calls a client was told. Each clone is told for itself.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicU64);

impl Clone for Told {
    fn clone(&self) -> Self {
        Told(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// The connection of a client and its clones.
pub(crate) struct Session {
    connection: Swap<Connection>,
    /// How often one-way calls were lost. Locked by who drops connections, so that a flush does not come between the end of one
    /// and what is noted about it.
    losses: Mutex<u64>,
    /// `None`: there is no name by which to connect again.
    dialler: Option<Arc<Dialler>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Session {
    /// One that ends with its connection.
    pub(crate) fn fixed(connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Session { connection: Swap::new(connection), losses: Mutex::new(0), dialler: None })
    }

    /// One that connects again.
    pub(crate) fn lasting(connection: Connection, config: &ClientConfig) -> Arc<Self> {
        let Some(reconnect) = config.reconnect.clone() else { return Session::fixed(Arc::new(connection)) };
        let path = std::path::absolute(&connection.path).ok().filter(|path| path.as_os_str().len() <= MAX_PATH);
        let dialler = Dialler {
            service: connection.service,
            path: path.map_or_else(|| connection.path.clone(), Arc::from),
            config: config.clone(),
            reconnect,
            dial: Mutex::new(Dial { since: clock::now(), ..Dial::default() }),
            changed: Condvar::new(),
        };
        let connection = Swap::new(Arc::new(connection));
        Arc::new(Session { connection, losses: Mutex::new(0), dialler: Some(Arc::new(dialler)) })
    }

    /// The present connection, for this thread and not for long.
    #[inline(always)]
    pub(crate) fn read(&self) -> Reading<'_, Connection> {
        self.connection.read()
    }

    /// The present connection, to keep.
    #[inline]
    pub(crate) fn share(&self) -> Arc<Connection> {
        self.connection.share()
    }

    /// Connections that were replaced and are not dropped yet.
    pub(crate) fn retired(&self) -> Vec<Arc<Connection>> {
        self.connection.retired()
    }

    /// Were one-way calls lost, with the connections that are gone or over `connection`, that `told` does not know of?
    pub(crate) fn has_lost(&self, connection: &Connection, told: &Told) -> bool {
        self.sweep();
        let mut losses = lock(&self.losses);
        *losses += u64::from(connection.caller.take_lost());
        told.0.swap(*losses, Ordering::Relaxed) < *losses
    }

    /// A connection has ended before all one-way calls over it were answered.
    pub(crate) fn note_loss(&self, connection: &Connection) {
        *lock(&self.losses) += u64::from(connection.has_lost());
    }

    /// Drops connections that were replaced, if nobody calls over them any more.
    fn sweep(&self) {
        // What has been answered calls wakers, which are the user's code: not with the lock.
        self.connection.retired().iter().for_each(|connection| _ = connection.caller.usage());
        let mut losses = lock(&self.losses);
        let over = self.connection.collect();
        over.iter().for_each(|over| *losses += u64::from(over.has_lost()));
        drop(losses);
        drop(over);
    }

    /// Sweeps, for the one thread that does so from time to time. `true`: there is nothing left, and no such thread any more.
    fn is_swept(&self, dialler: &Dialler) -> bool {
        self.sweep();
        let mut dial = lock(&dialler.dial);
        let over = !self.connection.has_retired();
        if over {
            dial.sweeper = None;
        }
        over
    }

    /// A connection other than the one called `lost`, once there is one, unless it takes until `deadline`.
    ///
    /// # Errors
    /// Why there is none, if it was tried.
    fn next(self: &Arc<Self>, lost: u64, deadline: u64) -> Result<Arc<Connection>, Option<Arc<ConnectError>>> {
        let dialler = self.dialler.as_ref().ok_or(None)?;
        let mut dial = lock(&dialler.dial);
        let round = match self.look(dialler, &mut dial, lost) {
            Look::Found(connection) => return Ok(connection),
            Look::None(why) => return Err(why),
            Look::Wait(round) => round,
        };
        loop {
            let now = clock::now();
            if now >= deadline {
                return Err(dial.why.clone());
            }
            let left = Duration::from_nanos(deadline - now);
            // Not for ever: a process that was forked meanwhile has no thread that dials.
            let left = left.min(dialler.reconnect.patience.saturating_add(dialler.config.connect_timeout));
            let waited = dialler.changed.wait_timeout(dial, left);
            dial = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            match self.look_again(&dial, lost, round) {
                Look::Found(connection) => return Ok(connection),
                Look::None(why) => return Err(why),
                Look::Wait(_) => {}
            }
            if !dial.is_under_way() {
                return Err(dial.why.clone());
            }
        }
    }

    /// As `next`.
    fn next_async(self: &Arc<Self>, lost: u64, deadline: u64) -> Next<'_> {
        Next { session: self, lost, deadline, round: None, waits: None }
    }

    /// Has it dialled in the background, if the connection called `lost` is the present one.
    pub(crate) fn dial(self: &Arc<Self>, lost: u64) {
        if let Some(dialler) = &self.dialler {
            self.look(dialler, &mut lock(&dialler.dial), lost);
        }
    }

    /// Has the connection called `lost` been replaced? Has it dialled, if not.
    fn look(self: &Arc<Self>, dialler: &Arc<Dialler>, dial: &mut Dial, lost: u64) -> Look {
        let current = self.share();
        if current.id() != lost {
            return Look::Found(current);
        }
        if dial.is_under_way() && dial.thread == Some(thread::current().id()) {
            // An observer, or a waker: what it would wait for waits for it.
            return Look::None(dial.why.clone());
        }
        if !dial.is_under_way() {
            let now = clock::now();
            if now < dial.rest_until {
                return Look::None(dial.why.clone());
            }
            dial.begin(now, &dialler.reconnect);
            let (to, session) = (dialler.clone(), Arc::downgrade(self));
            let thread = thread::Builder::new().name("ipc-rpc connect".into());
            if let Err(error) = thread.spawn(move || to.run(&session)) {
                dial.process = None;
                let path = dialler.path.to_path_buf();
                return Look::None(Some(Arc::new(ConnectError::Io { path, error })));
            }
        }
        Look::Wait(dial.rounds)
    }

    fn look_again(&self, dial: &Dial, lost: u64, round: u64) -> Look {
        let current = self.share();
        if current.id() != lost {
            Look::Found(current)
        } else if dial.rounds != round {
            Look::None(dial.why.clone())
        } else {
            Look::Wait(round)
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(dialler) = &self.dialler {
            lock(&dialler.dial).closed = true;
            dialler.changed.notify_all();
        }
    }
}

enum Look {
    Found(Arc<Connection>),
    /// Nobody is looking for one, and why not.
    None(Option<Arc<ConnectError>>),
    /// In this round.
    Wait(u64),
}

/// Waits for a connection.
struct Next<'a> {
    session: &'a Arc<Session>,
    lost: u64,
    deadline: u64,
    round: Option<u64>,
    /// The number of its waker.
    waits: Option<u64>,
}

impl Future for Next<'_> {
    type Output = Result<Arc<Connection>, Option<Arc<ConnectError>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let session = self.session;
        let Some(dialler) = &session.dialler else { return Poll::Ready(Err(None)) };
        let waker = cx.waker().clone();
        let mut dial = lock(&dialler.dial);
        let look = match self.round {
            None => session.look(dialler, &mut dial, self.lost),
            Some(round) => session.look_again(&dial, self.lost, round),
        };
        match look {
            Look::Found(connection) => Poll::Ready(Ok(connection)),
            Look::None(why) => Poll::Ready(Err(why)),
            Look::Wait(_) if clock::now() >= self.deadline || !dial.is_under_way() => {
                Poll::Ready(Err(dial.why.clone()))
            }
            Look::Wait(round) => {
                self.round = Some(round);
                let number = self.waits.unwrap_or(dial.next_number);
                dial.next_number = dial.next_number.max(number + 1);
                self.waits = Some(number);
                let old = dial.waiting.insert(number, (waker, self.deadline));
                drop(dial);
                dialler.changed.notify_all(); // The thread may sleep too long for this one.
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if let (Some(number), Some(dialler)) = (self.waits, &self.session.dialler) {
            let old = lock(&dialler.dial).waiting.remove(&number);
            drop(old);
        }
    }
}

/// How far dialling has come.
#[derive(Default)]
struct Dial {
    /// The process whose thread is at it.
    process: Option<u32>,
    /// That thread, or the last one.
    thread: Option<ThreadId>,
    /// The process whose thread drops connections that were replaced.
    sweeper: Option<u32>,
    /// Rounds that have ended without success.
    rounds: u64,
    /// When the present connection was made, and the last pause before that.
    since: u64,
    pause: Duration,
    /// When that was found at its end, and the attempts that have failed since.
    lost: u64,
    failures: u32,
    /// Until when the present round goes on.
    until: u64,
    /// Not tried before.
    rest_until: u64,
    why: Option<Arc<ConnectError>>,
    waiting: BTreeMap<u64, (Waker, u64)>,
    next_number: u64,
    closed: bool,
}

impl Dial {
    fn is_under_way(&self) -> bool {
        self.process == Some(std::process::id())
    }

    fn begin(&mut self, now: u64, how: &Reconnect) {
        self.process = Some(std::process::id());
        if self.why.is_none() {
            (self.lost, self.failures) = (now, 0);
            // A connection that was lost as soon as it was made is no reason to begin from the start.
            let lived = Duration::from_nanos(now.saturating_sub(self.since));
            if lived > how.longest {
                self.pause = Duration::ZERO;
            }
            self.until = now.saturating_add(clock::nanoseconds(how.patience));
        } else {
            // Patience was over before: just once more.
            self.until = now;
        }
    }

    /// The pause before the next attempt.
    fn next_pause(&mut self, how: &Reconnect) -> Duration {
        self.pause = self.pause.saturating_mul(2).clamp(how.first, how.longest.max(how.first));
        // Clients of one server do not come all at once.
        let random = clock::now().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.pause.mul_f64(0.5 + random as f64 / 2f64.powi(33))
    }

    /// Wakers of all futures, or of those whose time is over.
    fn wakers(&mut self, now: Option<u64>) -> Vec<Waker> {
        let due = |_: &u64, (_, deadline): &mut (Waker, u64)| now.is_none_or(|now| *deadline <= now);
        self.waiting.extract_if(.., due).map(|(_, (waker, _))| waker).collect()
    }
}

/// Makes connections.
struct Dialler {
    service: &'static ServiceDesc,
    path: Arc<Path>,
    config: ClientConfig,
    reconnect: Reconnect,
    dial: Mutex<Dial>,
    changed: Condvar,
}

impl Dialler {
    fn run(&self, session: &Weak<Session>) {
        let mut dial = lock(&self.dial);
        dial.thread = Some(thread::current().id());
        // Not so when patience was over before: all that was told, and calls have rested already.
        let newly_lost = dial.why.is_none();
        // A connection that did not live long is not replaced at once.
        let pause = (newly_lost && dial.pause > Duration::ZERO).then(|| dial.next_pause(&self.reconnect));
        drop(dial);
        if newly_lost {
            self.tell(&ConnectionEvent::Lost { path: &self.path });
        }
        if let Some(pause) = pause
            && !self.rest(pause)
        {
            return;
        }
        loop {
            ipc_core::fail_point!(Dialling);
            let deadline = clock::after(self.config.connect_timeout);
            match Connection::open_at(self.service, &self.path, &self.config, deadline, &|| self.wake_late()) {
                Ok(connection) => return self.succeed(session, connection),
                Err(error) => {
                    let Some(pause) = self.fail(Arc::new(error)) else { return };
                    if !self.rest(pause) {
                        return;
                    }
                }
            }
        }
    }

    fn succeed(&self, session: &Weak<Session>, connection: Connection) {
        let Some(session) = session.upgrade() else { return };
        let mut dial = lock(&self.dial);
        session.connection.replace(Arc::new(connection));
        ipc_core::fail_point!(ConnectionReplaced);
        (dial.process, dial.why, dial.rest_until) = (None, None, 0);
        dial.since = clock::now();
        // If this one is lost as soon as it is used, the next one is not made at once.
        dial.pause = dial.pause.max(self.reconnect.first);
        let sweeps = dial.sweeper.replace(std::process::id()) != Some(std::process::id());
        let (attempts, after) =
            (dial.failures.saturating_add(1), Duration::from_nanos(dial.since.saturating_sub(dial.lost)));
        let wakers = dial.wakers(None);
        drop(dial);
        self.changed.notify_all();
        wakers.into_iter().for_each(wake);
        self.tell(&ConnectionEvent::Restored { path: &self.path, attempts, after });
        let session = {
            let weak = Arc::downgrade(&session);
            drop(session);
            weak
        };
        // A call that has failed over it and was repeated may still hold the old one, for as long as it takes.
        let mut pause = SWEEP;
        while sweeps && session.upgrade().is_some_and(|session| !session.is_swept(self)) {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_SWEEP);
        }
    }

    /// Notes that an attempt has failed; gives the pause before the next one, if there is to be one.
    fn fail(&self, error: Arc<ConnectError>) -> Option<Duration> {
        let mut dial = lock(&self.dial);
        dial.failures = dial.failures.saturating_add(1);
        let attempts = dial.failures;
        let pause = dial.next_pause(&self.reconnect);
        let now = clock::now();
        dial.why = Some(error.clone());
        let mut next = Some(pause);
        let mut wakers = Vec::new();
        if error.is_lasting() || now.saturating_add(clock::nanoseconds(pause)) > dial.until {
            dial.process = None;
            dial.rounds += 1;
            dial.rest_until = now.saturating_add(clock::nanoseconds(pause));
            wakers = dial.wakers(None);
            next = None;
        }
        drop(dial);
        if next.is_none() {
            self.changed.notify_all();
        }
        wakers.into_iter().for_each(wake);
        self.tell(&ConnectionEvent::Failed { path: &self.path, attempts, error: &error, next });
        next
    }

    /// Waits so long. `false`: nobody needs a connection any more.
    fn rest(&self, pause: Duration) -> bool {
        let until = clock::after(pause);
        loop {
            self.wake_late();
            let dial = lock(&self.dial);
            let now = clock::now();
            if dial.closed {
                return false;
            }
            if now >= until {
                return true;
            }
            let next = dial.waiting.values().map(|(_, deadline)| *deadline).min().unwrap_or(NEVER).min(until);
            let left = Duration::from_nanos(next.saturating_sub(now));
            drop(self.changed.wait_timeout(dial, left));
        }
    }

    /// Wakes the futures whose time is over.
    fn wake_late(&self) {
        let wakers = lock(&self.dial).wakers(Some(clock::now()));
        wakers.into_iter().for_each(wake);
    }

    /// Tells who wants to know. A panic there is reported as ever, and stays there.
    fn tell(&self, event: &ConnectionEvent<'_>) {
        if let Some(observer) = &self.reconnect.observer {
            let _ = catch_unwind(AssertUnwindSafe(|| observer.tell(event)));
        }
    }
}

/// Wakers are the user's code.
fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// The rounds of one call: over one connection, and over the next one when it has failed there.
pub struct Rounds<'a> {
    of: &'a Stub,
    deadline: u64,
    /// The connection of this round, as it is called; and a stub that is tied to it.
    connection: u64,
    stub: Option<Stub>,
    /// The call may have run in a round before.
    may_have_run: bool,
}

impl fmt::Debug for Rounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds").field("of", &self.of).finish_non_exhaustive()
    }
}

impl Stub {
    /// A call that failed over `connection` is made again, if that is safe and useful. `until` is its deadline, as far as
    /// that was fixed.
    #[cold]
    #[inline(never)]
    pub(crate) fn again<T>(
        &self,
        connection: &Connection,
        method: u16,
        error: CallError,
        until: u64,
        mut attempt: impl FnMut(&Stub) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        if !self.is_repeatable(method, &error) {
            return Err(error);
        }
        let deadline = self.deadline(connection, method).min(until);
        let mut rounds = Rounds { of: self, deadline, connection: connection.id(), stub: None, may_have_run: false };
        let mut error = error;
        loop {
            rounds.next(method, error)?;
            match attempt(rounds.stub()) {
                Err(again) => error = again,
                done => return done,
            }
        }
    }

    /// The rounds of a call that is about to be made.
    pub(crate) fn rounds(&self, method: u16) -> Rounds<'_> {
        let connection = self.session.read();
        let deadline = if self.session.dialler.is_some() { self.deadline(&connection, method) } else { NEVER };
        Rounds { of: self, deadline, connection: connection.id(), stub: None, may_have_run: false }
    }

    /// The same for a call that consists of several steps, all of which are to be made over the same connection.
    pub fn tied_rounds(&self, method: u16) -> Rounds<'_> {
        let mut rounds = self.rounds(method);
        let connection = self.session.share();
        rounds.connection = connection.id();
        rounds.stub = Some(self.tied(connection));
        rounds
    }

    /// One round, for a call that cannot be made again: over a connection that has not ended, if there is one or can be had.
    ///
    /// # Errors
    /// [`CallError`]: there is none.
    pub fn only_round(&self, method: u16) -> Result<Rounds<'_>, CallError> {
        let mut rounds = self.tied_rounds(method);
        while let Err(error) = rounds.is_live(method) {
            rounds.next(method, error)?;
        }
        Ok(rounds)
    }

    /// As [`Stub::only_round`].
    ///
    /// # Errors
    /// [`CallError`]: there is none.
    pub async fn only_round_async(&self, method: u16) -> Result<Rounds<'_>, CallError> {
        let mut rounds = self.tied_rounds(method);
        while let Err(error) = rounds.is_live(method) {
            rounds.next_async(method, error).await?;
        }
        Ok(rounds)
    }

    /// As this stub, but without another connection when that one ends.
    fn tied(&self, connection: Arc<Connection>) -> Stub {
        Stub { session: Session::fixed(connection), ..self.clone() }
    }

    /// When a call is over that begins now.
    pub(crate) fn deadline(&self, connection: &Connection, method: u16) -> u64 {
        match self.terms(connection, method).map(|terms| terms.limit) {
            Ok(Limit::None) => NEVER,
            Ok(Limit::Until(deadline)) => deadline,
            Ok(Limit::Lazy(timeout)) => clock::after(timeout),
            Err(_) => 0,
        }
    }

    /// Can a call of `method` be made again that has failed so?
    fn is_repeatable<E>(&self, method: u16, error: &CallError<E>) -> bool {
        self.session.dialler.is_some()
            && match error {
                CallError::NotStarted { .. } => true,
                CallError::MayHaveRun { .. } => self.session.read().is_idempotent(method),
                _ => false,
            }
    }
}

impl Rounds<'_> {
    /// What this round's call is made with.
    pub fn stub(&self) -> &Stub {
        self.stub.as_ref().unwrap_or(self.of)
    }

    /// Has the connection of this round not ended?
    fn is_live(&self, method: u16) -> Result<(), CallError> {
        let connection = self.stub().session.share();
        if connection.caller.has_ended() { Err(connection.not_sent(method, NoBlock::Ended)) } else { Ok(()) }
    }

    /// There is no other round, whatever became of this one, but the next call finds another connection.
    pub fn end<T, E>(self, result: Result<T, CallError<E>>) -> Result<T, CallError<E>> {
        if let Err(CallError::NotStarted { .. }) = result {
            self.of.session.dial(self.connection);
        }
        result
    }

    /// The call has failed with `error`: waits for the next connection.
    ///
    /// # Errors
    /// `error`, if there is no other round.
    #[cold]
    pub fn next<E>(&mut self, method: u16, error: CallError<E>) -> Result<(), CallError<E>> {
        if !self.of.is_repeatable(method, &error) {
            return Err(self.last(method, error));
        }
        let may_have_run = error.may_have_run();
        match self.of.session.next(self.connection, self.deadline) {
            Ok(next) => self.go_on(next),
            Err(why) => return Err(self.last(method, error.without_connection(why))),
        }
        self.may_have_run |= may_have_run;
        Ok(())
    }

    /// As [`Rounds::next`].
    ///
    /// # Errors
    /// `error`, if there is no other round.
    pub async fn next_async<E>(&mut self, method: u16, error: CallError<E>) -> Result<(), CallError<E>> {
        if !self.of.is_repeatable(method, &error) {
            return Err(self.last(method, error));
        }
        let may_have_run = error.may_have_run();
        match self.of.session.next_async(self.connection, self.deadline).await {
            Ok(next) => self.go_on(next),
            Err(why) => return Err(self.last(method, error.without_connection(why))),
        }
        self.may_have_run |= may_have_run;
        Ok(())
    }

    /// What is said of the call when the last round has ended so.
    fn last<E>(&self, method: u16, error: CallError<E>) -> CallError<E> {
        if !self.may_have_run {
            return error;
        }
        let method = self.of.session.read().name(method);
        error.of_more_than_one(method)
    }

    fn go_on(&mut self, next: Arc<Connection>) {
        self.connection = next.id();
        let tied = self.of.tied(next);
        let until = Some(self.deadline).filter(|deadline| *deadline != NEVER);
        self.stub = Some(if until.is_some() { tied.with_special(|special| special.until = until) } else { tied });
    }
}

//! Where the futures of handlers run, how many there may be, and how all of them end.
//!
//! A future learns by being polled that nobody waits for it any more: [`Serving`] looks first and drops it. So everything that
//! ends futures here only wakes them. A caller that gives a call up says so in the block and tells nobody; for the futures
//! that are not woken by anything else, a thread looks at the block when the call's age has doubled, from 10 ms on, and when
//! its time is over. That bounds how long a forgotten future stays by how long it was wanted, and costs a handful of looks
//! for each call that takes long. With no such call the thread sleeps without a timer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::task;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipc_core::clock;

use crate::admitted::{Job, Serving, Tasks};
use crate::call_error::MethodName;
use crate::callback;
use crate::executor::{BoxFuture, Pool, lock};
use crate::intercept::Wish;
use crate::server::Limits;
use crate::stream;

/// Hands a future to a runtime of the user's.
pub(crate) type Spawn = Arc<dyn Fn(BoxFuture<'static>) + Send + Sync>;

/// Who polls the futures of a server's handlers.
#[derive(Clone, Default)]
pub(crate) enum Runs {
    /// Threads of the server.
    #[default]
    Threads,
    /// The future that serves.
    Inside,
    /// A runtime of the user's.
    Elsewhere(Spawn),
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Runs::Threads => "Threads",
            Runs::Inside => "Inside",
            Runs::Elsewhere(_) => "Elsewhere",
        })
    }
}

/// What is done for one client, besides the calls that the workers run.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) tasks: Weak<Tasks>,
    pub(crate) callbacks: Weak<callback::Remote>,
    pub(crate) streams: stream::Table,
}

/// What the futures of all clients of a server share.
#[derive(Debug)]
pub(crate) struct Runtime {
    runs: Runs,
    pool: Arc<Pool>,
    pub(crate) limits: Limits,
    /// The server's methods by their number, and whether they take long.
    methods: Box<[(MethodName, bool)]>,
    /// Calls that were admitted and are not answered.
    admitted: AtomicUsize,
    /// Arguments that handlers keep.
    pub(crate) kept: Arc<AtomicUsize>,
    stopping: AtomicBool,
    /// No request is begun any more.
    closing: AtomicBool,
    /// Somebody waits until no call is admitted any more.
    draining: AtomicBool,
    drained: Condvar,
    drain: Mutex<()>,
    clients: Mutex<Vec<Work>>,
    lookout: Arc<Lookout>,
}

impl Runtime {
    pub(crate) fn new(runs: Runs, limits: Limits, methods: Box<[(MethodName, bool)]>) -> Arc<Self> {
        let threads = match runs {
            Runs::Threads => std::thread::available_parallelism().map_or(2, usize::from),
            Runs::Inside | Runs::Elsewhere(_) => 0,
        };
        Arc::new(Runtime {
            runs,
            pool: Pool::new(threads),
            limits,
            methods,
            admitted: AtomicUsize::new(0),
            kept: Arc::default(),
            stopping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            drained: Condvar::new(),
            drain: Mutex::new(()),
            clients: Mutex::default(),
            lookout: Arc::default(),
        })
    }

    /// What a method is called, and whether it takes long.
    pub(crate) fn method(&self, number: u16) -> (MethodName, bool) {
        let unknown = MethodName { service: "?", method: "?" };
        self.methods.get(usize::from(number)).copied().unwrap_or((unknown, false))
    }

    /// A client has connected.
    pub(crate) fn remember(&self, work: Work) {
        let mut clients = lock(&self.clients);
        clients.retain(|work| work.tasks.strong_count() > 0);
        clients.push(work);
    }

    /// No request is looked for any more: tells the handlers, and ends the streams, which need them.
    pub(crate) fn begin_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let streams: Vec<_> = lock(&self.clients).iter().map(|work| work.streams.clone()).collect();
        for table in streams {
            table.close();
        }
    }

    /// Streams that are open, and handles of objects of clients.
    pub(crate) fn open(&self) -> (usize, usize) {
        let clients = lock(&self.clients);
        let streams = clients.iter().map(|work| work.streams.open()).sum();
        let handles = clients.iter().filter_map(|work| work.callbacks.upgrade()).map(|remote| remote.handles()).sum();
        (streams, handles)
    }

    /// One more admitted call, if there may be one.
    pub(crate) fn count_in(&self) -> bool {
        let more = |admitted| (admitted < self.limits.all_calls).then_some(admitted + 1);
        self.admitted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// One admitted call less.
    pub(crate) fn count_out(&self) {
        let before = self.admitted.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.draining.load(Ordering::SeqCst) {
            let _drain = lock(&self.drain);
            self.drained.notify_all();
            self.pool.wake_poller();
        }
    }

    /// Calls that were admitted and are not answered.
    pub(crate) fn admitted(&self) -> usize {
        self.admitted.load(Ordering::SeqCst)
    }

    /// Does the server shut down?
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Is everything to end?
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Threads of its own.
    pub(crate) fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs the future of a handler. With threads of its own the first poll is made here: most futures are ready then.
    pub(crate) fn serve(&self, serving: Serving) {
        match &self.runs {
            Runs::Threads => self.pool.run(Box::pin(serving)),
            _ => self.spawn(Box::pin(serving)),
        }
    }

    /// Runs a future where those of handlers run.
    pub(crate) fn spawn(&self, future: BoxFuture<'static>) {
        match &self.runs {
            Runs::Threads | Runs::Inside => self.pool.spawn(future),
            Runs::Elsewhere(spawn) => spawn(future),
        }
    }

    /// Sees to it that a future that nobody wakes any more is dropped one day.
    pub(crate) fn look_later(&self, job: &Arc<Job>) {
        let look = What::Look { age: FIRST_LOOK, job: Arc::downgrade(job) };
        self.lookout.put(look, clock::now() + FIRST_LOOK);
    }

    /// Ends the pause of an interceptor at `moment`.
    pub(crate) fn wake_later(&self, wish: &Arc<Wish>, moment: u64) {
        self.lookout.put(What::Pause(Arc::downgrade(wish)), moment);
    }

    /// For a server inside of a future: polls those of handlers that were woken.
    pub(crate) fn poll(&self, cx: &mut task::Context<'_>) {
        self.pool.poll(cx);
    }

    /// Has whoever polls look again.
    pub(crate) fn wake_poller(&self) {
        self.pool.wake_poller();
    }

    /// Waits until every admitted call is answered, at most so long.
    pub(crate) fn drain(&self, limit: Duration) {
        self.begin_drain();
        let until = Instant::now().checked_add(limit);
        let mut drain = lock(&self.drain);
        while self.admitted() > 0 {
            let left = until.map_or(Duration::from_secs(1), |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            drain = self.drained.wait_timeout(drain, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From now on the last answer is news for those who wait for it.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// The same, so much later.
    pub(crate) fn wake_poller_after(&self, time: Duration) {
        self.lookout.put(What::Poller(self.pool.clone()), clock::after(time));
    }

    /// Has all futures dropped: each answers. Waits for the threads if `wait`, so for a poll that takes long. A runtime of
    /// the user's drops its futures when it comes to it.
    pub(crate) fn stop(&self, wait: bool) {
        self.stopping.store(true, Ordering::SeqCst);
        let clients = std::mem::take(&mut *lock(&self.clients));
        for tasks in clients.iter().filter_map(|work| work.tasks.upgrade()) {
            tasks.wake();
        }
        self.pool.close(wait);
        self.lookout.close(wait);
    }
}

impl Drop for Runtime {
    /// For a server that was never stopped: nothing of its clients is left, but threads may be.
    fn drop(&mut self) {
        self.pool.close(false);
        self.lookout.close(false);
    }
}

/// Age of a call, in nanoseconds, at which it is looked at for the first time.
const FIRST_LOOK: u64 = 10_000_000;

/// Looks at calls whose futures nobody wakes.
#[derive(Debug, Default)]
struct Lookout {
    state: Mutex<Looks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Looks {
    /// By time; a number tells those of the same time apart.
    due: BTreeMap<(u64, u64), What>,
    next: u64,
    /// With so many in `due` those are looked for that are of no use any more.
    full_at: usize,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug)]
enum What {
    /// Looks at a call, which has this age in nanoseconds then.
    Look { age: u64, job: Weak<Job> },
    /// Wakes whoever polls a pool.
    Poller(Arc<Pool>),
    /// Ends the pause of an interceptor.
    Pause(Weak<Wish>),
}

impl What {
    fn is_wanted(&self) -> bool {
        match self {
            What::Look { job, .. } => job.strong_count() > 0,
            What::Poller(_) => true,
            What::Pause(wish) => wish.strong_count() > 0,
        }
    }
}

impl Lookout {
    fn put(self: &Arc<Self>, what: What, at: u64) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        if state.due.len() >= state.full_at {
            state.due.retain(|_, what| what.is_wanted());
            state.full_at = (2 * state.due.len()).max(1024);
        }
        let number = state.next;
        state.next += 1;
        let sooner = state.due.keys().next().is_none_or(|(first, _)| at < *first);
        state.due.insert((at, number), what);
        if state.thread.is_none() {
            let this = self.clone();
            // Without the thread some futures stay longer; the next one tries again.
            state.thread = std::thread::Builder::new().name("ipc-rpc timer".into()).spawn(move || this.watch()).ok();
        } else if sooner {
            self.changed.notify_one();
        }
    }

    fn watch(self: Arc<Self>) {
        loop {
            let Some(due) = self.next() else { return };
            match due {
                What::Poller(pool) => pool.wake_poller(),
                What::Pause(wish) => {
                    if let Some(wish) = wish.upgrade() {
                        wish.fulfil(None);
                    }
                }
                What::Look { age, job: weak } => {
                    let Some(job) = weak.upgrade().filter(|job| job.look()) else { continue };
                    let now = clock::now();
                    // A millisecond more, so that the time is over for sure.
                    let over =
                        job.deadline().map(|deadline| deadline.saturating_add(1_000_000)).filter(|over| *over > now);
                    let at = now.saturating_add(age).min(over.unwrap_or(u64::MAX));
                    self.put(What::Look { age: age.saturating_mul(2), job: weak }, at);
                }
            }
        }
    }

    /// Waits for the next that is due; `None`: there will be none any more.
    fn next(&self) -> Option<What> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            let Some(&(at, _)) = state.due.keys().next() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = clock::now();
            if at <= now {
                return state.due.pop_first().map(|(_, what)| what);
            }
            let time = Duration::from_nanos(at - now);
            state = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn close(&self, wait: bool) {
        let (thread, due) = {
            let mut state = lock(&self.state);
            state.closed = true;
            self.changed.notify_one();
            (state.thread.take(), std::mem::take(&mut state.due))
        };
        drop(due);
        if let Some(thread) = thread.filter(|thread| wait && thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

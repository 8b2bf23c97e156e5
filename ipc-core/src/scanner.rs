//! The workers of a callee: who looks for requests, who runs them, and how all of them sleep.
//!
//! # Algorithm
//! Leader and followers. One worker at a time holds the scanner role (`role.rs`): it looks at the words of the watched
//! blocks and at the head of each channel's queue. When it finds a request it marks the block busy, gives the role up, runs
//! the handler itself, answers, and takes the role again if nobody has. Workers without the role sleep in the kernel on
//! the same epoll set: doorbells, hang-ups, new connections, and - while the process is awake - a tick of 10 ms that lets one
//! of them take over if a handler turns out to be long. With every queue empty and the budget spent, the holder takes the
//! promises to watch back, raises every sleep flag, looks once more, and sleeps too: then no thread of the process runs.
//!
//! # Ownership
//! `hold` belongs to whoever holds the role. A worker without it touches only the block it serves, and the channel of
//! that block, which a retirer leaves alive while the worker's `serving` entry names it.
//!
//! # Safety
//! `UnsafeCell` for the data of the role, and pointers to channels that the `serving` entries keep alive.
#![allow(unsafe_code)]

mod closing;
mod listening;
mod long;

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, PoisonError, Weak};

use crate::callee::{BUSY, Call, Channel, ChannelUsage, ENDED, HOLDS_REPLY, Handler, KEEPS, Served};
use crate::clock;
use crate::doorbell;
use crate::gap::{Gap, Waiting};
use crate::handover;
use crate::hold::{Found, Hold, Measure, NO_PLACE, Scanned, Spot, WORK_PER_POLL};
use crate::idle::Idle;
use crate::layout::{BlockHead, NOT_RUN, RELEASE, TAKEN, named};
use crate::memory::MemoryUsage;
use crate::poll::{Poll, Signal, Ticker};
use crate::role::Role;
use crate::serving::Serving;
use crate::socket;
use crate::statistics::{Statistics, Timing};
use crate::sync::thread::JoinHandle;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, looks, spin_hint};
use crate::tallies;
use crate::word::{Corrupt, Seen, Tell};
use crate::yielding::Yielding;
use long::Methods;

/// Empty passes before the clock is read for the first time: about a microsecond or two.
pub(crate) const FIRST_PASSES: u32 = looks(48);
/// As many if the caller is on the same core, where looking is in vain.
const PASSES_IN_VAIN: u32 = 2;
/// How often the core is given to such a caller before the holder sleeps.
const YIELDS: u32 = 2;
/// Empty passes over the watched words for one over the queues. Each look at a cell takes its line away from a caller that is
/// just writing to it; a caller that is looked at seldom gets many requests out before they are found, all in a row.
const PASSES_PER_QUEUE: u32 = looks(32);
/// Empty passes between two readings of the clock.
const PASSES_PER_READING: u32 = looks(16);
const TICK_MS: u32 = 10;
const LISTENER: u64 = 0;
const STOP: u64 = 1;
const TICK: u64 = 2;
const WAKE: u64 = 3;
const FIRST_CONNECTION: u64 = 16;

enum Connection<P> {
    Greeting(OwnedFd),
    /// One that has been answered, and may say more.
    Asking(OwnedFd),
    Channel(Arc<Channel<P>>),
}

enum Change<P> {
    Add(Arc<Channel<P>>),
    HungUp(u64),
}

/// What became of the role while a request was served.
#[derive(PartialEq, Eq)]
enum After {
    Held,
    Lost,
}

/// How many threads serve a callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// Threads that call [`Callee::work`]; at least 1.
    pub base: usize,
    /// Threads that the callee starts by itself when all others are in handlers that take long.
    pub spare: usize,
    /// Whether it starts one as soon as only one thread is left to hear that a handler takes long, so that there is always
    /// one.
    pub grow: bool,
}

/// What a callee has in use; see [`Callee::usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CalleeUsage {
    /// Open channels.
    pub channels: usize,
    /// Blocks taken and not answered, also those of deferred calls and of channels that are gone.
    pub busy: usize,
    /// Extents that hold replies. One is given back when its block is lent again.
    pub reply_extents: usize,
    /// The arenas of all channels, where large replies lie, those being written included.
    pub memory: MemoryUsage,
    /// Threads that work.
    pub workers: usize,
    /// Channels that are gone, but still used by a running or deferred call.
    pub retired: usize,
}

/// The called side of a process: a listener, its channels, and the workers that serve them.
pub struct Callee<H: Handler> {
    shared: Arc<Shared<H>>,
}

impl<H: Handler> Drop for Callee<H> {
    /// Ends all connections. P11: No worker is left, so every `taken` that there will be is there. A deferred call may be
    /// left, and keeps its channel: its caller learns of the end now.
    fn drop(&mut self) {
        self.stop();
        self.shared.join_spares();
        // Not under the lock: the handler is told, and wakes who waits.
        let connections = std::mem::take(&mut *self.shared.connections());
        for connection in connections.into_values() {
            if let Connection::Channel(channel) = connection {
                self.shared.ended(&channel);
                socket::shut_down(channel.socket());
            }
        }
    }
}

/// What the threads of a callee share.
struct Shared<H: Handler> {
    handler: H,
    this: Weak<Shared<H>>,
    role: Role,
    idle: Idle,
    methods: Methods,
    /// When a tick last made a worker take the role.
    ticked_at: AtomicU64,
    /// The spare workers that were started; their entries are behind those of the base workers.
    spares: Mutex<Vec<JoinHandle<()>>>,
    /// There is one.
    has_spares: AtomicBool,
    grow: bool,
    hold: UnsafeCell<Hold<H::Peer>>,
    /// So many callers sleep that they are woken one after another; as `hold` had it last.
    crowded: AtomicBool,
    /// Something in `changes`, `retired` or `stopping` wants the holder's attention.
    attention: AtomicBool,
    stopping: AtomicBool,
    /// Who has the role keeps it: a stepper, or a worker that closes down. Or no handler will run any more.
    role_is_kept: AtomicBool,
    changes: Mutex<Vec<Change<H::Peer>>>,
    connections: Mutex<HashMap<u64, Connection<H::Peer>>>,
    /// Every channel that there was, for the count of what is in use; those that are gone for good are forgotten now and then.
    every: Mutex<Vec<Weak<Channel<H::Peer>>>>,
    /// Channels whose doorbell was heard and not emptied yet.
    rung: Mutex<Vec<Arc<Channel<H::Peer>>>>,
    /// Held while a connection is judged.
    greeting: Mutex<()>,
    /// Those of the base workers first.
    serving: Box<[Serving<Channel<H::Peer>>]>,
    base: usize,
    next_id: AtomicU64,
    poll: Poll,
    stop: Signal,
    /// Wakes an idle worker. Channels have it too, for who empties a doorbell and is no scanner.
    wake: Arc<Signal>,
    tick: Ticker,
    listener: Option<OwnedFd>,
    statistics: Arc<Statistics>,
    gap: Gap,
    yielding: Yielding,
    asleep_since: AtomicU64,
    single_core: bool,
}

// SAFETY: `hold` is the only field that is not `Sync` by itself; it is touched only by the holder of `role`, which one
// thread at a time is (P5).
unsafe impl<H: Handler> Sync for Shared<H> {}
// SAFETY: nothing in it is bound to a thread.
unsafe impl<H: Handler> Send for Shared<H> {}

impl<H: Handler> std::fmt::Debug for Callee<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callee").field("workers", &self.shared.base).finish_non_exhaustive()
    }
}

impl<H: Handler> Callee<H> {
    /// A callee for `workers.base` threads, each of which has to call [`Callee::work`].
    ///
    /// # Errors
    /// The system's: no descriptors left.
    pub fn new(handler: H, listener: Option<OwnedFd>, workers: Workers) -> io::Result<Self> {
        let base = workers.base.max(1);
        let (poll, stop, wake, tick) = (Poll::new()?, Signal::new()?, Arc::new(Signal::new()?), Ticker::new()?);
        if let Some(listener) = &listener {
            poll.add(listener.as_fd(), LISTENER)?;
        }
        poll.add(stop.as_fd(), STOP)?;
        poll.add(wake.as_fd(), WAKE)?;
        poll.add(tick.as_fd(), TICK)?;
        let serving: Box<[_]> = (0..base.saturating_add(workers.spare)).map(|_| Serving::default()).collect();
        let statistics = Arc::new(Statistics::new(handler.methods(), serving.len())?);
        let shared = Arc::new_cyclic(|this| Shared {
            handler,
            this: this.clone(),
            idle: Idle::new(),
            methods: Methods::new(),
            ticked_at: AtomicU64::new(0),
            spares: Mutex::default(),
            has_spares: AtomicBool::new(false),
            grow: workers.grow,
            role: Role::new(),
            hold: UnsafeCell::new(Hold::new()),
            crowded: AtomicBool::new(false),
            attention: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            role_is_kept: AtomicBool::new(false),
            changes: Mutex::default(),
            connections: Mutex::default(),
            every: Mutex::default(),
            rung: Mutex::default(),
            greeting: Mutex::new(()),
            serving,
            statistics,
            base,
            next_id: AtomicU64::new(FIRST_CONNECTION),
            poll,
            stop,
            wake,
            tick,
            listener,
            gap: Gap::new(),
            yielding: Yielding::new(),
            // Not 0: the first worker to look finds the process just woken, and arms the tick.
            asleep_since: AtomicU64::new(1),
            single_core: std::thread::available_parallelism().is_ok_and(|n| n.get() == 1),
        });
        Ok(Callee { shared })
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.shared.handler
    }

    /// How workers wait for requests, from now on.
    pub fn wait_as(&self, waiting: Waiting) {
        self.shared.gap.wait_as(waiting);
    }

    /// How many threads have to call [`Callee::work`].
    pub fn workers(&self) -> usize {
        self.shared.base
    }

    /// Number of open channels.
    pub fn channels(&self) -> usize {
        self.shared.open()
    }

    /// What is in use now. Exact once nothing runs.
    pub fn usage(&self) -> CalleeUsage {
        self.shared.usage()
    }

    /// Threads that work: [`CalleeUsage::workers`] without a look at all channels.
    pub fn working(&self) -> usize {
        self.shared.working()
    }

    /// The figures of its methods.
    pub fn statistics(&self) -> &Arc<Statistics> {
        &self.shared.statistics
    }

    /// Looks at each channel that is open: what its handler remembers of it, and what it has in use.
    pub fn each_channel(&self, mut look: impl FnMut(&H::Peer, ChannelUsage)) {
        let open: Vec<_> = {
            let connections = self.shared.connections();
            let channels = connections.values().filter_map(|c| match c {
                Connection::Channel(channel) => Some(channel.clone()),
                Connection::Greeting(_) | Connection::Asking(_) => None,
            });
            channels.collect()
        };
        for channel in open {
            let since = self.shared.serving.iter().filter_map(|s| s.runs_since(Arc::as_ptr(&channel))).min();
            look(&channel.peer, channel.in_use(since));
        }
    }

    /// Takes a connection in that did not come through the listener.
    ///
    /// # Errors
    /// The system's: no memory for another watch.
    pub fn adopt(&self, socket: OwnedFd) -> io::Result<()> {
        self.shared.greet_later(socket)
    }

    /// Does dropping the last of this value wait for a thread that it has started itself? Final after [`Callee::stop`].
    pub fn has_spares(&self) -> bool {
        self.shared.has_spares()
    }

    /// Makes every worker return once its handler has ended. As long as handlers run, a worker without one refuses what
    /// arrives ([`STOPPING`](crate::layout::STOPPING)), so that no handler waits for a call that nobody will begin. Later requests
    /// stay unanswered: their callers learn from the hang-up, when this value is dropped, that they did not start.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Works as number `me` until [`Callee::stop`]. Returns at once if there is no such number below [`Callee::workers`], or
    /// another thread works under it.
    pub fn work(&self, me: usize) {
        let Some(serving) = self.shared.own(me) else { return };
        self.shared.work_as(serving);
        serving.release();
    }

    /// Takes the scanner role for a thread that looks by itself, as number `me`; `None` if another thread has either. For
    /// programs that count instructions or have a loop of their own.
    pub fn stepper(&self, me: usize) -> Option<Stepper<'_, H>> {
        let serving = self.shared.own(me)?;
        if self.shared.role.try_take() {
            self.shared.role_is_kept.store(true, Ordering::Relaxed);
            return Some(Stepper { callee: &self.shared, serving });
        }
        serving.release();
        None
    }
}

impl<H: Handler> Shared<H> {
    /// The entry of base worker number `me`, claimed for this thread.
    fn own(&self, me: usize) -> Option<&Serving<Channel<H::Peer>>> {
        self.serving.get(..self.base)?.get(me).filter(|s| s.claim())?;
        self.counting(me)
    }

    /// The entry of a worker, claimed for this thread, with the row that it counts in.
    fn counting(&self, me: usize) -> Option<&Serving<Channel<H::Peer>>> {
        let serving = self.serving.get(me)?;
        if let Some(row) = self.statistics.row(me) {
            // SAFETY: `self` has both, the entry and the figures.
            unsafe { serving.row.set(row) };
        }
        Some(serving)
    }

    /// Number of open channels.
    fn open(&self) -> usize {
        self.connections().values().filter(|c| matches!(c, Connection::Channel(_))).count()
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.attention.store(true, Ordering::Release);
        self.stop.raise();
    }

    /// A new channel, for [`Callee::usage`].
    fn remember(&self, channel: &Arc<Channel<H::Peer>>) {
        let mut every = self.every.lock().unwrap_or_else(PoisonError::into_inner);
        every.retain(|channel| channel.strong_count() > 0);
        every.push(Arc::downgrade(channel));
    }

    /// Number of channels whose memory is there: those that are open, and those whose peer is gone but from which something is
    /// kept.
    fn alive(&self) -> usize {
        let every = self.every.lock().unwrap_or_else(PoisonError::into_inner);
        every.iter().filter(|channel| channel.strong_count() > 0).count()
    }

    /// No call of `channel` begins any more.
    fn ended(&self, channel: &Channel<H::Peer>) {
        if channel.meets(ENDED) {
            channel.lane.close();
            self.handler.ended(&channel.peer, channel.why());
        }
    }

    fn usage(&self) -> CalleeUsage {
        let every: Vec<_> = self.every.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let alive: Vec<_> = every.iter().filter_map(Weak::upgrade).collect();
        let channels = self.open();
        let workers = self.working();
        let retired = alive.len().saturating_sub(channels);
        let all = CalleeUsage { channels, retired, workers, ..CalleeUsage::default() };
        alive.iter().map(|channel| channel.usage()).fold(all, |mut all, (busy, extents, memory)| {
            all.busy += busy;
            all.reply_extents += extents;
            all.memory = all.memory.and(memory);
            all
        })
    }

    fn working(&self) -> usize {
        self.serving.iter().filter(|s| s.is_claimed()).count()
    }

    fn work_as(&self, serving: &Serving<Channel<H::Peer>>) {
        let mut ticked = false;
        loop {
            if self.stopping.load(Ordering::Relaxed) {
                self.close_down();
                self.stop.raise(); // One edge wakes one worker: pass it on.
                return;
            }
            let mut won = if ticked { self.role.try_take() } else { self.role.take_or_poke() };
            if won {
                self.take_over(serving, ticked);
                self.scan(serving, ticked);
                if self.stopping.load(Ordering::Relaxed) {
                    continue;
                }
                // The role was lost to another worker, or given up to sleep.
                if self.role.is_vacant() && self.asleep_since.load(Ordering::Relaxed) == 0 {
                    ticked = false;
                    continue;
                }
            }
            // [P10] whoever has left the role for long either sees this worker idle, or is seen by it.
            won = self.idle.begin() && self.role.try_take();
            if won {
                self.idle.end();
                self.take_over(serving, false);
                self.scan(serving, false);
                ticked = false;
                continue;
            }
            crate::fail_point!(Sleeping);
            ticked = self.listen(None);
            crate::fail_point!(Awake);
            self.idle.end();
        }
    }

    fn change(&self, change: Change<H::Peer>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        self.attention.store(true, Ordering::Release);
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Connection<H::Peer>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the role and looks for requests until the role is lost, or given up to sleep or to stop.
    fn scan(&self, serving: &Serving<Channel<H::Peer>>, ticked: bool) {
        // SAFETY: this thread holds the role; the reference ends before the role is given up (it is not used after
        // `serve` has said `Lost`, nor after a successful `commit_to_sleep`).
        let mut hold = unsafe { &mut *self.hold.get() };
        self.idle.held();
        crate::fail_point!(RoleTaken);
        // [P17] whoever put them there may be in a handler that takes long, perhaps until one of them has gone on.
        hold.late.wake_all();
        if self.asleep_since.load(Ordering::Relaxed) != 0 {
            self.awake(hold);
        }
        let (mut passes, mut found_any) = (0u32, false);
        let (mut idle_since, mut idle_until, mut yields) = (0, 0, 0);
        loop {
            if self.attention.load(Ordering::Relaxed) && self.attend(hold) {
                hold.late.wake_all();
                self.role.give_up();
                return;
            }
            let found = match hold.next(passes % PASSES_PER_QUEUE == 0 || !hold.late.is_empty()) {
                Some(found) => found,
                None => {
                    passes += 1;
                    if passes < hold.first_passes || passes % PASSES_PER_READING.min(hold.first_passes) != 0 {
                        spin_hint();
                        continue;
                    }
                    if hold.late.wake_one() {
                        passes = 0;
                        continue;
                    }
                    let now = clock::now();
                    if idle_since == 0 {
                        idle_since = now;
                        idle_until = now.saturating_add(self.worth_spinning(hold));
                        yields = if hold.first_passes < FIRST_PASSES && self.gap.is_adaptive() { YIELDS } else { 0 };
                    }
                    if yields != 0 && self.yielding.give_way() {
                        (passes, yields) = (0, yields - 1);
                        continue;
                    }
                    if now < idle_until {
                        hold.work += 16;
                        if hold.work >= WORK_PER_POLL {
                            self.glance(hold);
                        }
                        continue;
                    }
                    if ticked && !found_any && hold.ticking {
                        hold.ticking = false;
                        self.tick.every(0);
                    }
                    match self.prepare_to_sleep(hold, idle_since) {
                        // Not inside of `prepare_to_sleep`: its reference to the data of the role would outlive the role.
                        Sleep::Ready if self.role.commit_to_sleep() => return,
                        Sleep::Ready | Sleep::Again => {
                            self.awake(hold);
                            passes = 0;
                            continue;
                        }
                        Sleep::Found(found) => {
                            self.awake(hold);
                            found.renewed()
                        }
                    }
                }
            };
            let has_waited = idle_since != 0;
            if has_waited {
                self.gap.learn(clock::now().saturating_sub(idle_since));
                idle_since = 0;
            }
            (passes, found_any) = (0, true);
            hold.count(found.spot.at);
            let measure = if hold.served == hold.pause_at { self.pause(hold) } else { Measure::Not };
            let after = if has_waited || measure != Measure::Not {
                self.serve_measured(serving, found.renewed(), !has_waited && measure == Measure::ForOthers)
            } else {
                self.serve::<false>(serving, found, false)
            };
            if after == After::Lost {
                return;
            }
            // SAFETY: as above: `serve` took the role again.
            hold = unsafe { &mut *self.hold.get() };
        }
    }

    /// How long the holder goes on looking before it sleeps, in nanoseconds.
    fn worth_spinning(&self, hold: &mut Hold<H::Peer>) -> u64 {
        let core = clock::core();
        if hold.core != core || hold.late.has_told_other(core) {
            hold.core = core;
            for scanned in hold.channels.iter().flatten() {
                scanned.channel.segment.callee_flags().core.store(core, Ordering::Relaxed);
            }
        }
        // Spinning keeps a caller from running that is on this very core.
        let is_here =
            |channel: &Channel<_>| core != 0 && channel.segment.caller_flags().core.load(Ordering::Relaxed) == core;
        let shared = self.single_core || hold.only_caller().is_some_and(is_here);
        hold.first_passes = if shared { PASSES_IN_VAIN } else { FIRST_PASSES };
        self.gap.worth_spinning(shared)
    }

    /// Deals with what other threads left for the holder. `true`: the callee is stopping.
    #[cold]
    fn attend(&self, hold: &mut Hold<H::Peer>) -> bool {
        self.attention.store(false, Ordering::Relaxed);
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            match change {
                Change::Add(channel) => hold.add(channel),
                Change::HungUp(id) => {
                    hold.hang_up(id);
                }
            }
        }
        let mut again = false;
        for at in 0..hold.channels.len() {
            let leaving = hold.channels.get(at).is_some_and(|c| c.as_ref().is_some_and(|c| c.hung_up));
            if leaving {
                match hold.retire(at) {
                    Some(channel) => {
                        crate::fail_point!(ChannelRetired);
                        self.ended(&channel);
                    }
                    None => again = true,
                }
            }
        }
        self.sweep(hold);
        self.arm(hold);
        let stopping = self.stopping.load(Ordering::Relaxed);
        if again || stopping {
            self.attention.store(true, Ordering::Relaxed); // The next holder is to see it too.
        }
        stopping
    }

    /// Lets go of the retired channels that no worker uses any more. [P11] The socket is closed here, after the channel was
    /// retired under the role: a caller that sees the hang-up sees every `taken` there will be. (A condemned channel is shut
    /// down earlier; its caller broke the protocol, and what it concludes is its own affair.)
    fn sweep(&self, hold: &mut Hold<H::Peer>) {
        hold.retired.retain(|channel| {
            let address = Arc::as_ptr(channel);
            let used = self.serving.iter().any(|s| s.serves(address)); // [P19]
            if !used {
                self.poll.remove(channel.socket());
                self.connections().remove(&channel.id);
            }
            used
        });
    }

    /// Looks at the epoll set now and then while busy: hang-ups, connections, and what can be let go.
    #[cold]
    fn glance(&self, hold: &mut Hold<H::Peer>) {
        hold.work = 0;
        self.sweep(hold);
        self.listen(Some(0));
        // One that does not sleep would keep those who have rung and left.
        self.empty_doorbells();
    }

    /// What is to be done now and then while requests are served.
    #[cold]
    fn pause(&self, hold: &mut Hold<H::Peer>) -> Measure {
        hold.note_work();
        if hold.work >= WORK_PER_POLL {
            self.glance(hold);
        }
        if !hold.late.is_empty() {
            hold.late.wake_due(clock::now());
        }
        hold.pause()
    }

    /// The process is awake again.
    #[cold]
    fn awake(&self, hold: &mut Hold<H::Peer>) {
        hold.awake();
        self.asleep_since.store(0, Ordering::Relaxed);
        hold.look_at_all();
        self.arm(hold);
    }

    /// Arms the tick, if there may be somebody to hear it.
    fn arm(&self, hold: &mut Hold<H::Peer>) {
        if !hold.ticking && (self.base > 1 || self.has_spares.load(Ordering::Relaxed)) {
            hold.ticking = true;
            self.tick.every(TICK_MS);
        }
    }

    /// The sleep rule (section "Sleeping" of docs/protocol.md) up to where the role is given up.
    #[cold]
    fn prepare_to_sleep(&self, hold: &mut Hold<H::Peer>, idle_since: u64) -> Sleep<H::Peer> {
        self.sweep(hold);
        hold.late.wake_all(); // [P17]
        if let Some(found) = hold.unwatch_all() {
            return Sleep::Found(found);
        }
        self.empty_doorbells();
        for scanned in hold.channels.iter().flatten() {
            doorbell::raise_one(&scanned.channel.segment.callee_flags().asleep);
        }
        doorbell::raised(); // [P4]
        crate::fail_point!(FlagsRaised);
        if hold.channels.iter().flatten().any(Scanned::is_ready) || self.attention_is_due(hold) {
            return Sleep::Again;
        }
        self.asleep_since.store(idle_since.max(1), Ordering::Relaxed);
        Sleep::Ready
    }

    /// Is there anything to attend to but retired channels, which the workers that use them bring up again?
    fn attention_is_due(&self, hold: &Hold<H::Peer>) -> bool {
        self.stopping.load(Ordering::Relaxed)
            || !self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || hold.channels.iter().flatten().any(|c| c.hung_up)
    }

    /// Serves a request, and those that arrive where only this worker can know of them. The role is held on entry, so the
    /// channel found is alive. No reference to the data of the role is passed in: it would outlive the role.
    ///
    /// `MEASURED`: how long the first one takes is noted; it stands for others if it `is_in_a_row`.
    #[inline(always)]
    fn serve<const MEASURED: bool>(
        &self,
        serving: &Serving<Channel<H::Peer>>,
        found: Found<H::Peer>,
        is_in_a_row: bool,
    ) -> After {
        let Found { spot: Spot { mut channel, head: mut word, mut at, mut block }, mut seen, mut place } = found;
        let (mut held, mut measured) = (true, MEASURED);
        loop {
            // SAFETY: with the role held, `hold.channels` keeps the channel alive; without it, the `serving` entry stored
            // below does: a retirer frees only channels that no entry names, and it saw ours because we stored it before
            // we gave the role up (P5).
            let here = unsafe { &*channel };
            // SAFETY: the head of a block of that channel; atomics only.
            let head = unsafe { &*word };
            crate::fail_point!(RequestFound);
            let served = match self.take(here, word, block, seen) {
                Ok(Some(served)) => served,
                Ok(None) => return self.done(serving, held),
                Err(corrupt) => {
                    here.condemn(corrupt);
                    return self.done(serving, held);
                }
            };
            let timing = if measured { Timing::begin(is_in_a_row) } else { Timing::NONE };
            measured = false;
            if held {
                here.count();
                serving.begin(channel); // [P19]
                self.role.give_up(); // [P5] from here on `hold` is not ours.
            } else {
                here.count_without_role();
            }
            crate::fail_point!(RoleGivenUp);
            let mut call = match Call::new(here, head, block) {
                Ok(call) => call,
                Err(corrupt) => return self.misplaced(serving, here, block, corrupt),
            };
            if MEASURED {
                here.begin_timing(block, timing);
            }
            let method = call.method();
            let is_counted = || tallies::count(serving.row.get(), usize::from(method));
            let (status, len) = if self.methods.is_short(method) && is_counted() {
                self.handler.call(&here.peer, &mut call)
            } else {
                self.call_long(serving, here, &mut call)
            };
            crate::fail_point!(HandlerEnded);
            let state = call.finish(status, len);
            if state & (BUSY | KEEPS) != 0 {
                if state & KEEPS != 0 {
                    here.end_timing(block, call.method(), (call.request_len(), len));
                    // Not watched: the block does not come again soon.
                    here.answer(head, block, state);
                }
                return self.deferred(serving, call.method());
            }
            if MEASURED {
                here.take_timing(block);
            }
            served.state.store(state, Ordering::Relaxed);
            let watched = place != NO_PLACE && self.role.is_vacant();
            crate::fail_point!(ReplyWritten);
            let finished = handover::finish(&head.word, watched);
            crate::fail_point!(Answered);
            if MEASURED {
                self.statistics.ended(named(call.method()), timing, (call.request_len(), len));
            }
            let won = match finished {
                Ok(Tell { wake: false, announce: false }) => self.role.try_take(),
                Ok(tell) => self.tell(here, head, block, tell),
                Err(corrupt) => {
                    here.condemn(corrupt);
                    self.role.try_take()
                }
            };
            if won {
                crate::fail_point!(RoleWonBack);
                // SAFETY: this thread holds the role again, and the reference ends before it gives the role up.
                let hold = unsafe { &mut *self.hold.get() };
                if self.asleep_since.load(Ordering::Relaxed) != 0 {
                    self.awake(hold);
                    self.learn(serving, call.method());
                }
                serving.end();
                if !watched {
                    return After::Held;
                }
                held = true;
                if here.is_well() {
                    if hold.watch_again(word, place) {
                        return After::Held;
                    }
                    let evicted = hold.watch(Spot { channel, head: word, at, block });
                    let Some(evicted) = evicted else { return After::Held };
                    // The request of another watched block has arrived, and nobody else knows.
                    Found { spot: Spot { channel, head: word, at, block }, seen, place } = evicted;
                } else if let Some(arrived) = self.has_arrived(here, head) {
                    seen = arrived;
                } else {
                    return After::Held; // The channel has ended since, and nobody will look again.
                }
            } else {
                let arrived = if watched { self.has_arrived(here, head) } else { None };
                let Some(arrived) = arrived else {
                    self.learn(serving, call.method());
                    return self.done(serving, false);
                };
                (held, seen) = (false, arrived); // While nobody else could know: served here, without the role.
            }
        }
    }

    /// [`Shared::serve`] for one call of many.
    #[cold]
    #[inline(never)]
    fn serve_measured(&self, serving: &Serving<Channel<H::Peer>>, found: Found<H::Peer>, is_in_a_row: bool) -> After {
        self.serve::<true>(serving, found, is_in_a_row)
    }

    /// S2, second half, where somebody is to be told, and the try for the role that follows: `true` if it was won.
    ///
    /// In a crowd who is to be woken goes on the list of the role, if there is a worker who hears the tick should this one turn
    /// to a handler that does not come back.
    #[cold]
    #[inline(never)]
    fn tell(&self, here: &Channel<H::Peer>, head: &BlockHead, block: u32, tell: Tell) -> bool {
        let crowded = tell.wake && !tell.announce && self.crowded.load(Ordering::Relaxed);
        if !crowded {
            here.tell(head, block, tell);
        }
        let won = self.role.try_take();
        // Looked at with the role: a worker that has taken it meanwhile is not idle any more.
        let later = if crowded && won && !self.idle.is_empty() { here.this.upgrade() } else { None };
        if crowded && later.is_none() {
            here.tell(head, block, tell);
        }
        if won && tell.wake {
            let now = clock::now();
            // SAFETY: this thread holds the role, and the reference ends before it gives the role up.
            let hold = unsafe { &mut *self.hold.get() };
            hold.crowd.learn(here, hold.served, now);
            self.crowded.store(hold.crowd.is_there(), Ordering::Relaxed);
            if let Some(channel) = later {
                hold.late.add(channel, block, now); // [P17]
            }
        }
        won
    }

    /// S3, for a promise that nobody is to keep: gives its request if that has arrived.
    #[cold]
    fn has_arrived(&self, channel: &Channel<H::Peer>, head: &BlockHead) -> Option<Seen> {
        let arrived = handover::unwatch(&head.word);
        match arrived.and_then(|arrived| arrived.then(|| handover::request(&head.word)).transpose()) {
            Ok(arrived) => arrived.filter(|_| !channel.is_broken()),
            Err(corrupt) => {
                channel.condemn(corrupt);
                None
            }
        }
    }

    /// What the peer says of its request cannot be: answers it, so that its caller does not wait for the hang-up.
    #[cold]
    #[inline(never)]
    fn misplaced(
        &self,
        serving: &Serving<Channel<H::Peer>>,
        channel: &Channel<H::Peer>,
        block: u32,
        corrupt: Corrupt,
    ) -> After {
        channel.condemn(corrupt);
        if let (Some(served), Some(head)) = (channel.blocks.get(block as usize), channel.segment.block(block)) {
            served.state.store(0, Ordering::Relaxed);
            if let Ok(tell) = handover::finish(&head.word, false) {
                channel.tell(head, block, tell);
            }
        }
        self.deferred(serving, RELEASE)
    }

    /// The call goes on elsewhere, or its request is kept: the block is not ours any more.
    #[cold]
    fn deferred(&self, serving: &Serving<Channel<H::Peer>>, method: u16) -> After {
        let held = self.role.try_take();
        self.learn(serving, method);
        serving.end();
        if !held {
            return After::Lost;
        }
        if self.asleep_since.load(Ordering::Relaxed) != 0 {
            // SAFETY: this thread holds the role again, and the reference ends before it gives the role up.
            self.awake(unsafe { &mut *self.hold.get() });
        }
        After::Held
    }

    fn done(&self, serving: &Serving<Channel<H::Peer>>, held: bool) -> After {
        if held {
            return After::Held;
        }
        serving.end();
        After::Lost
    }

    /// S1: takes a block in whose word that was `seen`, or refuses the request. Gives what is remembered of the block if the
    /// handler is to run.
    #[inline(always)]
    fn take<'c>(
        &self,
        channel: &'c Channel<H::Peer>,
        at: *const BlockHead,
        block: u32,
        seen: Seen,
    ) -> Result<Option<&'c Served>, Corrupt> {
        // SAFETY: the head of a block of that channel, as it was found; atomics only.
        let head = unsafe { &*at };
        let Some(served) = channel.blocks.get(block as usize) else { return Ok(None) };
        let deadline = head.deadline.load(Ordering::Relaxed);
        let plain = seen == Seen::Run && deadline == 0 && served.state.load(Ordering::Relaxed) == 0;
        if !plain && !self.may_run(channel, (head, block), served, seen, deadline)? {
            return Ok(None);
        }
        served.state.store(BUSY, Ordering::Relaxed);
        let count = served.begun.load(Ordering::Relaxed).wrapping_add(1);
        served.begun.store(count, Ordering::Relaxed);
        let taken = at.wrapping_byte_add(TAKEN as usize).cast::<AtomicU32>();
        // SAFETY: the pointer is good for the whole block, in which `taken` lies, aligned; atomic.
        handover::take(unsafe { &*taken }, count); // [P8]
        crate::fail_point!(Taken);
        Ok(Some(served))
    }

    /// Is a request to run that has something to it? If there is one and it is not, answers it.
    #[inline(never)]
    fn may_run(
        &self,
        channel: &Channel<H::Peer>,
        (head, block): (&BlockHead, u32),
        served: &Served,
        seen: Seen,
        deadline: u64,
    ) -> Result<bool, Corrupt> {
        let mut refuse = match seen {
            Seen::Nothing => return Ok(false), // Only a hint.
            Seen::Refuse => true,
            Seen::Run => deadline != 0 && clock::now() >= deadline,
        };
        let before = served.state.load(Ordering::Relaxed);
        if before & BUSY != 0 || before & KEEPS != 0 && served.keeping.is_kept() {
            return Err(Corrupt(u64::from(block)));
        }
        if before & HOLDS_REPLY != 0 {
            channel.release_reply(block);
            served.state.store(0, Ordering::Relaxed);
            refuse |= head.method.load(Ordering::Relaxed) == RELEASE;
        }
        if refuse {
            channel.refuse(head, block, NOT_RUN);
        }
        Ok(!refuse)
    }
}

enum Sleep<P> {
    /// Nothing is left to do but [`Role::commit_to_sleep`].
    Ready,
    Again,
    Found(Found<P>),
}

/// Holds the scanner role between steps.
pub struct Stepper<'a, H: Handler> {
    callee: &'a Shared<H>,
    serving: &'a Serving<Channel<H::Peer>>,
}

impl<H: Handler> std::fmt::Debug for Stepper<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").finish_non_exhaustive()
    }
}

impl<H: Handler> Stepper<'_, H> {
    /// Looks once at everything and serves at most one request; never waits. `true`: a request was served.
    #[inline]
    pub fn step(&mut self) -> bool {
        let callee = self.callee;
        // SAFETY: this thread holds the role; the reference is not used after `serve`.
        let hold = unsafe { &mut *callee.hold.get() };
        if callee.attention.load(Ordering::Relaxed) {
            callee.attend(hold);
        }
        let Some(found) = hold.next(true) else {
            hold.late.wake_all();
            callee.glance(hold);
            return false;
        };
        if callee.serve::<false>(self.serving, found, false) == After::Lost {
            while !callee.role.try_take() {
                spin_hint();
            }
        }
        true
    }
}

impl<H: Handler> Drop for Stepper<'_, H> {
    fn drop(&mut self) {
        // SAFETY: this thread holds the role; the reference is not used after this line.
        unsafe { &mut *self.callee.hold.get() }.late.wake_all();
        self.callee.role_is_kept.store(false, Ordering::Relaxed);
        self.callee.role.give_up();
        self.serving.release();
    }
}

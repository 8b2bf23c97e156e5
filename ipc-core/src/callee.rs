//! The called side of a channel: its memory, and what is remembered of its blocks.
//!
//! # Trust
//! Every word of a block head is written by the peer: each is loaded once into a local and judged against the geometry.
//! What lies where is decided here; what the bytes mean is the handler's to check.
//!
//! `call.rs` is one call as a handler sees it, `place.rs` where its request and its reply lie; `deferred.rs` has calls that go
//! on when the handler has returned, `watch.rs` what others can ask about one.

mod call;
mod deferred;
mod place;
mod watch;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, PoisonError, Weak};

pub use call::Call;
pub use deferred::Deferred;
pub use place::Attached;
pub use watch::{CallHandle, CallWatch};

use crate::arena::Arena;
use crate::clock;
use crate::doorbell;
use crate::extent::Extent;
use crate::futex;
use crate::handover;
use crate::imports::Imports;
use crate::keeping::Keeping;
pub use crate::kept::Kept;
use crate::lane::{self, Cargo, Lane, Parcel, Undeliverable};
use crate::layout::{BRINGS_PARCEL, BlockHead, OWN_METHODS, RELEASE, STUB, named};
use crate::loan::{Lender, Loans};
use crate::memory::{Memory, MemoryUsage};
use crate::poll::Signal;
use crate::queue::{Kind, Producer};
use crate::segment::Segment;
use crate::socket::{self, Drained};
use crate::statistics::{Statistics, Timing};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, Sum};
use crate::word::{self, Corrupt, Seen, Tell};

/// What a handshake has to say about a new connection.
#[derive(Debug)]
pub struct Greeting<P> {
    /// Sent back to the peer.
    pub answer: Vec<u8>,
    /// The segment the peer has brought and what the handler wants to remember of it; `None`: refused.
    pub accepted: Option<(Segment, P)>,
}

/// An answer to a question that is no greeting: a packet, and descriptors that go along, at most four.
#[derive(Debug)]
pub struct Reply {
    /// The packet.
    pub packet: Vec<u8>,
    /// What goes along.
    pub descriptors: Vec<OwnedFd>,
    /// The connection is to be kept, however many others come that say nothing.
    pub stays: bool,
}

/// What a channel has in use; see [`Callee::each_channel`](crate::scanner::Callee::each_channel).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelUsage {
    /// Tells channels of one callee apart.
    pub id: u64,
    /// When it was made, in nanoseconds of `CLOCK_MONOTONIC`.
    pub since: u64,
    /// Requests that were begun.
    pub calls: u64,
    /// Requests that were sent and have not begun.
    pub queued: u32,
    /// Calls that have begun and are not answered: the method's number as the peer says, and since when they are known to run,
    /// in nanoseconds of `CLOCK_MONOTONIC`.
    pub running: Vec<(u16, u64)>,
    /// Call blocks.
    pub blocks: u32,
    /// The callee's arena, where large replies lie.
    pub memory: MemoryUsage,
}

/// What runs the calls of a callee.
pub trait Handler: Send + Sync + 'static {
    /// What is remembered of each connection.
    type Peer: Send + Sync + 'static;

    /// Judges a new connection by its first packet, the descriptors that came with it, and what the kernel says of the peer of
    /// its socket. `channels` are open already.
    fn greet(
        &self,
        hello: &[u8],
        descriptors: Vec<OwnedFd>,
        socket: BorrowedFd<'_>,
        channels: usize,
    ) -> Greeting<Self::Peer>;

    /// How many methods there are, with numbers from 0 on.
    fn methods(&self) -> usize {
        0
    }

    /// Is the first packet of a connection a question that is no greeting? Then what to answer; nothing else follows.
    fn answers(&self, hello: &[u8], descriptors: &mut Vec<OwnedFd>, socket: BorrowedFd<'_>) -> Option<Reply> {
        let _ = (hello, descriptors, socket);
        None
    }

    /// Is the first packet of a connection one of a successor, who is to have the listener? Then what to answer, as an error if
    /// it is not given away.
    fn hands_over(&self, hello: &[u8], socket: BorrowedFd<'_>) -> Option<Result<Vec<u8>, Vec<u8>>> {
        let _ = (hello, socket);
        None
    }

    /// What the replies to each connection may use, and what is kept for them.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// A successor has the listener: nobody else connects here any more.
    fn handed_over(&self) {}

    /// Runs one call; gives its status and, after a reply was written to [`Call::reply_buffer`], the bytes of it. The call
    /// has run by that, so it is not one that says the opposite ([`was_begun`](crate::layout::was_begun)). Must not unwind.
    fn call(&self, peer: &Self::Peer, call: &mut Call<'_, Self::Peer>) -> (u16, usize);

    /// Does the peer read replies where they lie, so that they can refer to loans? Asked once for each connection.
    fn may_borrow(&self, peer: &Self::Peer) -> bool {
        let _ = peer;
        false
    }

    /// May a call of this method take long, because it waits for others? Somebody else is kept looking for requests then.
    /// The answer is always the same for a method number.
    fn is_long(&self, peer: &Self::Peer, method: u16) -> bool {
        let _ = (peer, method);
        false
    }

    /// The connection is gone: no call of it begins any more, others may still run or be deferred. `why` says what the peer
    /// did wrong, if anything. Comes once for each connection, before [`Callee`](crate::scanner::Callee) is gone. Must neither
    /// wait nor unwind: requests of others wait meanwhile.
    fn ended(&self, peer: &Self::Peer, why: Option<Corrupt>) {
        let _ = (peer, why);
    }
}

/// Nanoseconds that a caller has to make room for the descriptors of a reply. One that lives empties its socket at once.
const PATIENCE: u64 = 100_000_000;

/// The block is being served.
pub(crate) const BUSY: u8 = 1;
/// An extent of the callee's arena holds the block's last reply.
pub(crate) const HOLDS_REPLY: u8 = 2;
/// Its last answer said that the request is kept; [`Served::keeping`] knows whether it still is.
pub(crate) const KEEPS: u8 = 4;

/// What the callee remembers of a block. Private, so that a hostile second hint meets it. Plain stores, under the role or
/// by the worker that serves the block, ordered by P5 and by P2 + P1.
#[derive(Debug)]
pub(crate) struct Served {
    /// [`BUSY`], [`HOLDS_REPLY`], [`KEEPS`].
    pub(crate) state: AtomicU8,
    /// How many of its requests were begun.
    pub(crate) begun: AtomicU32,
    /// How many were begun and turned out not to have run: they are not in `begun`, so that one count does not tell two
    /// calls apart.
    unrun: AtomicU32,
    /// Who keeps its request beyond the call. Changed by anybody at any time.
    pub(crate) keeping: Keeping,
}

impl Default for Served {
    fn default() -> Self {
        let (begun, unrun) = (AtomicU32::new(word::FIRST), AtomicU32::new(0));
        Served { state: AtomicU8::new(0), begun, unrun, keeping: Keeping::new() }
    }
}

impl Served {
    /// Tells the call that runs now from all others of the block.
    fn call(&self) -> (u32, u32) {
        (self.begun.load(Ordering::Relaxed), self.unrun.load(Ordering::Relaxed))
    }
}

/// The peer broke the protocol.
pub(crate) const BROKEN: u8 = 1;
/// The peer has hung up, as it seems.
pub(crate) const GONE: u8 = 2;
/// Not scanned any more; set under the role.
pub(crate) const RETIRED: u8 = 4;
/// The handler knows that it has ended.
pub(crate) const ENDED: u8 = 8;

/// A call that was found running.
#[derive(Debug)]
struct Running {
    /// Which one of its block it is.
    call: (u32, u32),
    /// When it was found.
    since: u64,
}

/// The called side of one channel.
#[derive(Debug)]
pub(crate) struct Channel<P> {
    pub(crate) segment: Segment,
    pub(crate) socket: OwnedFd,
    pub(crate) id: u64,
    pub(crate) peer: P,
    pub(crate) blocks: Box<[Served]>,
    /// Its doorbell was heard, and is to be emptied.
    pub(crate) rung: AtomicBool,
    pub(crate) this: Weak<Channel<P>>,
    /// Which one of the answers that woke somebody was the last one of this channel; see [`Crowd`](crate::late::Crowd).
    pub(crate) woken: AtomicU32,
    announcements: Producer,
    pub(crate) lane: Lane,
    /// Makes one who sleeps look for requests.
    wake: Arc<Signal>,
    arena: Arc<Arena>,
    statistics: Arc<Statistics>,
    /// When it was made.
    since: u64,
    /// Requests begun by who had the role; and by others, less those that are the framework's own.
    calls: Sum,
    calls_without_role: Sum,
    /// When the call of a block began, if it is one that is measured: a [`Timing`]. Made when there is the first.
    timings: OnceLock<Box<[AtomicU64]>>,
    /// The calls that a look at what is in use has found running, by block.
    found_running: Mutex<HashMap<u32, Running>>,
    loans: Loans,
    pub(crate) imports: Imports,
    /// The extents that hold replies, by block. An extent is free again when its block is lent again: the caller has read
    /// the reply then, and a block has one reply at a time, so there is nothing to count and nothing that can pile up.
    replies: Mutex<HashMap<u32, Extent>>,
    /// [`BROKEN`], [`GONE`], [`RETIRED`], [`ENDED`]: 0 as long as all is well.
    fate: AtomicU8,
    why: Mutex<Option<Corrupt>>,
}

impl<P> Channel<P> {
    pub(crate) fn new(
        segment: Segment,
        socket: OwnedFd,
        id: u64,
        peer: P,
        memory: &Memory,
        wake: Arc<Signal>,
        statistics: Arc<Statistics>,
    ) -> Arc<Self> {
        let geometry = *segment.geometry();
        let arena = Arena::new(&segment, geometry.callee_arena_at(), geometry.callee_arena());
        arena.use_memory(&segment, memory);
        Arc::new_cyclic(|this| Channel {
            this: this.clone(),
            woken: AtomicU32::new(0),
            rung: AtomicBool::new(false),
            blocks: (0..geometry.blocks()).map(|_| Served::default()).collect(),
            announcements: Producer::new(),
            lane: Lane::new(geometry.blocks()),
            statistics,
            since: clock::now(),
            calls: Sum::new(0),
            calls_without_role: Sum::new(0),
            timings: OnceLock::new(),
            found_running: Mutex::default(),
            wake,
            arena,
            loans: Loans::new(geometry.blocks()),
            imports: Imports::default(),
            replies: Mutex::default(),
            fate: AtomicU8::new(0),
            why: Mutex::new(None),
            segment,
            socket,
            id,
            peer,
        })
    }

    /// A request is begun by who has the role, and is the only one to write this.
    #[inline(always)]
    pub(crate) fn count(&self) {
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// A request is begun by somebody else.
    #[cold]
    pub(crate) fn count_without_role(&self) {
        self.calls_without_role.fetch_add(1, Ordering::Relaxed);
    }

    /// The request that was counted is none of a caller's, but the framework's own.
    #[cold]
    pub(crate) fn take_back_count(&self) {
        self.calls_without_role.fetch_sub(1, Ordering::Relaxed);
    }

    /// The call in `block` is one that is measured.
    pub(crate) fn begin_timing(&self, block: u32, timing: Timing) {
        let timings = self.timings.get_or_init(|| self.blocks.iter().map(|_| AtomicU64::new(0)).collect());
        if let Some(place) = timings.get(block as usize) {
            place.store(timing.0, Ordering::Relaxed);
        }
    }

    /// When the call in `block` began, if it is one that is measured; before the block can be lent again.
    pub(crate) fn take_timing(&self, block: u32) -> Timing {
        let Some(place) = self.timing(block) else { return Timing::NONE };
        let timing = Timing(place.load(Ordering::Relaxed));
        place.store(0, Ordering::Relaxed);
        timing
    }

    fn timing(&self, block: u32) -> Option<&AtomicU64> {
        self.timings.get()?.get(block as usize)
    }

    /// The call in `block` has so many bytes in files in place of a few in its memory: of its request, of its reply.
    #[cold]
    fn carries(&self, block: u32, method: u16, (request, reply): (usize, usize)) {
        let Some(timing) = self.timing(block).map(|place| Timing(place.load(Ordering::Relaxed))) else { return };
        let bytes = (request.saturating_sub(STUB), reply.saturating_sub(STUB));
        self.statistics.carried(named(method), timing, bytes);
    }

    /// The call in `block` ends with so many bytes; the block is not lent again yet.
    pub(crate) fn end_timing(&self, block: u32, method: u16, bytes: (u32, usize)) {
        self.statistics.ended(named(method), self.take_timing(block), bytes);
    }

    /// What is in use. `since` is when a call that runs was found running, if one was.
    pub(crate) fn in_use(&self, since: Option<u64>) -> ChannelUsage {
        let (now, mut queued, mut running) = (clock::now(), 0, Vec::new());
        let mut found = self.found_running.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *found);
        for (block, served) in (0..).zip(&self.blocks) {
            let Some(head) = self.segment.block(block) else { break };
            let is_busy = || served.state.load(Ordering::Relaxed) & BUSY != 0;
            let method = named(head.method.load(Ordering::Relaxed));
            if method >= OWN_METHODS {
                continue; // What streams and objects have to say, or wait to hear.
            }
            if is_busy() {
                let call = served.call();
                let known = before.get(&block).filter(|known| known.call == call).map(|known| known.since);
                let since = known.or(since).unwrap_or(now);
                if is_busy() && served.call() == call {
                    found.insert(block, Running { call, since });
                    running.push((method, since));
                }
            } else if matches!(word::seen(head.word.load(Ordering::Relaxed)), Ok(Seen::Run)) {
                queued += 1;
            }
        }
        let calls = self.calls.load(Ordering::Relaxed).wrapping_add(self.calls_without_role.load(Ordering::Relaxed));
        // One may be taken back of which the count was not seen.
        let calls = calls.cast_signed().max(0).cast_unsigned();
        let (blocks, memory) = (self.segment.geometry().blocks(), self.arena.usage());
        ChannelUsage { id: self.id, since: self.since, calls, queued, running, blocks, memory }
    }

    /// The peer reads replies where they lie: they may refer to loans from now on.
    pub(crate) fn allow_loans(&self) {
        self.loans.allow();
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The peer broke the protocol: ends the connection. The hang-up that follows retires the channel.
    #[cold]
    pub(crate) fn condemn(&self, why: Corrupt) {
        if self.meets(BROKEN) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            socket::shut_down(self.socket());
        }
    }

    /// The request in `block` was read: what was mapped for it goes.
    #[cold]
    pub(crate) fn end_imports(&self, block: u32) {
        if !self.imports.end(&self.segment, block) {
            // What later requests have there would not be seen.
            self.condemn(Corrupt(u64::from(block)));
        }
    }

    /// The parcel of the request in `block`.
    #[cold]
    fn take_parcel(&self, block: u32) -> Parcel {
        let (parcel, drained, rang) = self.lane.take(block, self.socket());
        self.heard(drained, rang);
        parcel
    }

    /// The socket was emptied by who is no scanner.
    fn heard(&self, drained: Drained, rang: bool) {
        if let Drained::Broken(why) = drained {
            self.condemn(why);
        }
        // A scanner that sleeps does not hear this ring any more.
        if rang {
            self.wake.raise();
        }
    }

    /// Sends a part of the parcel of the reply in `block`.
    fn send(&self, block: u32, cargo: Cargo, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        let meanwhile = || {
            let (drained, rang) = self.lane.empty(self.socket());
            self.heard(drained, rang);
        };
        lane::send(self.socket(), (block, cargo), descriptor, clock::now().saturating_add(PATIENCE), meanwhile)
    }

    /// Notes one of the bits of `fate`. `true`: it was not there before.
    pub(crate) fn meets(&self, fate: u8) -> bool {
        self.fate.fetch_or(fate, Ordering::Relaxed) & fate == 0
    }

    /// Is it scanned, and its peer there and honest as far as we know?
    #[inline(always)]
    pub(crate) fn is_well(&self) -> bool {
        self.fate.load(Ordering::Relaxed) == 0
    }

    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & BROKEN != 0
    }

    /// Has the peer hung up, or broken the protocol?
    pub(crate) fn is_gone(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & (BROKEN | GONE) != 0
    }

    /// The arena is full: gives back the replies of blocks that were lent again for nothing else, though nobody has looked at
    /// those requests yet: they may be found later than the one that needs the memory. `true`: there was one.
    #[cold]
    fn reclaim_replies(&self) -> bool {
        let mut replies = self.replies();
        let is_lent_for_release = |block: u32| {
            let Some(head) = self.segment.block(block) else { return false };
            // [P1] acquire: the caller has read the reply before it lent the block. A caller that writes `RELEASE` while
            // its reply is still being given spoils its own replies only: an extent is taken out of the map once.
            matches!(word::seen(head.word.load(Ordering::Acquire)), Ok(Seen::Run | Seen::Refuse))
                && head.method.load(Ordering::Relaxed) == RELEASE
        };
        let lent: Vec<u32> = replies.keys().copied().filter(|block| is_lent_for_release(*block)).collect();
        let free: Vec<Extent> = lent.iter().filter_map(|block| replies.remove(block)).collect();
        // Under the lock, which whoever serves one of these blocks next takes first: what its next reply refers to is not theirs.
        lent.iter().for_each(|block| self.loans.unpin(*block, &self.arena));
        drop(replies);
        let any = !free.is_empty();
        free.into_iter().for_each(|extent| self.arena.free(extent));
        any
    }

    fn replies(&self) -> MutexGuard<'_, HashMap<u32, Extent>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks whose call has begun and is not answered; extents that hold replies; the callee's arena.
    pub(crate) fn usage(&self) -> (usize, usize, MemoryUsage) {
        let busy = self.blocks.iter().filter(|b| b.state.load(Ordering::Relaxed) & BUSY != 0).count();
        (busy, self.replies().len(), self.arena.usage())
    }

    pub(crate) fn why(&self) -> Option<Corrupt> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block is lent again: its last reply has been read.
    #[cold]
    pub(crate) fn release_reply(&self, block: u32) {
        let extent = self.replies().remove(&block);
        self.loans.unpin(block, &self.arena);
        if let Some(extent) = extent {
            self.arena.free(extent);
            crate::fail_point!(ReplyFreed);
        }
    }

    /// S2 for a request that is not run.
    pub(crate) fn refuse(&self, head: &BlockHead, block: u32, status: u16) {
        let method = head.method.load(Ordering::Relaxed);
        if method != RELEASE {
            self.statistics.failed(named(method), status);
        }
        if method & BRINGS_PARCEL != 0 && method != RELEASE {
            self.lane.discard(block);
        }
        head.status.store(status, Ordering::Relaxed);
        head.reply_len.store(0, Ordering::Relaxed);
        let finished = handover::finish(&head.word, false);
        crate::fail_point!(CallRefused);
        match finished {
            Ok(tell) => self.tell(head, block, tell),
            Err(corrupt) => self.condemn(corrupt),
        }
    }

    /// S2, second half: tells whoever waits for the answer of `block`.
    #[inline]
    pub(crate) fn tell(&self, head: &BlockHead, block: u32, tell: Tell) {
        if tell.wake || tell.announce {
            self.tell_slow(head, block, tell);
        }
    }

    /// Wakes who sleeps on the word of a block that was answered at `since`.
    pub(crate) fn wake(&self, head: &BlockHead, since: u64) {
        self.segment.caller_flags().woken_at.store(since, Ordering::Relaxed);
        futex::wake(&head.word);
        crate::fail_point!(CallerWoken);
    }

    #[cold]
    fn tell_slow(&self, head: &BlockHead, block: u32, tell: Tell) {
        if tell.wake {
            self.wake(head, clock::now());
        }
        if tell.announce {
            self.announce(Kind::Announcement, block);
        }
    }

    fn announce(&self, kind: Kind, block: u32) {
        let at = self.segment.geometry().block_at(block);
        self.announcements.push(self.segment.announcement_cells(), kind, at);
        if doorbell::must_ring(&self.segment.caller_flags().asleep) {
            socket::ring(self.socket()); // [P4]
            crate::fail_point!(Rung);
        }
    }

    /// S2 without a promise to watch, by who need not have the role; `state` is what is to be remembered of the block.
    #[cold]
    pub(crate) fn answer(&self, head: &BlockHead, block: u32, state: u8) {
        let Some(served) = self.blocks.get(block as usize) else { return };
        // Before S2, behind which the caller may lend the block again.
        served.state.store(state, Ordering::Relaxed);
        crate::fail_point!(ReplyWritten);
        let finished = handover::finish(&head.word, false);
        crate::fail_point!(AnsweredLate);
        match finished {
            Ok(tell) => self.tell(head, block, tell),
            Err(corrupt) => self.condemn(corrupt),
        }
        if state & KEEPS != 0 && served.keeping.answered() {
            self.give_back(block);
        }
    }

    /// Nobody keeps the request of an answered block any more: tells its caller.
    #[cold]
    pub(crate) fn give_back(&self, block: u32) {
        crate::fail_point!(KeptDropped);
        self.end_imports(block);
        self.announce(Kind::Release, block);
    }
}

impl<P: Send + Sync + 'static> Lender for Channel<P> {
    fn loans(&self) -> &Loans {
        &self.loans
    }

    fn segment(&self) -> &Segment {
        &self.segment
    }

    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn this(&self) -> Option<Arc<dyn Lender>> {
        Some(self.this.upgrade()?)
    }
}

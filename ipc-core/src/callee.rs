//! The called side of a channel: its memory, and one call as a handler sees it.
//!
//! # Trust
//! Every word of a block head is written by the peer: each is loaded once into a local and judged against the geometry.
//! What lies where is decided here; what the bytes mean is the handler's to check.
//!
//! # Safety
//! One copy of a reply that outgrows its memory.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock, PoisonError, Weak};

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
use crate::layout::{
    ABANDONED, BRINGS_PARCEL, BlockHead, EXTENT_START, INLINE, INLINE_ROOM, KEPT, LOANED, MAX_MESSAGE, RELEASE,
    REPLIED, SENDS_PARCEL, named, was_begun,
};
use crate::loan::{Lender, Loan, Loans};
use crate::memory::{Memory, MemoryUsage, NoMemory};
use crate::poll::Signal;
use crate::queue::{Kind, Producer};
use crate::segment::{Area, Segment};
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
    /// has run by that, so it is not one that says the opposite ([`was_begun`]). Must not unwind.
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
    /// Requests begun by who had the role, and by others.
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

    /// The call in `block` is one that is measured.
    pub(crate) fn begin_timing(&self, block: u32, timing: Timing) {
        let timings = self.timings.get_or_init(|| self.blocks.iter().map(|_| AtomicU64::new(0)).collect());
        if let Some(place) = timings.get(block as usize) {
            place.store(timing.0, Ordering::Relaxed);
        }
    }

    /// When the call in `block` began, if it is one that is measured; before the block can be lent again.
    pub(crate) fn take_timing(&self, block: u32) -> Timing {
        let Some(place) = self.timings.get().and_then(|timings| timings.get(block as usize)) else {
            return Timing::NONE;
        };
        let timing = Timing(place.load(Ordering::Relaxed));
        place.store(0, Ordering::Relaxed);
        timing
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
            if is_busy() {
                let (call, method) = (served.call(), named(head.method.load(Ordering::Relaxed)));
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

/// What is to be done when the handler has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Write the descriptor.
    Plain,
    /// That, and keep the extent that the reply lies in, if it does, and say that a parcel came along, if one did.
    Extent,
    /// The same if there is one, and say so if the request is kept.
    Kept,
    /// Nothing: the call goes on elsewhere.
    Deferred,
}

/// Where the request of a call lies, and where its reply goes.
#[derive(Debug)]
struct Place {
    block: u32,
    method: u16,
    end: Cell<End>,
    request_at: u32,
    request_len: u32,
    reply_at: u32,
    reply_room: u32,
    extent: Option<Extent>,
    /// The reply refers to loans.
    refers: bool,
    /// A parcel was sent for the reply.
    parcel: bool,
    /// Memory of a third process is mapped for the request.
    imports: bool,
}

impl Place {
    /// Reads the head of a block that has been taken; every word once.
    #[inline]
    fn read<P>(channel: &Channel<P>, head: &BlockHead, block: u32) -> Result<Self, Corrupt> {
        let segment = &channel.segment;
        let at = head.request_at.load(Ordering::Relaxed);
        let len = head.request_len.load(Ordering::Relaxed);
        let room = head.room.load(Ordering::Relaxed);
        let inline = segment.geometry().block_at(block) + INLINE;
        let fits = if at == inline && room <= INLINE_ROOM {
            true
        } else {
            room <= MAX_MESSAGE.saturating_add(1 << 19) && segment.bytes(Area::CallerArena, at, room).is_some()
        };
        if !fits || len > room {
            return Err(Corrupt(u64::from(at) << 32 | u64::from(len)));
        }
        // The reply starts where its address is 8 modulo 16, as every message does.
        let skip = (EXTENT_START.wrapping_sub(at + len) % 16).min(room - len);
        Ok(Place {
            block,
            method: head.method.load(Ordering::Relaxed),
            end: Cell::new(End::Plain),
            request_at: at,
            request_len: len,
            // `len <= room` and `at + room` is inside the segment, so none of these can overflow.
            reply_at: at + len + skip,
            reply_room: room - len - skip,
            extent: None,
            refers: false,
            parcel: false,
            imports: false,
        })
    }

    /// Address and number of the request's bytes.
    #[inline]
    fn request<P>(&self, channel: &Channel<P>) -> (NonNull<u8>, usize) {
        (channel.segment.pointer(self.request_at), self.request_len as usize)
    }

    #[inline]
    fn reply_buffer<P>(&self, channel: &Channel<P>) -> (NonNull<u8>, usize) {
        (channel.segment.pointer(self.reply_at), self.reply_room as usize)
    }

    fn grow_reply<P>(
        &mut self,
        channel: &Channel<P>,
        used: usize,
        needed: usize,
    ) -> Result<(NonNull<u8>, usize), NoMemory> {
        if self.end.get() == End::Deferred {
            return Err(NoMemory::fixed(needed));
        }
        let (from, room) = self.reply_buffer(channel);
        // SAFETY: the first `room` bytes at `from` are this call's until it is finished: the rest of the memory the caller
        // lent (in the caller's arena or its block), or our own extent.
        let grown = unsafe { channel.arena.grow(&channel.segment, &mut self.extent, from, used.min(room), needed) };
        if let Err(full) = grown {
            if !channel.reclaim_replies() {
                return Err(full);
            }
            // SAFETY: as above; a failed try has changed nothing.
            unsafe { channel.arena.grow(&channel.segment, &mut self.extent, from, used.min(room), needed)? };
        }
        crate::fail_point!(ReplyExtent);
        if let Some(extent) = &self.extent {
            if self.end.get() == End::Plain {
                self.end.set(End::Extent);
            }
            self.reply_at = extent.offset() + EXTENT_START;
            self.reply_room = extent.len() - EXTENT_START;
        }
        Ok(self.reply_buffer(channel))
    }

    fn attach<P>(&mut self, channel: &Channel<P>, data: NonNull<u8>, len: usize) -> Attached {
        let (Some(at), Ok(len)) = (channel.segment.offset_of(data), u32::try_from(len)) else { return Attached::No };
        if !channel.loans.are_allowed() || self.end.get() == End::Deferred {
            return Attached::No;
        }
        // The caller has the memory of its request for as long as it has the reply.
        let inside = at.wrapping_sub(self.request_at);
        if inside <= self.request_len && len <= self.request_len - inside {
            return Attached::Yes;
        }
        if self.extent.is_none() {
            return Attached::IfMoved;
        }
        let pinned = channel.loans.pin(self.block, at, len);
        self.refers |= pinned;
        if pinned { Attached::Yes } else { Attached::No }
    }

    #[cold]
    fn send<P>(&mut self, channel: &Channel<P>, cargo: Cargo, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        if self.end.get() == End::Deferred {
            return Err(Undeliverable::Closed);
        }
        channel.send(self.block, cargo, descriptor)?;
        if self.end.get() == End::Plain {
            self.end.set(End::Extent);
        }
        self.parcel = true;
        Ok(())
    }

    /// Writes the reply's descriptor into the block. S2 follows.
    #[inline]
    fn describe(&self, head: &BlockHead, status: u16, len: usize) -> u32 {
        let len = len.min(self.reply_room as usize) as u32;
        head.status.store(status, Ordering::Relaxed);
        head.reply_at.store(self.reply_at, Ordering::Relaxed);
        head.reply_len.store(len, Ordering::Relaxed);
        len
    }

    /// The same for a reply in an extent, which is kept; gives what is to be remembered of the block.
    #[cold]
    fn hold_reply<P>(&mut self, channel: &Channel<P>, head: &BlockHead, status: u16, len: usize, flags: u16) -> u8 {
        let refers = std::mem::take(&mut self.refers);
        if refers && status != REPLIED {
            channel.loans.unpin(self.block, &channel.arena);
        }
        // What the handler keeps stays mapped until it lets go of it.
        if std::mem::take(&mut self.imports) && flags & KEPT == 0 {
            channel.end_imports(self.block);
        }
        let mut flags = if refers && status == REPLIED { flags | LOANED } else { flags };
        if self.parcel {
            flags |= SENDS_PARCEL;
        }
        let len = self.describe(head, status | flags, len);
        let Some(mut extent) = self.extent.take() else { return 0 };
        if len == 0 {
            channel.arena.free(extent);
            return 0;
        }
        channel.arena.shrink(&mut extent, EXTENT_START + len);
        // A peer that lends a block twice can have two calls end in it.
        if let Some(other) = channel.replies().insert(self.block, extent) {
            channel.arena.free(other);
        }
        HOLDS_REPLY
    }

    /// The same for a call whose request may be kept, besides.
    #[cold]
    fn hold_request<P>(&mut self, channel: &Channel<P>, head: &BlockHead, status: u16, len: usize) -> u8 {
        let keeps = channel.blocks.get(self.block as usize).is_some_and(|served| served.keeping.answer());
        let state = self.hold_reply(channel, head, status, len, if keeps { KEPT } else { 0 });
        crate::fail_point!(RequestKept);
        if keeps { state | KEEPS } else { state }
    }

    fn keep<P>(&self, channel: &Channel<P>) -> Option<Kept<P>> {
        if self.end.get() == End::Deferred {
            return None;
        }
        self.end.set(End::Kept);
        Kept::new(channel.this.upgrade()?, self.block, self.request_at, self.request_len)
    }
}

/// Does a reply refer to memory where it lies?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attached {
    /// It does, and the memory is not to change until the reply was read.
    Yes,
    /// It cannot.
    No,
    /// It can, when the reply itself has been moved to the callee's arena.
    IfMoved,
}

/// The tag of a request, in its two halves: `target`, `extra`.
fn halves(tag: u32) -> (u16, u16) {
    (tag as u16, (tag >> 16) as u16)
}

/// One call: where the request lies, and where the reply goes.
pub struct Call<'a, P> {
    channel: &'a Channel<P>,
    head: &'a BlockHead,
    place: Place,
}

impl<P> fmt::Debug for Call<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<'a, P> Call<'a, P> {
    /// Reads the head of a block that has been taken; every word once.
    #[inline]
    pub(crate) fn new(channel: &'a Channel<P>, head: &'a BlockHead, block: u32) -> Result<Self, Corrupt> {
        Ok(Call { channel, head, place: Place::read(channel, head, block)? })
    }

    /// Number of the request's bytes.
    #[inline(always)]
    pub(crate) fn request_len(&self) -> u32 {
        self.place.request_len
    }

    /// Notes among the figures of the method that this call ends without a result: with this status, or with
    /// [`REPLIED`] where the result is the handler's error.
    #[cold]
    pub fn failed(&self, status: u16) {
        self.channel.statistics.failed(named(self.place.method), status);
    }

    /// The method number the caller asks for, not checked.
    #[inline]
    pub fn method(&self) -> u16 {
        self.place.method
    }

    /// Which object of the connection the request is for, not checked; 0: none. Read it once: the peer can change it.
    #[inline]
    pub fn target(&self) -> u16 {
        halves(self.head.tag.load(Ordering::Relaxed)).0
    }

    /// The other half of the request's tag, whose meaning the method decides. Read it once: the peer can change it.
    #[inline]
    pub fn extra(&self) -> u16 {
        halves(self.head.tag.load(Ordering::Relaxed)).1
    }

    /// Address and number of the request's bytes. An honest caller does not touch them until the reply. No bytes after
    /// [`Call::defer`].
    #[inline]
    pub fn request(&self) -> (NonNull<u8>, usize) {
        self.place.request(self.channel)
    }

    /// Deadline in nanoseconds of `CLOCK_MONOTONIC`, as the caller has it now; `None`: none.
    pub fn deadline(&self) -> Option<u64> {
        Some(self.head.deadline.load(Ordering::Relaxed)).filter(|d| *d != 0)
    }

    /// Has the caller given this call up?
    pub fn is_cancelled(&self) -> bool {
        self.head.word.load(Ordering::Relaxed) & word::CANCELLED != 0
    }

    /// Where the reply goes: behind the request at first. The address is 8 modulo 16 (if there is room at all), the bytes are
    /// ours until the call is finished. No bytes after [`Call::defer`].
    #[inline]
    pub fn reply_buffer(&self) -> (NonNull<u8>, usize) {
        self.place.reply_buffer(self.channel)
    }

    /// Moves the reply to memory of at least `needed` bytes in our own arena, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoMemory`]; what was written stays where it was.
    #[cold]
    pub fn grow_reply(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.place.grow_reply(self.channel, used, needed)
    }

    /// Has the reply refer to the `len` bytes at `data` where they lie, if they are a part of a loan of this channel.
    #[cold]
    pub fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.place.attach(self.channel, data, len)
    }

    /// The descriptors that came with the request, if its method has [`BRINGS_PARCEL`].
    #[cold]
    pub fn take_parcel(&self) -> Parcel {
        self.channel.take_parcel(self.place.block)
    }

    /// Maps the memory that came along in the parcel, for as long as the call lasts.
    ///
    /// # Errors
    /// Why not, for the peer.
    #[cold]
    pub fn import(&mut self, parcel: &mut Parcel) -> Result<(), String> {
        for (place, file) in parcel.take_memory() {
            let Some(file) = file else { return Err("no descriptors left (ulimit -n)".into()) };
            self.place.imports = true;
            if self.place.end.get() == End::Plain {
                self.place.end.set(End::Extent);
            }
            self.channel.imports.add(&self.channel.segment, self.place.block, place, file)?;
        }
        Ok(())
    }

    /// Sends a descriptor along with the reply, the one of this number.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(self.channel, Cargo::Piece(index), descriptor)
    }

    /// Sends the file in which the reply lies, behind so many descriptors.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(self.channel, Cargo::Body(behind), file)
    }

    /// Does the peer read replies where they lie?
    pub fn lends(&self) -> bool {
        self.channel.loans.are_allowed()
    }

    /// Tells from elsewhere, and later, whether the caller still wants this call.
    pub fn watch(&self) -> CallWatch<P> {
        CallWatch::new(self.channel, self.place.block)
    }

    /// What [`Call::watch`] is made of, for when it turns out to be needed: this costs nothing.
    #[inline(always)]
    pub fn handle(&self) -> CallHandle<'a, P> {
        CallHandle { channel: self.channel, block: self.place.block }
    }

    /// Keeps the request, whatever becomes of the call, until what this gives is dropped. `None`: the call was deferred.
    pub fn keep(&self) -> Option<Kept<P>> {
        self.place.keep(self.channel)
    }

    /// Takes the call away from its worker: it goes on elsewhere and is answered by [`Deferred::finish`], from any thread.
    /// What [`Handler::call`] returns is ignored then, and this value is spent: it has no request and no room for a reply.
    ///
    /// # Panics
    /// If the call was deferred before.
    pub fn defer(&mut self) -> Deferred<P> {
        // Held by the worker or by the role for as long as the handler runs.
        let channel = match self.channel.this.upgrade() {
            Some(channel) if self.place.end.get() != End::Deferred => channel,
            _ => panic!("a call can be deferred once"),
        };
        let tag = self.head.tag.load(Ordering::Relaxed);
        let spent = Place {
            end: Cell::new(End::Deferred),
            request_len: 0,
            reply_room: 0,
            extent: None,
            refers: false,
            parcel: false,
            imports: false,
            ..self.place
        };
        let place = std::mem::replace(&mut self.place, spent);
        crate::fail_point!(CallDeferred);
        Deferred { channel, place, tag, answered: false }
    }

    /// Writes the reply's descriptor into the block, S2 follows; gives what is to be remembered of the block. [`BUSY`]: the
    /// call was deferred, and the block is not this thread's any more.
    #[inline]
    pub(crate) fn finish(&mut self, status: u16, len: usize) -> u8 {
        match self.place.end.get() {
            End::Plain => {
                self.place.describe(self.head, status, len);
                0
            }
            End::Extent => self.place.hold_reply(self.channel, self.head, status, len, 0),
            End::Kept => self.place.hold_request(self.channel, self.head, status, len),
            End::Deferred => BUSY,
        }
    }
}

/// A call that goes on after its worker has turned to others: [`Call::defer`].
///
/// It keeps the memory of its channel, also when the peer, the channel's callee or the worker is gone; answering is harmless
/// then. Dropping it answers [`ABANDONED`].
pub struct Deferred<P> {
    channel: Arc<Channel<P>>,
    place: Place,
    tag: u32,
    answered: bool,
}

impl<P> fmt::Debug for Deferred<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<P> Deferred<P> {
    /// The method number the caller asked for, not checked.
    pub fn method(&self) -> u16 {
        self.place.method
    }

    /// Which object of the connection the request is for, not checked; 0: none.
    pub fn target(&self) -> u16 {
        halves(self.tag).0
    }

    /// The other half of the request's tag, whose meaning the method decides.
    pub fn extra(&self) -> u16 {
        halves(self.tag).1
    }

    /// What the handler remembers of the connection.
    pub fn peer(&self) -> &P {
        &self.channel.peer
    }

    /// Address and number of the request's bytes. An honest caller does not touch them until the reply.
    pub fn request(&self) -> (NonNull<u8>, usize) {
        self.place.request(&self.channel)
    }

    /// Deadline in nanoseconds of `CLOCK_MONOTONIC`, as the caller has it now; `None`: none.
    pub fn deadline(&self) -> Option<u64> {
        let head = self.channel.segment.block(self.place.block)?;
        Some(head.deadline.load(Ordering::Relaxed)).filter(|d| *d != 0)
    }

    /// Has the caller given this call up?
    pub fn is_cancelled(&self) -> bool {
        let head = self.channel.segment.block(self.place.block);
        head.is_some_and(|head| head.word.load(Ordering::Relaxed) & word::CANCELLED != 0)
    }

    /// Is the caller gone, or cut off because it broke the protocol? Nobody will read an answer.
    pub fn is_gone(&self) -> bool {
        self.channel.is_gone()
    }

    /// Tells from elsewhere whether the caller still wants this call.
    pub fn watch(&self) -> CallWatch<P> {
        CallWatch::new(&self.channel, self.place.block)
    }

    /// Where the reply goes: behind the request at first. The address is 8 modulo 16 (if there is room at all), the bytes are
    /// ours until the call is finished.
    pub fn reply_buffer(&self) -> (NonNull<u8>, usize) {
        self.place.reply_buffer(&self.channel)
    }

    /// Moves the reply to memory of at least `needed` bytes in our own arena, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoMemory`]; what was written stays where it was.
    pub fn grow_reply(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.place.grow_reply(&self.channel, used, needed)
    }

    /// As [`Call::attach`].
    #[cold]
    pub fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.place.attach(&self.channel, data, len)
    }

    /// As [`Call::send`].
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(&self.channel, Cargo::Piece(index), descriptor)
    }

    /// As [`Call::send_body`].
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(&self.channel, Cargo::Body(behind), file)
    }

    /// As [`Call::lends`].
    pub fn lends(&self) -> bool {
        self.channel.loans.are_allowed()
    }

    /// As [`Call::keep`]. `None`: there is no such block.
    pub fn keep(&self) -> Option<Kept<P>> {
        self.place.keep(&self.channel)
    }

    /// As [`Call::failed`], for an error of the handler's own.
    #[cold]
    pub fn failed(&self) {
        self.channel.statistics.failed(named(self.place.method), REPLIED);
    }

    /// Answers the call with a status and the first `len` bytes of the reply buffer. [`NOT_RUN`](crate::layout::NOT_RUN) is the
    /// answer to a call of which nothing has run.
    pub fn finish(mut self, status: u16, len: usize) {
        self.answer(status, len);
    }

    fn answer(&mut self, status: u16, len: usize) {
        self.answered = true;
        let channel = &*self.channel;
        let (block, place) = (self.place.block, &mut self.place);
        let (Some(head), Some(served)) = (channel.segment.block(block), channel.blocks.get(block as usize)) else {
            return;
        };
        let state = match place.end.get() {
            End::Kept => place.hold_request(channel, head, status, len),
            End::Extent => place.hold_reply(channel, head, status, len, 0),
            End::Plain | End::Deferred => {
                place.describe(head, status, len);
                0
            }
        };
        if !was_begun(status) {
            // What was to run was never looked at: as if the request had not been taken.
            let count = served.begun.load(Ordering::Relaxed).wrapping_sub(1);
            served.begun.store(count, Ordering::Relaxed);
            served.unrun.fetch_add(1, Ordering::Relaxed);
            if let Some(taken) = channel.segment.taken(block) {
                handover::take(taken, count);
            }
        }
        // Not watched: a promise to look at the word again is the role's, which this thread has nothing to do with.
        let timing = channel.take_timing(block);
        channel.answer(head, block, state);
        let method = named(self.place.method);
        if status != REPLIED {
            channel.statistics.failed(method, status);
        }
        channel.statistics.ended(method, timing, (self.place.request_len, len));
    }
}

impl<P> Drop for Deferred<P> {
    fn drop(&mut self) {
        if !self.answered {
            self.answer(ABANDONED, 0);
        }
    }
}

/// Names a call while its handler runs.
pub struct CallHandle<'a, P> {
    channel: &'a Channel<P>,
    block: u32,
}

impl<P> fmt::Debug for CallHandle<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallHandle").field("block", &self.block).finish_non_exhaustive()
    }
}

impl<P> CallHandle<'_, P> {
    /// What the handler remembers of the connection.
    pub fn peer(&self) -> &P {
        &self.channel.peer
    }

    /// Tells from elsewhere, and later, whether the caller still wants this call.
    pub fn watch(&self) -> CallWatch<P> {
        CallWatch::new(self.channel, self.block)
    }

    /// As [`Call::deadline`].
    pub fn deadline(&self) -> Option<u64> {
        let head = self.channel.segment.block(self.block)?;
        Some(head.deadline.load(Ordering::Relaxed)).filter(|deadline| *deadline != 0)
    }

    /// Has the caller given this call up, or is it gone?
    pub fn is_given_up(&self) -> bool {
        let head = self.channel.segment.block(self.block);
        self.channel.is_gone() || head.is_none_or(|head| head.word.load(Ordering::Relaxed) & word::CANCELLED != 0)
    }
}

/// Whether the caller still wants a call, asked from anywhere at any time; it keeps nothing of the channel alive.
pub struct CallWatch<P> {
    channel: Weak<Channel<P>>,
    block: u32,
    call: (u32, u32),
}

impl<P> Clone for CallWatch<P> {
    fn clone(&self) -> Self {
        CallWatch { channel: self.channel.clone(), ..*self }
    }
}

impl<P> fmt::Debug for CallWatch<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallWatch").field("block", &self.block).finish_non_exhaustive()
    }
}

impl<P> CallWatch<P> {
    fn new(channel: &Channel<P>, block: u32) -> Self {
        let call = channel.blocks.get(block as usize).map_or((0, 0), Served::call);
        CallWatch { channel: channel.this.clone(), block, call }
    }

    /// Takes `len` bytes of the callee's arena for replies to refer to. `None`: the channel is gone, its peer does not read
    /// replies where they lie, or `may_write` says that it is not to write to what the handler refers to.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn loan(&self, len: u32, may_write: impl FnOnce(&P) -> bool) -> Result<Option<Loan>, NoMemory>
    where
        P: Send + Sync + 'static,
    {
        let lends = |channel: &Arc<Channel<P>>| channel.loans.are_allowed() && may_write(&channel.peer);
        match self.channel.upgrade().filter(lends) {
            Some(channel) => Loan::new(channel, len).map(Some),
            None => Ok(None),
        }
    }

    /// Has the caller given the call up? `false` once the call is over.
    pub fn is_cancelled(&self) -> bool {
        self.ask(|head| head.word.load(Ordering::Acquire) & word::CANCELLED != 0).unwrap_or(false)
    }

    /// Deadline in nanoseconds of `CLOCK_MONOTONIC`, as the caller has it now; `None`: none, or the call is over.
    pub fn deadline(&self) -> Option<u64> {
        self.ask(|head| head.deadline.load(Ordering::Acquire)).filter(|d| *d != 0)
    }

    /// Is the caller gone, or cut off because it broke the protocol?
    pub fn is_gone(&self) -> bool {
        self.channel.upgrade().is_none_or(|channel| channel.is_gone())
    }

    /// What the block's head says, if it still speaks of this call.
    fn ask<T>(&self, question: impl FnOnce(&BlockHead) -> T) -> Option<T> {
        let channel = self.channel.upgrade()?;
        let answer = question(channel.segment.block(self.block)?);
        // Asked first, with acquire: if the call runs now, it ran then.
        let served = channel.blocks.get(self.block as usize)?;
        let runs = served.state.load(Ordering::Relaxed) & BUSY != 0;
        (runs && served.call() == self.call).then_some(answer)
    }
}

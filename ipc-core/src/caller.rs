//! The calling side of a channel: takes a block, lends it, waits, reads the reply, takes the block home.
//!
//! # The path of a call
//! [`Caller::draft`] takes the hot block; `lending.rs` has the rest: a draft is submitted, becomes pending, and is answered.
//!
//! # Ownership
//! A block is in the pool, kept by a thread (`hot.rs`), in one of the types of `lending.rs`, or a *zombie*: given up or
//! detached while lent, it comes home when the callee answers. Zombies are looked at when a block is needed, a few at a time;
//! only who is about to sleep for one asks to be told (`ANNOUNCE`), and a block that was announced is reused only after its
//! announcement was read (R3): until then it lies in its slot of `announcements.rs`.
//!
//! One whose request the callee keeps beyond the call comes home when that is released; until then it lies in its slot, too.
//!
//! # Waiting
//! A thread waits for a reply on the block's word. Futures, and who waits for a block or for detached calls, are told by
//! announcements, which the thread of `bells.rs` hears. Wakers are called when no lock is held.
//!
//! # Locks
//! `given`, then a slot; the queue of announcements, then a slot; never the other way, and never `given` with the queue.
//!
//! # Death
//! The thread of `bells.rs` sees the hang-up, notes it in `end`, then visits every lent block (C3 with `CANCELLED`, wake:
//! P9). A caller that submits too late for the visit sees `end` before it sleeps (P12).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::alarm::Alarm;
use crate::announcements::{Announcements, Asked, NEVER, News};
use crate::arena::Arena;
use crate::bells::{self, Bells};
use crate::clock;
use crate::doorbell::{self, Quiet};
use crate::extent::Extent;
use crate::futex;
use crate::gap::{Gap, Odds, Waiting};
use crate::given::{self, Given, Of, Zombie};
use crate::handover;
use crate::hot::{self, Kept};
use crate::imports::{Exports, Holds, Place, WORTH_MAPPING};
use crate::lane::{self, Cargo, Lane, Parcel, Undeliverable};
use crate::layout::{self, BlockHead, EXTENT, MAX_MESSAGE, PAGE, RELEASE, SENDS_PARCEL, STOPPING, was_begun};
use crate::loan::{Lender, Loan, Loans};
use crate::memory::{Memory, MemoryUsage, NoMemory};
use crate::pool::Pool;
use crate::prefetch;
use crate::queue::{Kind, Producer};
use crate::segment::has_known_pages;
use crate::segment::{Area, Segment};
use crate::socket::{self, Drained};
use crate::sources::{self, Shared};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, fence, lock};
use crate::word::{self, Corrupt, Lent};
use crate::yielding::Yielding;

use crate::lending::FIRST_LOOKS;
pub use crate::lending::{Answer, Draft, Failure, Holder, Lending, Pending};
pub use crate::turns::{Drafting, Flushing, Sleeping};

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// For ever, or until the peer dies.
    None,
    /// So long, measured from about when the wait stops being short: costs no clock reading on the fast path.
    Lazy(Duration),
    /// Until this moment in nanoseconds of `CLOCK_MONOTONIC`; the callee drops the request unrun after it.
    Until(u64),
}

impl Limit {
    /// The moment, if it is one; else `u64::MAX`.
    ///
    /// ```
    /// use ipc_core::caller::Limit;
    /// assert_eq!((Limit::Until(7).moment(), Limit::None.moment()), (7, u64::MAX));
    /// ```
    #[inline]
    pub fn moment(self) -> u64 {
        if let Limit::Until(moment) = self { moment } else { u64::MAX }
    }
}

/// Why no block could be had.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoBlock {
    /// All blocks were in use until the limit passed.
    Busy,
    /// The peer is gone, or broke the protocol.
    Ended,
}

/// Why it is not known that all detached calls were answered.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotFlushed {
    /// The limit passed.
    TimedOut,
    /// The peer is gone, or broke the protocol, and had not answered all of them.
    Ended,
}

/// What a caller has in use. All but `memory` are exact when no call is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CallerUsage {
    /// Blocks that are neither free nor kept by a thread for its next call: being written, lent, answered, zombies.
    pub blocks_out: u32,
    /// Blocks that nobody waits for and that have not come home.
    pub zombies: u32,
    /// Detached calls that have not been answered, as far as was looked.
    pub detached: u32,
    /// The caller's arena, where large requests and loans lie.
    pub memory: MemoryUsage,
    /// Loans that have not been given back.
    pub loans: u32,
    /// Futures that are registered to be woken: for a reply, a block, or a flush.
    pub waiting: u32,
    /// Blocks whose request the callee keeps beyond the call, and nobody else uses.
    pub kept: u32,
}

impl CallerUsage {
    /// Is nothing in use? Memory may be committed.
    ///
    /// ```
    /// assert!(ipc_core::caller::CallerUsage::default().is_idle());
    /// ```
    pub fn is_idle(&self) -> bool {
        self.memory.used == 0 && CallerUsage { memory: MemoryUsage::default(), ..*self } == CallerUsage::default()
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);
/// One in so many blocks may be kept by a thread.
const PER_THREADS: u32 = 8;

const OPEN: u8 = 0;
const HUNG_UP: u8 = 1;
const BROKEN: u8 = 2;

/// The oldest zombies looked at for each draft, if all are answered.
const LOOKS: u32 = 2;
/// After so many looks at the oldest that found it lent, it becomes the youngest: it may be a long call.
const PATIENCE: u32 = 8;

/// An extent goes with the block.
pub(crate) const LARGE: u32 = 1;
/// The block's slot in [`Announcements`] was used for this lending.
pub(crate) const POLLED: u32 = 2;
/// The callee slept when the block was lent, and had to be woken.
pub(crate) const RANG: u32 = 4;
/// The block pins loans.
pub(crate) const PINS: u32 = 8;
/// Descriptors go along with the request, or have come with the answer.
pub(crate) const PARCEL: u32 = 16;
/// The callee keeps the request.
pub(crate) const KEPT: u32 = 32;
/// The memory of the reply is to be given back before the block is used again.
const GIVES_BACK: u32 = 64;
/// The request refers to memory of a third process.
pub(crate) const EXPORTS: u32 = 128;

/// What a block that is not in the pool is called by: its number, and what has to be undone when it goes home.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) number: u32,
    /// [`LARGE`], [`POLLED`], [`RANG`], [`PINS`], [`PARCEL`], [`KEPT`], [`GIVES_BACK`], [`EXPORTS`]. As wide as the number:
    /// padding would be copied along.
    pub(crate) flags: u32,
}

/// The calling side of a channel. Shared by all threads of the process.
#[derive(Debug)]
pub struct Caller {
    number: u64,
    this: Weak<Caller>,
    /// Threads that may keep a block (`hot.rs`), and what they keep.
    kept: Kept,
    pub(crate) segment: Segment,
    socket: OwnedFd,
    lane: Lane,
    pool: Pool,
    pub(crate) arena: Arc<Arena>,
    pub(crate) loans: Loans,
    exports: Exports,
    /// Of each block, how many of its requests the callee has begun, as far as its answers tell; touched by the owner of
    /// the block only.
    begun: Box<[AtomicU32]>,
    /// Of each block, the one that was lent behind it by the same thread.
    after: Box<[AtomicU32]>,
    /// Of each block, the extent of a request that did not fit; touched by the owner of the block only.
    extents: Box<[Mutex<Option<Extent>>]>,
    /// Of each block, the bytes of the callee's arena that its last reply took when it came home; touched by its owner only.
    pub(crate) left: Box<[AtomicU32]>,
    /// All of these.
    pub(crate) all_left: AtomicU32,
    requests: Producer,
    /// Requests were pushed that the callee has not been rung for.
    quiet: Quiet,
    end: AtomicU8,
    why: Mutex<Option<Corrupt>>,
    announcements: Announcements<Zombie>,
    given: Mutex<Given>,
    /// A block came home, or the channel ended.
    freed: Condvar,
    /// A generation of detached calls is answered, or the channel ended.
    flushed: Condvar,
    /// Detached calls were refused by a callee that is leaving, since this was asked.
    lost: AtomicBool,
    /// How many zombies are in `given`, to be looked at.
    zombies: AtomicU32,
    pub(crate) gap: Gap,
    pub(crate) yielding: Yielding,
    /// How often a thread looks for a reply before anything else is considered.
    first_looks: AtomicU32,
    pub(crate) odds: Odds,
    alarm: Alarm,
    bells: Arc<Bells>,
}

impl Caller {
    /// Starts calling over a segment that the peer has accepted on `socket`.
    ///
    /// # Errors
    /// The system's, if the thread that listens for hang-ups cannot be started.
    pub fn new(segment: Segment, socket: OwnedFd) -> io::Result<Arc<Self>> {
        let geometry = *segment.geometry();
        let bells = bells::start()?;
        let caller = Arc::new_cyclic(|this| Caller {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            this: this.clone(),
            kept: Kept::new(geometry.blocks() / PER_THREADS),
            socket,
            lane: Lane::new(geometry.blocks()),
            pool: Pool::new(geometry.blocks()),
            arena: Arena::new(&segment, geometry.caller_arena_at(), geometry.caller_arena()),
            loans: Loans::new(geometry.blocks()),
            exports: Exports::default(),
            begun: (0..geometry.blocks()).map(|_| AtomicU32::new(word::FIRST)).collect(),
            after: (0..geometry.blocks()).map(|_| AtomicU32::new(u32::MAX)).collect(),
            extents: (0..geometry.blocks()).map(|_| Mutex::new(None)).collect(),
            left: (0..geometry.blocks()).map(|_| AtomicU32::new(0)).collect(),
            all_left: AtomicU32::new(0),
            requests: Producer::new(),
            quiet: Quiet::new(),
            end: AtomicU8::new(OPEN),
            why: Mutex::new(None),
            announcements: Announcements::new(geometry.blocks()),
            given: Mutex::default(),
            freed: Condvar::new(),
            flushed: Condvar::new(),
            lost: AtomicBool::new(false),
            zombies: AtomicU32::new(0),
            gap: Gap::new(),
            yielding: Yielding::new(),
            first_looks: AtomicU32::new(FIRST_LOOKS),
            odds: Odds::new(),
            alarm: Alarm::new(),
            bells: bells.clone(),
            segment,
        });
        bells.listen(&caller)?;
        Ok(caller)
    }

    /// Is the peer gone, or was the channel closed because it broke the protocol?
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.end.load(Ordering::Relaxed) != OPEN
    }

    /// How threads wait for replies, from now on.
    pub fn wait_as(&self, waiting: Waiting) {
        self.gap.wait_as(waiting);
    }

    /// What large requests may use, and what is kept for them, from now on.
    pub fn use_memory(&self, memory: &Memory) {
        self.arena.use_memory(&self.segment, memory);
    }

    #[inline(always)]
    pub(crate) fn first_looks(&self) -> u32 {
        self.first_looks.load(Ordering::Relaxed)
    }

    pub(crate) fn look_first(&self, times: u32) {
        if self.first_looks() != times {
            self.first_looks.store(times, Ordering::Relaxed);
        }
    }

    /// The control socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The peer reads requests where they lie: they may refer to loans from now on.
    pub fn allow_loans(&self) {
        self.loans.allow();
    }

    /// Does the peer read requests where they lie?
    pub fn lends(&self) -> bool {
        self.loans.are_allowed()
    }

    /// Takes `len` bytes of the arena for requests to refer to.
    ///
    /// # Errors
    /// [`NoMemory`].
    ///
    /// # Panics
    /// If the caller is being dropped.
    pub fn loan(&self, len: u32) -> Result<Loan, NoMemory> {
        let Some(this) = self.this.upgrade() else { unreachable!("whoever calls this holds the caller") };
        Loan::new(this, len)
    }

    /// For who hears the doorbell, and does what it rings for.
    pub(crate) fn empty_socket(&self) -> Drained {
        self.lane.empty(self.socket()).0
    }

    /// The status of an answer without its flags. If descriptors came along this thread has them: [`lane::take`].
    #[cold]
    #[inline(never)]
    pub(crate) fn unpack(&self, block: u32, status: u16) -> u16 {
        if status & SENDS_PARCEL != 0 {
            let (parcel, drained, rang) = self.lane.take(block, self.socket());
            lane::unpack(parcel);
            self.heard(drained, rang);
        }
        status & !SENDS_PARCEL
    }

    /// The socket was emptied by who does not hear the doorbell.
    fn heard(&self, drained: Drained, rang: bool) {
        if let Drained::Broken(why) = drained {
            self.condemn(why);
        }
        if rang {
            self.rung();
        }
    }

    /// Sends memory that somebody else shares with this process along with the request in `block`, under number `index`. Gives
    /// the address that stands for it here. `None`: it has to be copied.
    #[cold]
    pub(crate) fn export(
        &self,
        (block, index): (u32, u32),
        data: NonNull<u8>,
        len: usize,
        limit: Limit,
    ) -> Option<NonNull<u8>> {
        if len < WORTH_MAPPING || !self.loans.are_allowed() || !has_known_pages() || self.exports.are_many() {
            return None;
        }
        let Shared { file, offset, hold } = sources::find(data, len)?;
        let (page, inside) = (offset / u64::from(PAGE), offset % u64::from(PAGE));
        let mapped = u32::try_from((inside + len as u64).next_multiple_of(u64::from(PAGE))).ok()?;
        let extent = self.arena.reserve(mapped.checked_add(PAGE - EXTENT)?)?;
        let at = extent.offset().next_multiple_of(PAGE);
        let sent = u32::try_from(page).is_ok_and(|page| {
            let place = Place { at, len: mapped, page };
            self.send(block, Cargo::Memory(index, place), file.as_fd(), limit).is_ok()
        });
        if !sent {
            self.arena.free(extent);
            return None;
        }
        self.exports.add(block, extent, hold);
        Some(self.segment.pointer(at + inside as u32))
    }

    /// The request in `block` was read, or is not to be sent.
    fn forget_exports(&self, block: u32) -> Holds {
        let (extents, holds) = self.exports.end(block);
        extents.into_iter().for_each(|extent| self.arena.free(extent));
        holds
    }

    /// Sends a part of the parcel of the request in `block`.
    pub(crate) fn send(
        &self,
        block: u32,
        cargo: Cargo,
        descriptor: BorrowedFd<'_>,
        limit: Limit,
    ) -> Result<(), Undeliverable> {
        let meanwhile = || {
            let (drained, rang) = self.lane.empty(self.socket());
            self.heard(drained, rang);
        };
        lane::send(self.socket(), (block, cargo), descriptor, deadline_of(limit), meanwhile)
    }

    /// What is in use. Brings home what has been answered first.
    pub fn usage(&self) -> CallerUsage {
        self.hear();
        let mut wakers = Vec::new();
        let mut given = self.lock();
        self.take_home(&mut given, u32::MAX, &mut wakers);
        let (waiting, left, kept) = self.announcements.count();
        let home = self.pool.len() + self.kept.count();
        let usage = CallerUsage {
            blocks_out: self.segment.geometry().blocks().saturating_sub(home),
            zombies: given.zombies.len() as u32 + left,
            detached: given.detached.count(),
            memory: self.arena.usage(),
            loans: self.loans.count(),
            waiting: waiting + (given.for_block.len() + given.for_flush.len()) as u32,
            kept,
        };
        drop(given);
        wake(wakers);
        usage
    }

    /// How many detached calls have not been answered, as far as was looked. Calls no wakers.
    pub fn detached(&self) -> u32 {
        self.lock().detached.count()
    }

    /// Takes a free block, or waits for one until `limit`.
    ///
    /// # Errors
    /// [`NoBlock`]; nothing was sent.
    #[inline]
    pub fn draft<C: Holder>(this: C, limit: Limit) -> Result<Draft<C>, NoBlock> {
        if this.has_ended() {
            return Err(NoBlock::Ended);
        }
        if this.zombies.load(Ordering::Relaxed) != 0 {
            this.look_for_zombies();
        }
        let number = match hot::take(this.number) {
            Some(number) => number,
            None => this.find_block(limit)?,
        };
        Ok(Draft::new(this, number))
    }

    /// Takes a free block if there is one.
    ///
    /// # Errors
    /// [`NoBlock`]; nothing was sent.
    #[inline]
    pub fn try_draft<C: Holder>(this: C) -> Result<Draft<C>, NoBlock> {
        let number = this.try_block()?;
        Ok(Draft::new(this, number))
    }

    /// As [`Caller::draft`], for a future: it waits its turn without a thread.
    pub fn draft_async<C: Holder>(this: C, limit: Limit) -> Drafting<C> {
        Drafting::new(this, limit)
    }

    #[inline]
    pub(crate) fn try_block(&self) -> Result<u32, NoBlock> {
        if self.has_ended() {
            return Err(NoBlock::Ended);
        }
        if self.zombies.load(Ordering::Relaxed) != 0 {
            self.look_for_zombies();
        }
        match hot::take(self.number).or_else(|| hot::refill(self)) {
            Some(number) => Ok(number),
            None => self.look_everywhere(),
        }
    }

    /// The pool is empty: has any block been answered that nobody has looked at?
    #[cold]
    fn look_everywhere(&self) -> Result<u32, NoBlock> {
        self.notify();
        self.hear();
        if self.zombies.load(Ordering::Relaxed) != 0 {
            let mut wakers = Vec::new();
            self.take_home(&mut self.lock(), u32::MAX, &mut wakers);
            wake(wakers);
        }
        self.pool.pop().ok_or(NoBlock::Busy)
    }

    fn find_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        match hot::refill(self) {
            Some(number) => Ok(number),
            None => self.wait_for_block(limit),
        }
    }

    /// This caller's number in this process, never 0 and never used again: news of a caller that is gone may still be under
    /// way when another one lies at its address.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn weak(&self) -> Weak<Caller> {
        self.this.clone()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Blocks come home to the pool: each wakes one that waits.
    pub(crate) fn to_pool(&self, blocks: &[u32]) {
        if self.pool.push_all(blocks) {
            blocks.iter().for_each(|_| self.wake_one());
        }
    }

    /// Brings answered zombies home, few at a time: the block of a reply just released is the hot one.
    #[cold]
    fn look_for_zombies(&self) {
        let Ok(mut given) = self.given.try_lock() else { return };
        let mut wakers = Vec::new();
        self.take_home(&mut given, LOOKS, &mut wakers);
        drop(given);
        wake(wakers);
    }

    #[cold]
    fn wait_for_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        let deadline = deadline_of(limit);
        self.notify();
        self.pool.begin_wait(); // [P13]
        let result = loop {
            self.hear();
            let mut wakers = Vec::new();
            let mut given = self.lock();
            self.take_home(&mut given, u32::MAX, &mut wakers);
            let first = self.ask_to_be_told(&mut given, &mut wakers);
            if first || !wakers.is_empty() {
                drop(given);
                self.listen(first);
                wake(wakers);
                given = self.lock();
            }
            if let Some(block) = self.pool.pop() {
                break Ok(block);
            }
            if self.has_ended() {
                break Err(NoBlock::Ended);
            }
            match sleep(&self.freed, given, deadline) {
                Some(given) => drop(given),
                None => break Err(NoBlock::Busy),
            }
        };
        self.pool.end_wait();
        result
    }

    /// A future waits for a block: registers it as number `turn`, or takes a block at once. Gives a block, or the number.
    pub(crate) fn register_for_block(
        &self,
        turn: Option<u64>,
        waker: &Waker,
        deadline: u64,
    ) -> Result<Result<u32, u64>, NoBlock> {
        self.notify();
        self.hear();
        let waker = waker.clone();
        let (mut wakers, mut dropped) = (Vec::new(), None);
        let mut given = self.lock();
        let turn = turn.unwrap_or_else(|| given.number());
        match given.for_block.insert(turn, given::Turn { waker, deadline }) {
            None => self.pool.begin_wait(), // [P13]
            old => dropped = old,
        }
        self.take_home(&mut given, u32::MAX, &mut wakers);
        let first = self.ask_to_be_told(&mut given, &mut wakers);
        let block = self.pool.pop();
        let ended = block.is_none() && self.has_ended();
        let mut own = None;
        if block.is_some() || ended {
            own = given.for_block.remove(&turn);
            if own.is_some() {
                self.pool.end_wait();
            }
        }
        drop(given);
        if block.is_none() && !ended {
            self.set_alarm(deadline);
        }
        // What others rely on comes before the wakers: what they do, and for how long, is not known.
        self.listen(first);
        wake(wakers);
        drop((own, dropped));
        match block {
            Some(block) => Ok(Ok(block)),
            None if ended => Err(NoBlock::Ended),
            None => Ok(Err(turn)),
        }
    }

    /// A future waits for a block no longer. If it was woken for one and has not `taken` it, the next one is.
    pub(crate) fn unregister_for_block(&self, turn: u64, taken: bool) {
        let mut given = self.lock();
        let own = given.for_block.remove(&turn);
        let mut next = None;
        if own.is_some() {
            self.pool.end_wait();
        } else if !taken && !self.pool.is_empty() {
            next = self.next_waiter(&mut given);
        }
        drop(given);
        drop(own);
        wake(next);
    }

    /// Was a detached call refused because the callee was leaving, since this was asked? For who has waited until they are all
    /// answered.
    pub fn take_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }

    /// Waits until every call that was detached before is answered, for as long as `limit` has it.
    ///
    /// # Errors
    /// [`NotFlushed`].
    pub fn flush(&self, limit: Limit) -> Result<(), NotFlushed> {
        let deadline = deadline_of(limit);
        let mut mark = None;
        loop {
            match self.look_for_flush(&mut mark, None, NEVER) {
                Ok(None) => return Ok(()),
                Err(why) => return Err(why),
                Ok(Some(mark)) => {
                    let given = self.lock();
                    if given.detached.is_flushed(mark) || self.has_ended() {
                        continue;
                    }
                    if sleep(&self.flushed, given, deadline).is_none() {
                        return Err(NotFlushed::TimedOut);
                    }
                }
            }
        }
    }

    /// As [`Caller::flush`], for a future.
    pub fn flush_async<C: Holder>(this: C, limit: Limit) -> Flushing<C> {
        Flushing::new(this, limit)
    }

    /// A future that is ready at a moment of `CLOCK_MONOTONIC`, in nanoseconds, or when the channel has ended.
    pub fn sleep_async<C: Holder>(this: C, until: u64) -> Sleeping<C> {
        Sleeping::new(this, until)
    }

    /// A future waits for a moment. It does so among those that wait for a flush, and is woken with them.
    pub(crate) fn register_for_alarm(&self, turn: &mut Option<u64>, waker: Waker, until: u64) {
        let mut given = self.lock();
        let number = *turn.get_or_insert_with(|| given.number());
        let old = given.for_flush.insert(number, given::Turn { waker, deadline: until });
        drop(given);
        drop(old);
        self.set_alarm(until);
    }

    /// Has what was detached before the first look (which sets `mark`) been answered? Else gives the mark; what is still
    /// lent will be announced, and the future `turn` be woken.
    pub(crate) fn look_for_flush(
        &self,
        mark: &mut Option<u64>,
        turn: Option<(&mut Option<u64>, Waker)>,
        deadline: u64,
    ) -> Result<Option<u64>, NotFlushed> {
        self.notify();
        self.hear();
        let (mut wakers, mut dropped) = (Vec::new(), None);
        let mut given = self.lock();
        self.take_home(&mut given, u32::MAX, &mut wakers);
        let mark = *mark.get_or_insert_with(|| given.detached.mark());
        // Before the look: what turns out to be answered already goes home, and that may have been the last one.
        let first = !given.detached.is_flushed(mark) && self.ask_to_be_told(&mut given, &mut wakers);
        let result = if given.detached.is_flushed(mark) {
            Ok(None)
        } else if self.has_ended() {
            Err(NotFlushed::Ended)
        } else {
            if let Some((turn, waker)) = turn {
                let number = *turn.get_or_insert_with(|| given.number());
                dropped = given.for_flush.insert(number, given::Turn { waker, deadline });
            }
            Ok(Some(mark))
        };
        drop(given);
        self.set_alarm(deadline);
        self.listen(first);
        wake(wakers);
        drop(dropped);
        result
    }

    /// A future waits for a flush no longer.
    pub(crate) fn unregister_for_flush(&self, turn: u64) {
        let own = self.lock().for_flush.remove(&turn);
        drop(own);
    }

    /// Asks for an announcement of every zombie. `true`: [`Caller::listen`] has to follow, without the lock.
    fn ask_to_be_told(&self, given: &mut Given, wakers: &mut Vec<Waker>) -> bool {
        let mut listen = false;
        while let Some(zombie) = self.pop_zombie(given) {
            let number = zombie.block.number;
            let Some(head) = self.head(number) else { continue };
            match self.announcements.ask_for(number, &head.word, zombie) {
                (Ok(Asked::Due { first }), _) => listen |= first,
                (Ok(Asked::Done), Some(zombie)) => self.come_home(given, zombie, wakers),
                (Err(corrupt), _) => self.condemn(corrupt),
                (Ok(Asked::Done), None) => {}
            }
        }
        listen
    }

    fn pop_zombie(&self, given: &mut Given) -> Option<Zombie> {
        let zombie = given.zombies.pop_front()?;
        self.zombies.fetch_sub(1, Ordering::Relaxed);
        Some(zombie)
    }

    /// Brings zombies home that have been answered: looks at the oldest ones, and stops after `most`, or at the first one
    /// that is still lent unless all were asked for (`u32::MAX`).
    fn take_home(&self, given: &mut Given, most: u32, wakers: &mut Vec<Waker>) {
        let mut looks = given.zombies.len().min(most as usize);
        while let Some(zombie) = given.zombies.front().filter(|_| looks > 0) {
            looks -= 1;
            let Some(head) = self.head(zombie.block.number) else { return };
            match handover::look(&head.word) {
                Ok(Lent::Done) => {
                    given.in_vain = 0;
                    if let Some(zombie) = self.pop_zombie(given) {
                        self.come_home(given, zombie, wakers);
                    }
                }
                Ok(Lent::Out(_)) => {
                    given.in_vain += 1;
                    if most == u32::MAX || given.in_vain >= PATIENCE {
                        given.in_vain = 0;
                        given.zombies.rotate_left(1);
                    }
                    if most != u32::MAX {
                        return;
                    }
                }
                Err(corrupt) => return self.condemn(corrupt),
            }
        }
    }

    /// A block that nobody waits for is answered, and its announcement popped if one was due.
    fn come_home(&self, given: &mut Given, zombie: Zombie, wakers: &mut Vec<Waker>) {
        let Zombie { mut block, of } = zombie;
        if of != Of::Finished
            && let Some(head) = self.head(block.number)
        {
            let mut status = head.status.load(Ordering::Relaxed);
            if status & layout::KEPT != 0 {
                status &= !layout::KEPT;
                block.flags |= KEPT;
            }
            self.count(block.number, status);
            if status & SENDS_PARCEL != 0 {
                self.lane.discard(block.number);
            }
            if status == STOPPING && matches!(of, Of::Detached(_)) {
                self.lost.store(true, Ordering::Relaxed);
            }
        }
        if let Of::Detached(generation) = of
            && given.detached.remove(generation)
        {
            self.flushed.notify_all();
            wakers.extend(std::mem::take(&mut given.for_flush).into_values().map(|turn| turn.waker));
        }
        if block.flags & KEPT != 0 {
            let (released, first) = self.announcements.keep(block.number, Zombie { block, of: Of::Finished });
            if first {
                // Listening takes the lock that is held here.
                wakers.push(Waker::from(Arc::new(Listening(self.this.clone()))));
            }
            if released.is_none() {
                return;
            }
        }
        if block.flags & EXPORTS != 0 {
            wakers.push(Waker::from(Arc::new(self.forget_exports(block.number))));
            block.flags &= !EXPORTS;
        }
        self.free_memory(block);
        if self.pool.push(block.number) {
            wakers.extend(self.next_waiter(given));
        }
    }

    /// A block is free: wakes a thread that waits for one, and gives the waker of a future that does.
    fn next_waiter(&self, given: &mut Given) -> Option<Waker> {
        self.freed.notify_one();
        let (_, turn) = given.for_block.pop_first()?;
        self.pool.end_wait();
        Some(turn.waker)
    }

    /// Pops the announcements that have come, wakes who waits, brings home what nobody waits for.
    fn hear(&self) {
        if self.announcements.is_due() {
            let heard = self.announcements.hear(self.segment.announcement_cells(), self.block_of(), self.news());
            self.judge(heard);
        }
    }

    /// `first`: an announcement is due, and none was before: sees to it that it will be heard.
    pub(crate) fn listen(&self, first: bool) {
        let asleep = &self.segment.caller_flags().asleep;
        if first && self.announcements.listen(self.segment.announcement_cells(), asleep) {
            self.hear();
        }
    }

    /// The doorbell rang.
    pub(crate) fn rung(&self) {
        let asleep = &self.segment.caller_flags().asleep;
        let cells = self.segment.announcement_cells();
        let heard = self.announcements.rung(cells, asleep, self.block_of(), self.news());
        self.judge(heard);
    }

    fn judge(&self, heard: Result<(), Corrupt>) {
        if let Err(corrupt) = heard {
            self.condemn(corrupt);
        }
    }

    fn block_of(&self) -> impl Fn(Kind, u32) -> Option<u32> {
        |kind, offset| {
            let block = self.segment.geometry().block_index(offset)?;
            match kind {
                Kind::Announcement => Some(block),
                // Until it is released the block is not lent, and its answer is there.
                Kind::Release => {
                    let head = self.head(block)?;
                    let done = handover::look(&head.word) == Ok(Lent::Done);
                    (done && head.status.load(Ordering::Relaxed) & layout::KEPT != 0).then_some(block)
                }
                Kind::Request => None,
            }
        }
    }

    fn news(&self) -> impl FnMut(News<Zombie>) + '_ {
        |news| match news {
            News::Wake(waker) => wake(Some(waker)),
            News::Home(zombie) => {
                let done = self.head(zombie.block.number).map(|head| handover::look(&head.word));
                match done {
                    Some(Ok(Lent::Done)) => {
                        let mut wakers = Vec::new();
                        self.come_home(&mut self.lock(), zombie, &mut wakers);
                        wake(wakers);
                    }
                    Some(Ok(Lent::Out(value))) => self.condemn(Corrupt(u64::from(value))), // announced, but not done
                    Some(Err(corrupt)) => self.condemn(corrupt),
                    None => {}
                }
            }
            News::Released(Zombie { block, .. }) => self.released(block),
        }
    }

    /// The callee does not keep the request in `block` any more, which nobody uses.
    fn released(&self, block: Block) {
        crate::fail_point!(BlockReleased);
        let gives_back = block.flags & GIVES_BACK != 0;
        let block = Block { flags: block.flags & !(KEPT | GIVES_BACK), ..block };
        if gives_back {
            self.release_reply(block);
        } else if self.is_finished(block) {
            self.to_pool(&[block.number]);
        }
    }

    /// A future waits for the reply in `block`: keeps its waker until the announcement comes.
    pub(crate) fn register(&self, block: u32, waker: Waker, deadline: Option<u64>) -> Result<Asked, Corrupt> {
        let Some(head) = self.head(block) else { return Err(Corrupt(u64::from(block))) };
        let asked = self.announcements.register(block, &head.word, waker, deadline)?;
        if let Asked::Due { first } = asked {
            if let Some(deadline) = deadline {
                self.set_alarm(deadline);
            }
            self.listen(first);
        }
        Ok(asked)
    }

    /// The future that waited for the reply in `block` has seen it.
    pub(crate) fn unregister(&self, block: u32) {
        self.announcements.unregister(block);
    }

    /// Does any future wait for a reply, as far as is known?
    pub(crate) fn waits_for_any(&self) -> bool {
        self.announcements.is_due()
    }

    /// When the future that waits for `block` gives up.
    pub(crate) fn deadline_of(&self, block: u32) -> u64 {
        self.announcements.deadline(block)
    }

    fn set_alarm(&self, deadline: u64) {
        if deadline != NEVER && self.alarm.set(deadline) {
            self.bells.wake_by(deadline);
        }
    }

    /// Wakes the futures whose deadline has come, if any may have; gives the time of the next one.
    pub(crate) fn alarm(&self, now: u64) -> u64 {
        if self.alarm.ring(now) {
            let mut wakers = Vec::new();
            let replies = self.announcements.take_wakers(now, |waker| wakers.push(waker));
            let mut given = self.lock();
            let (late, blocks) = given::take_late(&mut given.for_block, now, &mut wakers);
            (0..late).for_each(|_| self.pool.end_wait());
            let (_, flushes) = given::take_late(&mut given.for_flush, now, &mut wakers);
            drop(given);
            self.alarm.set(replies.min(blocks).min(flushes));
            wake(wakers);
        }
        self.alarm.at()
    }

    #[inline(always)]
    pub(crate) fn head(&self, block: u32) -> Option<&BlockHead> {
        self.segment.block(block)
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        lock(&self.given)
    }

    /// Closes the channel because the peer broke the protocol.
    #[cold]
    pub(crate) fn condemn(&self, why: Corrupt) {
        lock(&self.why).get_or_insert(why);
        let _ = self.end.compare_exchange(OPEN, BROKEN, Ordering::Relaxed, Ordering::Relaxed);
        socket::shut_down(self.socket());
    }

    /// The hang-up was seen: tells every waiting thread.
    pub(crate) fn hung_up(&self) {
        let _ = self.end.compare_exchange(OPEN, HUNG_UP, Ordering::Relaxed, Ordering::Relaxed);
        fence(Ordering::SeqCst); // [P12] pairs with the fence in `park`.
        crate::fail_point!(EndNoted);
        for block in 0..self.segment.geometry().blocks() {
            let Some(head) = self.head(block) else { continue };
            // [P9] the word changes before the wake, so a waiter between its look and its sleep does not sleep. Whatever the
            // word says: a callee that dies between its answer and its wake leaves a sleeper behind on a `DONE`.
            if let Ok(Lent::Out(_)) = handover::look(&head.word) {
                let _ = handover::wish(&head.word, word::CANCELLED);
            }
            futex::wake(&head.word);
        }
        // A future that registers behind this visit takes the same lock, and sees `end` then.
        let mut wakers = Vec::new();
        self.announcements.take_wakers(NEVER, |waker| wakers.push(waker));
        let mut given = self.lock();
        let (all, _) = given::take_late(&mut given.for_block, NEVER, &mut wakers);
        (0..all).for_each(|_| self.pool.end_wait());
        given::take_late(&mut given.for_flush, NEVER, &mut wakers);
        self.freed.notify_all();
        self.flushed.notify_all();
        drop(given);
        wake(wakers);
        crate::fail_point!(EndTold);
    }

    /// What the peer broke the protocol with, if it did.
    pub(crate) fn why_broken(&self) -> Option<Corrupt> {
        *lock(&self.why)
    }

    /// Counts an answered request as begun, unless its status says that it was not.
    #[inline(always)]
    pub(crate) fn count(&self, number: u32, status: u16) {
        if was_begun(status)
            && let Some(begun) = self.begun.get(number as usize)
        {
            begun.store(begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn lending(&self, block: u32) -> Lending {
        let begun = self.begun.get(block as usize).map_or(0, |begun| begun.load(Ordering::Relaxed));
        Lending { block, begun }
    }

    /// Is a request known to be answered, or was its block used again since? One that was not run may be known late.
    pub fn was_answered(&self, lending: Lending) -> bool {
        self.lending(lending.block).begun != lending.begun
    }

    /// After the peer's death: had it begun the request in a block that is still lent?
    pub(crate) fn has_begun(&self, block: Block) -> bool {
        match (self.segment.taken(block.number), self.begun.get(block.number as usize)) {
            (Some(taken), Some(begun)) => handover::was_taken(taken, begun.load(Ordering::Relaxed)), // [P8]
            _ => true,
        }
    }

    /// The extent that goes with a block. The lock is never contended: a block has one owner.
    pub(crate) fn extent(&self, number: u32) -> Option<MutexGuard<'_, Option<Extent>>> {
        let extent = self.extents.get(number as usize)?;
        Some(lock(extent))
    }

    /// What the request of a block has lent besides the block is ours again.
    #[inline]
    pub(crate) fn free_memory(&self, block: Block) {
        if block.flags & LARGE != 0 {
            self.free_large(block.number);
        }
        if block.flags & PINS != 0 {
            self.loans.unpin(block.number, &self.arena);
        }
        if block.flags & EXPORTS != 0 {
            drop(self.forget_exports(block.number));
        }
    }

    #[cold]
    fn free_large(&self, number: u32) {
        if let Some(extent) = self.extent(number).and_then(|mut e| e.take()) {
            self.arena.free(extent);
        }
    }

    /// A block of ours comes home.
    #[inline]
    pub(crate) fn bring_home(&self, block: Block) {
        crate::fail_point!(AnswerRead);
        if block.flags != 0 && !self.is_finished(block) {
            return;
        }
        if self.pool.has_waiters() || !hot::keep(self.number, block.number) {
            hot::bring_home(self, block.number);
        }
    }

    /// The answer in `block` was there at the first look: asks for the line of one of the next.
    #[inline(always)]
    pub(crate) fn look_ahead(&self, block: u32) {
        if self.kept.is_of_many() {
            self.ask_for_next(block);
        }
    }

    #[inline(never)]
    fn ask_for_next(&self, block: u32) {
        if let Some(head) = hot::ahead(self.number, block, &self.after).and_then(|block| self.head(block)) {
            prefetch::for_write(head);
        }
    }

    /// A block was lent, to be waited for.
    #[inline(always)]
    pub(crate) fn lent(&self, block: u32) {
        if self.kept.is_of_many() {
            hot::lent(self.number, block, &self.after);
        }
    }

    /// What has to be undone before a block can be used again. `false`: its announcement has not come yet, or the callee keeps
    /// it; it goes home then.
    #[cold]
    pub(crate) fn is_finished(&self, mut block: Block) -> bool {
        if block.flags & PARCEL != 0 {
            // Whoever wanted them has taken them.
            drop(lane::unpack(Parcel::default()));
            block.flags &= !PARCEL;
        }
        if block.flags & KEPT != 0 {
            let (released, first) = self.announcements.keep(block.number, Zombie { block, of: Of::Finished });
            self.listen(first);
            if released.is_none() {
                return false;
            }
        }
        self.free_memory(block);
        block.flags &= !(LARGE | PINS | EXPORTS | KEPT | GIVES_BACK);
        block.flags & POLLED == 0
            || self.announcements.leave(block.number, Zombie { block, of: Of::Finished }).0.is_some() // R3
    }

    /// A lent block is given up: it comes home when the callee answers.
    #[cold]
    pub(crate) fn abandon(&self, block: Block) {
        let Some(head) = self.head(block.number) else { return };
        let done = matches!(handover::wish(&head.word, word::CANCELLED), Ok(Lent::Done));
        crate::fail_point!(CallCancelled);
        self.add_zombie(block, Some(Of::GivenUp), done);
    }

    /// Nobody is to wait for a lent block: it comes home when the callee answers.
    #[cold]
    pub(crate) fn detach(&self, block: Block) {
        self.add_zombie(block, None, false);
        crate::fail_point!(CallDetached);
    }

    /// Lends a block once more, only to give the memory of its reply back. Nobody waits for the answer.
    #[cold]
    pub(crate) fn release_reply(&self, block: Block) {
        if !self.is_finished(Block { flags: block.flags | GIVES_BACK, ..block }) {
            return; // The block goes home later; the memory with its next call, or then if the callee keeps the request.
        }
        let Some(head) = self.head(block.number) else { return };
        head.method.store(RELEASE, Ordering::Relaxed);
        head.tag.store(0, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
        match handover::submit(&head.word, 0) {
            Ok(watched) => {
                if !watched {
                    self.push(block.number);
                }
                crate::fail_point!(ReplyReleased);
                self.add_zombie(Block { flags: 0, ..block }, Some(Of::GivenUp), false);
            }
            Err(corrupt) => self.condemn(corrupt),
        }
    }

    /// A lent block that nobody waits for; `of` is `None` for a detached one. `done`: it is answered already.
    fn add_zombie(&self, block: Block, of: Option<Of>, done: bool) {
        let mut wakers = Vec::new();
        let mut given = self.lock();
        let of = of.unwrap_or_else(|| Of::Detached(given.detached.add()));
        let zombie = Zombie { block, of };
        let mut first = false;
        let polled = block.flags & POLLED != 0;
        let (zombie, waker) =
            if polled { self.announcements.leave(block.number, zombie) } else { (Some(zombie), None) };
        match zombie {
            None => {}
            Some(zombie) if done => self.come_home(&mut given, zombie, &mut wakers),
            Some(zombie) => {
                given.zombies.push_back(zombie);
                self.zombies.fetch_add(1, Ordering::Relaxed);
                // Whoever sleeps for a block, or for detached calls, has not asked to be told of this one.
                if self.pool.has_waiters() {
                    first = self.ask_to_be_told(&mut given, &mut wakers);
                }
            }
        }
        drop(given);
        self.listen(first);
        wake(wakers);
        drop(waker);
    }

    #[cold]
    fn wake_one(&self) {
        let next = self.next_waiter(&mut self.lock());
        wake(next);
    }

    /// C2. `true`: the callee slept and had to be woken.
    pub(crate) fn push(&self, block: u32) -> bool {
        self.put(block);
        self.ring()
    }

    fn put(&self, block: u32) {
        let offset = self.segment.geometry().block_at(block);
        self.requests.push(self.segment.request_cells(), Kind::Request, offset);
    }

    fn ring(&self) -> bool {
        let flags = self.segment.callee_flags();
        let ring = doorbell::must_ring(&flags.asleep); // [P4]
        if ring {
            flags.woken_at.store(clock::now(), Ordering::Relaxed);
            socket::ring(self.socket());
            crate::fail_point!(Rung);
        }
        ring
    }

    /// C2 without its second half, which [`Caller::notify`] makes up for.
    pub(crate) fn push_quietly(&self, block: u32) {
        self.put(block);
        self.quiet.note(); // [P15]
        crate::fail_point!(Quiet);
    }

    /// Rings the callee, if it sleeps, for all requests that were submitted quietly so far. `true`: it slept.
    #[inline]
    pub fn notify(&self) -> bool {
        self.quiet.take() && self.ring() // [P15]
    }

    /// Where the reply of an answered block lies that is not in the block itself, as far as the peer says: in memory that
    /// this call lent, or in the callee's arena, which `true` stands for.
    pub(crate) fn find_large_reply(&self, block: Block, at: u32, len: u32) -> Result<bool, Corrupt> {
        if len > MAX_MESSAGE {
            return Err(Corrupt(u64::from(len)));
        }
        if let Some(extent) = self.extent(block.number).as_ref().and_then(|e| e.as_ref())
            && at >= extent.offset()
            && at - extent.offset() <= extent.len()
            && len <= extent.len() - (at - extent.offset())
        {
            return Ok(false);
        }
        match self.segment.bytes(Area::CalleeArena, at, len) {
            Some(_) => Ok(true),
            None => Err(Corrupt(u64::from(at))),
        }
    }
}

impl Lender for Caller {
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

impl Drop for Caller {
    fn drop(&mut self) {
        self.bells.forget(self);
    }
}

/// Does what [`Caller::listen`] does when no lock is held.
struct Listening(Weak<Caller>);

impl Wake for Listening {
    fn wake(self: Arc<Self>) {
        if let Some(caller) = self.0.upgrade() {
            caller.listen(true);
        }
    }
}

/// Calls wakers. They are not ours: one that panics must not keep the others from being called, nor end the thread that
/// hears for all.
pub(crate) fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// When a wait that begins now ends.
pub(crate) fn deadline_of(limit: Limit) -> u64 {
    match limit {
        Limit::None => NEVER,
        Limit::Lazy(timeout) => clock::after(timeout),
        Limit::Until(deadline) => deadline,
    }
}

/// Sleeps until `condvar` is notified; `None`: `deadline` has passed.
fn sleep<'a>(condvar: &Condvar, given: MutexGuard<'a, Given>, deadline: u64) -> Option<MutexGuard<'a, Given>> {
    if deadline == NEVER {
        return Some(condvar.wait(given).unwrap_or_else(PoisonError::into_inner));
    }
    let left = deadline.saturating_sub(clock::now());
    if left == 0 {
        return None;
    }
    Some(condvar.wait_timeout(given, Duration::from_nanos(left)).unwrap_or_else(PoisonError::into_inner).0)
}

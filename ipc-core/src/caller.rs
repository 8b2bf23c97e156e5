//! The calling side of a channel: takes a block, lends it, waits, reads the reply, takes the block home.
//!
//! # The path of a call
//! [`Caller::draft`] takes the hot block; `lending.rs` has the rest: a draft is submitted, becomes pending, and is answered.
//!
//! `blocks.rs` has how a block is had, `homecoming.rs` how it comes home, `hearing.rs` what is done about announcements, and
//! `flushing.rs` how detached calls are waited for.
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

mod blocks;
mod flushing;
mod hearing;
mod homecoming;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use crate::alarm::Alarm;
use crate::announcements::{Announcements, NEVER};
use crate::arena::Arena;
use crate::bells::{self, Bells};
use crate::clock;
use crate::doorbell::{self, Quiet};
use crate::extent::Extent;
use crate::futex;
use crate::gap::{Gap, Odds, Waiting};
use crate::given::{self, Given, Zombie};
use crate::handover;
use crate::hot::{self, Kept};
use crate::imports::{Exports, Place, WORTH_MAPPING};
use crate::lane::{self, Cargo, Lane, Undeliverable};
use crate::layout::{BlockHead, EXTENT, MAX_MESSAGE, PAGE, SENDS_PARCEL, was_begun};
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

//! The calling side of a channel: takes a block, lends it, waits, reads the reply, takes the block home.
//!
//! # The path of a call
//! [`Caller::draft`] takes the hot block; `lending.rs` has the rest: a draft is submitted, becomes pending, and is answered.
//!
//! # Ownership
//! A block is in the pool, in one of the types of `lending.rs`, or a *zombie*: given up while lent, it comes home when the
//! callee answers. Zombies are looked at when a block is needed; only a thread about to sleep for one asks to be told
//! (`ANNOUNCE`), and such a block is reused only after its announcement was read (R3).
//!
//! # Death
//! The thread of `bells.rs` sees the hang-up, notes it in `end`, then visits every lent block (C3 with `CANCELLED`, wake:
//! P9). A caller that submits too late for the visit sees `end` before it sleeps (P12).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::arena::Arena;
use crate::bells;
use crate::clock;
use crate::doorbell;
use crate::extent::Extent;
use crate::futex;
use crate::gap::Gap;
use crate::handover;
use crate::hot;
use crate::layout::{BlockHead, MAX_MESSAGE, NOT_RUN, RELEASE};
use crate::pool::Pool;
use crate::queue::{Consumer, Kind, Producer};
use crate::segment::{Area, Segment};
use crate::socket;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use crate::word::{self, Corrupt, Lent};

pub use crate::lending::{Answer, Draft, Failure, Holder, Pending};

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

/// Why no block could be had.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoBlock {
    /// All blocks were in use until the limit passed.
    Busy,
    /// The peer is gone, or broke the protocol.
    Ended,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);
/// One in so many blocks may be kept by a thread.
const KEPT: u32 = 8;

const OPEN: u8 = 0;
const HUNG_UP: u8 = 1;
const BROKEN: u8 = 2;

/// What a block that is not in the pool is called by: its number, and whether an extent goes with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) number: u32,
    pub(crate) large: bool,
}

#[derive(Debug)]
struct Zombie {
    block: Block,
    announced: bool,
}

#[derive(Debug, Default)]
struct Given {
    zombies: Vec<Zombie>,
    announcements: Consumer,
}

/// The calling side of a channel. Shared by all threads of the process.
#[derive(Debug)]
pub struct Caller {
    number: u64,
    this: Weak<Caller>,
    /// Threads that may keep a block (`hot.rs`).
    keepers: AtomicU32,
    pub(crate) segment: Segment,
    socket: OwnedFd,
    pool: Pool,
    pub(crate) arena: Arena,
    /// Of each block, how many of its requests the callee has begun, as far as its answers tell; touched by the owner of
    /// the block only.
    begun: Box<[AtomicU32]>,
    /// Of each block, the extent of a request that did not fit; touched by the owner of the block only.
    extents: Box<[Mutex<Option<Extent>>]>,
    requests: Producer,
    end: AtomicU8,
    why: Mutex<Option<Corrupt>>,
    given: Mutex<Given>,
    freed: Condvar,
    zombies: AtomicU32,
    pub(crate) gap: Gap,
}

impl Caller {
    /// Starts calling over a segment that the peer has accepted on `socket`.
    ///
    /// # Errors
    /// The system's, if the thread that listens for hang-ups cannot be started.
    pub fn new(segment: Segment, socket: OwnedFd) -> io::Result<Arc<Self>> {
        let geometry = *segment.geometry();
        let caller = Arc::new_cyclic(|this| Caller {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            this: this.clone(),
            keepers: AtomicU32::new(0),
            socket,
            pool: Pool::new(geometry.blocks()),
            arena: Arena::new(geometry.caller_arena_at(), geometry.caller_arena()),
            begun: (0..geometry.blocks()).map(|_| AtomicU32::new(0)).collect(),
            extents: (0..geometry.blocks()).map(|_| Mutex::new(None)).collect(),
            requests: Producer::new(),
            end: AtomicU8::new(OPEN),
            why: Mutex::new(None),
            given: Mutex::default(),
            freed: Condvar::new(),
            zombies: AtomicU32::new(0),
            gap: Gap::new(),
            segment,
        });
        bells::listen(&caller)?;
        Ok(caller)
    }

    /// Is the peer gone, or was the channel closed because it broke the protocol?
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.end.load(Ordering::Relaxed) != OPEN
    }

    /// The control socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes of the caller's arena in use by requests.
    pub fn arena_used(&self) -> u64 {
        self.arena.used()
    }

    /// Blocks given up while lent that have not come home yet.
    pub fn zombies(&self) -> u32 {
        self.zombies.load(Ordering::Relaxed)
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

    fn find_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        match self.pool.pop() {
            Some(number) => Ok(number),
            None => self.wait_for_block(limit),
        }
    }

    /// This caller's number in this process, never 0 and never used again: news of a caller that is gone may still be under
    /// way when another one lies at its address.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn weak(&self) -> Weak<Caller> {
        self.this.clone()
    }

    /// May one more thread keep a block? Counts it if so.
    pub(crate) fn may_keep(&self) -> bool {
        let most = self.segment.geometry().blocks() / KEPT;
        let one_more = |kept| (kept < most).then_some(kept + 1);
        self.keepers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// A thread that may keep a block ends, or turns to another caller.
    pub(crate) fn keeps_no_longer(&self, block: Option<u32>) {
        self.keepers.fetch_sub(1, Ordering::Relaxed);
        if let Some(block) = block
            && self.pool.push(block)
        {
            self.wake_one();
        }
    }

    /// Brings answered zombies home: the block of a reply just released is the hot one.
    #[cold]
    fn look_for_zombies(&self) {
        if let Ok(mut given) = self.given.try_lock() {
            self.take_home(&mut given);
        }
    }

    #[cold]
    fn wait_for_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        let deadline = match limit {
            Limit::None => None,
            Limit::Lazy(timeout) => Some(clock::after(timeout)),
            Limit::Until(deadline) => Some(deadline),
        };
        self.pool.begin_wait(); // [P13]
        let mut given = self.lock();
        let result = loop {
            self.take_home(&mut given);
            if let Some(block) = self.pool.pop() {
                break Ok(block);
            }
            if self.has_ended() {
                break Err(NoBlock::Ended);
            }
            if self.ask_to_be_told(&mut given) {
                continue;
            }
            doorbell::raise(&self.segment.caller_flags().asleep); // [P4]
            if given.announcements.is_ready(self.segment.announcement_cells()) {
                continue;
            }
            given = match deadline.map(|d| d.saturating_sub(clock::now())) {
                None => self.freed.wait(given).unwrap_or_else(PoisonError::into_inner),
                Some(0) => break Err(NoBlock::Busy),
                Some(left) => {
                    let wait = self.freed.wait_timeout(given, Duration::from_nanos(left));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(given);
        self.pool.end_wait();
        result
    }

    /// Sets `ANNOUNCE` on every zombie that lacks it. `true`: one has been answered meanwhile.
    fn ask_to_be_told(&self, given: &mut Given) -> bool {
        let mut answered = false;
        for zombie in given.zombies.iter_mut().filter(|z| !z.announced) {
            match self.head(zombie.block.number).map(|head| handover::wish(&head.word, word::ANNOUNCE)) {
                Some(Ok(Lent::Out(_))) => zombie.announced = true,
                Some(Ok(Lent::Done)) => answered = true,
                Some(Err(corrupt)) => self.condemn(corrupt),
                None => {}
            }
        }
        answered
    }

    /// Reads all announcements, and brings home every zombie that has been answered.
    fn take_home(&self, given: &mut Given) {
        loop {
            match given.announcements.pop(self.segment.announcement_cells()) {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    let block = self.segment.geometry().block_index(entry.offset);
                    let told = given.zombies.iter_mut().find(|z| z.announced && Some(z.block.number) == block);
                    match told {
                        Some(zombie) if entry.kind == Kind::Announcement => zombie.announced = false,
                        _ => return self.condemn(Corrupt(u64::from(entry.offset))),
                    }
                }
                Err(corrupt) => return self.condemn(corrupt),
            }
        }
        let mut at = 0;
        while let Some(zombie) = given.zombies.get(at) {
            let done = match self.head(zombie.block.number).map(|head| handover::look(&head.word)) {
                Some(Ok(Lent::Done)) => true,
                Some(Ok(Lent::Out(_))) => false,
                Some(Err(corrupt)) => return self.condemn(corrupt),
                None => return,
            };
            if !done || zombie.announced {
                at += 1;
                continue;
            }
            let zombie = given.zombies.swap_remove(at);
            self.zombies.fetch_sub(1, Ordering::Relaxed);
            let status = self.head(zombie.block.number).map(|head| head.status.load(Ordering::Relaxed));
            if let Some(status) = status {
                self.count(zombie.block.number, status);
            }
            self.free_extent(zombie.block);
            if self.pool.push(zombie.block.number) {
                self.freed.notify_one();
            }
        }
    }

    #[inline(always)]
    pub(crate) fn head(&self, block: u32) -> Option<&BlockHead> {
        self.segment.block(block)
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the channel because the peer broke the protocol.
    #[cold]
    pub(crate) fn condemn(&self, why: Corrupt) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        let _ = self.end.compare_exchange(OPEN, BROKEN, Ordering::Relaxed, Ordering::Relaxed);
        socket::shut_down(self.socket());
    }

    /// The hang-up was seen: tells every waiting thread.
    pub(crate) fn hung_up(&self) {
        let _ = self.end.compare_exchange(OPEN, HUNG_UP, Ordering::Relaxed, Ordering::Relaxed);
        fence(Ordering::SeqCst); // [P12] pairs with the fence in `park`.
        for block in 0..self.segment.geometry().blocks() {
            let Some(head) = self.head(block) else { continue };
            // [P9] the word changes before the wake, so a waiter between its look and its sleep does not sleep. Whatever the
            // word says: a callee that dies between its answer and its wake leaves a sleeper behind on a `DONE`.
            if let Ok(Lent::Out(_)) = handover::look(&head.word) {
                let _ = handover::wish(&head.word, word::CANCELLED);
            }
            futex::wake(&head.word);
        }
        let _given = self.lock();
        self.freed.notify_all();
    }

    /// The doorbell rang: an announcement has come for somebody who waits for a block.
    pub(crate) fn rung(&self) {
        let _given = self.lock();
        self.freed.notify_all();
    }

    /// What the peer broke the protocol with, if it did.
    pub(crate) fn why_broken(&self) -> Option<Corrupt> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answered request as begun, unless its status says that it was not.
    #[inline(always)]
    fn count(&self, number: u32, status: u16) {
        if status != NOT_RUN
            && let Some(begun) = self.begun.get(number as usize)
        {
            begun.store(begun.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
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
        Some(extent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    pub(crate) fn free_extent(&self, block: Block) {
        if block.large {
            self.free_large(block.number);
        }
    }

    #[cold]
    fn free_large(&self, number: u32) {
        if let Some(extent) = self.extent(number).and_then(|mut e| e.take()) {
            self.arena.free(&self.segment, extent);
        }
    }

    /// A block of ours comes home.
    #[inline]
    pub(crate) fn bring_home(&self, block: Block) {
        self.free_extent(block);
        if self.pool.has_waiters() || !hot::keep(self.number, block.number) {
            self.bring_to_pool(block.number);
        }
    }

    #[inline(never)]
    fn bring_to_pool(&self, number: u32) {
        if !self.pool.has_waiters() && hot::adopt(self) && hot::keep(self.number, number) {
            return;
        }
        if self.pool.push(number) {
            self.wake_one();
        }
    }

    /// A lent block is given up: it comes home when the callee answers.
    #[cold]
    pub(crate) fn abandon(&self, block: Block) {
        if let Some(head) = self.head(block.number) {
            let _ = handover::wish(&head.word, word::CANCELLED);
        }
        self.add_zombie(block);
    }

    /// Lends a block once more, only to give the memory of its reply back. Nobody waits for the answer.
    #[cold]
    pub(crate) fn release_reply(&self, block: Block) {
        self.free_extent(block);
        let Some(head) = self.head(block.number) else { return };
        head.method.store(RELEASE, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
        match handover::submit(&head.word, 0) {
            Ok(watched) => {
                if !watched {
                    self.push(block.number);
                }
                self.add_zombie(Block { large: false, ..block });
            }
            Err(corrupt) => self.condemn(corrupt),
        }
    }

    fn add_zombie(&self, block: Block) {
        let mut given = self.lock();
        given.zombies.push(Zombie { block, announced: false });
        self.zombies.fetch_add(1, Ordering::Relaxed);
        // Whoever sleeps for a block has not asked to be told of this one yet; which of them will stay to ask is unknown.
        self.freed.notify_all();
    }

    #[cold]
    fn wake_one(&self) {
        let _given = self.lock();
        self.freed.notify_one();
    }

    /// C2. `true`: the callee slept and had to be woken.
    pub(crate) fn push(&self, block: u32) -> bool {
        let offset = self.segment.geometry().block_at(block);
        self.requests.push(self.segment.request_cells(), Kind::Request, offset);
        let flags = self.segment.callee_flags();
        let ring = doorbell::must_ring(&flags.asleep); // [P4]
        if ring {
            flags.woken_at.store(clock::now(), Ordering::Relaxed);
            socket::ring(self.socket());
        }
        ring
    }

    /// Reads where the reply of an answered block lies; every word once, each judged against memory that this call lent
    /// or the callee's arena.
    #[inline]
    pub(crate) fn reply_of(&self, block: Block) -> Result<Reply, Corrupt> {
        let Some(head) = self.head(block.number) else { return Err(Corrupt(u64::from(block.number))) };
        let (at, len) = (head.reply_at.load(Ordering::Relaxed), head.reply_len.load(Ordering::Relaxed));
        let status = head.status.load(Ordering::Relaxed);
        self.count(block.number, status);
        if len == 0 {
            return Ok(Reply { status, at: 0, len, theirs: false });
        }
        if self.segment.bytes(Area::Inline(block.number), at, len).is_some() {
            return Ok(Reply { status, at, len, theirs: false });
        }
        self.large_reply_of(block, status, at, len)
    }

    fn large_reply_of(&self, block: Block, status: u16, at: u32, len: u32) -> Result<Reply, Corrupt> {
        if len > MAX_MESSAGE {
            return Err(Corrupt(u64::from(len)));
        }
        if let Some(extent) = self.extent(block.number).as_ref().and_then(|e| e.as_ref())
            && at >= extent.offset()
            && at - extent.offset() <= extent.len()
            && len <= extent.len() - (at - extent.offset())
        {
            return Ok(Reply { status, at, len, theirs: false });
        }
        match self.segment.bytes(Area::CalleeArena, at, len) {
            Some(_) => Ok(Reply { status, at, len, theirs: true }),
            None => Err(Corrupt(u64::from(at))),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        bells::forget(self);
    }
}

/// Where a reply lies, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Offset in the segment, checked.
    pub(crate) at: u32,
    pub(crate) len: u32,
    /// It lies in the callee's arena.
    pub(crate) theirs: bool,
}

//! The calling side of a channel: takes a block, lends it, waits, reads the reply, takes the block home.
//!
//! # The path of a call
//! [`Caller::draft`] takes the hot block. The request is written into its memory (or into an extent, [`Draft::grow`]).
//! [`Draft::submit`] is one swap (C1), plus a push (C2) and a ring if the callee is not looking. [`Pending::wait`] looks at
//! the word (C4), and after a while parks on it (C3, futex). [`Answer`] holds the reply; dropping it brings the block home.
//!
//! # Ownership
//! A block is in the pool, in one of the three types above, or a *zombie*: given up while lent, it comes home when the
//! callee answers. Zombies are looked at when a block is needed; only a thread about to sleep for one asks to be told
//! (`ANNOUNCE`), and such a block is reused only after its announcement was read (R3).
//!
//! # Safety
//! One call that copies a growing request, whose memory is ours alone until it is submitted.
//!
//! # Death
//! The thread of `bells.rs` sees the hang-up, notes it in `end`, then visits every lent block (C3 with `CANCELLED`, wake:
//! P9). A caller that submits too late for the visit sees `end` before it sleeps (P12).
#![allow(unsafe_code)]

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::arena::{Arena, NoExtent};
use crate::bells;
use crate::clock;
use crate::doorbell;
use crate::extent::Extent;
use crate::futex;
use crate::gap::Gap;
use crate::handover;
use crate::layout::{BlockHead, EXTENT_START, INLINE, INLINE_ROOM, MAX_MESSAGE, RELEASE};
use crate::pool::Pool;
use crate::queue::{Consumer, Kind, Producer};
use crate::segment::{Area, Segment};
use crate::socket;
use crate::sync::{AtomicU8, AtomicU32, Ordering, fence, spin_hint};
use crate::word::{self, Corrupt, Lent};

/// Looks at a lent word before anything else is considered: about one to two microseconds.
const FIRST_LOOKS: u32 = 48;
/// A reply in the callee's arena of at least this many bytes is given back at once, not when its block is next used.
const WORTH_RELEASING: u32 = 64 << 10;
/// Looks between two readings of the clock while spinning on.
const LOOKS_PER_READING: u32 = 16;

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

/// Why there is no reply.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The limit passed; the call may have run or still be running.
    TimedOut,
    /// The peer is gone and had not begun.
    NotStarted,
    /// The peer is gone and had begun.
    MayHaveRun,
    /// The peer broke the protocol; the channel is closed.
    Corrupt(Corrupt),
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

const OPEN: u8 = 0;
const HUNG_UP: u8 = 1;
const BROKEN: u8 = 2;

#[derive(Debug)]
struct Zombie {
    block: u32,
    extent: Option<Extent>,
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
    segment: Segment,
    socket: OwnedFd,
    pool: Pool,
    arena: Arena,
    requests: Producer,
    end: AtomicU8,
    given: Mutex<Given>,
    freed: Condvar,
    zombies: AtomicU32,
    gap: Gap,
}

impl Caller {
    /// Starts calling over a segment that the peer has accepted on `socket`.
    ///
    /// # Errors
    /// The system's, if the thread that listens for hang-ups cannot be started.
    pub fn new(segment: Segment, socket: OwnedFd) -> io::Result<Arc<Self>> {
        let geometry = *segment.geometry();
        let caller = Arc::new(Caller {
            socket,
            pool: Pool::new(geometry.blocks()),
            arena: Arena::new(geometry.caller_arena_at(), geometry.caller_arena()),
            requests: Producer::new(),
            end: AtomicU8::new(OPEN),
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
    pub fn draft<C: Deref<Target = Caller>>(this: C, limit: Limit) -> Result<Draft<C>, NoBlock> {
        if this.has_ended() {
            return Err(NoBlock::Ended);
        }
        if this.zombies.load(Ordering::Relaxed) != 0 {
            this.look_for_zombies();
        }
        let block = match this.pool.pop() {
            Some(block) => block,
            None => this.wait_for_block(limit)?,
        };
        let at = this.segment.geometry().block_at(block) + INLINE;
        Ok(Draft { slot: Slot { caller: this, block, extent: None, state: State::Ours }, at, room: INLINE_ROOM })
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
            match self.head(zombie.block).map(|head| handover::wish(&head.word, word::ANNOUNCE)) {
                Some(Ok(Lent::Out(_))) => zombie.announced = true,
                Some(Ok(Lent::Done)) => answered = true,
                Some(Err(_)) | None => self.condemn(),
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
                    let told = given.zombies.iter_mut().find(|z| z.announced && Some(z.block) == block);
                    match told {
                        Some(zombie) if entry.kind == Kind::Announcement => zombie.announced = false,
                        _ => return self.condemn(),
                    }
                }
                Err(_) => return self.condemn(),
            }
        }
        let mut at = 0;
        while let Some(zombie) = given.zombies.get(at) {
            let done = match self.head(zombie.block).map(|head| handover::look(&head.word)) {
                Some(Ok(Lent::Done)) => true,
                Some(Ok(Lent::Out(_))) => false,
                _ => return self.condemn(),
            };
            if !done || zombie.announced {
                at += 1;
                continue;
            }
            let zombie = given.zombies.swap_remove(at);
            self.zombies.fetch_sub(1, Ordering::Relaxed);
            if let Some(extent) = zombie.extent {
                self.arena.free(&self.segment, extent);
            }
            if self.pool.push(zombie.block) {
                self.freed.notify_one();
            }
        }
    }

    fn head(&self, block: u32) -> Option<&BlockHead> {
        self.segment.block(block)
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the channel because the peer broke the protocol.
    #[cold]
    fn condemn(&self) {
        let _ = self.end.compare_exchange(OPEN, BROKEN, Ordering::Relaxed, Ordering::Relaxed);
        socket::shut_down(self.socket());
    }

    /// The hang-up was seen: tells every waiting thread.
    pub(crate) fn hung_up(&self) {
        let _ = self.end.compare_exchange(OPEN, HUNG_UP, Ordering::Relaxed, Ordering::Relaxed);
        fence(Ordering::SeqCst); // [P12] pairs with the fence in `park`.
        for block in 0..self.segment.geometry().blocks() {
            let Some(head) = self.head(block) else { continue };
            // [P9] the word changes before the wake, so a waiter between its look and its sleep does not sleep.
            if let Ok(Lent::Out(_)) = handover::look(&head.word) {
                let _ = handover::wish(&head.word, word::CANCELLED);
                futex::wake(&head.word);
            }
        }
        let _given = self.lock();
        self.freed.notify_all();
    }

    /// The doorbell rang: an announcement has come for somebody who waits for a block.
    pub(crate) fn rung(&self) {
        let _given = self.lock();
        self.freed.notify_all();
    }

    #[inline]
    fn bring_home(&self, block: u32) {
        if self.pool.push(block) {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let _given = self.lock();
        self.freed.notify_one();
    }

    /// C2. `true`: the callee slept and had to be woken.
    fn push(&self, block: u32) -> bool {
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
    fn reply_of(&self, block: u32, extent: Option<&Extent>) -> Result<Reply, Corrupt> {
        let Some(head) = self.head(block) else { return Err(Corrupt(u64::from(block))) };
        let (at, len) = (head.reply_at.load(Ordering::Relaxed), head.reply_len.load(Ordering::Relaxed));
        let status = head.status.load(Ordering::Relaxed);
        if len == 0 {
            return Ok(Reply { status, at: 0, len, theirs: false });
        }
        if self.segment.bytes(Area::Inline(block), at, len).is_some() {
            return Ok(Reply { status, at, len, theirs: false });
        }
        if len > MAX_MESSAGE {
            return Err(Corrupt(u64::from(len)));
        }
        if let Some(extent) = extent
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

#[derive(Debug, Clone, Copy)]
struct Reply {
    status: u16,
    /// Offset in the segment, checked.
    at: u32,
    len: u32,
    /// It lies in the callee's arena.
    theirs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In our hands: the request is being written, or the reply read.
    Ours,
    /// Lent.
    Lent,
    /// With a peer that is gone: never used again.
    Lost,
}

/// A block that is not in the pool, and the extent that goes with it.
#[derive(Debug)]
struct Slot<C: Deref<Target = Caller>> {
    caller: C,
    block: u32,
    extent: Option<Extent>,
    state: State,
}

impl<C: Deref<Target = Caller>> Slot<C> {
    #[inline]
    fn head(&self) -> &BlockHead {
        match self.caller.segment.block(self.block) {
            Some(head) => head,
            None => unreachable!("the pool of a channel holds only its own blocks"),
        }
    }

    /// Lends the block once more, only to give the memory of its reply back. Nobody waits for the answer.
    #[cold]
    fn release_reply(&mut self) {
        if let Some(extent) = self.extent.take() {
            self.caller.arena.free(&self.caller.segment, extent);
        }
        let head = self.head();
        head.taken.store(0, Ordering::Relaxed);
        head.method.store(RELEASE, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
        match handover::submit(&head.word, 0) {
            Ok(watched) => {
                if !watched {
                    self.caller.push(self.block);
                }
                self.become_zombie();
            }
            Err(_) => self.caller.condemn(),
        }
        self.state = State::Lost;
    }

    /// A lent block is given up: it comes home when the callee answers.
    #[cold]
    fn abandon(&mut self) {
        let _ = handover::wish(&self.head().word, word::CANCELLED);
        self.become_zombie();
    }

    fn become_zombie(&mut self) {
        let mut given = self.caller.lock();
        given.zombies.push(Zombie { block: self.block, extent: self.extent.take(), announced: false });
        self.caller.zombies.fetch_add(1, Ordering::Relaxed);
        // Whoever sleeps for a block has not asked to be told of this one yet; which of them will stay to ask is unknown.
        self.caller.freed.notify_all();
        drop(given);
    }
}

impl<C: Deref<Target = Caller>> Drop for Slot<C> {
    #[inline]
    fn drop(&mut self) {
        match self.state {
            State::Ours => {
                if let Some(extent) = self.extent.take() {
                    self.caller.arena.free(&self.caller.segment, extent);
                }
                self.caller.bring_home(self.block);
            }
            State::Lent => self.abandon(),
            State::Lost => {}
        }
    }
}

/// A block whose request is being written. Dropping it brings the block home.
#[derive(Debug)]
pub struct Draft<C: Deref<Target = Caller>> {
    slot: Slot<C>,
    at: u32,
    room: u32,
}

impl<C: Deref<Target = Caller>> Draft<C> {
    /// Where the request goes: address of its first byte, and how many bytes there are. The address is 8 modulo 16. The
    /// memory is ours alone until [`Draft::submit`] or [`Draft::grow`].
    #[inline]
    pub fn buffer(&self) -> (NonNull<u8>, usize) {
        let segment = &self.slot.caller.segment;
        let area = if self.slot.extent.is_some() { Area::CallerArena } else { Area::Inline(self.slot.block) };
        match segment.bytes(area, self.at, self.room) {
            Some(data) => (data, self.room as usize),
            None => (NonNull::dangling(), 0),
        }
    }

    /// Moves the request to memory of at least `needed` bytes, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoExtent`]; what was written stays where it was.
    #[cold]
    pub fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoExtent> {
        let (from, room) = self.buffer();
        let caller = &*self.slot.caller;
        // SAFETY: the first `room` bytes at `from` are this draft's, in its block or in its extent, which is not lent.
        unsafe { caller.arena.grow(&caller.segment, &mut self.slot.extent, from, used.min(room), needed)? };
        if let Some(extent) = &self.slot.extent {
            self.at = extent.offset() + EXTENT_START;
            self.room = extent.len() - EXTENT_START;
        }
        Ok(self.buffer())
    }

    /// Lends the block with a request of `len` bytes to method `method`.
    ///
    /// # Errors
    /// [`Failure::Corrupt`] if the peer had tampered with the block; the channel is closed then.
    #[inline]
    pub fn submit(mut self, method: u16, len: usize, limit: Limit) -> Result<Pending<C>, Failure> {
        let head = self.slot.head();
        head.taken.store(0, Ordering::Relaxed);
        head.method.store(method, Ordering::Relaxed);
        head.request_at.store(self.at, Ordering::Relaxed);
        head.request_len.store(len.min(self.room as usize) as u32, Ordering::Relaxed);
        head.room.store(self.room, Ordering::Relaxed);
        head.deadline.store(if let Limit::Until(deadline) = limit { deadline } else { 0 }, Ordering::Relaxed);
        match handover::submit(&head.word, 0) {
            Ok(watched) => {
                self.slot.state = State::Lent;
                let caller = &*self.slot.caller;
                let rang = !watched && caller.push(self.slot.block);
                Ok(Pending { slot: self.slot, rang, limit })
            }
            Err(corrupt) => {
                self.slot.state = State::Lost;
                self.slot.caller.condemn();
                Err(Failure::Corrupt(corrupt))
            }
        }
    }
}

/// A lent block. Dropping it gives the call up.
#[derive(Debug)]
#[must_use = "dropping a pending call cancels it"]
pub struct Pending<C: Deref<Target = Caller>> {
    slot: Slot<C>,
    rang: bool,
    limit: Limit,
}

impl<C: Deref<Target = Caller>> Pending<C> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// [`Failure`]. After `TimedOut` the block comes home later, by itself.
    #[inline]
    pub fn wait(mut self) -> Result<Answer<C>, Failure> {
        let word = &self.slot.head().word;
        for _ in 0..FIRST_LOOKS {
            match handover::look(word) {
                Ok(Lent::Done) => return self.answered(),
                Ok(Lent::Out(_)) => spin_hint(),
                Err(corrupt) => return Err(self.corrupt(corrupt)),
            }
        }
        match self.wait_long() {
            Ok(()) => self.answered(),
            Err(failure) => Err(failure),
        }
    }

    #[inline]
    fn answered(mut self) -> Result<Answer<C>, Failure> {
        self.slot.state = State::Ours;
        match self.slot.caller.reply_of(self.slot.block, self.slot.extent.as_ref()) {
            Ok(reply) => Ok(Answer { slot: self.slot, reply }),
            Err(corrupt) => Err(self.corrupt(corrupt)),
        }
    }

    #[cold]
    fn corrupt(&mut self, corrupt: Corrupt) -> Failure {
        self.slot.state = State::Lost;
        self.slot.caller.condemn();
        Failure::Corrupt(corrupt)
    }

    /// The reply did not come at once: spin on if that is worth it, then park.
    #[cold]
    #[inline(never)]
    fn wait_long(&mut self) -> Result<(), Failure> {
        let start = clock::now();
        let deadline = match self.limit {
            Limit::None => u64::MAX,
            Limit::Lazy(timeout) => start.saturating_add(clock::nanoseconds(timeout)),
            Limit::Until(deadline) => deadline,
        };
        let caller = &*self.slot.caller;
        let head = self.slot.head();
        if deadline != u64::MAX {
            head.deadline.store(deadline, Ordering::Relaxed);
        }
        // A callee that was last seen on this very core cannot run while we spin here, and one that had to be woken
        // usually starts on the waker's core: the kernel hands the core over faster than we can wait.
        let core = clock::core();
        let shares_core = core != 0 && caller.segment.callee_flags().core.load(Ordering::Relaxed) == core;
        let own = &caller.segment.caller_flags().core;
        if own.load(Ordering::Relaxed) != core {
            own.store(core, Ordering::Relaxed);
        }
        let spin = if shares_core || self.rang { 0 } else { caller.gap.worth_spinning() };
        let until = start.saturating_add(spin).min(deadline);
        let mut now = start;
        while now < until && !caller.has_ended() {
            for _ in 0..LOOKS_PER_READING {
                match handover::look(&head.word) {
                    Ok(Lent::Done) => {
                        caller.gap.learn(clock::now().saturating_sub(start));
                        return Ok(());
                    }
                    Ok(Lent::Out(_)) => spin_hint(),
                    Err(corrupt) => return Err(self.corrupt(corrupt)),
                }
            }
            now = clock::now();
        }
        self.park(start, deadline)
    }

    fn park(&mut self, start: u64, deadline: u64) -> Result<(), Failure> {
        let caller = &*self.slot.caller;
        let head = self.slot.head();
        let until = (deadline != u64::MAX).then_some(deadline);
        loop {
            let value = match handover::wish(&head.word, word::PARKED) {
                Ok(Lent::Done) => break,
                // Only the visit of a dead channel cancels a call that somebody waits for, and it wakes but once.
                Ok(Lent::Out(value)) if value & word::CANCELLED != 0 => return self.outcome(),
                Ok(Lent::Out(value)) => value,
                Err(corrupt) => return Err(self.corrupt(corrupt)),
            };
            fence(Ordering::SeqCst); // [P12] pairs with the fence in `hung_up`.
            if caller.has_ended() {
                return self.outcome();
            }
            if clock::now() >= deadline {
                return match handover::wish(&head.word, word::CANCELLED) {
                    Ok(Lent::Done) => Ok(()),
                    Ok(Lent::Out(_)) => Err(Failure::TimedOut),
                    Err(corrupt) => Err(self.corrupt(corrupt)),
                };
            }
            futex::wait(&head.word, value, until); // [P7]
        }
        // The callee noted when it woke us; without a note, now is the best guess.
        let woken = caller.segment.caller_flags().woken_at.load(Ordering::Relaxed);
        let came = if woken >= start { woken } else { clock::now() };
        caller.gap.learn(came.saturating_sub(start));
        Ok(())
    }

    /// The peer is gone: what the block says is final.
    #[cold]
    fn outcome(&mut self) -> Result<(), Failure> {
        let head = self.slot.head();
        let began = handover::was_taken(&head.taken); // [P8]
        match handover::look(&head.word) {
            Ok(Lent::Done) => Ok(()),
            Ok(Lent::Out(_)) => {
                self.slot.state = State::Lost;
                let broken = self.slot.caller.end.load(Ordering::Relaxed) == BROKEN;
                Err(if began || broken { Failure::MayHaveRun } else { Failure::NotStarted })
            }
            Err(corrupt) => Err(self.corrupt(corrupt)),
        }
    }
}

/// A reply, and the memory it lies in. Dropping it brings the block home.
#[derive(Debug)]
pub struct Answer<C: Deref<Target = Caller>> {
    slot: Slot<C>,
    reply: Reply,
}

impl<C: Deref<Target = Caller>> Answer<C> {
    /// How the call ended, as the callee put it.
    #[inline]
    pub fn status(&self) -> u16 {
        self.reply.status
    }

    /// Address and number of the reply's bytes. They are ours until this value is dropped; a hostile peer can still
    /// change them.
    #[inline]
    pub fn bytes(&self) -> (NonNull<u8>, usize) {
        (self.slot.caller.segment.pointer(self.reply.at), self.reply.len as usize)
    }
}

impl<C: Deref<Target = Caller>> Drop for Answer<C> {
    #[inline]
    fn drop(&mut self) {
        if self.reply.theirs && self.reply.len >= WORTH_RELEASING {
            self.slot.release_reply();
        }
    }
}

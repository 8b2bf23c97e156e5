//! A block on its way: written, lent, answered. One type for each, so that nothing can be done out of order.
//!
//! # The path of a call
//! The request is written into the memory of a [`Draft`] (or into an extent, [`Draft::grow`]). [`Draft::submit`] is one swap
//! (C1), plus a push (C2) and a ring if the callee is not looking. [`Pending::wait`] looks at the word (C4), and after a
//! while parks on it (C3, futex); [`Pending::poll_ready`] looks too, and then asks for an announcement (C3). [`Answer`] holds
//! the reply; dropping it brings the block home.
//!
//! # Safety
//! Values are moved out of types that have a destructor, the head of a block is found by its offset, which was checked when the
//! block was taken, and a growing request is copied while its memory is ours alone.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::announcements::Asked;
use crate::caller::{self, Block, Caller, EXPORTS, LARGE, Limit, PARCEL, PINS, POLLED, RANG, deadline_of};
use crate::clock;
use crate::futex;
use crate::handover;
use crate::lane::{self, Cargo, Undeliverable};
use crate::layout::{BRINGS_PARCEL, BlockHead, EXTENT_START, INLINE, INLINE_ROOM, KEPT, LOANED, REPLIED};
use crate::memory::NoMemory;
use crate::prefetch;
use crate::sync::{Ordering, fence, looks, spin_hint};
use crate::word::{self, Corrupt, Lent};

/// Looks, with pauses between them, before anything else is considered: about a microsecond. Without the pauses the line is
/// pulled away from a callee that is writing its answer.
pub(crate) const FIRST_LOOKS: u32 = looks(48);
/// How often the core is given to a callee that is on the same one before the thread parks.
const YIELDS: u32 = 2;
/// Nanoseconds that a few time slices of others take.
const SLICES: u64 = 20_000_000;
/// Looks between two readings of the clock while spinning on.
const LOOKS_PER_READING: u32 = looks(16);
/// A reply in the callee's arena of at least this many bytes is given back at once, not when its block is next used.
const WORTH_RELEASING: u32 = 64 << 10;
/// Shorter ones too, if the replies of idle blocks would take up more than this, or than a quarter of the arena.
const IDLE_REPLIES: u32 = 1 << 20;

/// Is the reply of `len` bytes of a block that comes home to be given back at once? What the other blocks have left there is
/// known as of when they last came home with such a reply; they may have less by now.
#[cold]
fn is_worth_releasing(caller: &Caller, block: u32, len: u32) -> bool {
    let Some(left) = caller.left.get(block as usize) else { return true };
    let most = IDLE_REPLIES.min(caller.segment.geometry().callee_arena() / 4);
    let before = left.swap(0, Ordering::Relaxed);
    let others = caller.all_left.fetch_sub(before, Ordering::Relaxed).wrapping_sub(before);
    if len >= WORTH_RELEASING || others.saturating_add(len) > most {
        return true;
    }
    left.store(len, Ordering::Relaxed);
    caller.all_left.fetch_add(len, Ordering::Relaxed);
    false
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

/// How a block on its way reaches its caller.
///
/// # Safety
/// Every dereference gives the same caller, which lives as long as the holder does: a block goes home to the pool that it
/// came from, and its memory is found by offset.
pub unsafe trait Holder: Deref<Target = Caller> {}

// SAFETY: a reference is always to the same value.
unsafe impl Holder for &Caller {}
// SAFETY: an `Arc` is always to the same value, and keeps it.
unsafe impl Holder for Arc<Caller> {}

/// What of the callee's arena a reply occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theirs {
    /// It lies elsewhere.
    Nothing,
    /// The reply itself.
    Reply,
    /// That, and loans that it refers to.
    Much,
}

/// A status without its flags, and what of the callee's arena its reply occupies.
#[cold]
#[inline(never)]
fn stripped(status: u16, theirs: Theirs) -> (u16, Theirs) {
    if status == REPLIED | LOANED { (REPLIED, Theirs::Much) } else { (status, theirs) }
}

/// A block that is not in the pool, and how its caller is reached. No destructor: the types below have them.
#[derive(Debug)]
struct Slot<C: Holder> {
    caller: C,
    block: Block,
    /// Offset of the block.
    at: u32,
}

impl<C: Holder> Slot<C> {
    #[inline(always)]
    fn new(caller: C, number: u32) -> Self {
        let geometry = caller.segment.geometry();
        if number >= geometry.blocks() {
            unreachable!("the pool of a channel holds only its own blocks");
        }
        let at = geometry.block_at(number);
        Slot { caller, block: Block { number, flags: 0 }, at }
    }

    #[inline(always)]
    fn head(&self) -> &BlockHead {
        // SAFETY: `new` has computed the offset of a block of this caller's segment, and the caller is always the same.
        unsafe { self.caller.segment.block_at(self.at) }
    }

    /// The deadline that was fixed for the call, or `u64::MAX`. A peer that writes to it gains a lie about its own call.
    #[cold]
    fn deadline(&self) -> u64 {
        match self.head().deadline.load(Ordering::Relaxed) {
            0 => u64::MAX,
            deadline => deadline,
        }
    }

    /// Brings the block home after a reply of `len` bytes.
    #[inline(always)]
    fn go_home(self, len: u32, theirs: Theirs) {
        if theirs == Theirs::Much || theirs == Theirs::Reply && is_worth_releasing(&self.caller, self.block.number, len)
        {
            self.caller.release_reply(self.block);
        } else {
            self.caller.bring_home(self.block);
        }
    }

    /// Moves it out, field by field: a copy of the whole would be read wider than it has just been written, and wait until
    /// those writes are out of the core's buffer.
    ///
    /// # Safety
    /// `slot` is not used again.
    #[inline(always)]
    unsafe fn take(slot: &ManuallyDrop<Slot<C>>) -> Self {
        // SAFETY: the caller does not use the original again.
        let caller = unsafe { ptr::read(&raw const slot.caller) };
        Slot { caller, block: Block { number: slot.block.number, flags: slot.block.flags }, at: slot.at }
    }
}

/// A block whose request is being written. Dropping it brings the block home.
#[derive(Debug)]
pub struct Draft<C: Holder> {
    slot: ManuallyDrop<Slot<C>>,
    at: u32,
    room: u32,
    tag: u32,
}

impl<C: Holder> Draft<C> {
    #[inline]
    pub(crate) fn new(caller: C, number: u32) -> Self {
        let slot = Slot::new(caller, number);
        crate::fail_point!(BlockTaken);
        let at = slot.at + INLINE;
        Draft { slot: ManuallyDrop::new(slot), at, room: INLINE_ROOM, tag: 0 }
    }

    /// Its slot, which whoever unwinds does not drop: memory that might have to be dropped is not kept in registers.
    #[inline(always)]
    fn into_slot(self) -> ManuallyDrop<Slot<C>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the draft is not dropped and not used again.
        ManuallyDrop::new(unsafe { Slot::take(&this.slot) })
    }

    /// Where the request goes: address of its first byte, and how many bytes there are. The address is 8 modulo 16. The
    /// memory is ours alone until [`Draft::submit`] or [`Draft::grow`].
    #[inline]
    pub fn buffer(&self) -> (NonNull<u8>, usize) {
        // `at` and `room` are those of the block or of its extent, never a peer's.
        (self.slot.caller.segment.pointer(self.at), self.room as usize)
    }

    /// Moves the request to memory of at least `needed` bytes, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoMemory`]; what was written stays where it was.
    #[cold]
    pub fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        let (from, room) = self.buffer();
        let caller = &*self.slot.caller;
        if let Some(mut extent) = caller.extent(self.slot.block.number) {
            // SAFETY: the first `room` bytes at `from` are this draft's, in its block or in its extent, which is not lent.
            unsafe { caller.arena.grow(&caller.segment, &mut extent, from, used.min(room), needed)? };
            if let Some(extent) = &*extent {
                self.at = extent.offset() + EXTENT_START;
                self.room = extent.len() - EXTENT_START;
            }
        }
        self.slot.block.flags |= LARGE;
        crate::fail_point!(RequestExtent);
        Ok(self.buffer())
    }

    /// Has the request refer to the `len` bytes at `data` where they lie, which are not to change until its block has come home.
    /// `false`: they are no part of a loan of this channel, or its peer does not read messages where they lie.
    #[cold]
    pub fn attach(&mut self, data: NonNull<u8>, len: usize) -> bool {
        let caller = &*self.slot.caller;
        let (Some(at), Ok(len)) = (caller.segment.offset_of(data), u32::try_from(len)) else { return false };
        let pinned = caller.loans.are_allowed() && caller.loans.pin(self.slot.block.number, at, len);
        if pinned {
            self.slot.block.flags |= PINS;
        }
        pinned
    }

    /// Has the request refer to the `len` bytes at `data`, which somebody else shares with this process, by sending that memory
    /// along as the descriptor of this number. Gives the address that stands for it. `None`: it has to be copied.
    #[cold]
    pub fn export(&mut self, index: u32, data: NonNull<u8>, len: usize, limit: Limit) -> Option<NonNull<u8>> {
        // What was sent before stays until the block is home: if this cannot be sent, the peer maps that.
        let found = self.slot.caller.export((self.slot.block.number, index), data, len, limit);
        if found.is_some() {
            self.slot.block.flags |= EXPORTS | PARCEL;
        }
        found
    }

    /// Does the request refer to loans? It is not to be moved then.
    #[inline]
    pub fn refers(&self) -> bool {
        self.slot.block.flags & (PINS | EXPORTS) != 0
    }

    /// Sends a descriptor along with the request, the one of this number, in the time that `limit` has for it. Number 0 takes
    /// back what was sent before for this request.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>, limit: Limit) -> Result<(), Undeliverable> {
        self.slot.block.flags |= PARCEL;
        self.slot.caller.send(self.slot.block.number, Cargo::Piece(index), descriptor, limit)
    }

    /// Sends the file in which the request lies, behind so many descriptors.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, limit: Limit) -> Result<(), Undeliverable> {
        self.slot.block.flags |= PARCEL;
        self.slot.caller.send(self.slot.block.number, Cargo::Body(behind), file, limit)
    }

    /// Does the peer read requests where they lie?
    pub fn lends(&self) -> bool {
        self.slot.caller.lends()
    }

    /// Says what the request is for besides its method: `target`, a stream or callback object of this connection, and
    /// `extra`, of which the method knows what it means. Both are 0 if this is not called.
    #[inline]
    pub fn address(&mut self, target: u16, extra: u16) {
        self.tag = u32::from(extra) << 16 | u32::from(target);
    }

    /// Lends the block with a request of `len` bytes to method `method`. If the peer had tampered with the block the channel
    /// is closed, and waiting says so.
    #[inline(always)]
    pub fn submit(self, method: u16, len: usize, limit: Limit) -> Pending<C> {
        self.lend(method, len, limit, false)
    }

    /// As [`Draft::submit`], but the callee is not woken if it sleeps: [`Caller::notify`] does that, once for many requests.
    /// Waiting for any of them does it too.
    #[inline]
    pub fn submit_quietly(self, method: u16, len: usize, limit: Limit) -> Pending<C> {
        self.lend(method, len, limit, true)
    }

    /// C1, and C2 if the block is not watched.
    #[inline(always)]
    pub fn lend(self, method: u16, len: usize, limit: Limit, quietly: bool) -> Pending<C> {
        let (at, room, tag) = (self.at, self.room, self.tag);
        let mut slot = self.into_slot();
        let method = if slot.block.flags & PARCEL == 0 { method } else { method | BRINGS_PARCEL };
        let head = slot.head();
        head.tag.store(tag, Ordering::Relaxed);
        head.method.store(method, Ordering::Relaxed);
        head.request_at.store(at, Ordering::Relaxed);
        head.request_len.store(len.min(room as usize) as u32, Ordering::Relaxed);
        head.room.store(room, Ordering::Relaxed);
        head.deadline.store(if let Limit::Until(deadline) = limit { deadline } else { 0 }, Ordering::Relaxed);
        crate::fail_point!(RequestWritten);
        let submitted = handover::submit(&head.word, 0);
        crate::fail_point!(Lent);
        match submitted {
            Ok(true) => {}
            Ok(false) if quietly => slot.caller.push_quietly(slot.block.number),
            Ok(false) => {
                if slot.caller.push(slot.block.number) {
                    slot.block.flags |= RANG;
                }
            }
            Err(corrupt) => slot.caller.condemn(corrupt),
        }
        slot.caller.lent(slot.block.number);
        Pending { slot }
    }
}

impl<C: Holder> Drop for Draft<C> {
    fn drop(&mut self) {
        // SAFETY: a draft is dropped once, and its slot taken from there only here and in `into_slot`, which forgets it.
        let slot = unsafe { Slot::take(&self.slot) };
        if slot.block.flags & PARCEL != 0 {
            lane::take_back(slot.caller.socket(), slot.block.number);
        }
        slot.caller.bring_home(slot.block);
    }
}

/// Tells one request from the others, earlier and later, of its block: see [`Caller::was_answered`].
#[derive(Debug, Clone, Copy)]
pub struct Lending {
    /// The number of the block.
    pub block: u32,
    pub(crate) begun: u32,
}

/// A lent block. Dropping it gives the call up.
#[derive(Debug)]
#[must_use = "dropping a pending call cancels it"]
pub struct Pending<C: Holder> {
    slot: ManuallyDrop<Slot<C>>,
}

impl<C: Holder> Pending<C> {
    #[inline(always)]
    fn into_slot(self) -> ManuallyDrop<Slot<C>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is not dropped and not used again.
        ManuallyDrop::new(unsafe { Slot::take(&this.slot) })
    }

    fn rang(&self) -> bool {
        self.slot.block.flags & RANG != 0
    }

    /// How the caller is reached.
    #[inline]
    pub fn holder(&self) -> &C {
        &self.slot.caller
    }

    /// Which request this is, for who asks about it later.
    #[inline]
    pub fn lending(&self) -> Lending {
        self.slot.caller.lending(self.slot.block.number)
    }

    /// Says that this call is the next but one to be waited for: its answer is on the way here meanwhile.
    #[inline]
    pub fn prefetch(&self) {
        prefetch::for_write(self.slot.head());
    }

    /// Would [`Pending::wait`] return at once? It would if there is a reply, or the peer is gone, or the deadline that
    /// the request was sent with has passed.
    pub fn is_ready(&self) -> bool {
        let head = self.slot.head();
        if !matches!(handover::look(&head.word), Ok(Lent::Out(_))) || self.slot.caller.has_ended() {
            return true;
        }
        let deadline = head.deadline.load(Ordering::Relaxed);
        deadline != 0 && deadline <= clock::now()
    }

    /// Is ready when [`Pending::wait`] with this limit would return at once: with the reply, or with why there will be none.
    /// Else the waker of `cx` is called when that has changed. A limit that is not a moment counts from the first time on;
    /// without a limit, from the first time with one.
    pub fn poll_ready(&mut self, cx: &Context<'_>, limit: Limit) -> Poll<()> {
        let head = self.slot.head();
        let polled = self.slot.block.flags & POLLED != 0;
        if !matches!(handover::look(&head.word), Ok(Lent::Out(_))) || (!polled && self.comes_soon()) {
            return self.ready();
        }
        self.slot.block.flags |= POLLED;
        let caller = &*self.slot.caller;
        caller.notify();
        let known = if polled { caller.deadline_of(self.slot.block.number) } else { u64::MAX };
        let anew = known == u64::MAX;
        let deadline = if anew { deadline_of(limit) } else { known };
        if anew && deadline != u64::MAX {
            self.slot.head().deadline.store(deadline, Ordering::Relaxed);
        }
        // The alarm is set anew each time: it may have been rung for others while no waker was here, so that it was not set
        // again for this one.
        let asked = caller.register(self.slot.block.number, cx.waker().clone(), Some(deadline));
        // The visit of a dead channel takes the lock under which the waker was registered: it finds the waker, or we `end`.
        let waits = matches!(asked, Ok(Asked::Due { .. })) && !caller.has_ended();
        if waits && (deadline == u64::MAX || clock::now() < deadline) { Poll::Pending } else { self.ready() }
    }

    fn ready(&self) -> Poll<()> {
        if self.slot.block.flags & POLLED != 0 {
            self.slot.caller.unregister(self.slot.block.number);
        }
        Poll::Ready(())
    }

    /// Looks for about a microsecond if that has been worth while and this is the only future that waits: others would have
    /// to wait for this look.
    fn comes_soon(&self) -> bool {
        let caller = &*self.slot.caller;
        if self.rang() || caller.waits_for_any() || !caller.odds.is_worth_a_look() {
            return false;
        }
        let word = &self.slot.head().word;
        let hit = (0..FIRST_LOOKS).any(|_| {
            spin_hint();
            !matches!(handover::look(word), Ok(Lent::Out(_)))
        });
        caller.odds.learn(hit);
        hit
    }

    /// Nobody is to wait for the call, but it is not given up either: the block comes home when the callee has answered.
    /// [`Caller::flush`] waits for all such calls.
    pub fn detach(self) {
        let slot = ManuallyDrop::into_inner(self.into_slot());
        slot.caller.detach(slot.block);
    }

    /// Waits for the reply, for as long as `limit` has it: the one given to [`Draft::submit`].
    ///
    /// # Errors
    /// [`Failure`]. After `TimedOut` the block comes home later, by itself.
    #[inline]
    pub fn wait(self, limit: Limit) -> Result<Answer<C>, Failure> {
        self.wait_then(limit, Ok, Ok, |failure, _, _| Err(failure))
    }

    /// As [`Pending::wait`], but goes on with one of three functions: there is a reply, or another answer, or none; the last is
    /// told when the call would have been over, as [`Answer::deadline`]. A `Result` of an answer would be put together and taken apart again in memory, which costs a fifth of a short call.
    #[inline(always)]
    pub fn wait_then<T>(
        self,
        limit: Limit,
        replied: impl FnOnce(Answer<C>) -> T,
        answered: impl FnOnce(Answer<C>) -> T,
        failed: impl FnOnce(Failure, C, u64) -> T,
    ) -> T {
        let mut slot = self.into_slot();
        let mut looks = 0;
        loop {
            match handover::look(&slot.head().word) {
                Ok(Lent::Done) => break,
                Ok(Lent::Out(_)) if looks < slot.caller.first_looks() => spin_hint(),
                _ => match (Pending { slot }).wait_long(limit) {
                    Ok(pending) => {
                        slot = pending.into_slot();
                        break;
                    }
                    Err((failure, caller, deadline)) => return failed(failure, caller, deadline),
                },
            }
            looks += 1;
        }
        if looks == 0 {
            slot.caller.look_ahead(slot.block.number);
        }
        crate::fail_point!(AnswerSeen);
        // Every word once; the place is judged against memory that this call lent, or the callee's arena.
        let head = slot.head();
        let (mut at, len) = (head.reply_at.load(Ordering::Relaxed), head.reply_len.load(Ordering::Relaxed));
        let mut status = head.status.load(Ordering::Relaxed);
        let mut theirs = Theirs::Nothing;
        // A sum of 64 bits, which cannot overflow: the reply begins and ends in the block.
        if u64::from(at.wrapping_sub(slot.at + INLINE)) + u64::from(len) > u64::from(INLINE_ROOM) {
            match slot.caller.find_large_reply(slot.block, at, len) {
                // Where nothing lies need not be said.
                _ if len == 0 => at = slot.at,
                Ok(is_theirs) => theirs = if is_theirs { Theirs::Reply } else { Theirs::Nothing },
                Err(corrupt) => {
                    slot.caller.count(slot.block.number, status);
                    let (failure, caller, deadline) = Pending { slot }.lost(Failure::Corrupt(corrupt));
                    return failed(failure, caller, deadline);
                }
            }
        }
        if status != REPLIED {
            if status & KEPT != 0 {
                slot.block.flags |= caller::KEPT;
                status &= !KEPT;
            }
            let unpacked = slot.caller.unpack(slot.block.number, status);
            if unpacked != status {
                slot.block.flags |= PARCEL;
            }
            (status, theirs) = stripped(unpacked, theirs);
        }
        if status == REPLIED {
            slot.caller.count(slot.block.number, REPLIED);
            replied(Answer { slot, status: REPLIED, at, len, theirs })
        } else {
            slot.caller.count(slot.block.number, status);
            answered(Answer { slot, status, at, len, theirs })
        }
    }

    /// As `wait_for_long`, by value: a call whose address nobody knows stays in registers if the reply is there.
    #[cold]
    #[inline(never)]
    fn wait_long(self, limit: Limit) -> Result<Self, (Failure, C, u64)> {
        match self.wait_for_long(limit) {
            Ok(()) => Ok(self),
            Err(failure) => Err(self.lost(failure)),
        }
    }

    /// No reply: the block comes home when the callee answers, or stays with a peer that is gone and is never used again.
    #[cold]
    fn lost(self, failure: Failure) -> (Failure, C, u64) {
        let slot = ManuallyDrop::into_inner(self.into_slot());
        let deadline = slot.deadline();
        if matches!(failure, Failure::TimedOut) {
            slot.caller.abandon(slot.block);
            return (failure, slot.caller, deadline);
        }
        if slot.block.flags & POLLED != 0 {
            slot.caller.unregister(slot.block.number);
        }
        if let Failure::Corrupt(corrupt) = failure {
            slot.caller.condemn(corrupt);
        }
        (failure, slot.caller, deadline)
    }

    /// The reply did not come at once: spin on if that is worth it, then park.
    fn wait_for_long(&self, limit: Limit) -> Result<(), Failure> {
        let start = clock::now();
        let caller = &*self.slot.caller;
        let deadline = match limit {
            // A lazy limit began to count when the call was polled.
            _ if self.slot.block.flags & POLLED != 0 => caller.deadline_of(self.slot.block.number),
            Limit::None => u64::MAX,
            Limit::Lazy(timeout) => start.saturating_add(clock::nanoseconds(timeout)),
            Limit::Until(deadline) => deadline,
        };
        let rang = self.rang() | caller.notify();
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
        caller.look_first(if shares_core { 0 } else { FIRST_LOOKS });
        // Whoever else is on this core has it for a time slice then: not if the deadline may pass meanwhile.
        if shares_core && deadline.saturating_sub(start) > SLICES && self.comes_by_yielding()? {
            caller.gap.learn(clock::now().saturating_sub(start));
            return Ok(());
        }
        let spin = caller.gap.worth_spinning(shares_core || rang);
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
                    Err(corrupt) => return Err(Failure::Corrupt(corrupt)),
                }
            }
            now = clock::now();
        }
        self.park(start, deadline)
    }

    /// Gives the core to the callee, which is on the same one: is the reply there then?
    fn comes_by_yielding(&self) -> Result<bool, Failure> {
        let caller = &*self.slot.caller;
        for _ in 0..YIELDS {
            if !caller.gap.is_adaptive() || !caller.yielding.give_way() {
                return Ok(false);
            }
            match handover::look(&self.slot.head().word) {
                Ok(Lent::Done) => return Ok(true),
                Ok(Lent::Out(_)) => {}
                Err(corrupt) => return Err(Failure::Corrupt(corrupt)),
            }
        }
        Ok(false)
    }

    fn park(&self, start: u64, deadline: u64) -> Result<(), Failure> {
        let caller = &*self.slot.caller;
        let head = self.slot.head();
        let until = (deadline != u64::MAX).then_some(deadline);
        loop {
            let value = match handover::wish(&head.word, word::PARKED) {
                Ok(Lent::Done) => break,
                // Only the visit of a dead channel cancels a call that somebody waits for, and it wakes but once.
                Ok(Lent::Out(value)) if value & word::CANCELLED != 0 => return self.outcome(),
                Ok(Lent::Out(value)) => value,
                Err(corrupt) => return Err(Failure::Corrupt(corrupt)),
            };
            fence(Ordering::SeqCst); // [P12] pairs with the fence in `hung_up`.
            if caller.has_ended() {
                return self.outcome();
            }
            if clock::now() >= deadline {
                return match handover::wish(&head.word, word::CANCELLED) {
                    Ok(Lent::Done) => Ok(()),
                    Ok(Lent::Out(_)) => Err(Failure::TimedOut),
                    Err(corrupt) => Err(Failure::Corrupt(corrupt)),
                };
            }
            crate::fail_point!(Parking);
            futex::wait(&head.word, value, until); // [P7], [P9]: it sleeps on a word without `CANCELLED` only.
            crate::fail_point!(Unparked);
        }
        // The callee noted when it woke us; without a note, now is the best guess.
        let woken = caller.segment.caller_flags().woken_at.load(Ordering::Relaxed);
        let came = if woken >= start { woken } else { clock::now() };
        caller.gap.learn(came.saturating_sub(start));
        Ok(())
    }

    /// The peer is gone: what the block says is final [P11].
    #[cold]
    fn outcome(&self) -> Result<(), Failure> {
        let head = self.slot.head();
        let began = self.slot.caller.has_begun(self.slot.block); // [P8]
        match handover::look(&head.word) {
            Ok(Lent::Done) => Ok(()),
            Ok(Lent::Out(_)) => {
                if let Some(corrupt) = self.slot.caller.why_broken() {
                    return Err(Failure::Corrupt(corrupt));
                }
                Err(if began { Failure::MayHaveRun } else { Failure::NotStarted })
            }
            Err(corrupt) => Err(Failure::Corrupt(corrupt)),
        }
    }
}

impl<C: Holder> Drop for Pending<C> {
    fn drop(&mut self) {
        // SAFETY: a pending call is dropped once, and its slot taken only here and in `into_slot`, which forgets it.
        let slot = unsafe { Slot::take(&self.slot) };
        slot.caller.abandon(slot.block);
    }
}

/// A reply, and the memory it lies in. Dropping it brings the block home.
#[derive(Debug)]
pub struct Answer<C: Holder> {
    slot: ManuallyDrop<Slot<C>>,
    status: u16,
    /// Offset and length of the reply, checked.
    at: u32,
    len: u32,
    theirs: Theirs,
}

impl<C: Holder> Answer<C> {
    /// How the caller is reached.
    #[inline]
    pub fn holder(&self) -> &C {
        &self.slot.caller
    }

    /// How the call ended, as the callee put it.
    #[inline]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// When the call would have been over, in nanoseconds of `CLOCK_MONOTONIC`; `u64::MAX` if that was not fixed, because it had
    /// no limit, or a lazy one and not taken long.
    #[cold]
    pub fn deadline(&self) -> u64 {
        self.slot.deadline()
    }

    /// Address and number of the reply's bytes. They are ours until this value is dropped; a hostile peer can still
    /// change them.
    #[inline]
    pub fn bytes(&self) -> (NonNull<u8>, usize) {
        (self.slot.caller.segment.pointer(self.at), self.len as usize)
    }

    /// Drops it, in few instructions.
    #[inline(always)]
    pub fn release(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is not dropped and not used again.
        let slot = unsafe { Slot::take(&this.slot) };
        slot.go_home(this.len, this.theirs);
    }

    /// The same block for another request, without a way through the pool, where somebody else could take it. The memory of
    /// a long reply is given back when the block is lent. `None`: the block's announcement has not come yet, and it goes home
    /// when it does (R3).
    #[inline]
    pub fn again(self) -> Option<Draft<C>> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is not dropped and not used again.
        let slot = unsafe { Slot::take(&this.slot) };
        let free = slot.block.flags == 0 || slot.caller.is_finished(slot.block);
        free.then(|| Draft::new(slot.caller, slot.block.number))
    }
}

impl<C: Holder> Drop for Answer<C> {
    // Little enough to be part of whoever drops: an answer whose address somebody knows is not kept in registers.
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: an answer is dropped once, and its slot taken only here, in `release` and in `again`, which forget it.
        let slot = unsafe { Slot::take(&self.slot) };
        drop_slot(slot, self.len, self.theirs);
    }
}

#[inline(never)]
fn drop_slot<C: Holder>(slot: Slot<C>, len: u32, theirs: Theirs) {
    slot.go_home(len, theirs);
}

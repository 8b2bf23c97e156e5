//! A call that goes on after its worker has turned to others.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use super::call::halves;
use super::place::{Attached, End, Place};
use super::{CallWatch, Channel};
use crate::handover;
use crate::kept::Kept;
use crate::lane::{Cargo, Undeliverable};
use crate::layout::{ABANDONED, REPLIED, named, was_begun};
use crate::memory::NoMemory;
use crate::sync::Ordering;
use crate::word;

/// A call that goes on after its worker has turned to others: [`Call::defer`](super::Call::defer).
///
/// It keeps the memory of its channel, also when the peer, the channel's callee or the worker is gone; answering is harmless
/// then. Dropping it answers [`ABANDONED`].
pub struct Deferred<P> {
    pub(super) channel: Arc<Channel<P>>,
    pub(super) place: Place,
    pub(super) tag: u32,
    pub(super) answered: bool,
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

    /// As [`Call::attach`](super::Call::attach).
    #[cold]
    pub fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.place.attach(&self.channel, data, len)
    }

    /// As [`Call::send`](super::Call::send).
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(&self.channel, Cargo::Piece(index), descriptor)
    }

    /// As [`Call::send_body`](super::Call::send_body).
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable> {
        self.place.send(&self.channel, Cargo::Body(behind), file)?;
        self.channel.carries(self.place.block, self.place.method, (0, len));
        Ok(())
    }

    /// As [`Call::has_sent_body`](super::Call::has_sent_body).
    pub fn has_sent_body(&self) -> bool {
        self.place.body
    }

    /// As [`Call::lends`](super::Call::lends).
    pub fn lends(&self) -> bool {
        self.channel.loans.are_allowed()
    }

    /// As [`Call::keep`](super::Call::keep). `None`: there is no such block.
    pub fn keep(&self) -> Option<Kept<P>> {
        self.place.keep(&self.channel)
    }

    /// As [`Call::failed`](super::Call::failed), for an error of the handler's own.
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

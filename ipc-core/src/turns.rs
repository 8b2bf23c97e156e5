//! Futures that wait for something of a whole channel: a free block, the answers of all detached calls, or just a moment.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::caller::{Caller, Limit, NoBlock, NotFlushed, deadline_of};
use crate::clock;
use crate::lending::{Draft, Holder};

/// Waits for a block without a thread: see [`Caller::draft_async`]. Those that wait get blocks in the order in which they came.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Drafting<C: Holder> {
    /// `None` once it is done.
    caller: Option<C>,
    limit: Limit,
    deadline: Option<u64>,
    turn: Option<u64>,
}

impl<C: Holder> Drafting<C> {
    pub(crate) fn new(caller: C, limit: Limit) -> Self {
        Drafting { caller: Some(caller), limit, deadline: None, turn: None }
    }

    fn look(&mut self, cx: &Context<'_>) -> Poll<Result<u32, NoBlock>> {
        let Some(caller) = &self.caller else { return Poll::Pending };
        let caller: &Caller = caller;
        match caller.try_block() {
            Err(NoBlock::Busy) => {}
            done => return Poll::Ready(done),
        }
        let deadline = *self.deadline.get_or_insert_with(|| deadline_of(self.limit));
        if deadline <= clock::now() {
            return Poll::Ready(Err(NoBlock::Busy));
        }
        match caller.register_for_block(self.turn, cx.waker(), deadline) {
            Ok(Err(turn)) => {
                self.turn = Some(turn);
                Poll::Pending
            }
            Ok(Ok(block)) => Poll::Ready(Ok(block)),
            Err(why) => Poll::Ready(Err(why)),
        }
    }

    fn leave(&mut self, taken: bool) -> Option<C> {
        let caller = self.caller.take()?;
        if let Some(turn) = self.turn.take() {
            caller.unregister_for_block(turn, taken);
        }
        Some(caller)
    }
}

impl<C: Holder + Unpin> Future for Drafting<C> {
    type Output = Result<Draft<C>, NoBlock>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(block) = this.look(cx) else { return Poll::Pending };
        let caller = this.leave(block.is_ok());
        match (block, caller) {
            (Ok(block), Some(caller)) => Poll::Ready(Ok(Draft::new(caller, block))),
            (Err(why), _) => Poll::Ready(Err(why)),
            (Ok(_), None) => unreachable!("a block is looked for through the caller"),
        }
    }
}

impl<C: Holder> Drop for Drafting<C> {
    fn drop(&mut self) {
        self.leave(false);
    }
}

/// Waits for the answers of all calls detached before its first poll: see [`Caller::flush_async`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Flushing<C: Holder> {
    caller: C,
    limit: Limit,
    deadline: Option<u64>,
    mark: Option<u64>,
    turn: Option<u64>,
}

impl<C: Holder> Flushing<C> {
    pub(crate) fn new(caller: C, limit: Limit) -> Self {
        Flushing { caller, limit, deadline: None, mark: None, turn: None }
    }
}

impl<C: Holder + Unpin> Future for Flushing<C> {
    type Output = Result<(), NotFlushed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let limit = this.limit;
        let deadline = *this.deadline.get_or_insert_with(|| deadline_of(limit));
        let turn = Some((&mut this.turn, cx.waker().clone()));
        match this.caller.look_for_flush(&mut this.mark, turn, deadline) {
            Ok(None) => Poll::Ready(Ok(())),
            Err(why) => Poll::Ready(Err(why)),
            Ok(Some(_)) if deadline <= clock::now() => Poll::Ready(Err(NotFlushed::TimedOut)),
            Ok(Some(_)) => Poll::Pending,
        }
    }
}

impl<C: Holder> Drop for Flushing<C> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.caller.unregister_for_flush(turn);
        }
    }
}

/// Waits until a moment, or the end of the channel: see [`Caller::sleep_async`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleeping<C: Holder> {
    caller: C,
    until: u64,
    turn: Option<u64>,
}

impl<C: Holder> Sleeping<C> {
    pub(crate) fn new(caller: C, until: u64) -> Self {
        Sleeping { caller, until, turn: None }
    }
}

impl<C: Holder + Unpin> Future for Sleeping<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.caller.register_for_alarm(&mut this.turn, cx.waker().clone(), this.until);
        // Looked at behind that: who ends the channel wakes those that are registered.
        if this.until <= clock::now() || this.caller.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<C: Holder> Drop for Sleeping<C> {
    fn drop(&mut self) {
        if let Some(turn) = self.turn {
            self.caller.unregister_for_flush(turn);
        }
    }
}

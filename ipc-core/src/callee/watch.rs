//! What can be asked about a call by others than its handler.

use std::fmt;
use std::sync::{Arc, Weak};

use super::{BUSY, Channel, Served};
use crate::layout::BlockHead;
use crate::loan::Loan;
use crate::memory::NoMemory;
use crate::sync::Ordering;
use crate::word;

/// Names a call while its handler runs.
pub struct CallHandle<'a, P> {
    pub(super) channel: &'a Channel<P>,
    pub(super) block: u32,
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

    /// As [`Call::deadline`](super::Call::deadline).
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
    pub(super) fn new(channel: &Channel<P>, block: u32) -> Self {
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

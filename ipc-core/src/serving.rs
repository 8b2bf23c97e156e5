//! What a worker serves: keeps a channel alive whose call runs without the scanner role.
//!
//! # Ordering
//! P19: a worker notes the channel while it has the role, so whoever retires the channel under the role later sees the note
//! (P5). It wipes the note behind its last access to the channel, and the retirer lets go of the channel only when it has found
//! no note of it.

use std::ptr;

use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use crate::tallies::RowOf;

/// The entry of one worker. One thread at a time is a worker: two would hide each other's channels from whoever retires them.
///
/// ```
/// use ipc_core::serving::Serving;
///
/// let channel = 7;
/// let serving = Serving::default();
/// assert!(serving.claim() && !serving.claim());
/// serving.begin(&channel);
/// serving.mark(1);
/// assert!(serving.is_marked() && serving.serves(&channel));
/// serving.end();
/// assert!(!serving.is_busy() && !serving.serves(&channel));
/// ```
#[repr(align(128))]
#[derive(Debug)]
pub struct Serving<C> {
    /// The channel whose call runs, or null. Odd: a tick has found it running; the next store wipes that.
    channel: AtomicPtr<C>,
    claimed: AtomicBool,
    /// When a tick first found it running.
    marked_at: AtomicU64,
    /// Where the worker counts.
    pub(crate) row: RowOf,
}

impl<C> Default for Serving<C> {
    fn default() -> Self {
        let (channel, claimed) = (AtomicPtr::new(ptr::null_mut()), AtomicBool::new(false));
        Serving { channel, claimed, marked_at: AtomicU64::new(0), row: RowOf::new() }
    }
}

impl<C> Serving<C> {
    /// Takes the entry for this thread, if no other one has it.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Acquire)
    }

    /// This thread is no worker any more.
    pub fn release(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    /// Does a thread work under it? (The answer may be old.)
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// A call of `channel` is going to run. With the role, which is given up only behind this (P5).
    #[inline(always)]
    pub fn begin(&self, channel: *const C) {
        self.channel.store(channel.cast_mut(), Ordering::Relaxed);
    }

    /// The worker does not touch the channel any more.
    #[inline(always)]
    pub fn end(&self) {
        // [P19] release: the last access to the channel; pairs with `serves`.
        self.channel.store(ptr::null_mut(), Ordering::Release);
    }

    /// Does a handler run?
    pub fn is_busy(&self) -> bool {
        !self.channel.load(Ordering::Relaxed).is_null()
    }

    /// Does a call of `channel` run?
    pub fn serves(&self, channel: *const C) -> bool {
        // [P19] acquire: all that the worker did with the channel; pairs with `end`.
        self.channel.load(Ordering::Acquire).map_addr(|at| at & !1).cast_const() == channel
    }

    /// Marks the call that runs, if one does and is not marked yet.
    pub fn mark(&self, now: u64) {
        let channel = self.channel.load(Ordering::Relaxed);
        if !channel.is_null() && channel.addr() & 1 == 0 {
            self.marked_at.store(now, Ordering::Relaxed);
            let marked = channel.map_addr(|at| at | 1);
            // Fails if that call has ended meanwhile.
            let _ = self.channel.compare_exchange(channel, marked, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// When the call of `channel` that runs was first found running by a tick.
    pub fn runs_since(&self, channel: *const C) -> Option<u64> {
        (self.is_marked() && self.serves(channel)).then(|| self.marked_at.load(Ordering::Relaxed))
    }

    /// Was the call that runs found running by a tick?
    pub fn is_marked(&self) -> bool {
        self.channel.load(Ordering::Relaxed).addr() & 1 != 0
    }
}

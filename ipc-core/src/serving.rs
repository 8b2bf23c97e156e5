//! What a worker serves: keeps a channel alive whose call runs without the scanner role.
//!
//! # Ordering
//! P19: a worker notes the channel while it has the role, so whoever retires the channel under the role later sees the note
//! (P5). It wipes the note behind its last access to the channel, and the retirer lets go of the channel only when it has found
//! no note of it.

use std::ptr;

use crate::sync::{AtomicBool, AtomicPtr, Ordering};

/// The entry of one worker. One thread at a time is a worker: two would hide each other's channels from whoever retires them.
///
/// ```
/// use ipc_core::serving::Serving;
///
/// let channel = 7;
/// let serving = Serving::default();
/// assert!(serving.claim() && !serving.claim());
/// serving.begin(&channel);
/// serving.mark();
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
}

impl<C> Default for Serving<C> {
    fn default() -> Self {
        Serving { channel: AtomicPtr::new(ptr::null_mut()), claimed: AtomicBool::new(false) }
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

    /// Marks the call that runs, if one does.
    pub fn mark(&self) {
        let channel = self.channel.load(Ordering::Relaxed);
        if !channel.is_null() {
            let marked = channel.map_addr(|at| at | 1);
            // Fails if that call has ended meanwhile.
            let _ = self.channel.compare_exchange(channel, marked, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Was the call that runs found running by a tick?
    pub fn is_marked(&self) -> bool {
        self.channel.load(Ordering::Relaxed).addr() & 1 != 0
    }
}

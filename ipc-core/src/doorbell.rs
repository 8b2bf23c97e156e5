//! The sleep flag beside a queue: "nobody looks at this queue: ring".
//!
//! Store-buffer pattern (P4): the sleeper raises the flag, fences, looks at the queue once more; the pusher stores its
//! cell, fences, looks at the flag. Either the ring or the entry is seen. Both fences are needed.
//! The ringer clears the flag, so a burst rings once. Whoever hears the ring also sees what the sleeper did before it raised
//! the flag that was cleared (P14).

use crate::sync::{AtomicBool, AtomicU32, Ordering, fence};

/// Sleeper: announces that it stops looking. After this the caller must look at its queue once more.
#[inline]
pub fn raise(asleep: &AtomicU32) {
    // [P14] release: what was counted before; pairs with the swap in `must_ring`. A swap too, so that of two raises the
    // later one carries the earlier one's news on.
    asleep.swap(1, Ordering::AcqRel);
    fence(Ordering::SeqCst); // [P4] pairs with the fence in `must_ring`.
}

/// Sleeper with many queues: raises one of several flags; [`raised`] must follow the last one.
#[inline]
pub fn raise_one(asleep: &AtomicU32) {
    asleep.store(1, Ordering::Relaxed);
}

/// Sleeper: the fence after the last [`raise_one`].
#[inline]
pub fn raised() {
    fence(Ordering::SeqCst); // [P4] pairs with the fence in `must_ring`.
}

/// Pusher, after its push: does the consumer sleep, and is it this thread that has to ring?
#[inline]
pub fn must_ring(asleep: &AtomicU32) -> bool {
    fence(Ordering::SeqCst); // [P4] pairs with the fence in `raise` and `raised`.
    // [P14] acquire: what the sleeper had counted before it raised the flag; the ring carries it on.
    asleep.load(Ordering::Relaxed) == 1 && asleep.swap(0, Ordering::Acquire) == 1
}

/// Pushes whose [`must_ring`] is still to come: that of one push does for all before it, so many requests can share one.
#[derive(Debug)]
pub struct Quiet {
    pushed: AtomicBool,
}

impl Default for Quiet {
    fn default() -> Self {
        Quiet::new()
    }
}

impl Quiet {
    /// No such pushes.
    pub fn new() -> Self {
        Quiet { pushed: AtomicBool::new(false) }
    }

    /// Pusher, after its push.
    #[inline]
    pub fn note(&self) {
        // [P15] release: the cell; pairs with `take`.
        self.pushed.store(true, Ordering::Release);
    }

    /// Have there been any? Then this thread calls [`must_ring`] for them.
    #[inline]
    pub fn take(&self) -> bool {
        // [P15] acquire: the cells that other threads have pushed come before the fence of P4.
        self.pushed.load(Ordering::Relaxed) && self.pushed.swap(false, Ordering::AcqRel)
    }
}

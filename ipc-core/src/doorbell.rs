//! The sleep flag beside a queue: "nobody looks at this queue: ring".
//!
//! Store-buffer pattern (P4): the sleeper raises the flag, fences, looks at the queue once more; the pusher stores its
//! cell, fences, looks at the flag. Either the ring or the entry is seen. Both fences are needed.
//! The ringer clears the flag, so a burst rings once.

use crate::sync::{AtomicU32, Ordering, fence};

/// Sleeper: announces that it stops looking. After this the caller must look at its queue once more.
#[inline]
pub fn raise(asleep: &AtomicU32) {
    asleep.store(1, Ordering::Relaxed);
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
    asleep.load(Ordering::Relaxed) == 1 && asleep.swap(0, Ordering::Relaxed) == 1
}

//! How many messages refer to memory that its owner would like to write.
//!
//! P20: whoever has heard that a message was read takes its pin away; the owner, who alone can have further ones set, sees that
//! there is none, and writes.

use crate::sync::{AtomicU32, Ordering};

/// A number of messages.
#[derive(Debug, Default)]
pub struct Pins(AtomicU32);

impl Pins {
    /// One more, by who borrows the memory from its owner. Additions and removals exclude each other by a lock.
    pub fn add(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// One less: that message has been read.
    pub fn remove(&self) {
        // [P20] release: the peer's reading, which whoever calls this has heard the end of; pairs with `are_none`.
        self.0.store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Release);
    }

    /// May the owner write?
    #[inline]
    pub fn are_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0 // [P20] pairs with `remove`.
    }
}

//! When the next future gives up: the earliest of many deadlines, in one word.
//!
//! Deadlines are only ever added. When the earliest has come, what waits is looked through for the next one, so a call that
//! ends in time costs nothing, and nothing is armed when nothing waits.
//!
//! # Ordering
//! P16: a deadline is noted where the looking-through will find it, then the alarm is set. It is rung by wiping its word, then
//! looking through. Both change the word, so either the deadline is found, or it is set behind the wipe.

use crate::announcements::NEVER;
use crate::sync::{AtomicU64, Ordering};

/// The earliest deadline that was asked for, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Alarm {
    at: AtomicU64,
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}

impl Alarm {
    /// Nothing to wait for.
    pub fn new() -> Self {
        Alarm { at: AtomicU64::new(NEVER) }
    }

    /// To ring by `at`. `true`: that is earlier than before. What it is to ring for must be found by who hears it, so it is
    /// noted there first.
    pub fn set(&self, at: u64) -> bool {
        // [P16] release: what was noted; pairs with `ring`.
        self.at.fetch_min(at, Ordering::AcqRel) > at
    }

    /// When it is going to ring; [`NEVER`]: not at all.
    pub fn at(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }

    /// Is it time? It is unset then, so everything that waits has to be looked through, and the next time to be set.
    pub fn ring(&self, now: u64) -> bool {
        // [P16] acquire: what those have noted whose times are wiped.
        self.at() <= now && self.at.swap(NEVER, Ordering::AcqRel) != NEVER
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn rings_once_by_the_earliest() {
        let alarm = Alarm::new();
        assert!(!alarm.ring(u64::MAX - 1));
        assert!(alarm.set(20) && alarm.set(10) && !alarm.set(15));
        assert!(!alarm.ring(9));
        assert_eq!(alarm.at(), 10);
        assert!(alarm.ring(10) && !alarm.ring(10));
        assert_eq!(alarm.at(), NEVER);
    }
}

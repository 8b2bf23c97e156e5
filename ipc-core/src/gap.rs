//! How long until the next message? A running estimate that decides between spinning and sleeping.
//!
//! Spinning pays only if the message comes soon. The estimate learns from when messages *really* came, also while the
//! waiter slept (whoever wakes a sleeper leaves a time stamp), so one quiet period does not switch spinning off for good
//! and one burst does not switch it on for ever. Private to a process; a lost update costs nothing but a guess.

use crate::sync::{AtomicU64, Ordering};

/// Never spin longer than this in one wait, in nanoseconds: about the wake-up of an idle core.
const LONGEST_SPIN: u64 = 60_000;
/// Spin so many times the estimate.
const PATIENCE: u64 = 3;
/// Spin at least this long when spinning at all.
const SHORTEST_SPIN: u64 = 4_000;

/// Estimate of the time between the start of a wait and the message, in nanoseconds.
#[derive(Debug)]
pub struct Gap {
    estimate: AtomicU64,
}

impl Default for Gap {
    fn default() -> Self {
        Gap::new()
    }
}

impl Gap {
    /// Starts hopeful: a first wait spins.
    pub fn new() -> Self {
        Gap { estimate: AtomicU64::new(LONGEST_SPIN / PATIENCE) }
    }

    /// A message came `gap` nanoseconds after the wait began. The estimate moves a quarter of the way; one outlier counts
    /// for at most eight of the longest spins.
    pub fn learn(&self, gap: u64) {
        let old = self.estimate.load(Ordering::Relaxed);
        let gap = gap.min(LONGEST_SPIN * 8);
        self.estimate.store(old - old / 4 + gap / 4, Ordering::Relaxed);
    }

    /// For how many nanoseconds spinning is worth while now; 0: sleep at once.
    pub fn worth_spinning(&self) -> u64 {
        let estimate = self.estimate.load(Ordering::Relaxed);
        if estimate > LONGEST_SPIN { 0 } else { (estimate * PATIENCE).clamp(SHORTEST_SPIN, LONGEST_SPIN) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn learns_both_ways() {
        let gap = Gap::new();
        assert!(gap.worth_spinning() > 0, "hopeful at first");
        for _ in 0..20 {
            gap.learn(1_000_000);
        }
        assert_eq!(gap.worth_spinning(), 0);
        for _ in 0..40 {
            gap.learn(300);
        }
        assert_eq!(gap.worth_spinning(), SHORTEST_SPIN);
    }
}

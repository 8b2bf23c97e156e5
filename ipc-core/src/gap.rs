//! How long until the next message? A running estimate that decides between spinning and sleeping.
//!
//! Spinning pays only if the message comes soon. The estimate learns from when messages *really* came, also while the
//! waiter slept (whoever wakes a sleeper leaves a time stamp), so one quiet period does not switch spinning off for good
//! and one burst does not switch it on for ever. Private to a process; a lost update costs nothing but a guess.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

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

/// A hit counts for so many misses.
const HIT: u32 = 8;
/// Hits beyond this many misses are not remembered.
const MOST: u32 = 64;
/// One in so many chances is taken even if it is not worth it, to find out.
const PROBE: u32 = 32;

/// Is a short look worth its time? A running count of how often it was, for looks too short to be measured.
#[derive(Debug)]
pub struct Odds {
    /// Upper half: chances not taken; lower half: misses that may still be had.
    state: AtomicU32,
}

impl Default for Odds {
    fn default() -> Self {
        Odds::new()
    }
}

impl Odds {
    /// Starts hopeful.
    pub fn new() -> Self {
        Odds { state: AtomicU32::new(MOST) }
    }

    /// Is this chance to be taken? [`Odds::learn`] then.
    pub fn is_worth_a_look(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if state & 0xFFFF != 0 {
            return true;
        }
        let chances = (state >> 16) + 1;
        self.state.store((chances % PROBE) << 16, Ordering::Relaxed);
        chances == PROBE
    }

    /// A chance was taken.
    pub fn learn(&self, hit: bool) {
        let misses = self.state.load(Ordering::Relaxed) & 0xFFFF;
        let misses = if hit { (misses + HIT).min(MOST) } else { misses.saturating_sub(1) };
        self.state.store(misses, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn looks_where_it_pays_and_finds_out_when_it_does_again() {
        let odds = Odds::new();
        let mut taken = 0;
        for _ in 0..MOST + 10 * PROBE {
            if odds.is_worth_a_look() {
                odds.learn(false);
                taken += 1;
            }
        }
        assert_eq!(taken, MOST + 10);
        while !odds.is_worth_a_look() {}
        odds.learn(true);
        for _ in 0..100 {
            assert!(odds.is_worth_a_look());
            odds.learn(true);
        }
    }

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

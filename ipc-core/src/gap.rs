//! How long until the next message? A running estimate that decides between spinning and sleeping.
//!
//! Spinning pays only if the message comes soon. The estimate learns from when messages *really* came, also while the
//! waiter slept (whoever wakes a sleeper leaves a time stamp), so one quiet period does not switch spinning off for good
//! and one burst does not switch it on for ever. Private to a process; a lost update costs nothing but a guess.

use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Never spin longer than this in one wait, in nanoseconds: about the wake-up of an idle core.
const LONGEST_SPIN: u64 = 60_000;
/// Spin so many times the estimate.
const PATIENCE: u64 = 3;
/// Spin at least this long when spinning at all.
const SHORTEST_SPIN: u64 = 4_000;

/// How a process waits for the other side.
///
/// ```
/// assert_eq!(ipc_core::gap::Waiting::default(), ipc_core::gap::Waiting::Adaptive);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Waiting {
    /// Looks for as long as the next message has been worth it, then sleeps: right unless something else is known. Where the
    /// other side runs on the same core, gives it the core a few times instead of looking.
    #[default]
    Adaptive,
    /// Looks until the message comes, and never sleeps: for a core that has nothing else to do. With more threads than
    /// cores, calls take as long as the scheduler lets a thread run, some milliseconds each.
    Spin,
    /// Looks for about a microsecond, or not at all if the other side runs on the same core, then sleeps: where processor time
    /// matters more than the time of a call.
    Park,
}

impl Waiting {
    const ALL: [Waiting; 3] = [Waiting::Adaptive, Waiting::Spin, Waiting::Park];
}

/// Estimate of the time between the start of a wait and the message, in nanoseconds.
#[derive(Debug)]
pub struct Gap {
    estimate: AtomicU64,
    /// A [`Waiting`].
    waiting: AtomicU8,
}

impl Default for Gap {
    fn default() -> Self {
        Gap::new()
    }
}

impl Gap {
    /// Starts hopeful: a first wait spins.
    pub fn new() -> Self {
        Gap { estimate: AtomicU64::new(LONGEST_SPIN / PATIENCE), waiting: AtomicU8::new(Waiting::default() as u8) }
    }

    /// Waits like this from now on.
    pub fn wait_as(&self, waiting: Waiting) {
        self.waiting.store(waiting as u8, Ordering::Relaxed);
    }

    /// A message came `gap` nanoseconds after the wait began. The estimate moves a quarter of the way; one outlier counts
    /// for at most eight of the longest spins.
    pub fn learn(&self, gap: u64) {
        let old = self.estimate.load(Ordering::Relaxed);
        let gap = gap.min(LONGEST_SPIN * 8);
        self.estimate.store(old - old / 4 + gap / 4, Ordering::Relaxed);
    }

    /// Is the waiter free to decide how it waits?
    pub fn is_adaptive(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == Waiting::Adaptive as u8
    }

    /// For how many nanoseconds spinning is worth while now; 0: sleep at once. `in_vain`: the other side cannot run meanwhile.
    pub fn worth_spinning(&self, in_vain: bool) -> u64 {
        match Waiting::ALL.get(usize::from(self.waiting.load(Ordering::Relaxed))) {
            Some(Waiting::Spin) => return u64::MAX,
            Some(Waiting::Park) => return 0,
            _ => {}
        }
        let estimate = self.estimate.load(Ordering::Relaxed);
        if in_vain || estimate > LONGEST_SPIN { 0 } else { (estimate * PATIENCE).clamp(SHORTEST_SPIN, LONGEST_SPIN) }
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
        assert!(gap.worth_spinning(false) > 0, "hopeful at first");
        assert_eq!(gap.worth_spinning(true), 0);
        for _ in 0..20 {
            gap.learn(1_000_000);
        }
        assert_eq!(gap.worth_spinning(false), 0);
        gap.wait_as(Waiting::Spin);
        assert_eq!(gap.worth_spinning(true), u64::MAX);
        gap.wait_as(Waiting::Adaptive);
        for _ in 0..40 {
            gap.learn(300);
        }
        assert_eq!(gap.worth_spinning(false), SHORTEST_SPIN);
        gap.wait_as(Waiting::Park);
        assert_eq!(gap.worth_spinning(false), 0);
    }
}

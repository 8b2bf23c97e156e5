//! Giving the core to the other side, if both are on the same one.
//!
//! Looking is in vain then, and parking costs each side a wake-up of the other. A thread that yields stays ready to run: the kernel
//! changes from one to the other, and nobody has to wake anybody.

use crate::clock;
use crate::sync::{AtomicU32, Ordering, thread};

/// A core that was given away is back within so many nanoseconds if only the other side has had it.
const BACK_SOON: u64 = 50_000;
/// After a core came back late it is kept so many times, doubled each time up to the second number.
const KEEP_FIRST: u32 = 8;
const KEEP_MOST: u32 = 4096;

/// Is it worth to give the core to the other side, which is on the same one? Both stay ready to run then, and no side has to
/// wake the other. Not worth it where a third party wants the core, too: that one would have it for whole time slices.
#[derive(Debug)]
pub(crate) struct Yielding {
    /// So many chances are still to be left out.
    keep: AtomicU32,
    /// How many were to be left out the last time.
    kept: AtomicU32,
}

impl Yielding {
    /// Starts hopeful.
    pub(crate) fn new() -> Self {
        Yielding { keep: AtomicU32::new(0), kept: AtomicU32::new(0) }
    }

    /// Gives the core away once. `false`: that was not worth it lately, and nothing was done.
    pub(crate) fn give_way(&self) -> bool {
        let keep = self.keep.load(Ordering::Relaxed);
        if keep != 0 {
            self.keep.store(keep - 1, Ordering::Relaxed);
            return false;
        }
        let before = clock::now();
        thread::yield_now();
        self.learn(clock::now().saturating_sub(before));
        true
    }

    fn learn(&self, took: u64) {
        let kept = self.kept.load(Ordering::Relaxed);
        if took >= BACK_SOON {
            let kept = (kept * 2).clamp(KEEP_FIRST, KEEP_MOST);
            self.kept.store(kept, Ordering::Relaxed);
            self.keep.store(kept, Ordering::Relaxed);
        } else if kept != 0 {
            self.kept.store(kept - kept.div_ceil(8), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_comes_back_late_is_kept_ever_longer_and_given_away_again_when_it_comes_back_soon() {
        let yielding = Yielding::new();
        let left_out = || (0..).take_while(|_| !yielding.give_way()).count() as u32;
        // A yield of this test may take long, too.
        let late = || {
            yielding.learn(BACK_SOON);
            yielding.keep.load(Ordering::Relaxed)
        };
        let kept: Vec<_> = (0..20).map(|_| late()).collect();
        assert!(kept.is_sorted() && kept[0] >= KEEP_FIRST && kept[19] == KEEP_MOST, "{kept:?}");
        assert_eq!(left_out(), KEEP_MOST);
        for _ in 0..100 {
            yielding.learn(0);
        }
        assert_eq!(late(), KEEP_FIRST);
    }
}

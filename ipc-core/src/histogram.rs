//! A histogram of durations with buckets of constant relative width, as HDR histograms have them.
//!
//! Below 16 ns each nanosecond has a bucket of its own, above each power of two has 16, so a value is known to one part in 16.
//! What is longer than half an hour is in the last one. (The scheme is that of <https://hdrhistogram.org>.)

/// Buckets.
pub const BUCKETS: usize = 16 * (LAST_POWER - FIRST_POWER + 2);
/// The powers of two of the first and the last row of 16 buckets.
const FIRST_POWER: usize = 4;
const LAST_POWER: usize = 40;

/// The bucket of a duration in nanoseconds.
///
/// ```
/// use ipc_core::histogram::{BUCKETS, bucket, bounds};
/// assert_eq!((bucket(0), bucket(15), bucket(16), bucket(32)), (0, 15, 16, 32));
/// assert!(bounds(bucket(1000)).contains(&1000));
/// assert_eq!(bucket(u64::MAX), BUCKETS - 1);
/// ```
pub const fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < 16 {
        return nanoseconds as usize;
    }
    let power = nanoseconds.ilog2() as usize;
    if power > LAST_POWER {
        return BUCKETS - 1;
    }
    (power - FIRST_POWER + 1) * 16 + (nanoseconds >> (power - FIRST_POWER)) as usize % 16
}

/// The durations of a bucket, in nanoseconds.
pub const fn bounds(bucket: usize) -> std::ops::Range<u64> {
    if bucket < 16 {
        return bucket as u64..bucket as u64 + 1;
    }
    let bucket = if bucket < BUCKETS { bucket } else { BUCKETS - 1 };
    let shift = bucket / 16 - 1;
    let (from, to) = (16 + bucket as u64 % 16, 17 + bucket as u64 % 16);
    from << shift..to << shift
}

/// How often which durations were met.
///
/// ```
/// use ipc_core::histogram::Histogram;
///
/// let mut histogram = Histogram::default();
/// for micros in 1..=100 {
///     histogram.add(1000 * micros, 1);
/// }
/// assert_eq!(histogram.count(), 100);
/// let median = histogram.quantile(0.5).unwrap();
/// assert!((47_000..=53_000).contains(&median), "{median}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        f.debug_struct("Histogram").field("count", &self.count()).field("p50", &p50).field("p99", &p99).finish()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS] }
    }
}

impl Histogram {
    /// With so many in each bucket; missing buckets are empty, further ones are left out.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// assert_eq!(Histogram::of([0, 2, 1]).count(), 3); // twice 1 ns, once 2 ns
    /// ```
    pub fn of(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.into_iter().take(BUCKETS).collect();
        counts.resize(BUCKETS, 0);
        Histogram { counts }
    }

    /// Adds a duration in nanoseconds, `weight` times.
    ///
    /// ```
    /// let mut calls = ipc_core::histogram::Histogram::default();
    /// calls.add(1500, 64); // 64 calls of 1.5 µs
    /// assert_eq!(calls.count(), 64);
    /// ```
    pub fn add(&mut self, nanoseconds: u64, weight: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds)) {
            *count = count.saturating_add(weight);
        }
    }

    /// How many in all.
    ///
    /// ```
    /// assert_eq!(ipc_core::histogram::Histogram::default().count(), 0);
    /// ```
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The duration in nanoseconds that a `q`th of all do not exceed, `q` from 0 to 1, to one part in 32; `None`: there are none.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// let mut calls = Histogram::default();
    /// calls.add(5, 99);
    /// calls.add(9, 1);
    /// assert_eq!((calls.quantile(0.99), calls.quantile(1.0)), (Some(5), Some(9)));
    /// ```
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0u64;
        let found = self.counts.iter().position(|n| {
            seen = seen.saturating_add(*n);
            *n > 0 && seen >= rank
        });
        found.map(|bucket| {
            let bounds = bounds(bucket);
            bounds.start + (bounds.end - bounds.start) / 2
        })
    }

    /// The mean, in nanoseconds, to one part in 32; `None`: there are none.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// assert_eq!(Histogram::of([0, 1, 0, 1]).mean(), Some(2.0)); // 1 ns and 3 ns
    /// ```
    pub fn mean(&self) -> Option<f64> {
        let middle = |bucket| {
            let bounds = bounds(bucket);
            (bounds.start + bounds.end - 1) as f64 / 2.0
        };
        let sum: f64 = self.counts.iter().enumerate().map(|(bucket, n)| middle(bucket) * *n as f64).sum();
        match self.count() {
            0 => None,
            count => Some(sum / count as f64),
        }
    }

    /// What has come since an earlier reading of the same histogram.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// let mut calls = Histogram::default();
    /// calls.add(5, 10);
    /// let earlier = calls.clone();
    /// calls.add(7, 3);
    /// assert_eq!(calls.since(&earlier), { let mut new = Histogram::default(); new.add(7, 3); new });
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        Histogram::of(self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)))
    }

    /// Both together.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// let one = Histogram::of([1, 2]);
    /// assert_eq!(one.and(&one), Histogram::of([2, 4]));
    /// ```
    #[must_use]
    pub fn and(&self, other: &Histogram) -> Histogram {
        Histogram::of(self.counts.iter().zip(&other.counts).map(|(a, b)| a.saturating_add(*b)))
    }

    /// The buckets that are not empty: the durations they are for, in nanoseconds, and how many there are.
    ///
    /// ```
    /// use ipc_core::histogram::Histogram;
    /// let calls = Histogram::of([0, 4]);
    /// assert!(calls.buckets().eq([(1..2, 4)]));
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (std::ops::Range<u64>, u64)> + '_ {
        self.counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(bucket, n)| (bounds(bucket), *n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_that_has_it_and_buckets_follow_each_other() {
        for at in 0..BUCKETS - 1 {
            assert_eq!(bounds(at).end, bounds(at + 1).start);
            assert_eq!((bucket(bounds(at).start), bucket(bounds(at).end - 1)), (at, at));
        }
        assert_eq!(bucket(bounds(BUCKETS - 1).start), BUCKETS - 1);
        assert!(bounds(BUCKETS - 1).end > 30 * 60 * 1_000_000_000);
    }

    #[test]
    fn quantiles_of_what_is_not_there_are_not_there() {
        let empty = Histogram::default();
        assert_eq!((empty.quantile(0.5), empty.mean()), (None, None));
        let mut one = Histogram::default();
        one.add(7, 3);
        assert_eq!((one.quantile(0.0), one.quantile(1.0), one.count()), (Some(7), Some(7), 3));
        assert_eq!(one.since(&one).count(), 0);
        assert_eq!(one.and(&one).count(), 6);
    }
}

//! Whether an iterator is quick enough to be run by the worker that brings a credit.
//!
//! A worker that waits inside an iterator holds up the requests behind it, for up to a tick of the server. An iterator that
//! does so again and again gets a thread of its own; one whose items come quickly again goes back, because a thread of its
//! own costs every item two switches. One slow item proves nothing: the thread may have lost its core meanwhile.

/// Time that an item may take, in nanoseconds; more is added up, less is taken off.
const ALLOWANCE: u64 = 20_000;
/// From this sum on the iterator gets a thread.
const SLOW: u64 = 5_000_000;
/// No sum is larger, so that 50,000 quick items are enough to go back.
const MOST: u64 = 1_000_000_000;

/// The sum.
#[derive(Debug, Default)]
pub(crate) struct Load(u64);

impl Load {
    /// An item took so many nanoseconds.
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        self.0 = self.0.saturating_add(nanoseconds).saturating_sub(ALLOWANCE).min(MOST);
    }

    /// Should it have a thread?
    pub(crate) fn is_slow(&self) -> bool {
        self.0 >= SLOW
    }

    /// Can it do without?
    pub(crate) fn is_quick(&self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_preemption_is_forgiven_and_waiting_is_not() {
        let mut load = Load::default();
        for _ in 0..10 {
            load.add(4_000_000);
            assert!(!load.is_slow());
            (0..200).for_each(|_| load.add(300));
        }
        (0..5).for_each(|_| load.add(1_100_000));
        assert!(load.is_slow());
        load.add(u64::MAX);
        (0..50_000).for_each(|_| load.add(0));
        assert!(load.is_quick());
    }
}

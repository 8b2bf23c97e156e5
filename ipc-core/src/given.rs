//! What is given away and comes home by itself, and who waits for that: the part of a caller behind one lock.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use crate::caller::Block;

/// A block that was given up while lent, and what it counts as when it comes home.
#[derive(Debug)]
pub(crate) struct Zombie {
    pub(crate) block: Block,
    pub(crate) of: Of,
}

/// Why nobody waits for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The call was given up.
    GivenUp,
    /// Nobody was to wait for it, but [`Given::detached`] counts it, in this generation.
    Detached(u64),
    /// The answer was read; only the announcement is missing (R3).
    Finished,
}

/// A future that waits its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) waker: Waker,
    pub(crate) deadline: u64,
}

/// Futures in the order in which they came.
pub(crate) type Turns = BTreeMap<u64, Turn>;

#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Not announced, so to be looked at; the oldest in front.
    pub(crate) zombies: VecDeque<Zombie>,
    /// Looks at the oldest that found it lent.
    pub(crate) in_vain: u32,
    pub(crate) detached: Detached,
    /// Futures that wait for a block; each is counted as a waiter of the pool.
    pub(crate) for_block: Turns,
    /// Futures that wait for detached calls.
    pub(crate) for_flush: Turns,
    next: u64,
}

impl Given {
    /// The next number of a turn.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Takes the futures out of `turns` whose deadline has come by `until`; gives the earliest of the other deadlines.
pub(crate) fn take_late(turns: &mut Turns, until: u64, wakers: &mut Vec<Waker>) -> (u32, u64) {
    let before = turns.len();
    let mut earliest = u64::MAX;
    for (_, late) in turns.extract_if(.., |_, turn| turn.deadline <= until) {
        wakers.push(late.waker);
    }
    for turn in turns.values() {
        earliest = earliest.min(turn.deadline);
    }
    ((before - turns.len()) as u32, earliest)
}

/// How many detached calls are not answered, by generation. A flush ends a generation and waits until none of it or of those
/// before is left, so that calls detached later do not keep it waiting.
#[derive(Debug, Default)]
pub(crate) struct Detached {
    oldest: u64,
    /// The first is of the generation `oldest`, the last of the one that calls are detached in now.
    left: VecDeque<u32>,
}

impl Detached {
    /// One more; gives its generation.
    pub(crate) fn add(&mut self) -> u64 {
        if self.left.is_empty() {
            self.left.push_back(0);
        }
        if let Some(left) = self.left.back_mut() {
            *left += 1;
        }
        self.current()
    }

    fn current(&self) -> u64 {
        self.oldest + self.left.len().saturating_sub(1) as u64
    }

    /// One of `generation` is answered. `true`: some flush may have been waiting for it.
    pub(crate) fn remove(&mut self, generation: u64) -> bool {
        let place = generation.checked_sub(self.oldest).and_then(|at| self.left.get_mut(at as usize));
        if let Some(left) = place {
            *left = left.saturating_sub(1);
        }
        let before = self.oldest;
        while self.left.len() > 1 && self.left.front() == Some(&0) {
            self.left.pop_front();
            self.oldest += 1;
        }
        self.oldest != before
    }

    /// Ends the present generation: [`Detached::is_flushed`] of what it gives says when all so far are answered.
    pub(crate) fn mark(&mut self) -> u64 {
        let current = self.current();
        match self.left.back() {
            // All so far are answered, or of a generation that has ended already.
            None | Some(0) => current.wrapping_sub(1),
            Some(_) => {
                self.left.push_back(0);
                current
            }
        }
    }

    pub(crate) fn is_flushed(&self, mark: u64) -> bool {
        self.oldest > mark || mark == u64::MAX
    }

    pub(crate) fn count(&self) -> u32 {
        self.left.iter().sum()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Calls are detached and answered in any order, flushes begin in between: each is over as soon as all calls that were
        /// detached before it are answered.
        #[test]
        fn generations_behave_as_sets_of_calls(steps in prop::collection::vec((0u8..5, any::<usize>()), 0..200)) {
            let mut detached = Detached::default();
            // Generations of the calls that are not answered; of each flush, its mark and the calls it waits for.
            let mut calls: Vec<(u32, u64)> = vec![];
            let mut flushes: Vec<(u64, Vec<u32>)> = vec![];
            let mut next = 0;
            for (step, which) in steps {
                let waiting = |flushes: &[(u64, Vec<u32>)]| flushes.iter().filter(|(_, of)| !of.is_empty()).count();
                match step {
                    0 | 1 => {
                        calls.push((next, detached.add()));
                        next += 1;
                    }
                    2 => flushes.push((detached.mark(), calls.iter().map(|(call, _)| *call).collect())),
                    _ if calls.is_empty() => {}
                    _ => {
                        let (call, generation) = calls.swap_remove(which % calls.len());
                        let before = waiting(&flushes);
                        let news = detached.remove(generation);
                        flushes.iter_mut().for_each(|(_, of)| of.retain(|waits_for| *waits_for != call));
                        prop_assert!(news || waiting(&flushes) == before, "a flush is over, and nobody is told");
                    }
                }
                prop_assert_eq!(detached.count(), calls.len() as u32);
                for (mark, of) in &flushes {
                    prop_assert_eq!(detached.is_flushed(*mark), of.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_flush_waits_for_what_was_detached_before_it_and_for_nothing_else() {
        let mut detached = Detached::default();
        let empty = detached.mark();
        assert!(detached.is_flushed(empty));
        let (a, b) = (detached.add(), detached.add());
        let first = detached.mark();
        assert_eq!(detached.mark(), first, "nothing was added");
        let c = detached.add();
        assert!(!detached.is_flushed(first));
        assert!(!detached.remove(b));
        assert!(!detached.is_flushed(first));
        assert!(detached.remove(a));
        assert!(detached.is_flushed(first));
        let second = detached.mark();
        let d = detached.add();
        let third = detached.mark();
        assert!(!detached.remove(d), "the older generation is not answered yet");
        assert!(!detached.is_flushed(third) && !detached.is_flushed(second));
        assert!(detached.remove(c));
        assert!(detached.is_flushed(third) && detached.is_flushed(second));
        assert_eq!(detached.count(), 0);
        let last = detached.mark();
        assert!(detached.is_flushed(last));
    }
}

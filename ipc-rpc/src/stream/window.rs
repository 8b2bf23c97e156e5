//! Puts what arrives in any order into the order of its sequence numbers.
//!
//! Requests of one stream can be found by several workers, some through watched words and some through the queue, so they
//! come in any order. Their sequence numbers are modulo 2^16 and at most [`SPAN`] ahead of the one that is due.

use std::collections::VecDeque;

/// How far ahead of the number that is due another one may be.
pub(crate) const SPAN: u16 = 256;

/// What has arrived and is not taken yet, by sequence number.
#[derive(Debug)]
pub(crate) struct Window<C> {
    /// The number that is due.
    due: u16,
    /// The place of number `due + i` is `slots[i]`; the last place, if there is one, is occupied.
    slots: VecDeque<Option<C>>,
}

/// Why a sequence number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadNumber {
    /// It was taken already, or lies further ahead than anybody may be.
    OutOfRange,
    /// It is here already.
    Twice,
}

impl BadNumber {
    pub(crate) fn text(self) -> &'static str {
        match self {
            BadNumber::OutOfRange => "the request's sequence number is not one of those that are due",
            BadNumber::Twice => "the request's sequence number has come already",
        }
    }
}

impl<C> Window<C> {
    /// Nothing has arrived, number 0 is due.
    pub(crate) fn new() -> Self {
        Window { due: 0, slots: VecDeque::new() }
    }

    /// May a request with this number come now? Gives its distance from the one that is due.
    pub(crate) fn judge(&self, number: u16) -> Result<usize, BadNumber> {
        let ahead = number.wrapping_sub(self.due);
        if ahead >= SPAN {
            return Err(BadNumber::OutOfRange);
        }
        match self.slots.get(usize::from(ahead)) {
            Some(Some(_)) => Err(BadNumber::Twice),
            _ => Ok(usize::from(ahead)),
        }
    }

    /// Puts in what [`Window::judge`] has placed `ahead` of the number that is due.
    pub(crate) fn put(&mut self, ahead: usize, what: C) {
        while self.slots.len() <= ahead {
            self.slots.push_back(None);
        }
        if let Some(slot) = self.slots.get_mut(ahead) {
            *slot = Some(what);
        }
    }

    /// Is what is due here?
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.slots.front(), Some(Some(_)))
    }

    /// Takes what is due; the next number is due then.
    pub(crate) fn take(&mut self) -> Option<C> {
        let what = self.slots.front_mut()?.take()?;
        self.skip();
        Some(what)
    }

    /// What was due was not put in but dealt with at once.
    pub(crate) fn skip(&mut self) {
        self.slots.pop_front();
        self.due = self.due.wrapping_add(1);
    }

    /// Takes everything, in order, for good.
    pub(crate) fn drain(&mut self) -> Vec<C> {
        std::mem::take(&mut self.slots).into_iter().flatten().collect()
    }

    /// Everything that is here.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &C> {
        self.slots.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(window: &mut Window<u16>, number: u16) -> Result<(), BadNumber> {
        let ahead = window.judge(number)?;
        window.put(ahead, number);
        Ok(())
    }

    #[test]
    fn what_comes_in_any_order_is_taken_in_order() {
        let mut window = Window::new();
        for number in [2, 0, 3, 1] {
            put(&mut window, number).unwrap();
        }
        assert!(window.is_ready());
        assert_eq!(std::iter::from_fn(|| window.take()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(!window.is_ready());
    }

    #[test]
    fn numbers_wrap() {
        let mut window = Window::new();
        for number in (0..=u16::MAX).chain(0..1000) {
            put(&mut window, number).unwrap();
            assert_eq!(window.take(), Some(number));
        }
    }

    #[test]
    fn what_was_taken_or_is_too_far_ahead_is_refused() {
        let mut window = Window::new();
        put(&mut window, 0).unwrap();
        assert_eq!(put(&mut window, 0), Err(BadNumber::Twice));
        assert_eq!(window.take(), Some(0));
        assert_eq!(put(&mut window, 0), Err(BadNumber::OutOfRange));
        assert_eq!(put(&mut window, SPAN + 1), Err(BadNumber::OutOfRange));
        assert_eq!(put(&mut window, SPAN), Ok(()));
        assert!(!window.is_ready());
        assert_eq!(window.drain(), [SPAN]);
    }

    proptest! {
        /// Against a set of numbers: whatever comes, each number is taken once and in order, and no more than `SPAN` wait.
        #[test]
        fn agrees_with_a_set(numbers in prop::collection::vec((0u32..600, any::<bool>()), 0..400)) {
            let mut window = Window::new();
            let (mut here, mut due) = (std::collections::BTreeSet::new(), 0u32);
            for (ahead, take) in numbers {
                let number = due.wrapping_add(ahead).wrapping_sub(50);
                let expected = number >= due && number < due + u32::from(SPAN) && !here.contains(&number);
                prop_assert_eq!(put(&mut window, number as u16).is_ok(), expected);
                if expected {
                    here.insert(number);
                }
                if take {
                    let first = here.take(&due);
                    prop_assert_eq!(window.take(), first.map(|n| n as u16));
                    due += u32::from(first.is_some());
                }
                prop_assert!(window.slots.len() <= usize::from(SPAN));
                prop_assert_eq!(window.iter().count(), here.len());
            }
        }
    }
}

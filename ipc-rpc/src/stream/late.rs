//! Requests of streams that nobody waits for any more, while the server may still have them in its hands: the number of their
//! stream must not be another one's until they are answered.

use std::collections::{BTreeSet, HashMap};

/// Requests, at most one for each block: when a block is lent again its last request is answered.
#[derive(Debug)]
pub(crate) struct Late<R> {
    by_block: HashMap<u32, (u16, R)>,
    by_number: BTreeSet<(u16, u32)>,
}

impl<R> Default for Late<R> {
    fn default() -> Self {
        Late { by_block: HashMap::new(), by_number: BTreeSet::new() }
    }
}

impl<R> Late<R> {
    /// A request about stream `number` is on its way in `block`.
    pub(crate) fn add(&mut self, number: u16, block: u32, request: R) {
        if let Some((old, _)) = self.by_block.insert(block, (number, request)) {
            self.by_number.remove(&(old, block));
        }
        self.by_number.insert((number, block));
    }

    /// Is a request about stream `number` on its way? Those that `was_answered` says are not, are forgotten.
    pub(crate) fn is_any(&mut self, number: u16, was_answered: impl Fn(&R) -> bool) -> bool {
        while let Some(&(number, block)) = self.by_number.range((number, 0)..=(number, u32::MAX)).next() {
            if self.by_block.get(&block).is_some_and(|(_, request)| !was_answered(request)) {
                return true;
            }
            self.by_block.remove(&block);
            self.by_number.remove(&(number, block));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Late;

    #[test]
    fn a_number_is_used_until_all_its_requests_are_answered() {
        let mut late = Late::default();
        late.add(1, 10, 'a');
        late.add(1, 11, 'b');
        late.add(2, 12, 'c');
        assert!(late.is_any(1, |_| false) && late.is_any(1, |r| *r == 'a') && late.is_any(1, |r| *r == 'a'));
        assert!(!late.is_any(1, |r| *r == 'b') && !late.is_any(3, |_| false));
        // Its block is lent for another stream.
        late.add(3, 12, 'd');
        assert!(!late.is_any(2, |_| false) && late.is_any(3, |_| false));
        assert!(!late.is_any(3, |_| true));
        assert!(late.by_block.is_empty() && late.by_number.is_empty());
    }
}

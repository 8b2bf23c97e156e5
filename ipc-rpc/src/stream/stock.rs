//! Items that were written ahead of their credits.
//!
//! A writer with a thread of its own would change places with the thread that brings the credits for every few items. So it
//! may be some small items ahead; the worker that brings a credit answers it out of these, as it does with an iterator.

use std::collections::VecDeque;

use super::packed::Packed;

/// Items in stock.
pub(crate) const MOST: usize = 256;
/// Bytes of an item that may be among them.
pub(crate) const SMALL: usize = 512;

/// Small items, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    items: VecDeque<Packed>,
    /// The last item was too large: it is not worth while to try with the next ones.
    large: bool,
}

impl Stock {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// May another item come, if it is small?
    pub(crate) fn has_room(&self) -> bool {
        !self.large && self.items.len() < MOST
    }

    /// Takes an item in, if it is small enough. The caller has asked for room.
    pub(crate) fn put(&mut self, item: Packed) -> Result<(), Packed> {
        if item.len() > SMALL {
            self.large = true;
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// The oldest item, and whether a writer who found no room should go on.
    pub(crate) fn take(&mut self) -> Option<(Packed, bool)> {
        let item = self.items.pop_front()?;
        Some((item, self.items.len() == MOST / 2))
    }
}

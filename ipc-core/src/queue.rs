//! The offset queue: many producing threads of one process, one consumer in the other process, bounded, lock-free.
//!
//! # Algorithm
//! A producer reserves a position with `fetch_add` on its private tail and stores the cell: lap tag, kind, offset in one
//! word. The consumer looks at the cell of its private head; the lap tag says whether it was written in this lap.
//! The shared region holds nothing but the cells: a peer can write nonsense entries, it cannot move our head or tail.
//!
//! # Capacity
//! Covers everything that can be outstanding (see `Geometry`), so a push cannot fail and producers never read the cells.
//!
//! # Ordering
//! P3: cell store Release / cell load Acquire publishes the block's `REQUEST`. P4 is the doorbell's, in `doorbell.rs`.
//!
//! # Crash
//! A producer that dies between reserving and storing leaves an empty cell: its channel is being torn down anyway. A
//! producer *thread* descheduled there only delays the entries behind it.
//!
//! # Trust
//! A cell with a tag of another lap is [`Corrupt`]: the consumer never catches up by guessing.

use crate::prefetch;
use crate::sync::{AtomicU64, Ordering};
use crate::word::{self, Cell, Corrupt};

const CELLS_OF_A_LINE: u64 = 8;

/// What the offset in a cell is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A block of the producer that now holds a request.
    Request = 1,
    /// A block of the consumer that now holds a reply.
    Announcement = 2,
    /// A block of the consumer whose request the producer has kept beyond the call, and keeps no longer.
    Release = 3,
}

/// One entry of a queue, its kind judged, its offset not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What the offset is for.
    pub kind: Kind,
    /// Offset in the segment as the peer wrote it.
    pub offset: u32,
}

/// The producing end: the private tail of the cells in the consumer's queue.
#[derive(Debug, Default)]
pub struct Producer {
    tail: AtomicU64,
}

impl Producer {
    /// A producer for cells that have never been written.
    pub fn new() -> Self {
        Producer { tail: AtomicU64::new(0) }
    }

    /// Puts an entry on the queue whose cells are `cells` (a power of two of them, the same slice each time).
    #[inline]
    pub fn push(&self, cells: &[AtomicU64], kind: Kind, offset: u32) {
        let position = self.tail.fetch_add(1, Ordering::Relaxed);
        crate::fail_point!(CellReserved);
        let capacity = cells.len() as u64;
        let index = position & (capacity.wrapping_sub(1));
        if let Some(cell) = cells.get(index as usize) {
            // [P3] release: pairs with `Consumer::pop`.
            cell.store(word::cell(position, capacity, kind as u8, offset), Ordering::Release);
        }
        crate::fail_point!(CellWritten);
        // The next line of cells was last read by the consumer. It is asked for before it is needed.
        if index.is_multiple_of(CELLS_OF_A_LINE)
            && let Some(cell) = cells.get((index.wrapping_add(CELLS_OF_A_LINE) & capacity.wrapping_sub(1)) as usize)
        {
            prefetch::for_write(cell);
        }
    }
}

/// The consuming end: the private head, and what it makes of the cell there.
#[derive(Debug)]
pub struct Consumer {
    head: u64,
    /// `head` modulo the number of cells.
    index: usize,
    /// The tag of a cell that has not been written in this lap.
    empty: u64,
}

impl Default for Consumer {
    fn default() -> Self {
        Consumer::new()
    }
}

impl Consumer {
    /// A consumer of cells that have never been written.
    pub fn new() -> Self {
        Consumer { head: 0, index: 0, empty: word::empty_tag(0, 1) }
    }

    /// Is there something at the head (an entry, or nonsense)?
    #[inline(always)]
    pub fn is_ready(&self, cells: &[AtomicU64]) -> bool {
        word::tag(self.load(cells)) != self.empty
    }

    /// Takes the entry at the head, or `None` if there is none.
    ///
    /// # Errors
    /// [`Corrupt`] for a cell of another lap or of an unknown kind; the head stays.
    #[inline(always)]
    pub fn pop(&mut self, cells: &[AtomicU64]) -> Result<Option<Entry>, Corrupt> {
        let value = self.load(cells);
        if word::tag(value) == self.empty { Ok(None) } else { self.take(cells.len() as u64, value).map(Some) }
    }

    /// The offset in the cell that is `ahead` places behind the head, if it has been written in this lap: a hint.
    #[inline]
    pub fn peek(&self, cells: &[AtomicU64], ahead: usize) -> Option<u32> {
        // Behind the last cell the next lap begins, of which this says nothing.
        let value = cells.get(self.index.wrapping_add(ahead))?.load(Ordering::Relaxed);
        (word::tag(value) != self.empty).then_some(value as u32)
    }

    fn take(&mut self, capacity: u64, value: u64) -> Result<Entry, Corrupt> {
        let Cell::Entry { kind, offset } = word::judge_cell(value, self.head, capacity) else {
            return Err(Corrupt(value));
        };
        let kind = match kind {
            1 => Kind::Request,
            2 => Kind::Announcement,
            3 => Kind::Release,
            _ => return Err(Corrupt(value)),
        };
        self.move_to(self.head.wrapping_add(1), capacity);
        Ok(Entry { kind, offset })
    }

    fn move_to(&mut self, head: u64, capacity: u64) {
        self.head = head;
        self.index = (head & capacity.wrapping_sub(1)) as usize;
        self.empty = word::empty_tag(head, capacity);
    }

    #[inline(always)]
    fn load(&self, cells: &[AtomicU64]) -> u64 {
        // [P3] acquire: pairs with `Producer::push`. A slice without that cell reads as an empty cell.
        cells.get(self.index).map_or(self.empty << 40, |cell| cell.load(Ordering::Acquire))
    }

    /// Starts both ends of an empty queue at `position`, for tests of wrap-around.
    #[doc(hidden)]
    pub fn start_at(position: u64, cells: &[AtomicU64]) -> (Producer, Consumer) {
        let capacity = cells.len() as u64;
        for before in position.saturating_sub(capacity)..position {
            if let Some(cell) = cells.get((before & (capacity - 1)) as usize) {
                cell.store(word::cell(before, capacity, 0, 0), Ordering::Relaxed);
            }
        }
        let mut consumer = Consumer::new();
        consumer.move_to(position, capacity);
        (Producer { tail: AtomicU64::new(position) }, consumer)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn cells(n: usize) -> Vec<AtomicU64> {
        (0..n).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn first_in_first_out_over_many_laps() {
        for start in [0, 4 * (word::LAPS - 2), 4 * word::LAPS * 5 - 4] {
            let cells = cells(4);
            let (producer, mut consumer) = Consumer::start_at(start, &cells);
            for n in 0..40u32 {
                assert_eq!(consumer.pop(&cells), Ok(None));
                producer.push(&cells, Kind::Request, n);
                producer.push(&cells, Kind::Announcement, n + 1000);
                assert_eq!(consumer.pop(&cells), Ok(Some(Entry { kind: Kind::Request, offset: n })));
                assert!(consumer.is_ready(&cells));
                assert_eq!(consumer.peek(&cells, 0), Some(n + 1000));
                assert_eq!(consumer.pop(&cells), Ok(Some(Entry { kind: Kind::Announcement, offset: n + 1000 })));
            }
        }
    }

    #[test]
    fn nonsense_is_an_error_and_does_not_move_the_head() {
        let cells = cells(4);
        let mut consumer = Consumer::new();
        for bad in [u64::MAX, word::cell(8, 4, 1, 0), word::cell(0, 4, 0, 0), word::cell(0, 4, 9, 0)] {
            cells[0].store(bad, Ordering::Relaxed);
            assert_eq!(consumer.pop(&cells), Err(Corrupt(bad)));
        }
        cells[0].store(word::cell(0, 4, 2, 7), Ordering::Relaxed);
        assert_eq!(consumer.pop(&cells), Ok(Some(Entry { kind: Kind::Announcement, offset: 7 })));
    }
}

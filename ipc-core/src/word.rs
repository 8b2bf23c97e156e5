//! The state word of a block and the word of a queue cell: every value judged by total functions.
//!
//! Bits 0-1 of the state word are the state, bits 4-7 are flags, all others are zero. Eleven values are legal:
//! `FREE`; `REQUEST` with any of the caller's wishes; `DONE`; `DONE|WATCHED`. The words are written by another process,
//! so each function takes a value that its caller loaded once, and answers [`Corrupt`] for everything else.
//! `docs/protocol.md` has the table of legal moves.

/// The block belongs to its owner and has never been answered.
pub const FREE: u32 = 0;
/// The block is lent: a request lies in it.
pub const REQUEST: u32 = 1;
/// The block belongs to its owner again: a reply lies in it.
pub const DONE: u32 = 2;
/// Mask of the state bits.
pub const STATE: u32 = 3;
/// The callee's promise to look at this word, only ever with [`DONE`].
pub const WATCHED: u32 = 1 << 4;
/// The caller sleeps on this word and wants a futex wake; only ever with [`REQUEST`].
pub const PARKED: u32 = 1 << 5;
/// The caller wants the block's offset on its own queue; only ever with [`REQUEST`].
pub const ANNOUNCE: u32 = 1 << 6;
/// The caller has given the call up; only ever with [`REQUEST`].
pub const CANCELLED: u32 = 1 << 7;
const WISHES: u32 = PARKED | ANNOUNCE | CANCELLED;
const WATCHED_DONE: u32 = DONE | WATCHED;

/// A shared word holds a value that no honest peer leaves there.
///
/// ```
/// use ipc_core::word::Corrupt;
/// fn is_an_error(corrupt: Corrupt) -> Box<dyn std::error::Error> {
///     corrupt.into()
/// }
/// # let _ = is_an_error;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt(
    /// The value found.
    pub u64,
);

impl core::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the peer left the impossible value {:#x} in shared memory", self.0)
    }
}

impl std::error::Error for Corrupt {}

const fn corrupt(value: u32) -> Corrupt {
    Corrupt(value as u64)
}

/// Is `value` one of the eleven legal state words?
#[inline(always)]
pub const fn legal(value: u32) -> bool {
    match value & STATE {
        FREE => value == FREE,
        REQUEST => value & !(STATE | WISHES) == 0,
        DONE => value & !(STATE | WATCHED) == 0,
        _ => false,
    }
}

/// Caller, old value of its swap to `REQUEST`: is the callee watching this word?
///
/// # Errors
/// [`Corrupt`] if the block was not the caller's to lend.
pub const fn submitted(old: u32) -> Result<bool, Corrupt> {
    match old {
        FREE | DONE => Ok(false),
        WATCHED_DONE => Ok(true),
        _ => Err(corrupt(old)),
    }
}

/// What a caller sees in a block that it has lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lent {
    /// Answered: the block is the caller's again.
    Done,
    /// Still with the callee; the value as loaded, for the next compare-exchange.
    Out(u32),
}

/// Caller, looking at a block it has lent.
///
/// # Errors
/// [`Corrupt`] for `FREE` and for illegal values.
#[inline(always)]
pub const fn lent(value: u32) -> Result<Lent, Corrupt> {
    if value & !WATCHED == DONE {
        Ok(Lent::Done)
    } else if value & !WISHES == REQUEST {
        Ok(Lent::Out(value))
    } else {
        Err(corrupt(value))
    }
}

/// What a callee sees in a block that it watches or that was pushed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No request: nothing to do.
    Nothing,
    /// A request to run.
    Run,
    /// A request that its caller has given up: answer that it did not run.
    Refuse,
}

/// Callee, looking at a watched or popped block.
///
/// # Errors
/// [`Corrupt`] for illegal values.
#[inline(always)]
pub const fn seen(value: u32) -> Result<Seen, Corrupt> {
    if value & !WISHES == REQUEST {
        Ok(if value & CANCELLED == 0 { Seen::Run } else { Seen::Refuse })
    } else if legal(value) {
        Ok(Seen::Nothing)
    } else {
        Err(corrupt(value))
    }
}

/// Callee, value found where `DONE|WATCHED` was left: has a request arrived (`true`) or is it unwatched now (`false`)?
///
/// # Errors
/// [`Corrupt`] if the caller wrote anything but a request over the promise.
#[inline(always)]
pub const fn unwatched(old: u32) -> Result<bool, Corrupt> {
    if old & !WISHES == REQUEST {
        Ok(true)
    } else if old == WATCHED_DONE {
        Ok(false)
    } else {
        Err(corrupt(old))
    }
}

/// Whom the callee has to tell that it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tell {
    /// A caller sleeps on the word.
    pub wake: bool,
    /// The caller wants the offset on its queue.
    pub announce: bool,
}

/// Callee, old value of its swap to `DONE`.
///
/// # Errors
/// [`Corrupt`] if the block was not lent; nobody is to be told then.
#[inline(always)]
pub const fn finished(old: u32) -> Result<Tell, Corrupt> {
    if old & !WISHES == REQUEST {
        Ok(Tell { wake: old & PARKED != 0, announce: old & ANNOUNCE != 0 })
    } else {
        Err(corrupt(old))
    }
}

/// Values of the lap tag in a queue cell: 24 bits, wrapping.
pub const LAPS: u64 = 1 << 24;

/// The lap that a new queue begins with, and the value that other counters begin with that wrap: shuttle is to see them wrap.
const FIRST_LAP: u64 = if cfg!(shuttle) { LAPS - 2 } else { 0 };
pub(crate) const FIRST: u32 = if cfg!(shuttle) { u32::MAX - 2 } else { 0 };

const fn lap(position: u64, capacity: u64) -> u64 {
    // `capacity` is a power of two; the shift keeps the division out of the call path.
    (position >> capacity.trailing_zeros()).wrapping_add(1 + FIRST_LAP) & (LAPS - 1)
}

/// The word of the cell at `position` of a queue of `capacity` cells (a power of two): lap tag 24 bits, kind 8, offset 32.
#[inline(always)]
pub const fn cell(position: u64, capacity: u64, kind: u8, offset: u32) -> u64 {
    lap(position, capacity) << 40 | (kind as u64) << 32 | offset as u64
}

/// The lap tag in the word of a cell.
#[inline(always)]
pub const fn tag(value: u64) -> u64 {
    value >> 40
}

/// The tag of the cell at `position` as long as it has not been written in this lap.
pub const fn empty_tag(position: u64, capacity: u64) -> u64 {
    lap(position, capacity).wrapping_sub(1) & (LAPS - 1)
}

/// What a consumer finds in the cell at its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Nothing has been written there in this lap.
    Empty,
    /// An entry.
    Entry {
        /// What the offset is for: see [`queue::Kind`](crate::queue::Kind).
        kind: u8,
        /// Offset in the segment, not checked yet.
        offset: u32,
    },
    /// Neither this lap nor the one before.
    Corrupt,
}

/// Judges the word of the cell at `position`. The expected tag is masked: an unmasked lap stalls after 2^24 of them.
#[inline(always)]
pub const fn judge_cell(value: u64, position: u64, capacity: u64) -> Cell {
    let expected = lap(position, capacity);
    let tag = value >> 40;
    if tag == expected {
        Cell::Entry { kind: (value >> 32) as u8, offset: value as u32 }
    } else if tag == expected.wrapping_sub(1) & (LAPS - 1) {
        Cell::Empty
    } else {
        Cell::Corrupt
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_state_word_is_judged() {
        let (mut legal_words, mut bad) = (0, 0);
        for low in 0..=u32::from(u16::MAX) {
            for high in [0, 1 << 16, 1 << 31] {
                let v = low | high;
                let judged =
                    [submitted(v).is_ok(), lent(v).is_ok(), seen(v).is_ok(), unwatched(v).is_ok(), finished(v).is_ok()];
                if legal(v) {
                    legal_words += 1;
                    assert!(judged[2], "the callee can meet {v:#x}");
                } else {
                    bad += 1;
                    assert!(!judged.contains(&true), "{v:#x}");
                }
            }
        }
        assert_eq!(legal_words, 11);
        assert!(bad > 0);
    }

    #[test]
    fn each_judge_accepts_only_its_states() {
        assert_eq!(submitted(FREE), Ok(false));
        assert_eq!(submitted(DONE | WATCHED), Ok(true));
        assert_eq!(submitted(REQUEST), Err(Corrupt(1)));
        assert_eq!(lent(DONE | WATCHED), Ok(Lent::Done));
        assert_eq!(lent(REQUEST | PARKED), Ok(Lent::Out(REQUEST | PARKED)));
        assert_eq!(lent(FREE), Err(Corrupt(0)));
        assert_eq!(seen(REQUEST | PARKED | CANCELLED), Ok(Seen::Refuse));
        assert_eq!(unwatched(DONE), Err(Corrupt(2)));
        assert_eq!(finished(REQUEST | PARKED | ANNOUNCE), Ok(Tell { wake: true, announce: true }));
        assert_eq!(finished(DONE), Err(Corrupt(2)));
    }

    #[test]
    fn lap_tags_wrap() {
        let capacity = 8u64;
        for start in [0, capacity * (LAPS - 3), capacity * (LAPS - 1), capacity * LAPS * 3 - capacity] {
            let mut cells = [0u64; 8];
            for p in start.saturating_sub(capacity)..start {
                cells[(p % capacity) as usize] = cell(p, capacity, 0, 0);
            }
            for p in start..start + 4 * capacity {
                let c = &mut cells[(p % capacity) as usize];
                assert_eq!(judge_cell(*c, p, capacity), Cell::Empty, "{p}");
                *c = cell(p, capacity, 3, 77);
                assert_eq!(judge_cell(*c, p, capacity), Cell::Entry { kind: 3, offset: 77 });
            }
        }
        assert_eq!(judge_cell(cell(2 * capacity, capacity, 0, 0), capacity - 1, capacity), Cell::Corrupt);
    }
}

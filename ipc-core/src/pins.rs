//! Which memory the message of a block refers to, so that its owner does not write it meanwhile.
//!
//! A block that has referred to memory is likely to refer to it again, so it remembers the place when it comes home; only who
//! wants to write looks whether the block is under way.
//!
//! P20: whoever has heard that a message was read says that its block is home; the owner of the memory, who alone can have
//! further messages refer to it, sees that, and writes.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

const HOME: u32 = 0;
const AWAY: u32 = 1;
/// There is more to do when the block comes home.
const ATTENTION: u32 = 2;

/// What one block refers to, or has referred to last.
#[derive(Debug, Default)]
pub struct Pin {
    /// Offset in the high half, length in the low one; 0: nothing.
    place: AtomicU64,
    state: AtomicU32,
}

impl Pin {
    /// Is the block's to be the memory that it is known to refer to? `false`: [`Pin::set`] is to say so first. Only by who has
    /// the block, and borrows the memory from its owner.
    #[inline]
    pub fn goes_with(&self, at: u32, len: u32) -> bool {
        let place = self.place.load(Ordering::Relaxed);
        let (start, size) = ((place >> 32) as u32, place as u32);
        let inside = at >= start && u64::from(at - start) + u64::from(len) <= u64::from(size) && size != 0;
        if inside && self.state.load(Ordering::Relaxed) == HOME {
            self.state.store(AWAY, Ordering::Relaxed);
        }
        inside
    }

    /// The block, which is at home, refers to this from now on. Under the lock of the loans, by who has the block.
    pub fn set(&self, at: u32, len: u32) {
        self.place.store(u64::from(at) << 32 | u64::from(len), Ordering::Relaxed);
        self.state.store(AWAY, Ordering::Relaxed);
    }

    /// The message has been read. `true`: somebody has asked to be told of it. By who has the block.
    #[inline]
    pub fn comes_home(&self) -> bool {
        // [P20] release: the peer's reading, which whoever calls this has heard the end of; pairs with `is_away`.
        self.state.swap(HOME, Ordering::AcqRel) & ATTENTION != 0
    }

    /// Is the message under way, or being read?
    #[inline]
    pub fn is_away(&self) -> bool {
        self.state.load(Ordering::Acquire) != HOME // [P20] pairs with `comes_home`.
    }

    /// Has whoever brings the block home look. `false`: it is at home. By the owner of the memory, or who has the block.
    pub fn ask(&self) -> bool {
        let away = self.state.fetch_or(ATTENTION, Ordering::AcqRel) != HOME; // [P20] pairs with `comes_home`.
        if !away {
            self.state.store(HOME, Ordering::Relaxed);
        }
        away
    }

    /// Where what it refers to begins, if there is anything.
    pub fn at(&self) -> Option<u32> {
        let place = self.place.load(Ordering::Relaxed);
        (place as u32 != 0).then_some((place >> 32) as u32)
    }

    /// It refers to nothing any more. Under the lock of the loans, of a block that is at home.
    pub fn forget(&self) {
        self.place.store(0, Ordering::Relaxed);
    }
}

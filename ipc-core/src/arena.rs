//! An arena of a segment: extents with committed pages.
//!
//! # Safety
//! One copy of bytes when a message outgrows its memory; everything else is bookkeeping.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::PoisonError;

use crate::extent::{Committed, Extent, Extents};
use crate::layout::{CHUNK, EXTENT_START, MAX_MESSAGE};
use crate::segment::Segment;
use crate::sync::{Mutex, MutexGuard};

/// Why an extent could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoExtent {
    /// The arena has no free run of so many bytes.
    Full {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes in use by others.
        used: u64,
        /// Bytes of the whole arena.
        size: u64,
    },
    /// The system has no memory for it.
    Memory(io::Error),
}

/// Committed free memory above this goes back to the system as soon as it is free.
const KEEP: u64 = 64 << 20;
/// Only runs of at least this many bytes are worth a system call.
const WORTH: u32 = 1 << 20;

/// The allocator of one side of a segment.
#[derive(Debug)]
pub struct Arena {
    state: Mutex<State>,
    size: u32,
}

#[derive(Debug)]
struct State {
    extents: Extents,
    committed: Committed,
}

impl Arena {
    /// An arena of `len` bytes at segment offset `at`.
    pub fn new(at: u32, len: u32) -> Self {
        let state = State { extents: Extents::new(at, len), committed: Committed::new(at, len) };
        Arena { state: Mutex::new(state), size: len }
    }

    /// An extent of at least `needed` bytes, of `wanted` if there is room.
    ///
    /// # Errors
    /// [`NoExtent`]; nothing is allocated then.
    pub fn take(&self, segment: &Segment, needed: u32, wanted: u32) -> Result<Extent, NoExtent> {
        let mut state = self.lock();
        let Some(extent) = state.extents.take(wanted).or_else(|| state.extents.take(needed)) else {
            return Err(self.full(&state, needed));
        };
        match state.committed.ensure(extent.offset(), extent.len(), |at, len| segment.commit(at, len)) {
            Ok(()) => Ok(extent),
            Err(error) => {
                let _ = state.extents.free(extent);
                Err(NoExtent::Memory(error))
            }
        }
    }

    /// Gives a message that outgrew its memory at least `needed` bytes, with the first `used` bytes from `from` in place.
    /// `old` is the extent it lies in, if it does. The bytes start [`EXTENT_START`] behind the start of the extent given.
    ///
    /// # Errors
    /// [`NoExtent`], and `old` as it was.
    ///
    /// # Safety
    /// `used` bytes at `from` are readable, nobody writes them meanwhile, and they are in `old` or in no extent of this arena.
    pub(crate) unsafe fn grow(
        &self,
        segment: &Segment,
        old: &mut Option<Extent>,
        from: NonNull<u8>,
        used: usize,
        needed: usize,
    ) -> Result<(), NoExtent> {
        let limit = MAX_MESSAGE as usize + EXTENT_START as usize;
        let bytes = needed.saturating_add(EXTENT_START as usize);
        if bytes > limit {
            return Err(self.refuses(needed as u64));
        }
        // Twice what is needed while messages are small, so that growing step by step copies little in all; large ones
        // mostly arrive as one slice and need no more.
        let wanted = bytes.saturating_add(bytes.min(CHUNK as usize)).min(limit);
        if let Some(extent) = old
            && self.extend(segment, extent, wanted as u32)
        {
            return Ok(());
        }
        let extent = self.take(segment, bytes as u32, wanted as u32)?;
        let to = segment.pointer(extent.offset() + EXTENT_START);
        // SAFETY: the caller vouches for `from`; the new extent has at least `needed` bytes behind its start, which is
        // more than `used`, it is ours alone and overlaps no other extent.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), used) };
        if let Some(old) = old.replace(extent) {
            self.free(segment, old);
        }
        Ok(())
    }

    /// Makes `extent` at least `len` bytes long where it lies, if the memory behind it is free.
    pub fn extend(&self, segment: &Segment, extent: &mut Extent, len: u32) -> bool {
        let mut state = self.lock();
        let before = extent.len();
        if !state.extents.extend(extent, len) {
            return false;
        }
        if state.committed.ensure(extent.offset(), extent.len(), |at, len| segment.commit(at, len)).is_err() {
            state.extents.shrink(extent, before);
            return false;
        }
        true
    }

    /// Gives back what lies behind the first `len` bytes.
    pub fn shrink(&self, extent: &mut Extent, len: u32) {
        self.lock().extents.shrink(extent, len);
    }

    /// Frees an extent; memory beyond what is worth keeping goes back to the system.
    pub fn free(&self, segment: &Segment, extent: Extent) {
        let mut state = self.lock();
        let (at, len) = state.extents.free(extent);
        if len >= WORTH && state.committed.bytes().saturating_sub(state.extents.used()) > KEEP {
            state.committed.give_back(at, len, |at, len| segment.decommit(at, len));
        }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.lock().extents.used()
    }

    /// The error for a message or a loan of so many bytes, which no arena has.
    #[cold]
    pub(crate) fn refuses(&self, wanted: u64) -> NoExtent {
        NoExtent::Full { wanted, used: self.used(), size: u64::from(self.size) }
    }

    fn full(&self, state: &State, wanted: u32) -> NoExtent {
        NoExtent::Full { wanted: u64::from(wanted), used: state.extents.used(), size: u64::from(self.size) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Scratch memory of an encoder: a stack of raw slots that a thread keeps from one message to the next.
//!
//! The elements of a sequence are archived in two passes, and what the first pass leaves behind is stored here. A warmed-up
//! thread therefore encodes nested sequences without touching the heap.
#![allow(unsafe_code)]
// Unsafe code is needed here because slots of changing types share one block of memory.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Slots are handed out in these units, so that every slot is aligned to 16.
type Unit = MaybeUninit<u128>;

/// The first block's size in units: 4 KiB.
const FIRST: usize = 256;

/// A thread keeps at most this many units between messages: 1 MiB.
const KEPT: usize = 1 << 16;

thread_local! {
    static SPARE: Cell<Vec<Vec<Unit>>> = const { Cell::new(Vec::new()) };
}

/// A stack of slots. Blocks never move while they hold slots.
#[derive(Default)]
pub(super) struct Scratch {
    /// The length of each block is what is in use; the capacity does not change.
    blocks: Vec<Vec<Unit>>,
    /// Index of the block that is being filled.
    current: usize,
}

/// A height of the stack to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    current: usize,
    used: usize,
}

impl Scratch {
    /// The present height of the stack.
    pub(super) fn mark(&self) -> Mark {
        Mark { current: self.current, used: self.blocks.get(self.current).map_or(0, Vec::len) }
    }

    /// Room for `count` values of `R`, uninitialised; valid until the stack goes back below.
    pub(super) fn slots<R>(&mut self, count: usize) -> NonNull<R> {
        const { assert!(align_of::<R>() <= align_of::<Unit>(), "what a pass leaves behind is aligned to at most 16") };
        let units = size_of::<R>().saturating_mul(count).div_ceil(size_of::<Unit>());
        if units == 0 {
            return NonNull::dangling();
        }
        if self.blocks.is_empty() {
            // A thread that is ending has no spare any more.
            self.blocks = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        while let Some(block) = self.blocks.get_mut(self.current) {
            let used = block.len();
            if block.capacity() - used >= units {
                // SAFETY: `used + units` is within the capacity just compared, and units may be uninitialised.
                unsafe { block.set_len(used + units) };
                let free = block.as_mut_ptr().wrapping_add(used);
                // SAFETY: an address inside a block is not null.
                return unsafe { NonNull::new_unchecked(free.cast()) };
            }
            self.current += 1;
        }
        let last = self.blocks.last().map_or(0, Vec::capacity);
        let mut block = Vec::<Unit>::with_capacity(units.max(2 * last).max(FIRST));
        // SAFETY: `units` is within the capacity just asked for, and units may be uninitialised.
        unsafe { block.set_len(units) };
        let free = NonNull::from(block.as_mut_slice()).cast();
        self.current = self.blocks.len();
        self.blocks.push(block);
        free
    }

    /// Gives back everything above `mark`.
    pub(super) fn release(&mut self, mark: Mark) {
        for block in self.blocks.iter_mut().skip(mark.current + 1) {
            block.clear();
        }
        if let Some(block) = self.blocks.get_mut(mark.current) {
            block.truncate(mark.used);
        }
        self.current = mark.current;
    }
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            put_back(std::mem::take(&mut self.blocks));
        }
    }
}

/// Leaves the memory to the thread's next encoder, as one block.
#[cold]
#[inline(never)]
fn put_back(mut blocks: Vec<Vec<Unit>>) {
    if let [block] = blocks.as_mut_slice() {
        block.clear();
    } else {
        let total = blocks.iter().map(Vec::capacity).sum::<usize>();
        blocks.clear();
        blocks.push(Vec::with_capacity(total.min(KEPT)));
    }
    if blocks.iter().any(|block| block.capacity() > KEPT) {
        blocks.clear();
    }
    // A thread that is ending has no spare any more, and the blocks are freed.
    let _ = SPARE.try_with(|spare| spare.set(blocks));
}

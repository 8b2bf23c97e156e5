//! Where everything lies in a segment: offsets, sizes, limits. Numbers L1.. are those of `docs/layout.md`.
//!
//! ```text
//! 0          flags of the callee's queue (line 1), flags of the caller's queue (line 2)
//! 4096       cells of the callee's queue, cells of the caller's queue
//!            blocks, 256 bytes each
//!            arena of the caller, arena of the callee (page aligned)
//! ```

use crate::sync::{AtomicU16, AtomicU32, AtomicU64};

/// L1: bytes of a block.
pub const BLOCK: u32 = 256;
/// L2: offset of the message bytes in a block; 8 modulo 16.
pub const INLINE: u32 = 40;
/// L3: message bytes of a block: arguments first, the reply behind them.
pub const INLINE_ROOM: u32 = TAKEN - INLINE;
/// L16: offset in a block of the word `taken`: how many requests of this block the callee has begun, modulo 2^32. Callee only,
/// in a line that short messages do not touch, so that it stays with the callee.
pub const TAKEN: u32 = BLOCK - 8;
/// L4: extents are aligned to, and a multiple of, this.
pub const EXTENT: u32 = 64;
/// L5: a message in an extent starts here, so that its address modulo 16 is that of an inline one.
pub const EXTENT_START: u32 = 8;
/// L6: the page the layout is aligned to, whatever the machine's is.
pub const PAGE: u32 = 4096;
/// L12: pages of an arena are committed and given back in chunks of this many bytes; arenas are multiples of it.
pub const CHUNK: u32 = 1 << 16;
/// L7: the most bytes of one message (arguments or reply): below 1 GiB.
pub const MAX_MESSAGE: u32 = (1 << 30) - (1 << 20);

/// L13: status of a reply that the handler gave (`reply_at`, `reply_len`); other values are the RPC layer's, from 16 on.
pub const REPLIED: u16 = 0;
/// L19: flag of the status [`REPLIED`]: the reply refers to loans of the callee, which are to be given back soon.
pub const LOANED: u16 = 0x4000;
/// L14: status of a request that was not run: cancelled, or its deadline had passed.
pub const NOT_RUN: u16 = 1;
/// L17: status of a request that ran and was given up by its handler without an answer.
pub const ABANDONED: u16 = 2;
/// L18: status of a request that was not run because the callee is stopping.
pub const STOPPING: u16 = 3;

/// L20: bit of a status: the callee keeps the request beyond the call, and the block with it until it says otherwise. The other
/// bits are the status.
pub const KEPT: u16 = 1 << 15;

/// Had the callee begun a request that it answers with this status?
///
/// ```
/// use ipc_core::layout::{ABANDONED, NOT_RUN, REPLIED, STOPPING, was_begun};
/// assert!(was_begun(REPLIED) && was_begun(ABANDONED) && was_begun(16));
/// assert!(!was_begun(NOT_RUN) && !was_begun(STOPPING));
/// ```
#[inline(always)]
pub const fn was_begun(status: u16) -> bool {
    status & !(NOT_RUN ^ STOPPING) != NOT_RUN
}

/// L24: bit of a method number: a parcel of descriptors has come with the request, on the lane.
pub const BRINGS_PARCEL: u16 = 1 << 14;
/// L25: flag of a status: a parcel has come with the answer.
pub const SENDS_PARCEL: u16 = 1 << 13;
/// L26: most descriptors of one message.
pub const MAX_PARCEL: u32 = 16;
/// L27: bytes of a packet of the lane: kind, block, index, and where memory goes: offset in the segment, length, offset in the
/// file in pages, each of 4 bytes. A packet of the doorbell has one.
pub const LANE_PACKET: usize = 24;
/// L28: kind of a packet with the descriptor number `index` of the parcel of `block`. Number 0 begins a parcel, in place of
/// one that nobody took.
pub const PIECE: u32 = 1;
/// L33: kind of a packet with memory that the message refers to, in the place of descriptor number `index`.
pub const MEMORY: u32 = 4;
/// L29: kind of a packet without descriptor: the parcel of `block` is void, its message was not written to the end.
pub const VOID: u32 = 2;
/// L30: kind of a packet with the file in which the message itself lies, behind `index` pieces. 0 begins a parcel.
pub const BODY: u32 = 3;
/// L31: a message of at least so many bytes is sealed, if its reader would have to copy it first.
pub const WORTH_SEALING: usize = 1 << 20;
/// L32: bytes that stand in the block in place of a sealed message: its length.
pub const STUB: usize = 8;

/// L34: the first number of a file of figures; see [`statistics`](crate::statistics).
pub const FIGURES: u64 = u64::from_le_bytes(*b"ipcstat\0");
/// L35: version of its layout.
pub const FIGURES_VERSION: u64 = 1;
/// L36: where the rows of its workers begin.
pub const ROWS: usize = 4096;
/// L37: bytes of what is counted of a method besides.
pub const METHOD_FIGURES: usize = 5120;

/// Numbers of methods are below this; from here on they are requests of the framework.
pub const OWN_METHODS: u16 = 0x3F00;

/// The number of a method without the bits that say what else has come.
pub const fn named(method: u16) -> u16 {
    method & (BRINGS_PARCEL - 1)
}

/// L15: method number of a request that only gives the memory of the block's last reply back.
pub const RELEASE: u16 = u16::MAX;

/// L8: the head of a block, its first 40 bytes. Only atomics, so that a reference to it may exist while a peer writes.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct BlockHead {
    /// L8.1, offset 0: the state word. Both sides, by the moves of `handover.rs`.
    pub word: AtomicU32,
    /// L8.2, offset 4: low half the object of the connection that a request is for, high half what it says besides. Caller.
    pub tag: AtomicU32,
    /// L8.3, offset 8: method number agreed in the handshake. Caller.
    pub method: AtomicU16,
    /// L8.4, offset 10: how the call ended. Callee.
    pub status: AtomicU16,
    /// L8.5, offset 12: segment offset of the first byte of the arguments. Caller.
    pub request_at: AtomicU32,
    /// L8.6, offset 16: bytes of the arguments. Caller.
    pub request_len: AtomicU32,
    /// L8.7, offset 20: bytes lent from `request_at` on; the reply may go behind the arguments. Caller.
    pub room: AtomicU32,
    /// L8.8, offset 24: segment offset of the first byte of the reply. Callee.
    pub reply_at: AtomicU32,
    /// L8.9, offset 28: bytes of the reply. Callee.
    pub reply_len: AtomicU32,
    /// L8.10, offset 32: deadline in nanoseconds of `CLOCK_MONOTONIC`, 0 for none. Caller, also while the block is lent.
    pub deadline: AtomicU64,
}

/// L9: the flags beside a queue, one cache line for each side.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Flags {
    /// L9.1, offset 0: the consumer of the queue sleeps: ring. Consumer 1, pusher 0.
    pub asleep: AtomicU32,
    /// L9.2, offset 4: core the consumer last waited on, plus one; 0 unknown. Consumer.
    pub core: AtomicU32,
    /// L9.3, offset 8: when the pusher last woke the sleeping consumer, `CLOCK_MONOTONIC` nanoseconds. Pusher.
    pub woken_at: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<BlockHead>() == INLINE as usize);
    assert!(offset_of!(BlockHead, word) == 0);
    assert!(offset_of!(BlockHead, tag) == 4);
    assert!(offset_of!(BlockHead, method) == 8);
    assert!(offset_of!(BlockHead, status) == 10);
    assert!(offset_of!(BlockHead, request_at) == 12);
    assert!(offset_of!(BlockHead, request_len) == 16);
    assert!(offset_of!(BlockHead, room) == 20);
    assert!(offset_of!(BlockHead, reply_at) == 24);
    assert!(offset_of!(BlockHead, reply_len) == 28);
    assert!(offset_of!(BlockHead, deadline) == 32);
    assert!(size_of::<Flags>() == 64);
    assert!(offset_of!(Flags, asleep) == 0);
    assert!(offset_of!(Flags, core) == 4);
    assert!(offset_of!(Flags, woken_at) == 8);
    assert!(INLINE % 16 == 8 && EXTENT_START % 16 == 8 && EXTENT.is_multiple_of(16) && BLOCK.is_multiple_of(64));
};

/// Sizes chosen by the caller, who brings the memory; everything else about the layout follows from them.
///
/// ```
/// use ipc_core::layout::{Geometry, BLOCK};
/// let g = Geometry::new(64, 1 << 20, 1 << 20).unwrap();
/// assert_eq!(g.block_at(1) - g.block_at(0), BLOCK);
/// assert_eq!(g.len(), u64::from(g.callee_arena_at()) + (1 << 20));
/// assert!(Geometry::new(0, 1 << 20, 1 << 20).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    blocks: u32,
    request_cells: u32,
    announcement_cells: u32,
    announcement_cells_at: u32,
    blocks_at: u32,
    caller_arena_at: u32,
    caller_arena: u32,
    callee_arena: u32,
}

/// L10: most blocks of one channel.
pub const MAX_BLOCKS: u32 = 1 << 14;
/// L11: most bytes of one arena.
pub const MAX_ARENA: u32 = 1 << 30;

impl Geometry {
    /// A geometry of `blocks` call blocks and two arenas of so many bytes (multiples of [`CHUNK`]), or `None` if a number
    /// is outside its limits. All sizes come from a peer at times, so nothing here can overflow.
    pub const fn new(blocks: u32, caller_arena: u32, callee_arena: u32) -> Option<Self> {
        if blocks == 0
            || blocks > MAX_BLOCKS
            || caller_arena > MAX_ARENA
            || callee_arena > MAX_ARENA
            || !caller_arena.is_multiple_of(CHUNK)
            || !callee_arena.is_multiple_of(CHUNK)
        {
            return None;
        }
        let request_cells = blocks.next_power_of_two();
        let announcement_cells = (2 * blocks).next_power_of_two();
        let announcement_cells_at = PAGE + request_cells * 8;
        let blocks_at = (announcement_cells_at + announcement_cells * 8).next_multiple_of(BLOCK);
        let caller_arena_at = (blocks_at + blocks * BLOCK).next_multiple_of(PAGE);
        Some(Geometry {
            blocks,
            request_cells,
            announcement_cells,
            announcement_cells_at,
            blocks_at,
            caller_arena_at,
            caller_arena,
            callee_arena,
        })
    }

    /// Number of call blocks.
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Cells of the callee's queue: a request for each block, rounded up to a power of two. With it a push cannot fail.
    pub const fn request_cells(&self) -> u32 {
        self.request_cells
    }

    /// Cells of the caller's queue: for each block an announcement and a release, rounded up to a power of two.
    pub const fn announcement_cells(&self) -> u32 {
        self.announcement_cells
    }

    #[cfg(not(loom))] // Only segments ask, and loom has none.
    pub(crate) const fn request_cells_at(&self) -> u32 {
        PAGE
    }

    #[cfg(not(loom))] // Only segments ask, and loom has none.
    pub(crate) const fn announcement_cells_at(&self) -> u32 {
        self.announcement_cells_at
    }

    /// Offset of block number `index` (not checked against [`Geometry::blocks`]).
    #[inline(always)]
    pub const fn block_at(&self, index: u32) -> u32 {
        self.blocks_at + index * BLOCK
    }

    /// The number of the block at `offset`, if there is one that starts there.
    #[inline]
    pub const fn block_index(&self, offset: u32) -> Option<u32> {
        let from = offset.wrapping_sub(self.blocks_at);
        if from.is_multiple_of(BLOCK) && from / BLOCK < self.blocks { Some(from / BLOCK) } else { None }
    }

    /// Offset of the caller's arena.
    #[inline(always)]
    pub const fn caller_arena_at(&self) -> u32 {
        self.caller_arena_at
    }

    /// Bytes of the caller's arena.
    pub const fn caller_arena(&self) -> u32 {
        self.caller_arena
    }

    /// Offset of the callee's arena.
    pub const fn callee_arena_at(&self) -> u32 {
        self.caller_arena_at() + self.caller_arena
    }

    /// Bytes of the callee's arena.
    pub const fn callee_arena(&self) -> u32 {
        self.callee_arena
    }

    /// Bytes of the whole segment.
    #[allow(clippy::len_without_is_empty)] // A geometry is never empty.
    pub const fn len(&self) -> u64 {
        self.callee_arena_at() as u64 + self.callee_arena as u64
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_largest_geometry_fits_32_bit_offsets() {
        let g = Geometry::new(MAX_BLOCKS, MAX_ARENA, MAX_ARENA).unwrap();
        assert!(g.len() <= 1 << 32, "{}", g.len());
    }

    #[test]
    fn parts_do_not_overlap_and_blocks_are_found_by_offset() {
        for blocks in [1, 3, 64, 300, MAX_BLOCKS] {
            let g = Geometry::new(blocks, CHUNK, CHUNK * 2).unwrap();
            assert!(g.request_cells() >= blocks && g.announcement_cells() >= 2 * blocks);
            assert!(g.announcement_cells_at() >= g.request_cells_at() + 8 * g.request_cells());
            assert!(g.block_at(0) >= g.announcement_cells_at() + 8 * g.announcement_cells());
            assert_eq!(g.block_at(0) % BLOCK, 0);
            assert!(g.caller_arena_at() >= g.block_at(blocks));
            assert_eq!(g.block_index(g.block_at(blocks - 1)), Some(blocks - 1));
            assert_eq!(g.block_index(g.block_at(blocks)), None);
            assert_eq!(g.block_index(g.block_at(0) + 64), None);
            assert_eq!(g.block_index(0), None);
        }
    }

    #[test]
    fn sizes_outside_the_limits_are_refused() {
        for (blocks, a, b) in
            [(0, 0, 0), (MAX_BLOCKS + 1, 0, 0), (1, MAX_ARENA + CHUNK, 0), (1, PAGE, 0), (1, 0, 100), (u32::MAX, 0, 0)]
        {
            assert_eq!(Geometry::new(blocks, a, b), None);
        }
    }
}

//! The called side of a channel: its memory, and one call as a handler sees it.
//!
//! # Trust
//! Every word of a block head is written by the peer: each is loaded once into a local and judged against the geometry.
//! What lies where is decided here; what the bytes mean is the handler's to check.
//!
//! # Safety
//! One copy of a reply that outgrows its memory.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use crate::arena::{Arena, NoExtent};
use crate::clock;
use crate::doorbell;
use crate::extent::Extent;
use crate::futex;
use crate::layout::{BlockHead, EXTENT_START, INLINE, INLINE_ROOM, MAX_MESSAGE};
use crate::queue::{Kind, Producer};
use crate::segment::{Area, Segment};
use crate::socket::{self, Credentials};
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::word::{self, Corrupt, Tell};

/// What a handshake has to say about a new connection.
#[derive(Debug)]
pub struct Greeting<P> {
    /// Sent back to the peer.
    pub answer: Vec<u8>,
    /// The segment the peer has brought and what the handler wants to remember of it; `None`: refused.
    pub accepted: Option<(Segment, P)>,
}

/// What runs the calls of a callee.
pub trait Handler: Send + Sync + 'static {
    /// What is remembered of each connection.
    type Peer: Send + Sync + 'static;

    /// Judges a new connection by its first packet and the descriptors that came with it. `channels` are open already.
    fn greet(&self, hello: &[u8], descriptors: Vec<OwnedFd>, who: Credentials, channels: usize)
    -> Greeting<Self::Peer>;

    /// Runs one call; gives its status and, after a reply was written to [`Call::reply_buffer`], the bytes of it.
    /// Must not unwind.
    fn call(&self, peer: &Self::Peer, call: &mut Call<'_>) -> (u16, usize);

    /// The connection is gone; `why` says what the peer did wrong, if anything.
    fn ended(&self, peer: &Self::Peer, why: Option<Corrupt>) {
        let _ = (peer, why);
    }
}

/// The block is being served.
pub(crate) const BUSY: u8 = 1;
/// An extent of the callee's arena holds the block's last reply.
pub(crate) const HOLDS_REPLY: u8 = 2;

/// What the callee remembers of a block. Private, so that a hostile second hint meets it. Plain stores, under the role or
/// by the worker that serves the block, ordered by P5 and by P2 + P1.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// [`BUSY`], [`HOLDS_REPLY`].
    pub(crate) state: AtomicU8,
    /// How many of its requests were begun.
    pub(crate) begun: AtomicU32,
}

/// The called side of one channel.
#[derive(Debug)]
pub(crate) struct Channel<P> {
    pub(crate) segment: Segment,
    pub(crate) socket: OwnedFd,
    pub(crate) id: u64,
    pub(crate) peer: P,
    pub(crate) blocks: Box<[Served]>,
    announcements: Producer,
    arena: Arena,
    /// The extents that hold replies, by block. An extent is free again when its block is lent again: the caller has read
    /// the reply then, and a block has one reply at a time, so there is nothing to count and nothing that can pile up.
    replies: Mutex<HashMap<u32, Extent>>,
    broken: AtomicBool,
    why: Mutex<Option<Corrupt>>,
}

impl<P> Channel<P> {
    pub(crate) fn new(segment: Segment, socket: OwnedFd, id: u64, peer: P) -> Self {
        let geometry = *segment.geometry();
        Channel {
            blocks: (0..geometry.blocks()).map(|_| Served::default()).collect(),
            announcements: Producer::new(),
            arena: Arena::new(geometry.callee_arena_at(), geometry.callee_arena()),
            replies: Mutex::default(),
            broken: AtomicBool::new(false),
            why: Mutex::new(None),
            segment,
            socket,
            id,
            peer,
        }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The peer broke the protocol: ends the connection. The hang-up that follows retires the channel.
    #[cold]
    pub(crate) fn condemn(&self, why: Corrupt) {
        if !self.broken.swap(true, Ordering::Relaxed) {
            *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            socket::shut_down(self.socket());
        }
    }

    #[inline]
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn why(&self) -> Option<Corrupt> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block is lent again: its last reply has been read.
    #[cold]
    pub(crate) fn release_reply(&self, block: u32) {
        let extent = self.replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&block);
        if let Some(extent) = extent {
            self.arena.free(&self.segment, extent);
        }
    }

    /// S2, second half: tells whoever waits for the answer of `block`.
    #[inline]
    pub(crate) fn tell(&self, head: &BlockHead, block: u32, tell: Tell) {
        if tell.wake || tell.announce {
            self.tell_slow(head, block, tell);
        }
    }

    #[cold]
    fn tell_slow(&self, head: &BlockHead, block: u32, tell: Tell) {
        let flags = self.segment.caller_flags();
        if tell.wake {
            flags.woken_at.store(clock::now(), Ordering::Relaxed);
            futex::wake(&head.word);
        }
        if tell.announce {
            let at = self.segment.geometry().block_at(block);
            self.announcements.push(self.segment.announcement_cells(), Kind::Announcement, at);
            if doorbell::must_ring(&flags.asleep) {
                socket::ring(self.socket()); // [P4]
            }
        }
    }
}

/// One call: where the request lies, and where the reply goes.
#[derive(Debug)]
pub struct Call<'a> {
    segment: &'a Segment,
    arena: &'a Arena,
    head: &'a BlockHead,
    block: u32,
    method: u16,
    request_at: u32,
    request_len: u32,
    reply_at: u32,
    reply_room: u32,
    extent: Option<Extent>,
    replies: &'a Mutex<HashMap<u32, Extent>>,
}

impl<'a> Call<'a> {
    /// Reads the head of a block that has been taken; every word once.
    #[inline]
    pub(crate) fn new<P>(channel: &'a Channel<P>, head: &'a BlockHead, block: u32) -> Result<Self, Corrupt> {
        let segment = &channel.segment;
        let at = head.request_at.load(Ordering::Relaxed);
        let len = head.request_len.load(Ordering::Relaxed);
        let room = head.room.load(Ordering::Relaxed);
        let inline = segment.geometry().block_at(block) + INLINE;
        let fits = if at == inline && room <= INLINE_ROOM {
            true
        } else {
            room <= MAX_MESSAGE.saturating_add(1 << 19) && segment.bytes(Area::CallerArena, at, room).is_some()
        };
        if !fits || len > room {
            return Err(Corrupt(u64::from(at) << 32 | u64::from(len)));
        }
        // The reply starts where its address is 8 modulo 16, as every message does.
        let skip = (EXTENT_START.wrapping_sub(at + len) % 16).min(room - len);
        Ok(Call {
            segment,
            arena: &channel.arena,
            head,
            block,
            method: head.method.load(Ordering::Relaxed),
            request_at: at,
            request_len: len,
            // `len <= room` and `at + room` is inside the segment, so none of these can overflow.
            reply_at: at + len + skip,
            reply_room: room - len - skip,
            extent: None,
            replies: &channel.replies,
        })
    }

    /// The method number the caller asks for, not checked.
    #[inline]
    pub fn method(&self) -> u16 {
        self.method
    }

    /// Address and number of the request's bytes. An honest caller does not touch them until the reply.
    #[inline]
    pub fn request(&self) -> (NonNull<u8>, usize) {
        (self.segment.pointer(self.request_at), self.request_len as usize)
    }

    /// Deadline in nanoseconds of `CLOCK_MONOTONIC`, as the caller has it now; `None`: none.
    pub fn deadline(&self) -> Option<u64> {
        Some(self.head.deadline.load(Ordering::Relaxed)).filter(|d| *d != 0)
    }

    /// Has the caller given this call up?
    pub fn is_cancelled(&self) -> bool {
        self.head.word.load(Ordering::Relaxed) & word::CANCELLED != 0
    }

    /// Where the reply goes: behind the request at first. The address is 8 modulo 16 (if there is room at all), the bytes are
    /// ours until the call is finished.
    #[inline]
    pub fn reply_buffer(&self) -> (NonNull<u8>, usize) {
        (self.segment.pointer(self.reply_at), self.reply_room as usize)
    }

    /// Moves the reply to memory of at least `needed` bytes in our own arena, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoExtent`]; what was written stays where it was.
    #[cold]
    pub fn grow_reply(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoExtent> {
        let (from, room) = self.reply_buffer();
        // SAFETY: the first `room` bytes at `from` are this call's until it is finished: the rest of the memory the caller
        // lent (in the caller's arena or its block), or our own extent.
        unsafe { self.arena.grow(self.segment, &mut self.extent, from, used.min(room), needed)? };
        if let Some(extent) = &self.extent {
            self.reply_at = extent.offset() + EXTENT_START;
            self.reply_room = extent.len() - EXTENT_START;
        }
        Ok(self.reply_buffer())
    }

    /// Writes the reply's descriptor into the block. S2 follows. `true`: an extent holds the reply.
    #[inline]
    pub(crate) fn finish(&mut self, status: u16, len: usize) -> bool {
        let len = len.min(self.reply_room as usize) as u32;
        self.head.status.store(status, Ordering::Relaxed);
        self.head.reply_at.store(self.reply_at, Ordering::Relaxed);
        self.head.reply_len.store(len, Ordering::Relaxed);
        self.extent.is_some() && self.hold_reply(len)
    }

    #[cold]
    fn free_extent(&mut self) {
        if let Some(extent) = self.extent.take() {
            self.arena.free(self.segment, extent);
        }
    }

    #[cold]
    fn hold_reply(&mut self, len: u32) -> bool {
        let Some(mut extent) = self.extent.take() else { return false };
        if len == 0 {
            self.arena.free(self.segment, extent);
            return false;
        }
        self.arena.shrink(&mut extent, EXTENT_START + len);
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(self.block, extent);
        true
    }
}

impl Drop for Call<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.extent.is_some() {
            self.free_extent();
        }
    }
}

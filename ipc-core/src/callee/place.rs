//! Where the request of a call lies, and where its reply goes.
//!
//! # Trust
//! Every word of a block head is written by the peer: each is loaded once into a local and judged against the geometry.
//!
//! # Safety
//! One copy of a reply that outgrows its memory.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use super::{Channel, HOLDS_REPLY, KEEPS};
use crate::extent::Extent;
use crate::kept::Kept;
use crate::lane::{Cargo, Undeliverable};
use crate::layout::{BlockHead, EXTENT_START, INLINE, INLINE_ROOM, KEPT, LOANED, MAX_MESSAGE, REPLIED, SENDS_PARCEL};
use crate::memory::NoMemory;
use crate::segment::Area;
use crate::sync::Ordering;
use crate::word::Corrupt;

/// What is to be done when the handler has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Write the descriptor.
    Plain,
    /// That, and keep the extent that the reply lies in, if it does, and say that a parcel came along, if one did.
    Extent,
    /// The same if there is one, and say so if the request is kept.
    Kept,
    /// Nothing: the call goes on elsewhere.
    Deferred,
}

/// Where the request of a call lies, and where its reply goes.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) block: u32,
    pub(super) method: u16,
    pub(super) end: Cell<End>,
    pub(super) request_at: u32,
    pub(super) request_len: u32,
    pub(super) reply_at: u32,
    pub(super) reply_room: u32,
    pub(super) extent: Option<Extent>,
    /// The reply refers to loans.
    pub(super) refers: bool,
    /// A parcel was sent for the reply.
    pub(super) parcel: bool,
    /// The reply itself is in it.
    pub(super) body: bool,
    /// Memory of a third process is mapped for the request.
    pub(super) imports: bool,
}

impl Place {
    /// Reads the head of a block that has been taken; every word once.
    #[inline]
    pub(super) fn read<P>(channel: &Channel<P>, head: &BlockHead, block: u32) -> Result<Self, Corrupt> {
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
        Ok(Place {
            block,
            method: head.method.load(Ordering::Relaxed),
            end: Cell::new(End::Plain),
            request_at: at,
            request_len: len,
            // `len <= room` and `at + room` is inside the segment, so none of these can overflow.
            reply_at: at + len + skip,
            reply_room: room - len - skip,
            extent: None,
            refers: false,
            parcel: false,
            body: false,
            imports: false,
        })
    }

    /// Address and number of the request's bytes.
    #[inline]
    pub(super) fn request<P>(&self, channel: &Channel<P>) -> (NonNull<u8>, usize) {
        (channel.segment.pointer(self.request_at), self.request_len as usize)
    }

    #[inline]
    pub(super) fn reply_buffer<P>(&self, channel: &Channel<P>) -> (NonNull<u8>, usize) {
        (channel.segment.pointer(self.reply_at), self.reply_room as usize)
    }

    pub(super) fn grow_reply<P>(
        &mut self,
        channel: &Channel<P>,
        used: usize,
        needed: usize,
    ) -> Result<(NonNull<u8>, usize), NoMemory> {
        if self.end.get() == End::Deferred {
            return Err(NoMemory::fixed(needed));
        }
        let (from, room) = self.reply_buffer(channel);
        // SAFETY: the first `room` bytes at `from` are this call's until it is finished: the rest of the memory the caller
        // lent (in the caller's arena or its block), or our own extent.
        let grown = unsafe { channel.arena.grow(&channel.segment, &mut self.extent, from, used.min(room), needed) };
        if let Err(full) = grown {
            if !channel.reclaim_replies() {
                return Err(full);
            }
            // SAFETY: as above; a failed try has changed nothing.
            unsafe { channel.arena.grow(&channel.segment, &mut self.extent, from, used.min(room), needed)? };
        }
        crate::fail_point!(ReplyExtent);
        if let Some(extent) = &self.extent {
            if self.end.get() == End::Plain {
                self.end.set(End::Extent);
            }
            self.reply_at = extent.offset() + EXTENT_START;
            self.reply_room = extent.len() - EXTENT_START;
        }
        Ok(self.reply_buffer(channel))
    }

    pub(super) fn attach<P>(&mut self, channel: &Channel<P>, data: NonNull<u8>, len: usize) -> Attached {
        let (Some(at), Ok(len)) = (channel.segment.offset_of(data), u32::try_from(len)) else { return Attached::No };
        if !channel.loans.are_allowed() || self.end.get() == End::Deferred {
            return Attached::No;
        }
        // The caller has the memory of its request for as long as it has the reply.
        let inside = at.wrapping_sub(self.request_at);
        if inside <= self.request_len && len <= self.request_len - inside {
            return Attached::Yes;
        }
        if self.extent.is_none() {
            return Attached::IfMoved;
        }
        let pinned = channel.loans.pin(self.block, at, len);
        self.refers |= pinned;
        if pinned { Attached::Yes } else { Attached::No }
    }

    #[cold]
    pub(super) fn send<P>(
        &mut self,
        channel: &Channel<P>,
        cargo: Cargo,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), Undeliverable> {
        if self.end.get() == End::Deferred {
            return Err(Undeliverable::Closed);
        }
        let body = matches!(cargo, Cargo::Body(_));
        channel.send(self.block, cargo, descriptor)?;
        if self.end.get() == End::Plain {
            self.end.set(End::Extent);
        }
        self.parcel = true;
        self.body |= body;
        Ok(())
    }

    /// Writes the reply's descriptor into the block. S2 follows.
    #[inline]
    pub(super) fn describe(&self, head: &BlockHead, status: u16, len: usize) -> u32 {
        let len = len.min(self.reply_room as usize) as u32;
        head.status.store(status, Ordering::Relaxed);
        head.reply_at.store(self.reply_at, Ordering::Relaxed);
        head.reply_len.store(len, Ordering::Relaxed);
        len
    }

    /// The same for a reply in an extent, which is kept; gives what is to be remembered of the block.
    #[cold]
    pub(super) fn hold_reply<P>(
        &mut self,
        channel: &Channel<P>,
        head: &BlockHead,
        status: u16,
        len: usize,
        flags: u16,
    ) -> u8 {
        let refers = std::mem::take(&mut self.refers);
        if refers && status != REPLIED {
            channel.loans.unpin(self.block, &channel.arena);
        }
        // What the handler keeps stays mapped until it lets go of it.
        if std::mem::take(&mut self.imports) && flags & KEPT == 0 {
            channel.end_imports(self.block);
        }
        let mut flags = if refers && status == REPLIED { flags | LOANED } else { flags };
        if self.parcel {
            flags |= SENDS_PARCEL;
        }
        let len = self.describe(head, status | flags, len);
        let Some(mut extent) = self.extent.take() else { return 0 };
        if len == 0 {
            channel.arena.free(extent);
            return 0;
        }
        channel.arena.shrink(&mut extent, EXTENT_START + len);
        // A peer that lends a block twice can have two calls end in it.
        if let Some(other) = channel.replies().insert(self.block, extent) {
            channel.arena.free(other);
        }
        HOLDS_REPLY
    }

    /// The same for a call whose request may be kept, besides.
    #[cold]
    pub(super) fn hold_request<P>(&mut self, channel: &Channel<P>, head: &BlockHead, status: u16, len: usize) -> u8 {
        let keeps = channel.blocks.get(self.block as usize).is_some_and(|served| served.keeping.answer());
        let state = self.hold_reply(channel, head, status, len, if keeps { KEPT } else { 0 });
        crate::fail_point!(RequestKept);
        if keeps { state | KEEPS } else { state }
    }

    pub(super) fn keep<P>(&self, channel: &Channel<P>) -> Option<Kept<P>> {
        if self.end.get() == End::Deferred {
            return None;
        }
        self.end.set(End::Kept);
        Kept::new(channel.this.upgrade()?, self.block, self.request_at, self.request_len)
    }
}

/// Does a reply refer to memory where it lies?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attached {
    /// It does, and the memory is not to change until the reply was read.
    Yes,
    /// It cannot.
    No,
    /// It can, when the reply itself has been moved to the callee's arena.
    IfMoved,
}

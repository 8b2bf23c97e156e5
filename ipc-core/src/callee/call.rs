//! One call as a handler sees it.

use std::cell::Cell;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use super::place::{Attached, End, Place};
use super::{BUSY, CallHandle, CallWatch, Channel, Deferred};
use crate::kept::Kept;
use crate::lane::{Cargo, Parcel, Undeliverable};
use crate::layout::{BlockHead, named};
use crate::memory::NoMemory;
use crate::sync::Ordering;
use crate::word::{self, Corrupt};

/// The tag of a request, in its two halves: `target`, `extra`.
pub(super) fn halves(tag: u32) -> (u16, u16) {
    (tag as u16, (tag >> 16) as u16)
}

/// One call: where the request lies, and where the reply goes.
pub struct Call<'a, P> {
    channel: &'a Channel<P>,
    head: &'a BlockHead,
    place: Place,
}

impl<P> fmt::Debug for Call<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<'a, P> Call<'a, P> {
    /// Reads the head of a block that has been taken; every word once.
    #[inline]
    pub(crate) fn new(channel: &'a Channel<P>, head: &'a BlockHead, block: u32) -> Result<Self, Corrupt> {
        Ok(Call { channel, head, place: Place::read(channel, head, block)? })
    }

    /// Number of the request's bytes.
    #[inline(always)]
    pub(crate) fn request_len(&self) -> u32 {
        self.place.request_len
    }

    /// Notes among the figures of the method that this call ends without a result: with this status, or with
    /// [`REPLIED`](crate::layout::REPLIED) where the result is the handler's error.
    #[cold]
    pub fn failed(&self, status: u16) {
        self.channel.statistics.failed(named(self.place.method), status);
    }

    /// The method number the caller asks for, not checked.
    #[inline]
    pub fn method(&self) -> u16 {
        self.place.method
    }

    /// Which object of the connection the request is for, not checked; 0: none. Read it once: the peer can change it.
    #[inline]
    pub fn target(&self) -> u16 {
        halves(self.head.tag.load(Ordering::Relaxed)).0
    }

    /// The other half of the request's tag, whose meaning the method decides. Read it once: the peer can change it.
    #[inline]
    pub fn extra(&self) -> u16 {
        halves(self.head.tag.load(Ordering::Relaxed)).1
    }

    /// Address and number of the request's bytes. An honest caller does not touch them until the reply. No bytes after
    /// [`Call::defer`].
    #[inline]
    pub fn request(&self) -> (NonNull<u8>, usize) {
        self.place.request(self.channel)
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
    /// ours until the call is finished. No bytes after [`Call::defer`].
    #[inline]
    pub fn reply_buffer(&self) -> (NonNull<u8>, usize) {
        self.place.reply_buffer(self.channel)
    }

    /// Moves the reply to memory of at least `needed` bytes in our own arena, the first `used` bytes with it.
    ///
    /// # Errors
    /// [`NoMemory`]; what was written stays where it was.
    #[cold]
    pub fn grow_reply(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        self.place.grow_reply(self.channel, used, needed)
    }

    /// Has the reply refer to the `len` bytes at `data` where they lie, if they are a part of a loan of this channel.
    #[cold]
    pub fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        self.place.attach(self.channel, data, len)
    }

    /// The descriptors that came with the request, if its method has [`BRINGS_PARCEL`](crate::layout::BRINGS_PARCEL).
    #[cold]
    pub fn take_parcel(&self) -> Parcel {
        self.channel.take_parcel(self.place.block)
    }

    /// Maps the memory that came along in the parcel, for as long as the call lasts.
    ///
    /// # Errors
    /// Why not, for the peer.
    #[cold]
    pub fn import(&mut self, parcel: &mut Parcel) -> Result<(), String> {
        for (place, file) in parcel.take_memory() {
            let Some(file) = file else { return Err("no descriptors left (ulimit -n)".into()) };
            self.place.imports = true;
            if self.place.end.get() == End::Plain {
                self.place.end.set(End::Extent);
            }
            self.channel.imports.add(&self.channel.segment, self.place.block, place, file)?;
        }
        Ok(())
    }

    /// Sends a descriptor along with the reply, the one of this number.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), Undeliverable> {
        self.place.send(self.channel, Cargo::Piece(index), descriptor)
    }

    /// Notes among the figures of the method that the request lies in a file, with so many bytes.
    #[cold]
    pub fn came_in_a_file(&self, len: usize) {
        self.channel.carries(self.place.block, self.place.method, (len, 0));
    }

    /// Sends the file in which the reply lies, with `len` bytes, behind so many descriptors.
    ///
    /// # Errors
    /// [`Undeliverable`].
    #[cold]
    pub fn send_body(&mut self, behind: u32, file: BorrowedFd<'_>, len: usize) -> Result<(), Undeliverable> {
        self.place.send(self.channel, Cargo::Body(behind), file)?;
        self.channel.carries(self.place.block, self.place.method, (0, len));
        Ok(())
    }

    /// Does the reply lie in a file that was sent with [`Call::send_body`]?
    pub fn has_sent_body(&self) -> bool {
        self.place.body
    }

    /// Does the peer read replies where they lie?
    pub fn lends(&self) -> bool {
        self.channel.loans.are_allowed()
    }

    /// Tells from elsewhere, and later, whether the caller still wants this call.
    pub fn watch(&self) -> CallWatch<P> {
        CallWatch::new(self.channel, self.place.block)
    }

    /// What [`Call::watch`] is made of, for when it turns out to be needed: this costs nothing.
    #[inline(always)]
    pub fn handle(&self) -> CallHandle<'a, P> {
        CallHandle { channel: self.channel, block: self.place.block }
    }

    /// Keeps the request, whatever becomes of the call, until what this gives is dropped. `None`: the call was deferred.
    pub fn keep(&self) -> Option<Kept<P>> {
        self.place.keep(self.channel)
    }

    /// Takes the call away from its worker: it goes on elsewhere and is answered by [`Deferred::finish`], from any thread.
    /// What [`Handler::call`](super::Handler::call) returns is ignored then, and this value is spent: it has no request and no
    /// room for a reply.
    ///
    /// # Panics
    /// If the call was deferred before.
    pub fn defer(&mut self) -> Deferred<P> {
        // Held by the worker or by the role for as long as the handler runs.
        let channel = match self.channel.this.upgrade() {
            Some(channel) if self.place.end.get() != End::Deferred => channel,
            _ => panic!("a call can be deferred once"),
        };
        let tag = self.head.tag.load(Ordering::Relaxed);
        let spent = Place {
            end: Cell::new(End::Deferred),
            request_len: 0,
            reply_room: 0,
            extent: None,
            refers: false,
            parcel: false,
            body: false,
            imports: false,
            ..self.place
        };
        let place = std::mem::replace(&mut self.place, spent);
        crate::fail_point!(CallDeferred);
        Deferred { channel, place, tag, answered: false }
    }

    /// Writes the reply's descriptor into the block, S2 follows; gives what is to be remembered of the block. [`BUSY`]: the
    /// call was deferred, and the block is not this thread's any more.
    #[inline]
    pub(crate) fn finish(&mut self, status: u16, len: usize) -> u8 {
        match self.place.end.get() {
            End::Plain => {
                self.place.describe(self.head, status, len);
                0
            }
            End::Extent => self.place.hold_reply(self.channel, self.head, status, len, 0),
            End::Kept => self.place.hold_request(self.channel, self.head, status, len),
            End::Deferred => BUSY,
        }
    }
}

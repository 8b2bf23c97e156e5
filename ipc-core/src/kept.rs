//! A request that its handler keeps beyond the call.

use std::fmt;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::callee::Channel;

/// The request of a call, which stays where it is until this is dropped, whatever becomes of the call:
/// [`Call::keep`](crate::callee::Call::keep).
///
/// It keeps the memory of its channel, also when the peer or the channel's callee is gone. The block is its caller's again when
/// the last one of these is dropped and the call is answered.
pub struct Kept<P> {
    channel: Arc<Channel<P>>,
    block: u32,
    at: u32,
    len: u32,
}

impl<P> fmt::Debug for Kept<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("block", &self.block).field("len", &self.len).finish_non_exhaustive()
    }
}

impl<P> Kept<P> {
    /// `None`: there is no such block.
    pub(crate) fn new(channel: Arc<Channel<P>>, block: u32, at: u32, len: u32) -> Option<Self> {
        channel.blocks.get(block as usize)?.keeping.begin();
        Some(Kept { channel, block, at, len })
    }

    /// Address and number of the request's bytes. An honest caller does not touch them while this lives.
    pub fn request(&self) -> (NonNull<u8>, usize) {
        (self.channel.segment.pointer(self.at), self.len as usize)
    }

    /// The file that the byte at `data` is a part of, to be read only, and where it lies there. `None`: it is none of the channel's.
    pub fn origin(&self, data: NonNull<u8>) -> Option<(Arc<OwnedFd>, u64)> {
        let at = self.channel.segment.offset_of(data)?;
        let own = || Some((self.channel.segment.read_only().ok()?, u64::from(at)));
        self.channel.imports.origin(self.block, at).or_else(own)
    }

    /// What the handler remembers of the connection.
    pub fn peer(&self) -> &P {
        &self.channel.peer
    }
}

impl<P> Drop for Kept<P> {
    fn drop(&mut self) {
        if self.channel.blocks.get(self.block as usize).is_some_and(|served| served.keeping.end()) {
            self.channel.give_back(self.block);
        }
    }
}

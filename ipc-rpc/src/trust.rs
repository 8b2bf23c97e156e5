//! How far the bytes of a peer are trusted.
//!
//! # Safety
//! Copies a peer's bytes to private memory.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// How a peer's messages are read.
///
/// All levels bound-check every offset and length of the call itself; they differ in how the bytes of a message are treated.
/// `docs/safety.md` in the repository says what that means against a hostile peer.
///
/// ```
/// use ipc_rpc::{ClientConfig, Server, Trust};
///
/// // A server whose clients run sandboxed as the same user, and a client that does not trust its server.
/// let builder = Server::builder().trust(Trust::Snapshot);
/// let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
/// assert_ne!(config, ClientConfig::default());
/// # drop(builder);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Validated once, used where they lie. For peers of the same user, who could trace this process anyway: a peer that
    /// changes bytes while they are read can make this process misbehave. The default for the same user.
    InPlace,
    /// Copied to private memory, then validated, then used. A peer can send nonsense, it cannot change it afterwards. The
    /// default for other users.
    Snapshot,
}

/// How requests are read: as a [`Trust`] says, or as only an `unsafe` call can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Validated where they lie.
    InPlace,
    /// Copied, then validated.
    Snapshot,
    /// Not validated: [`ServerBuilder::trust_unchecked`](crate::ServerBuilder::trust_unchecked).
    Unchecked,
}

impl From<Trust> for Reading {
    fn from(trust: Trust) -> Self {
        match trust {
            Trust::InPlace => Reading::InPlace,
            Trust::Snapshot => Reading::Snapshot,
        }
    }
}

/// A private copy of a message, at the same address modulo 16.
#[derive(Debug)]
pub(crate) struct Snapshot {
    words: Vec<u128>,
    start: usize,
    len: usize,
}

impl Snapshot {
    /// Copies `len` bytes at `data`.
    ///
    /// # Safety
    /// They are readable. They may change meanwhile: what was copied is judged afterwards.
    pub(crate) unsafe fn copy(data: NonNull<u8>, len: usize) -> Self {
        let start = data.addr().get() % 16;
        let mut words = vec![0u128; (start + len).div_ceil(16)];
        let to = words.as_mut_ptr().cast::<u8>();
        // SAFETY: `words` has at least `start + len` bytes.
        let to = unsafe { to.add(start) };
        // SAFETY: readable by the caller's promise; the copy is new memory, so they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), to, len) };
        Snapshot { words, start, len }
    }

    /// Address and number of the bytes.
    pub(crate) fn bytes(&self) -> (NonNull<u8>, usize) {
        let first = NonNull::from(self.words.as_slice()).cast::<u8>();
        // SAFETY: `start` is below 16 and inside the allocation, or the allocation and `start` have no bytes at all and the
        // sum is not read.
        (unsafe { first.byte_add(self.start.min(size_of_val(self.words.as_slice()))) }, self.len)
    }
}

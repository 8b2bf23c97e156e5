//! How far the bytes of a peer are trusted.
//!
//! # Safety
//! Copies a peer's bytes to private memory, and reads the length of a message that lies in a file.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use ipc_core::lane;
use ipc_core::layout::STUB;
use ipc_core::sealed::Sealed;
use ipc_core::socket::{self, Credentials};

use crate::endpoint;
use crate::message::MessageError;

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
    /// changes bytes while they are read can make this process misbehave. The default for the same user, unless one of the
    /// two is in a container (a pid namespace) that the other is not in.
    InPlace,
    /// Copied to private memory, then validated, then used. A peer can send nonsense, it cannot change it afterwards. A message
    /// of 1 MiB and more is not copied: it comes in a file of its own that is sealed against changes. The default for other
    /// users and other containers.
    Snapshot,
}

impl Trust {
    /// For a peer that could trace this process anyway, as far as one can tell: in place.
    pub(crate) fn by_default(socket: BorrowedFd<'_>, who: Credentials) -> Self {
        let could = endpoint::is_own(who.uid) && socket::is_beside(socket, who.pid);
        if could { Trust::InPlace } else { Trust::Snapshot }
    }

    /// May what was decided about `who` be said of the process that has answered? Whoever made a listening socket need not be the
    /// one that serves there: systemd passes them on, and servers do.
    pub(crate) fn holds_for(who: Credentials, sender: Option<Credentials>) -> bool {
        let could = |sender: Credentials| endpoint::is_own(sender.uid) && socket::is_here(sender.pid);
        sender.is_some_and(|sender| (sender.pid, sender.uid) == (who.pid, who.uid) || could(sender))
    }
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

/// A message that its writer cannot change any more: a private copy of it, at the same address modulo 16, or a sealed file.
#[derive(Debug)]
pub(crate) enum Snapshot {
    Copy { words: Vec<u128>, start: usize, len: usize },
    Sealed(Sealed),
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
        Snapshot::Copy { words, start, len }
    }

    /// The message in the file that came along, if one did, in place of which `len` bytes at `data` are in the block.
    ///
    /// # Errors
    /// What is wrong with the file.
    ///
    /// # Safety
    /// As for [`Snapshot::copy`].
    pub(crate) unsafe fn sealed(data: NonNull<u8>, len: usize) -> Option<Result<Self, String>> {
        let body = lane::take_body()?;
        if len != STUB {
            return Some(Err("there are other bytes in place of a message in a file".into()));
        }
        let Some(file) = body else {
            return Some(Err(
                "the file with the message has not come along; if it was sent, the process that was to get it had \
                             no descriptors left (ulimit -n)"
                    .into(),
            ));
        };
        // SAFETY: `STUB` bytes are readable by the caller's promise.
        let len = u64::from_le_bytes(unsafe { data.cast::<[u8; STUB]>().read_unaligned() });
        let sealed = Sealed::open(file, len).map(Snapshot::Sealed);
        Some(sealed.map_err(|why| format!("the message in a file is refused: {why}")))
    }

    /// The message of an answer that has `len` bytes at `data`.
    ///
    /// # Errors
    /// It came in a file that is refused.
    ///
    /// # Safety
    /// As for [`Snapshot::copy`].
    pub(crate) unsafe fn of(data: NonNull<u8>, len: usize) -> Result<Self, MessageError> {
        // SAFETY: the caller's promise.
        match unsafe { Snapshot::sealed(data, len) } {
            // SAFETY: as above.
            None => Ok(unsafe { Snapshot::copy(data, len) }),
            Some(sealed) => sealed.map_err(MessageError::file),
        }
    }

    /// Address and number of the bytes.
    pub(crate) fn bytes(&self) -> (NonNull<u8>, usize) {
        match self {
            Snapshot::Copy { words, start, len } => {
                let first = NonNull::from(words.as_slice()).cast::<u8>();
                // SAFETY: `start` is below 16 and inside the allocation, or the allocation and `start` have no bytes at all
                // and the sum is not read.
                (unsafe { first.byte_add((*start).min(size_of_val(words.as_slice()))) }, *len)
            }
            Snapshot::Sealed(sealed) => sealed.bytes(),
        }
    }
}

//! Where a long message goes if its reader would have to copy it: into a sealed file of its own.
//!
//! # Safety
//! Copies what was written before the message turned out to be long.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use ipc_core::layout::{STUB, WORTH_SEALING};
use ipc_core::sealed::Writing;

use crate::message::private_exports::Buffer;

/// The file that a message is written into, if it is.
#[derive(Default)]
pub(crate) struct Body(Option<Writing>);

impl Body {
    /// Memory of at least `needed` bytes, with the first `used` bytes at `from` in it. `None`: the message is short, or there is
    /// no such memory: then it goes where messages go.
    ///
    /// # Safety
    /// `used` bytes at `from` are readable, unless memory was given before.
    pub(crate) unsafe fn grow(&mut self, from: NonNull<u8>, used: usize, needed: usize) -> Option<io::Result<Buffer>> {
        if let Some(writing) = &mut self.0 {
            return Some(writing.grow(needed).map(|()| buffer(writing)));
        }
        if needed < WORTH_SEALING {
            return None;
        }
        let writing = Writing::new(needed).ok()?;
        let to = buffer(&writing);
        // SAFETY: readable by the caller's promise; the file has room for `needed` bytes, of which these are some, and is new.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.data.as_ptr(), used.min(to.len)) };
        self.0 = Some(writing);
        Some(Ok(to))
    }

    /// Was there need of it?
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.0.is_some()
    }

    /// Ends the message after `len` bytes.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn seal(&mut self, len: usize) -> io::Result<OwnedFd> {
        match self.0.take() {
            Some(writing) => writing.seal(len),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn buffer(writing: &Writing) -> Buffer {
    let (data, len) = writing.buffer();
    Buffer { data, len }
}

/// Writes what stands in the block in place of a message of `len` bytes in a file; gives its length.
///
/// # Safety
/// `room` bytes at `to` are writable.
pub(crate) unsafe fn write_stub(to: NonNull<u8>, room: usize, len: usize) -> Option<usize> {
    if room < STUB {
        return None;
    }
    // SAFETY: there is room, by the caller's promise.
    unsafe { to.cast::<[u8; STUB]>().write_unaligned((len as u64).to_le_bytes()) };
    Some(STUB)
}

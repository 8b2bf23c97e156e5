//! Messages as plain bytes, for files and packets: archives outside of any shared memory.
//!
//! They are written as if they lay at an address that is 8 modulo 16, as the requests in call blocks do, so that they are the
//! same bytes.
#![allow(unsafe_code)]
// Unsafe code is needed here because archives are written and read through raw pointers.

use std::ptr::NonNull;

use super::encoder::{Buffer, Grow, encode};
use super::{EncodeError, Message, MessageError, access, owned};

/// The address of a message modulo 16.
pub(crate) const START: usize = 8;

/// The archive of a value.
///
/// # Errors
/// The value nests too deep, is too large, or has parts that only travel by a connection.
pub(crate) fn to_bytes<T: Message>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut memory = Aligned::with(256);
    let buffer = memory.buffer();
    // SAFETY: the buffer is the memory's, which is replaced by `grow` only.
    let len = unsafe { encode::<T>(value, buffer, &mut memory) }?;
    Ok(memory.bytes(len).to_vec())
}

/// The value of an archive, whoever has written it.
///
/// # Errors
/// The bytes are no archive of a `T`.
pub(crate) fn from_bytes<T: Message>(bytes: &[u8]) -> Result<T, MessageError> {
    let mut memory = Aligned::of(bytes);
    let Buffer { data, .. } = memory.buffer();
    // SAFETY: so many bytes of the memory are initialised, and nobody changes them.
    let form = unsafe { access::<T>(data.as_ptr(), bytes.len()) }?;
    owned::<T>(form)
}

/// Bytes at an address that is [`START`] modulo 16.
struct Aligned(Vec<u128>);

impl Aligned {
    fn with(len: usize) -> Self {
        Aligned(vec![0; words(len)])
    }

    fn of(bytes: &[u8]) -> Self {
        let mut memory = Aligned::with(bytes.len());
        let to = memory.buffer().data;
        // SAFETY: the memory has room for as many bytes, and is new.
        unsafe { to.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        memory
    }

    fn buffer(&mut self) -> Buffer {
        let len = size_of_val(self.0.as_slice()) - START;
        let words = NonNull::from(self.0.as_mut_slice()).cast::<u8>();
        // SAFETY: there is at least one word, which is longer.
        Buffer { data: unsafe { words.byte_add(START) }, len }
    }

    /// The first bytes.
    fn bytes(&mut self, len: usize) -> &[u8] {
        let Buffer { data, len: room } = self.buffer();
        // SAFETY: all words are initialised, and so many bytes follow `data`.
        unsafe { std::slice::from_raw_parts(data.as_ptr(), len.min(room)) }
    }
}

/// How many words hold so many bytes behind [`START`]; at least one.
fn words(len: usize) -> usize {
    (START + len).div_ceil(size_of::<u128>())
}

// SAFETY: the words are writable until they are replaced here, which moves all of them; their address is a multiple of 16, so
// each buffer begins at the same one modulo 16.
unsafe impl Grow for Aligned {
    fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
        self.0.resize(words(needed).max(2 * self.0.len()), 0);
        Ok(self.buffer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_nonsense_does_not() {
        let value = (7u8, vec![String::from("a text that is longer than it can be inline"); 50], Some(1u128));
        let bytes = to_bytes(&value).unwrap();
        assert_eq!(from_bytes::<(u8, Vec<String>, Option<u128>)>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(from_bytes::<(u8, Vec<String>, Option<u128>)>(&bytes[..len]).is_err(), "cut to {len} bytes");
        }
        assert!(to_bytes(&()).unwrap().is_empty());
        from_bytes::<()>(&[]).unwrap();
    }
}

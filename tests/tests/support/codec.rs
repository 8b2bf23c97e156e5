//! Encodes into plain buffers and reads them back, as the call path does in shared memory.
#![allow(dead_code)]
// Each test binary uses a part of this file.

use std::fmt::Debug;
use std::ptr::NonNull;

use ipc_rpc::__private::{self as p, Argument, Buffer, EncodeError, Grow, Message, MessageError};

/// An archive in a buffer of its own.
pub struct Archive {
    room: Room,
    len: usize,
}

/// A growing buffer that starts at a given address modulo 16.
struct Room {
    units: Vec<u128>,
    shift: usize,
}

impl Room {
    fn new(size: usize, shift: usize) -> Self {
        Room { units: vec![u128::MAX; (size + shift).div_ceil(16) + 1], shift }
    }

    fn buffer(&mut self, len: usize) -> Buffer {
        let data = self.units.as_mut_ptr().cast::<u8>().wrapping_add(self.shift);
        Buffer { data: NonNull::new(data).unwrap(), len }
    }

    fn bytes(&self) -> &[u8] {
        let data = self.units.as_ptr().cast::<u8>();
        // SAFETY: the units are initialised memory of that size.
        let all = unsafe { std::slice::from_raw_parts(data, self.units.len() * 16) };
        &all[self.shift..]
    }
}

// SAFETY: the new buffer has the needed size and the same shift, holds the bytes written, and lives in `self`.
unsafe impl Grow for Room {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        if needed > 1 << 28 {
            return Err(EncodeError::OutOfMemory(ipc_rpc::NoMemory::fixed(needed)));
        }
        let mut larger = Room::new(needed, self.shift);
        let to = larger.buffer(needed).data;
        // SAFETY: both buffers have at least `used` bytes and are distinct.
        unsafe { to.as_ptr().copy_from_nonoverlapping(self.bytes().as_ptr(), used) };
        *self = larger;
        Ok(self.buffer(needed))
    }
}

impl Archive {
    pub fn of<A: Message>(x: &impl Argument<A>) -> Result<Self, EncodeError> {
        Archive::with::<A>(x, 1 << 16, 0)
    }

    pub fn with_first_size<A: Message>(x: &impl Argument<A>, size: usize) -> Result<Self, EncodeError> {
        Archive::with::<A>(x, size, 0)
    }

    pub fn at_eight<A: Message>(x: &impl Argument<A>) -> Result<Self, EncodeError> {
        Archive::with::<A>(x, 64, 8)
    }

    fn with<A: Message>(x: &impl Argument<A>, size: usize, shift: usize) -> Result<Self, EncodeError> {
        let mut room = Room::new(size, shift);
        let buffer = room.buffer(size);
        // SAFETY: the buffer lives in `room`, which `grow` replaces only together with the buffer.
        let len = unsafe { p::encode::<A>(x, buffer, &mut room) }?;
        Ok(Archive { room, len })
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut room = Room::new(bytes.len(), 0);
        let to = room.buffer(bytes.len()).data;
        // SAFETY: the room has at least that many bytes and is distinct.
        unsafe { to.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Archive { room, len: bytes.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.room.bytes()[..self.len]
    }

    pub fn form<T: Message>(&self) -> Result<&T::Form, MessageError> {
        let bytes = self.bytes();
        // SAFETY: the bytes are readable and borrowed as long as the result.
        unsafe { p::access::<T>(bytes.as_ptr(), bytes.len()) }
    }

    pub fn read<T: Message>(&self) -> Result<T, MessageError> {
        p::decode::<T>(self.form::<T>()?)
    }
}

pub fn to_archive<T: Message>(value: &T) -> Archive {
    Archive::of::<T>(value).unwrap()
}

/// Sends `value` to itself and compares.
pub fn there_and_back<T: Message + PartialEq + Debug>(value: &T) {
    let archive = to_archive(value);
    let form = archive.form::<T>().unwrap_or_else(|error| panic!("{value:?}: {error}"));
    assert_eq!(&p::decode::<T>(form).unwrap(), value);
    // Reading natively must not panic either.
    let _ = format!("{form:?}");
    let _ = T::view(form);
    let shifted = Archive::at_eight::<T>(value).unwrap();
    assert_eq!(&shifted.read::<T>().unwrap(), value);
}

/// Reads every truncation and flips every bit: whatever comes out, nothing panics.
pub fn attack<T: Message>(archive: &Archive) {
    let good = archive.bytes().to_vec();
    let read = |bytes: &[u8]| {
        let archive = Archive::from_bytes(bytes);
        if let Ok(form) = archive.form::<T>() {
            let _ = format!("{form:?}");
            let _ = T::view(form);
            let _ = p::decode::<T>(form);
        }
    };
    for cut in 0..good.len() {
        read(&good[..cut]);
        read(&good[cut..]);
    }
    let mut bad = good;
    for i in 0..bad.len() {
        for bit in 0..8 {
            bad[i] ^= 1 << bit;
            read(&bad);
            bad[i] ^= 1 << bit;
        }
        for value in [0x00, 0x7f, 0xff] {
            let saved = std::mem::replace(&mut bad[i], value);
            read(&bad);
            bad[i] = saved;
        }
    }
}

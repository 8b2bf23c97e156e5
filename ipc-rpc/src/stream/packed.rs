//! An item in private memory: for a stream that is read in the process that writes it.
//!
//! # Safety
//! Writes an item into a vector and reads it there.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::NonNull;

use ipc_core::memory::NoMemory;

use super::wire::{self, Place, Request};
use crate::message::{EncodeError, Message, MessageError};
use crate::trust::Reading;

/// Bytes before the item, so that its address is 8 modulo 16.
const START: usize = 8;

/// An item as it would travel.
#[derive(Debug)]
pub(crate) struct Packed {
    words: Vec<Cell<u128>>,
    len: usize,
}

impl Packed {
    pub(crate) fn new<T: Message>(item: &T) -> Result<Self, EncodeError> {
        let mut packed = Packed { words: vec![Cell::new(0); 4], len: 0 };
        packed.len = wire::write(item, &mut packed)?;
        Ok(packed)
    }

    /// Its bytes, as many as it takes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn read<T: Message>(&self) -> Result<T, MessageError> {
        wire::read_request(self, Reading::InPlace)
    }

    /// Cells, so that what is behind a reference to them may be written to.
    fn data(&self) -> NonNull<u8> {
        let first = NonNull::from(self.words.as_slice()).cast::<u8>();
        // SAFETY: the vector has four words at least.
        unsafe { first.byte_add(START) }
    }
}

// SAFETY: memory of the vector, which only `grow` changes; its words are aligned to 16.
unsafe impl Place for Packed {
    fn buffer(&self) -> (NonNull<u8>, usize) {
        (self.data(), size_of_val(self.words.as_slice()) - START)
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        let words = needed.saturating_add(used).saturating_add(START).div_ceil(16).max(self.words.len() * 2);
        self.words.try_reserve(words - self.words.len()).map_err(|_| NoMemory::fixed(needed))?;
        self.words.resize(words, Cell::new(0));
        Ok(self.buffer())
    }
}

// SAFETY: memory of the vector.
unsafe impl Request for Packed {
    fn request(&self) -> (NonNull<u8>, usize) {
        (self.data(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_any_size_come_back() {
        for len in [0, 1, 30, 60, 100, 5000, 1 << 20] {
            let item = (vec![7u8; len], String::from("x").repeat(len / 2), len as u64);
            assert_eq!(Packed::new(&item).unwrap().read::<(Vec<u8>, String, u64)>().unwrap(), item);
        }
    }
}

//! How streams ride on call blocks: the numbers of their requests, and how items and texts are written and read.
//!
//! `docs/protocol.md` has the whole; every request here is an ordinary one, whose tag says the stream (`target`) and the
//! sequence number (`extra`).
//!
//! # Safety
//! Writes items into the memory of a call, and reads them there.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use ipc_core::caller::{Answer, Draft, Holder};
use ipc_core::memory::NoMemory;

use super::packed::Packed;
use crate::message::private_exports::{Buffer, Grow, access, access_unchecked, encode, owned};
use crate::message::{EncodeError, Message, MessageError};
use crate::status;
use crate::trust::{Reading, Snapshot, Trust};

/// Asks for the item of this number: one credit. Answered with it.
pub(crate) const NEXT: u16 = 0x3F00;
/// Announces an input stream, before the call that it belongs to.
pub(crate) const OPEN_INPUT: u16 = 0x3F01;
/// Brings the item of this number. Answered when the handler has read it.
pub(crate) const ITEM: u16 = 0x3F02;
/// Ends an input stream at this number; with a text: as failed.
pub(crate) const END: u16 = 0x3F03;
/// Ends what the number has set, of [`CLOSE_OUTPUT`] and [`CLOSE_INPUT`], for good.
pub(crate) const CLOSE: u16 = 0x3F04;

/// The caller does not read any more.
pub(crate) const CLOSE_OUTPUT: u16 = 1;
/// The caller does not write any more.
pub(crate) const CLOSE_INPUT: u16 = 2;

/// Status: there are no more items.
pub(crate) const ENDED: u16 = 32;
/// Status: there are no more items because of an error; the reply is its text.
pub(crate) const FAILED: u16 = 33;
/// Status: there is no such stream, any more or at all.
pub(crate) const CLOSED: u16 = 34;

/// Bytes of a text that travels.
pub(crate) const MAX_TEXT: usize = 2048;

/// The beginning of a text that may travel.
pub(crate) fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Where the answer of a request goes.
///
/// # Safety
/// Both functions give memory that is valid for writes until the next call of `grow` or until the request is answered; its
/// address is 8 modulo 16, unless there are no bytes at all. `grow` gives at least `needed` bytes that begin with the first
/// `used` ones written before.
pub(crate) unsafe trait Place {
    /// The memory as it is.
    fn buffer(&self) -> (NonNull<u8>, usize);
    /// More of it, if there is more.
    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory>;
}

// SAFETY: `Draft::buffer` and `Draft::grow` promise the same.
unsafe impl<C: Holder> Place for Draft<C> {
    fn buffer(&self) -> (NonNull<u8>, usize) {
        Draft::buffer(self)
    }

    fn grow(&mut self, used: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
        Draft::grow(self, used, needed)
    }
}

struct GrowPlace<'a, P: Place + ?Sized>(&'a mut P);

// SAFETY: `Place::grow` promises the same.
unsafe impl<P: Place + ?Sized> Grow for GrowPlace<'_, P> {
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
        match self.0.grow(used, needed) {
            Ok((data, len)) => Ok(Buffer { data, len }),
            Err(none) => Err(EncodeError::OutOfMemory(none)),
        }
    }
}

/// Writes an item; gives the bytes it takes.
#[inline]
pub(crate) fn write<T: Message>(item: &T, place: &mut (impl Place + ?Sized)) -> Result<usize, EncodeError> {
    let (data, len) = place.buffer();
    let mut buffer = Buffer { data, len };
    let mut grow = GrowPlace(place);
    if buffer.len == 0 && size_of::<T::Form>() > 0 {
        // Where there is no room the address may be any.
        buffer = grow.grow(0, size_of::<T::Form>())?;
    }
    // SAFETY: the memory is valid for writes until it grows, by the promise of `Place`.
    unsafe { encode::<T>(item, buffer, &mut grow) }
}

/// Writes an item that lies in private memory; gives the bytes it takes, if there is room.
pub(crate) fn write_packed(item: &Packed, place: &mut (impl Place + ?Sized)) -> Result<usize, NoMemory> {
    let (from, len) = item.request();
    let (mut data, room) = place.buffer();
    if room < len {
        (data, _) = place.grow(0, len)?;
    }
    // SAFETY: at least `len` bytes at `data` are writable by the promise of `Place`, and as many readable at `from` by that of
    // `Request`; private memory is elsewhere. Both addresses are 8 modulo 16, so what is an archive there is one here.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), data.as_ptr(), len) };
    Ok(len)
}

/// Writes the beginning of a text, as much as there is room for; gives its bytes.
pub(crate) fn write_text(text: &str, place: &mut (impl Place + ?Sized)) -> usize {
    let text = clip(text);
    let (mut data, mut room) = place.buffer();
    if room < text.len() {
        match place.grow(0, text.len()) {
            Ok(larger) => (data, room) = larger,
            Err(_) => return 0,
        }
    }
    let len = text.len().min(room);
    // SAFETY: `room` bytes at `data` are writable by the promise of `Place`, and `len` is not more; the text is elsewhere.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), data.as_ptr(), len) };
    len
}

/// Answers with the reason why an item cannot be sent.
#[cold]
pub(crate) fn cannot(error: &EncodeError, place: &mut (impl Place + ?Sized)) -> (u16, usize) {
    let (status, text) = status::of(error);
    say(status, &text, place)
}

/// Answers with a status and a text.
#[cold]
pub(crate) fn say(status: u16, text: &str, place: &mut (impl Place + ?Sized)) -> (u16, usize) {
    (status, write_text(text, place))
}

/// Reads an item of a request that is not answered yet.
///
/// # Safety
/// `len` bytes at `data` are readable; what may happen to them meanwhile is as `reading` has it.
#[inline]
unsafe fn read<T: Message>(data: NonNull<u8>, len: usize, reading: Reading) -> Result<T, MessageError> {
    match reading {
        // SAFETY: readable; the peer is trusted not to change them.
        Reading::InPlace => unsafe { access::<T>(data.as_ptr(), len) }.and_then(owned::<T>),
        Reading::Unchecked => {
            // SAFETY: readable; that they are valid is what the user promised when he chose this level.
            match unsafe { access_unchecked::<T>(data.as_ptr(), len) } {
                Some(form) => owned::<T>(form),
                // SAFETY: too short, so that this fails.
                None => unsafe { access::<T>(data.as_ptr(), len) }.and_then(owned::<T>),
            }
        }
        Reading::Snapshot => {
            // SAFETY: readable.
            let copy = unsafe { Snapshot::copy(data, len) };
            let (data, len) = copy.bytes();
            // SAFETY: a private copy.
            unsafe { access::<T>(data.as_ptr(), len) }.and_then(owned::<T>)
        }
    }
}

/// Reads an item out of an answer.
#[inline]
pub(crate) fn read_answer<T: Message, C: Holder>(answer: &Answer<C>, trust: Trust) -> Result<T, MessageError> {
    let (data, len) = answer.bytes();
    let reading = if trust == Trust::InPlace { Reading::InPlace } else { Reading::Snapshot };
    // SAFETY: the bytes are this answer's.
    unsafe { read::<T>(data, len, reading) }
}

/// Reads an item out of a request that was put off.
#[inline]
pub(crate) fn read_request<T: Message>(held: &impl Request, reading: Reading) -> Result<T, MessageError> {
    let (data, len) = held.request();
    // SAFETY: the bytes are this request's by the promise of `Request`.
    unsafe { read::<T>(data, len, reading) }
}

/// A request that is not answered yet.
///
/// # Safety
/// The bytes are readable as long as the value lives.
pub(crate) unsafe trait Request {
    /// Address and number of its bytes.
    fn request(&self) -> (NonNull<u8>, usize);
}

// SAFETY: the copy lives as long as the value.
unsafe impl Request for Snapshot {
    fn request(&self) -> (NonNull<u8>, usize) {
        self.bytes()
    }
}

/// A private copy of a request's bytes.
pub(crate) fn copy(request: &impl Request) -> Snapshot {
    let (data, len) = request.request();
    // SAFETY: the bytes are this request's by the promise of `Request`.
    unsafe { Snapshot::copy(data, len) }
}

/// The beginning of a request's bytes as a text.
pub(crate) fn read_text(held: &impl Request) -> String {
    let (data, len) = held.request();
    // SAFETY: the bytes are this request's by the promise of `Request`.
    let copy = unsafe { Snapshot::copy(data, len.min(MAX_TEXT)) };
    let (data, len) = copy.bytes();
    // SAFETY: a private copy of `len` bytes.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }).into_owned()
}

/// The beginning of an answer's bytes as a text.
pub(crate) fn read_text_of<C: Holder>(answer: &Answer<C>) -> String {
    let (data, len) = answer.bytes();
    // SAFETY: the bytes are this answer's.
    let copy = unsafe { Snapshot::copy(data, len.min(MAX_TEXT)) };
    let (data, len) = copy.bytes();
    // SAFETY: a private copy of `len` bytes.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }).into_owned()
}

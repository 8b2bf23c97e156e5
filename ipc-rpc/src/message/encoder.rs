//! The encoder: archives a value in one pass, straight into the buffer that carries it.
//!
//! Positions are counted so that a position and the address it is written to are equal modulo 16: padding then depends on
//! the address alone and the buffer may move as long as that stays true. Every reserved byte is zeroed before a form is
//! written over it, so padding carries nothing of the sender's memory.
#![allow(unsafe_code)]
// Unsafe code is needed here because forms are written through raw pointers into memory that is not ours to borrow: the
// buffer lies in shared memory and moves when it grows.

use std::mem;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;

use ipc_core::callee::Attached;
use ipc_core::imports::WORTH_MAPPING;
use ipc_core::memory::NoMemory;
use rkyv::Place;
use rkyv::rancor::Fallible;
use rkyv::ser::{Positional, Writer};
use rkyv::vec::VecResolver;

use super::scratch::Scratch;
use super::{Argument, EncodeError, MAX_ALIGN, MAX_DEPTH, MAX_SIZE, Message};

/// Memory an encoder writes into.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// The address of the first byte of the archive.
    pub data: NonNull<u8>,
    /// The bytes there.
    pub len: usize,
}

/// Asked for more room when an archive outgrows its buffer.
///
/// # Safety
///
/// A buffer returned by [`grow`](Grow::grow) is valid for writes as long as encoding goes on, has at least `needed` bytes,
/// starts at the same address modulo 16 as the first one did, and begins with the `used` bytes already written.
pub unsafe trait Grow {
    /// Moves the first `used` bytes to a buffer of at least `needed` bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfMemory`] if there is no such room.
    fn grow(&mut self, used: usize, needed: usize) -> Result<Buffer, EncodeError>;

    /// May the archive refer to the `len` bytes at `data` where they lie? With [`Attached::Yes`] its reader finds them at the
    /// same distance from it as here, and they do not change before it has been read; the archive is not moved any more.
    fn attach(&mut self, data: NonNull<u8>, len: usize) -> Attached {
        let _ = (data, len);
        Attached::No
    }

    /// As [`attach`](Grow::attach), of memory that somebody else shares with this process and that is sent along under this
    /// number. Gives the address that its reader finds it at, as seen from the archive.
    #[cold]
    fn export(&mut self, index: u32, data: NonNull<u8>, len: usize) -> Option<NonNull<u8>> {
        let _ = (index, data, len);
        None
    }

    /// Sends a descriptor along, under its number among those of the message. Number 0 is in place of what was sent before.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Descriptor`]; so it is where messages travel without any.
    #[cold]
    fn descriptor(&mut self, index: u32, descriptor: BorrowedFd<'_>) -> Result<(), EncodeError> {
        let _ = (index, descriptor);
        Err(EncodeError::no_descriptors())
    }
}

/// Archives `x` as a message of type `A`, root last, and returns the length of the archive.
///
/// # Errors
///
/// The value nests too deep or is too large, or `grow` fails.
///
/// # Safety
///
/// `buffer` is valid for writes until `grow` replaces it or this function returns.
#[inline]
pub unsafe fn encode<A: Message>(
    x: &(impl Argument<A> + ?Sized),
    buffer: Buffer,
    grow: &mut dyn Grow,
) -> Result<usize, EncodeError> {
    // SAFETY: the caller's promise.
    if let Some(len) = unsafe { encode_flat::<A>(x, buffer) } {
        return Ok(len);
    }
    let mut buffer = buffer;
    loop {
        let mut encoder = Encoder::new(buffer, grow);
        match encoder.value::<A, _>(x) {
            Ok(_) => return Ok(encoder.pos - encoder.start),
            Err(error) => match encoder.again {
                0 => return Err(error),
                needed => buffer = larger(grow, needed)?,
            },
        }
    }
}

/// An archive that cannot be moved has outgrown its buffer: room to begin again.
#[cold]
fn larger(grow: &mut dyn Grow, needed: usize) -> Result<Buffer, EncodeError> {
    if needed > MAX_SIZE {
        return Err(EncodeError::too_large());
    }
    // Twice as much, since what comes behind is not known: each time it is not enough, all is written again.
    grow.grow(0, needed.saturating_mul(2).min(MAX_SIZE))
}

/// Slices of fewer bytes are copied rather than referred to: that is as fast.
const WORTH_ATTACHING: usize = 4096;
/// Positions begin here, so that what an archive refers to has one, too, wherever in the segment it lies. All have 32 bits.
const BIAS: usize = 1 << 31;

/// Archives `x` if its form is all there is to it and fits where it is; gives its length. No encoder is needed for that, and
/// as the compiler knows it none is made.
///
/// # Safety
///
/// As for [`encode`].
#[inline(always)]
pub unsafe fn encode_flat<A: Message>(x: &(impl Argument<A> + ?Sized), buffer: Buffer) -> Option<usize> {
    let size = size_of::<A::Form>();
    let form = buffer.data.cast::<A::Form>();
    // A first pass that leaves nothing has written nothing: the second one would not know where.
    if size_of::<A::Res>() != 0 || size > MAX_SIZE || size > buffer.len || !form.is_aligned() {
        return None;
    }
    let none = Buffer { data: buffer.data, len: 0 };
    let resolver = x.serialize(&mut Encoder::new(none, &mut Full)).ok()?;
    // SAFETY: the buffer has room for the form, aligned, and is valid for writes.
    unsafe { form.write_bytes(0, 1) };
    // SAFETY: `form` points to zeroed, aligned room for the form; no form points to another one, so the position is any.
    x.resolve(resolver, unsafe { Place::new_unchecked(0, form.as_ptr()) });
    Some(size)
}

/// Has no room.
struct Full;

// SAFETY: it gives no buffer.
unsafe impl Grow for Full {
    #[cold]
    fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
        Err(EncodeError::OutOfMemory(NoMemory::fixed(needed)))
    }
}

/// The state of one encoding.
pub struct Encoder<'g> {
    /// Position `p` is written at address `base + p`.
    base: *mut u8,
    /// The position of the buffer's first byte: its address modulo 16, and [`BIAS`].
    start: usize,
    /// The next free position.
    pos: usize,
    /// The position behind the buffer, at most `start + MAX_SIZE`.
    end: usize,
    depth: u32,
    /// Bytes that the archive refers to outside of it. It cannot be moved if there are any.
    attached: usize,
    /// Not 0: encoding has to begin again with so much room.
    again: usize,
    /// How many were sent along.
    descriptors: u32,
    grow: &'g mut dyn Grow,
    scratch: Scratch,
}

impl<'g> Encoder<'g> {
    #[inline(always)]
    fn new(buffer: Buffer, grow: &'g mut dyn Grow) -> Self {
        let start = BIAS + buffer.data.addr().get() % MAX_ALIGN;
        Encoder {
            base: buffer.data.as_ptr().wrapping_sub(start),
            start,
            pos: start,
            end: start + buffer.len.min(MAX_SIZE),
            depth: 0,
            attached: 0,
            again: 0,
            descriptors: 0,
            grow,
            scratch: Scratch::default(),
        }
    }

    /// Reserves `size` bytes at the next multiple of `align` and returns their position. The padding before them is zeroed.
    #[inline]
    fn reserve(&mut self, size: usize, align: usize) -> Result<usize, EncodeError> {
        // `pos` is at most BIAS + 16 + MAX_SIZE and `align` at most 16, so only the sum with `size` can overflow.
        let at = (self.pos + (align - 1)) & !(align - 1);
        let end = at.checked_add(size).ok_or_else(EncodeError::too_large)?;
        if end > self.end {
            if self.attached != 0 {
                self.again = end - self.start;
            }
            let buffer = make_room(self.grow, self.attached != 0, self.pos - self.start, end - self.start)?;
            debug_assert!(
                buffer.len >= end - self.start && buffer.data.addr().get() % MAX_ALIGN == self.start % MAX_ALIGN
            );
            self.base = buffer.data.as_ptr().wrapping_sub(self.start);
            self.end = self.start + buffer.len.min(MAX_SIZE);
        }
        if at != self.pos {
            let gap = self.base.wrapping_add(self.pos);
            // SAFETY: `pos..at` lies before `end`, inside the buffer.
            unsafe { gap.write_bytes(0, at - self.pos) };
        }
        self.pos = end;
        Ok(at)
    }

    /// Reserves and zeroes room for `count` forms and returns the position and the address of the first.
    #[inline]
    fn forms<F>(&mut self, count: usize) -> Result<(usize, *mut F), EncodeError> {
        const { assert!(align_of::<F>() <= MAX_ALIGN, "forms are aligned to at most 16") };
        let size = size_of::<F>().checked_mul(count).ok_or_else(EncodeError::too_large)?;
        let at = self.reserve(size, align_of::<F>())?;
        let first = self.base.wrapping_add(at);
        // SAFETY: the `size` bytes from `at` were just reserved.
        unsafe { first.write_bytes(0, size) };
        Ok((at, first.cast()))
    }

    /// Archives one value and returns its position.
    #[inline]
    pub(super) fn value<O: Message, A: Argument<O> + ?Sized>(&mut self, x: &A) -> Result<usize, EncodeError> {
        let resolver = x.serialize(self)?;
        let (at, form) = self.forms::<O::Form>(1)?;
        // SAFETY: `form` points to zeroed, aligned room for the form and nothing moves it before the last use of `out`.
        let out = unsafe { Place::new_unchecked(at, form) };
        x.resolve(resolver, out);
        Ok(at)
    }

    /// Archives one value a level deeper and returns its position.
    #[inline]
    pub(super) fn nested<O: Message, A: Argument<O> + ?Sized>(&mut self, x: &A) -> Result<usize, EncodeError> {
        self.enter()?;
        let at = self.value(x)?;
        self.depth -= 1;
        Ok(at)
    }

    /// Archives the items of a sequence side by side, a level deeper.
    pub(super) fn sequence<O: Message, A: Argument<O>>(
        &mut self,
        items: impl ExactSizeIterator<Item = A> + Clone,
    ) -> Result<VecResolver, EncodeError> {
        self.enter()?;
        let mark = self.scratch.mark();
        let count = items.len();
        let slots = self.scratch.slots::<O::Res>(count).as_ptr();
        let mut written = 0;
        for (i, item) in items.clone().take(count).enumerate() {
            let resolver = item.serialize(self)?;
            // SAFETY: `i < count`, so the slot is one of those just reserved; they stay in place until the release below.
            unsafe { slots.wrapping_add(i).write(resolver) };
            written = i + 1;
        }
        let (at, first) = self.forms::<O::Form>(written)?;
        for (i, item) in items.take(written).enumerate() {
            // SAFETY: the first loop has written the slots below `written`, and each is read once.
            let resolver = unsafe { slots.wrapping_add(i).read() };
            // SAFETY: `i < written`: zeroed, aligned room for one form that nothing moves before the last use of `out`.
            let out = unsafe { Place::new_unchecked(at + i * size_of::<O::Form>(), first.wrapping_add(i)) };
            item.resolve(resolver, out);
        }
        self.scratch.release(mark);
        self.depth -= 1;
        Ok(VecResolver::from_pos(at))
    }

    /// The position of bytes that the archive can refer to where they lie; `None`: they have to be copied.
    #[cold]
    #[inline(never)]
    fn attach(&mut self, data: NonNull<u8>, len: usize, align: usize) -> Result<Option<usize>, EncodeError> {
        // The reader looks at no more outside of the archive than one may have.
        if self.attached.saturating_add(len) > MAX_SIZE || !data.addr().get().is_multiple_of(align) {
            return Ok(None);
        }
        if let Some(at) = self.position_of(data) {
            match self.grow.attach(data, len) {
                Attached::Yes => {
                    self.attached = self.attached.saturating_add(len);
                    return Ok(Some(at));
                }
                Attached::IfMoved => {
                    self.again = self.pos - self.start + size_of::<u64>();
                    return Err(EncodeError::OutOfMemory(NoMemory::fixed(self.again)));
                }
                _ => {}
            }
        }
        if len < WORTH_MAPPING {
            return Ok(None);
        }
        let Some(data) = self.grow.export(self.descriptors, data, len) else { return Ok(None) };
        self.descriptors += 1;
        let at = self.position_of(data);
        if at.is_some() {
            self.attached = self.attached.saturating_add(len);
        }
        Ok(at)
    }

    /// The position of something outside of the archive, if any place of it reaches it with 32 bits, wherever it ends.
    fn position_of(&self, data: NonNull<u8>) -> Option<usize> {
        let at = data.addr().get().wrapping_sub(self.base.addr());
        let distance = at.wrapping_sub(self.start).cast_signed();
        let reach = i32::MIN as isize + MAX_SIZE.cast_signed()..=i32::MAX as isize;
        reach.contains(&distance).then_some(at)
    }

    /// Copies a slice whose bytes are already the forms of `O`, a level deeper.
    ///
    /// # Safety
    ///
    /// The bytes of every `A` are initialised and are the form of the value.
    #[inline]
    pub(super) unsafe fn copies<O: Message, A>(&mut self, items: &[A]) -> Result<VecResolver, EncodeError> {
        // SAFETY: the caller's promise; the slice has so many bytes.
        let bytes = unsafe { slice::from_raw_parts(items.as_ptr().cast::<u8>(), mem::size_of_val(items)) };
        self.bytes(bytes, align_of::<O::Form>(), align_of::<O::Form>())
    }

    /// Copies bytes to where anything is aligned, or refers to them as they are.
    #[cfg(feature = "arrow")]
    pub(crate) fn aligned(&mut self, bytes: &[u8]) -> Result<VecResolver, EncodeError> {
        self.bytes(bytes, 1, MAX_ALIGN)
    }

    /// Refers to bytes at a multiple of `referred`, or copies them to a multiple of `copied`.
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8], referred: usize, copied: usize) -> Result<VecResolver, EncodeError> {
        self.enter()?;
        if bytes.len() >= WORTH_ATTACHING
            && let Some(at) = self.attach(NonNull::from(bytes).cast(), bytes.len(), referred)?
        {
            self.depth -= 1;
            return Ok(VecResolver::from_pos(at));
        }
        let at = self.reserve(bytes.len(), copied)?;
        let to = self.base.wrapping_add(at);
        // SAFETY: `to` has so many reserved bytes; they cannot overlap `bytes`, which are borrowed from elsewhere.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.depth -= 1;
        Ok(VecResolver::from_pos(at))
    }

    /// Sends a descriptor along with the message; gives its number.
    pub(super) fn descriptor(&mut self, descriptor: BorrowedFd<'_>) -> Result<u32, EncodeError> {
        let index = self.descriptors;
        self.grow.descriptor(index, descriptor)?;
        self.descriptors += 1;
        Ok(index)
    }

    /// Runs `write` a level deeper.
    #[inline]
    pub(super) fn deeper<R>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<R, EncodeError>,
    ) -> Result<R, EncodeError> {
        self.enter()?;
        let result = write(self)?;
        self.depth -= 1;
        Ok(result)
    }

    #[inline]
    fn enter(&mut self) -> Result<(), EncodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(EncodeError::too_deep());
        }
        self.depth += 1;
        Ok(())
    }
}

/// A larger buffer. A function of its own, without the encoder, so that a small message's encoder stays in registers.
#[cold]
#[inline(never)]
fn make_room(grow: &mut dyn Grow, attached: bool, used: usize, needed: usize) -> Result<Buffer, EncodeError> {
    match (needed > MAX_SIZE, attached) {
        (true, _) => Err(EncodeError::too_large()),
        (false, true) => Err(EncodeError::OutOfMemory(NoMemory::fixed(needed))),
        (false, false) => grow.grow(used, needed),
    }
}

impl Fallible for Encoder<'_> {
    type Error = EncodeError;
}

impl Positional for Encoder<'_> {
    #[inline]
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Writer for Encoder<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let at = self.reserve(bytes.len(), 1)?;
        let to = self.base.wrapping_add(at);
        // SAFETY: `to` has `bytes.len()` reserved bytes; they cannot overlap `bytes`, which is borrowed from elsewhere.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
}

/// The first pass for a field of type `T`.
///
/// # Errors
///
/// The value nests too deep or is too large, or there is no room for it.
#[doc(hidden)]
#[inline]
pub fn serialize<T: Message>(value: &T, encoder: &mut Encoder<'_>) -> Result<T::Res, EncodeError> {
    value.serialize(encoder)
}

/// The second pass for a field of type `T`.
#[doc(hidden)]
#[inline]
pub fn resolve<T: Message>(value: &T, resolver: T::Res, out: Place<T::Form>) {
    value.resolve(resolver, out);
}

/// The place of a field inside the place of its parent.
///
/// # Safety
///
/// `field` points to an aligned field of the form that `parent` holds.
#[doc(hidden)]
#[inline]
pub unsafe fn field<P, F>(parent: Place<P>, field: *mut F) -> Place<F> {
    // SAFETY: the caller's promise; every byte of a place is initialised, so those of a field are.
    unsafe { Place::from_field_unchecked(parent, field) }
}

/// Ends a second pass that was given what another value's first pass left.
///
/// # Panics
///
/// Always: encoders keep the two passes together.
#[doc(hidden)]
#[cold]
pub fn mismatch() -> ! {
    panic!("a value changed between the two passes of its encoding")
}

//! Memory that messages refer to instead of holding a copy.
//!
//! # Safety
//! Makes slices of memory that it owns: a part of an arena that nobody else uses, or that nobody writes, or a vector.
#![allow(unsafe_code)]

use std::error::Error;
use std::fmt::{self, Debug, Display};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use ipc_core::loan;
use ipc_core::memory::NoMemory;

use crate::call_error::{CallError, MethodName};
use crate::kept::Kept;
use crate::message::private_exports::plain_slice;
use crate::message::{Archived, Argument, EncodeError, MAX_SIZE, Message};

/// A slice in shared memory, to be filled in place and passed without a copy.
///
/// A client gets one from `client.loan::<T>(n)`, a handler one from [`Context::loan`](crate::Context::loan). It is a `[T]` like
/// any other; passed as an argument where the trait has `&[T]`, or as a part of one, it is not copied: the handler reads what
/// was written here. As a [`Message`] it lies in messages exactly as a `Vec<T>` does, so a field or a result of type `Loan<T>`
/// makes a struct or a reply that is not copied either, and the two sides may differ in which of the two types they use.
///
/// It stays usable after the call, and as often as you like, also when the client it came from is dropped or has connected again:
/// then it is passed like one of another connection. While the other side may still read it (a call is pending, was given up, or
/// its handler keeps what it got) it must not change, so writing to it then copies it first, to new memory of the same kind;
/// [`is_lent`](Loan::is_lent) says whether that would happen. Each use as a `&mut [T]` looks whether it is lent: a loop that
/// writes `loan[i]` takes `let all = &mut loan[..]` first.
///
/// Elements are numbers, `bool`, `char`, arrays of these, and structs of them with `#[repr(C)]` and without padding; others do
/// not compile. (Generic code needs `T: Message` alone. It fails where it is compiled for a type of another kind, with an error
/// that names the type and not the line.) A new loan of numbers holds zeros, or numbers that this connection's messages had there
/// before; one of other types holds zeros.
///
/// What is received is a loan in name only: a handler with an argument `Loan<T>`, `&Loan<T>` or `&Frame`, and a caller without
/// `view()`, get private memory that everything was copied to. `&[T]`, `&Archived<Frame>` and [`Kept<Frame>`](Kept) are read
/// where they lie. Private memory, which is passed as any slice is, are also loans of a connection of which either side reads
/// copies ([`Trust::Snapshot`](crate::Trust)), clones, and what has less than 64 bytes; [`is_shared`](Loan::is_shared) tells.
///
/// ```
/// use ipc_rpc::{Loan, Message, service, testing};
///
/// #[derive(Message)]
/// pub struct Frame { pub width: u32, pub pixels: Loan<u8> }
///
/// #[service]
/// pub trait Camera {
///     fn sum(&self, samples: &[f32]) -> f32;
///     fn dark(&self, frame: &ipc_rpc::Archived<Frame>) -> bool;
/// }
/// struct Plain;
/// impl Camera for Plain {
///     fn sum(&self, samples: &[f32]) -> f32 { samples.iter().sum() }
///     fn dark(&self, frame: &ipc_rpc::Archived<Frame>) -> bool { frame.pixels().iter().all(|pixel| *pixel < 16) }
/// }
///
/// let (camera, _server) = testing::pair(CameraDispatcher::new(Plain))?;
/// let mut samples = camera.loan::<f32>(1 << 20)?;
/// samples.fill(0.5);
/// assert_eq!(camera.sum(&samples)?, 524_288.0); // four megabytes that nobody copied
/// samples[0] = 1.5;
/// assert_eq!(camera.sum(&samples[..2])?, 2.0);
///
/// // What fills a slice fills a loan: a decoder, or a file.
/// let mut bytes = camera.loan::<u8>(1 << 16)?;
/// let read = std::io::copy(&mut std::fs::File::open("Cargo.toml")?, &mut &mut bytes[..])?;
/// bytes.truncate(read as usize);
///
/// let mut frame = Frame { width: 1920, pixels: camera.loan(1920 * 1080)? };
/// for pixel in &mut frame.pixels {
///     *pixel = 7;
/// }
/// assert!(camera.dark(&frame)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Loan<T> {
    data: NonNull<T>,
    len: usize,
    memory: Memory<T>,
}

enum Memory<T> {
    Shared(loan::Loan),
    /// A part of a request. It is only read.
    Kept {
        _owner: Arc<dyn Send + Sync>,
    },
    Private {
        _owner: Vec<T>,
    },
}

// SAFETY: it owns its elements, as a vector does.
unsafe impl<T: Send> Send for Loan<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Loan<T> {}

impl<T: Message> Loan<T> {
    /// Plain, and sent as it lies in memory. Other types do not compile.
    const CAN_BE_LENT: () = assert!(
        T::PLAIN && <T as Argument<T>>::COPY,
        "the elements of a loan are numbers, `bool`, `char`, arrays of these, or `#[repr(C)]` structs of them without padding"
    );

    /// `len` elements in memory that `take` gives for so many bytes, or in private memory if it gives none.
    pub(crate) fn with(
        len: usize,
        method: MethodName,
        take: impl FnOnce(u32) -> Result<Option<loan::Loan>, NoMemory>,
    ) -> Result<Self, LoanError> {
        let () = Self::CAN_BE_LENT;
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= MAX_SIZE);
        let Some(bytes) = bytes.and_then(|bytes| u32::try_from(bytes).ok()) else {
            return Err(LoanError { method, error: EncodeError::TooLarge { limit: MAX_SIZE } });
        };
        // What is short is copied in any case.
        let taken = if bytes < 64 { Ok(None) } else { take(bytes) };
        match taken {
            Ok(Some(memory)) => {
                let (data, _) = memory.bytes();
                if !T::ANY_BITS {
                    // SAFETY: the loan has so many bytes, and they are nobody else's.
                    unsafe { data.write_bytes(0, bytes as usize) };
                }
                Ok(Loan { data: data.cast(), len, memory: Memory::Shared(memory) })
            }
            Ok(None) => Ok(Loan::from(zeros::<T>(len))),
            Err(none) => Err(LoanError { method, error: EncodeError::OutOfMemory(none) }),
        }
    }
}

/// Zeroed values of a plain type.
fn zeros<T: Message>(len: usize) -> Vec<T> {
    let () = Loan::<T>::CAN_BE_LENT;
    let mut all = Vec::<T>::with_capacity(len);
    // SAFETY: the capacity is at least `len`.
    unsafe { all.as_mut_ptr().write_bytes(0, len) };
    // SAFETY: just written, and zeros are a value of every plain type.
    unsafe { all.set_len(len) };
    all
}

impl<T: Message> Loan<T> {
    /// A slice in an argument that a handler keeps, in its memory: for a result, which the client then reads where it wrote it, or
    /// for a call to a third process, which reads it there too. It keeps the argument. Writing to it makes it a private copy.
    ///
    /// ```
    /// use ipc_rpc::{Kept, Loan, Message, service, testing};
    ///
    /// #[derive(Message)]
    /// pub struct Frame { pub width: u32, pub pixels: Vec<u8> }
    /// #[derive(Message)]
    /// pub struct Named { pub name: String, pub pixels: Loan<u8> }
    ///
    /// #[service]
    /// pub trait Camera { fn name(&self, frame: Kept<Frame>) -> Named; }
    /// struct Plain;
    /// impl Camera for Plain {
    ///     fn name(&self, frame: Kept<Frame>) -> Named {
    ///         Named { name: format!("{} wide", frame.width()), pixels: Loan::part_of(&frame, |frame| frame.pixels()) }
    ///     }
    /// }
    ///
    /// let (camera, _server) = testing::pair(CameraDispatcher::new(Plain))?;
    /// let frame = Frame { width: 1024, pixels: vec![7; 1 << 20] };
    /// let named = camera.view().name(&frame)?; // with the pixels of the request
    /// assert!(named.name() == "1024 wide" && named.pixels() == frame.pixels);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn part_of<M: Message>(kept: &Kept<M>, part: impl for<'a> FnOnce(&'a Archived<M>) -> &'a [T]) -> Self {
        let () = Self::CAN_BE_LENT;
        // What `part` gives lives as long as what it was given, which the owner keeps.
        let all = part(kept);
        Loan { data: NonNull::from(all).cast(), len: all.len(), memory: Memory::Kept { _owner: kept.owner() } }
    }
}

impl<T> Loan<T> {
    /// May the other side still read it? Writing to it copies it then.
    ///
    /// ```
    /// let mut plain = ipc_rpc::Loan::from(vec![1u8, 2]);
    /// plain[0] = 3;
    /// assert!(!plain.is_lent());
    /// ```
    #[inline]
    pub fn is_lent(&self) -> bool {
        match &self.memory {
            Memory::Shared(memory) => memory.is_pinned(),
            Memory::Kept { .. } => true,
            Memory::Private { .. } => false,
        }
    }

    /// Does it lie in shared memory, so that messages of its connection can refer to it?
    ///
    /// ```
    /// assert!(!ipc_rpc::Loan::from(vec![1u8, 2]).is_shared());
    /// ```
    pub fn is_shared(&self) -> bool {
        !matches!(self.memory, Memory::Private { .. })
    }

    /// Shortens it to `len` elements, if it has more. The memory stays in use.
    ///
    /// ```
    /// let mut read = ipc_rpc::Loan::from(vec![1u8, 2, 3]);
    /// read.truncate(2);
    /// assert_eq!(*read, [1, 2]);
    /// assert_eq!(Vec::from(read), [1, 2]);
    /// ```
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Copies it to memory that nobody reads.
    #[cold]
    fn part(&mut self) {
        let next = match &self.memory {
            Memory::Shared(memory) => memory.another().ok(),
            _ => None,
        };
        let mut copy = Vec::<T>::with_capacity(if next.is_some() { 0 } else { self.len });
        let to = match &next {
            Some(another) => another.bytes().0.cast::<T>(),
            None => NonNull::new(copy.as_mut_ptr()).unwrap_or(NonNull::dangling()),
        };
        // SAFETY: both have room for so many elements, the new memory is nobody else's, and a plain value can be copied.
        unsafe { self.data.copy_to_nonoverlapping(to, self.len) };
        self.data = to;
        self.memory = match next {
            Some(another) => Memory::Shared(another),
            None => {
                // SAFETY: just written, within the capacity.
                unsafe { copy.set_len(self.len) };
                Memory::Private { _owner: copy }
            }
        };
    }
}

/// Private memory: passed on by copying.
impl<T> From<Vec<T>> for Loan<T> {
    fn from(mut all: Vec<T>) -> Self {
        let (data, len) = (NonNull::from(all.as_mut_slice()).cast(), all.len());
        Loan { data, len, memory: Memory::Private { _owner: all } }
    }
}

/// The argument of a handler as its result, or as a part of it: where it lies in the memory of its own request the client reads
/// it there, without any copy.
///
/// ```
/// use ipc_rpc::{Kept, Loan, service, testing};
///
/// #[service]
/// pub trait Mirror { fn echo(&self, data: Kept<Vec<u8>>) -> Loan<u8>; }
/// struct Plain;
/// impl Mirror for Plain {
///     fn echo(&self, data: Kept<Vec<u8>>) -> Loan<u8> { data.into() }
/// }
///
/// let (mirror, _server) = testing::pair(MirrorDispatcher::new(Plain))?;
/// let data = vec![7; 1 << 20];
/// assert_eq!(mirror.view().echo(&data)?.get(), data); // copied once, into the request
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<T: Message> From<Kept<Vec<T>>> for Loan<T> {
    fn from(kept: Kept<Vec<T>>) -> Self {
        Loan::part_of(&kept, |all| plain_slice(all.as_slice()))
    }
}

impl<T> Deref for Loan<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: so many initialised elements that this owns, and that nobody writes but through `deref_mut`, as far as the
        // peer is one that shares memory honestly.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Loan<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let is_lent = match &mut self.memory {
            Memory::Shared(memory) => memory.is_still_pinned(),
            Memory::Kept { .. } => true,
            Memory::Private { .. } => false,
        };
        if is_lent {
            self.part();
        }
        // SAFETY: as in `deref`; nobody reads them either: what is not lent stays so while this is borrowed.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T> AsRef<[T]> for Loan<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for Loan<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T: Debug> Debug for Loan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Loan<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Loan<T> {}

/// Nothing, in private memory.
impl<T> Default for Loan<T> {
    fn default() -> Self {
        Loan::from(Vec::new())
    }
}

/// Without a copy if it is private memory.
impl<T: Clone> From<Loan<T>> for Vec<T> {
    fn from(loan: Loan<T>) -> Self {
        let Loan { data: _, len, memory: Memory::Private { _owner: mut all } } = loan else { return loan.to_vec() };
        all.truncate(len);
        all
    }
}

impl<'a, T> IntoIterator for &'a Loan<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Loan<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}

/// A private copy.
impl<T: Clone> Clone for Loan<T> {
    fn clone(&self) -> Self {
        Loan::from(self.to_vec())
    }
}

/// Why memory could not be lent.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Nothing { fn nothing(&self); }
/// struct Plain;
/// impl Nothing for Plain { fn nothing(&self) {} }
///
/// let (client, _server) = testing::pair(NothingDispatcher::new(Plain))?;
/// let error = client.loan::<u64>(1 << 40).unwrap_err();
/// assert!(error.to_string().starts_with("Nothing::loan: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoanError {
    method: MethodName,
    error: EncodeError,
}

impl LoanError {
    /// What it was.
    ///
    /// ```
    /// # use ipc_rpc::{EncodeError, LoanError};
    /// fn is_for_ever(error: &LoanError) -> bool {
    ///     matches!(error.error(), EncodeError::TooLarge { .. })
    /// }
    /// # let _ = is_for_ever;
    /// ```
    pub fn error(&self) -> &EncodeError {
        &self.error
    }
}

impl Display for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, self.error)
    }
}

impl Error for LoanError {}

impl From<LoanError> for CallError {
    fn from(error: LoanError) -> Self {
        CallError::not_encoded(error.method, error.error)
    }
}

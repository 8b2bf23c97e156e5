//! Slices whose forms are the values themselves, read where they lie.
#![allow(unsafe_code)]
// Unsafe code is needed here because a slice of forms is read as a slice of values; `Message::PLAIN` promises that this is
// what the bytes are.

use std::fmt::{self, Debug};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::slice;

use super::{Argument, Message, MessageError};

/// A slice argument: in place if the elements are plain, else decoded.
///
/// Numbers, `bool`, `char`, arrays of them and padding-free structs of them are plain.
pub struct SliceArg<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    InPlace(&'a [T]),
    Decoded(Vec<T>),
}

impl<T> SliceArg<'_, T> {
    /// Whether the slice lies in the message itself.
    pub fn is_in_place(&self) -> bool {
        matches!(self.0, Inner::InPlace(_))
    }
}

impl<T> Deref for SliceArg<'_, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Inner::InPlace(values) => values,
            Inner::Decoded(values) => values,
        }
    }
}

impl<T: Debug> Debug for SliceArg<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reads a slice argument of a handler.
///
/// # Errors
///
/// See [`Message::deserialize`].
#[doc(hidden)]
#[inline]
pub fn slice_arg<T: Message>(form: &<Vec<T> as Message>::Form) -> Result<SliceArg<'_, T>, MessageError> {
    Ok(SliceArg(match T::PLAIN {
        true => Inner::InPlace(plain_slice::<T>(form.as_slice())),
        false => Inner::Decoded(Vec::deserialize(form)?),
    }))
}

/// Reads forms of a plain type as its values.
///
/// # Panics
///
/// `T` is not plain.
#[doc(hidden)]
#[inline]
pub fn plain_slice<T: Message>(forms: &[T::Form]) -> &[T] {
    if !T::PLAIN {
        not_plain();
    }
    // SAFETY: `PLAIN` promises the same size, no stricter alignment and that the bytes of a checked form are a value
    // without interior mutability; the lifetime is that of the borrowed forms.
    unsafe { slice::from_raw_parts(forms.as_ptr().cast::<T>(), forms.len()) }
}

/// Reads the form of a plain type as its value.
///
/// # Panics
///
/// `T` is not plain.
#[doc(hidden)]
#[inline]
pub fn plain_ref<T: Message>(form: &T::Form) -> &T {
    if !T::PLAIN {
        not_plain();
    }
    // SAFETY: as in `plain_slice`.
    unsafe { &*std::ptr::from_ref(form).cast::<T>() }
}

/// Whether the bytes of a `T` are its form, as far as sending goes.
#[doc(hidden)]
pub const fn copies<T: Message>() -> bool {
    <T as Argument<T>>::COPY
}

/// Whether the only byte of `value` is `tag`.
///
/// # Safety
///
/// `T` is an enum without fields.
#[doc(hidden)]
pub const unsafe fn has_tag<T>(value: &ManuallyDrop<T>, tag: u8) -> bool {
    // SAFETY: the value has one byte, and the only byte of an enum without fields tells its variant, so it is initialised.
    size_of::<T>() == 1 && unsafe { *std::ptr::from_ref(value).cast::<u8>() } == tag
}

#[cold]
fn not_plain() -> ! {
    panic!("a type that is not plain cannot be read as its own bytes")
}

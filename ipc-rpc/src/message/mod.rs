//! Messages: what may travel between two processes, how it is written into shared memory and how it is read there.
//!
//! A message lies in memory as an rkyv archive: forms of fixed layout, little-endian, joined by relative offsets, the
//! root last. Values are written by one [`Encoder`], judged by one [`Checker`] and read in place or decoded; the trait
//! [`Message`] ties a type to its form, the trait [`Argument`] says what may be written where a message is expected.
#![allow(unsafe_code)]
// Unsafe code is needed here because an archive is read as a typed value at the end of raw bytes. The conditions are
// length, alignment and, unless the caller vouches for the bytes, the checker's verdict.

mod argument;
pub(crate) mod bytes;
mod checker;
mod desc;
mod elements;
mod encoder;
mod error;
mod impls;
mod plain;
mod scratch;

use std::fmt::Debug;
use std::ops::Range;

use rkyv::Portable;
use rkyv::bytecheck::CheckBytes;

use checker::Checker;
use desc::{Desc, Kind};
use encoder::Encoder;

pub use argument::Argument;
pub(crate) use checker::parts_outside;
pub use elements::{Elements, ElementsIter};
pub use error::{DescriptorError, EncodeError, MessageError, MessageErrorKind};
pub use impls::Descriptor;

/// Levels of pointers (boxes, sequences, strings) that a message may nest; see [`EncodeError::TooDeep`].
pub const MAX_DEPTH: u32 = 128;

/// Bytes that one archive may have: what relative offsets of 32 bits reach, with room to spare.
pub const MAX_SIZE: usize = (1 << 30) - (1 << 20);

/// Alignment that every archive's buffer keeps when it grows; no form needs more.
pub const MAX_ALIGN: usize = 16;

#[cfg(not(target_endian = "little"))]
compile_error!("ipc-rpc reads numbers where they lie in shared memory and supports little-endian targets only");

/// The form of `T` as it lies in a message.
///
/// A handler that takes `&Archived<T>` reads the sender's bytes in place; nothing is decoded.
///
/// ```
/// use ipc_rpc::{Archived, Message};
///
/// #[derive(Message)]
/// pub struct Page { pub title: String }
///
/// fn title(page: &Archived<Page>) -> &str {
///     page.title()
/// }
/// # let _ = title;
/// ```
pub type Archived<T> = <T as Message>::Form;

/// What reading a `T` in place gives: a native value or a reference into the message.
///
/// ```
/// use ipc_rpc::{Message, View};
///
/// #[derive(Message)]
/// pub enum Area { Everywhere, Circle { radius: f32 } }
///
/// fn radius(area: View<'_, Area>) -> f32 {
///     match area {
///         AreaView::Everywhere => f32::INFINITY,
///         AreaView::Circle { radius } => radius,
///     }
/// }
/// assert_eq!(radius(AreaView::Circle { radius: 1.5 }), 1.5);
/// ```
pub type View<'a, T> = <T as Message>::View<'a>;

/// A type whose values can be sent to another process.
///
/// Write `#[derive(Message)]` on a struct or an enum; do not implement the trait by hand.
///
/// ```
/// use ipc_rpc::{Archived, Message};
///
/// #[derive(Message, Debug)]
/// pub struct Query {
///     /// What to look for.
///     pub text: String,
///     pub limit: u32,
///     pub tags: Vec<String>,
///     pub area: Area,
/// }
///
/// #[derive(Message, Debug)]
/// pub enum Area {
///     Everywhere,
///     Circle { radius: f32 },
/// }
///
/// // A handler reads the sender's bytes in place. Every field is a method that gives a native value.
/// fn describe(query: &Archived<Query>) -> String {
///     let text: &str = query.text();
///     let tags = query.tags().iter().collect::<Vec<&str>>().join("+");
///     match query.area() {
///         AreaView::Everywhere => format!("{} of {text} {tags}", query.limit()),
///         AreaView::Circle { radius } => format!("{} of {text} {tags} within {radius}", query.limit()),
///     }
/// }
/// # use ipc_rpc::__private::{Buffer, EncodeError, Grow, access, encode};
/// # struct Full;
/// # unsafe impl Grow for Full {
/// #     fn grow(&mut self, _: usize, needed: usize) -> Result<Buffer, EncodeError> {
/// #         Err(EncodeError::OutOfMemory(ipc_rpc::NoMemory::fixed(needed)))
/// #     }
/// # }
/// # let mut room = [0u128; 64];
/// # let data = std::ptr::NonNull::from(&mut room).cast();
/// # let send = |query: &Query| {
/// #     let len = unsafe { encode::<Query>(query, Buffer { data, len: 1024 }, &mut Full) }.unwrap();
/// #     unsafe { access::<Query>(data.as_ptr(), len) }.unwrap()
/// # };
///
/// let query = Query {
///     text: "shared memory".to_owned(),
///     limit: 3,
///     tags: vec!["rust".to_owned(), "ipc".to_owned()],
///     area: Area::Circle { radius: 1.5 },
/// };
/// // `send` stands for the way through shared memory.
/// assert_eq!(describe(send(&query)), "3 of shared memory rust+ipc within 1.5");
/// assert_eq!(format!("{:?}", send(&query)), format!("{query:?}"));
/// ```
///
/// # What a message may hold
///
/// | type | read in place as |
/// |---|---|
/// | `u8` .. `u128`, `i8` .. `i128`, `f32`, `f64`, `bool`, `char`, `Duration` | the value |
/// | `String` | `&str` |
/// | `Vec<T>`, [`Loan<T>`](crate::Loan), `[T; N]`, `HashSet<T>`, `BTreeSet<T>` | `&[f32]` for numbers and the like, `&[ArchivedHit]` for derived types, else [`Elements`] |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | [`Elements`] of pairs |
/// | `Option<T>`, `Result<T, E>`, tuples of up to 12 | the same of what they hold |
/// | `Box<T>` | `&Archived<T>` |
/// | `()`, `PhantomData<T>` | `()` |
/// | `OwnedFd`, `File`, sockets and pipes of the standard library | [`Descriptor`](crate::Descriptor): take it as an owned argument |
/// | a struct that derives `Message` | `&ArchivedX`, with a method for each field; `get` for the field of a newtype, `get_0`, `get_1` .. for other tuple structs |
/// | an enum without fields | the enum itself |
/// | an enum with data | `XView`, an enum of the same variants |
///
/// Types may be generic and recursive. A parameter that is stored has to be a message itself.
///
/// # What it may not
///
/// - References, lifetimes, `Rc`, `Arc`, cells, `dyn`, functions, raw pointers: they mean nothing in another process.
/// - `usize` and `isize`, whose size depends on the target; foreign types (wrap them in one of your own).
/// - Unions, packed types, enums without variants or with more than 256.
/// - More than 128 nested boxes and sequences, or more than 1 GiB less 1 MiB: sending such a value is an [`EncodeError`].
/// - Sequences of elements without a value, such as `Vec<()>`, which is an error when the program is compiled:
///
/// ```compile_fail,E0080
/// # use ipc_rpc::Message;
/// let _ = <Vec<()>>::desc();
/// ```
///
/// A map or set that arrives with a key twice is refused when it is decoded; a sender cannot produce one. Private fields are
/// checked for their types only: an invariant between fields is the sender's word, with decoded values as with views.
///
/// # Options
///
/// - `#[message(archived = Name, view = Name)]`: names for the types beside yours instead of `ArchivedX` and `XView`.
/// - `#[message(plain)]`, with `#[repr(C)]`: reading gives `&X` and `&[X]` themselves. Every field has to be a number,
///   `bool`, `char`, an array of those, or plain; else it does not compile. (Slice *arguments* of such types are read in
///   place without it.)
/// - `#[message(no_debug)]`: `Debug` of the archived type hides the fields.
/// - `#[message(crate = path)]`: where `ipc_rpc` is, if a crate of yours re-exports it.
///
/// ```
/// use ipc_rpc::{Message, View};
///
/// #[derive(Message, Clone, Copy)]
/// #[repr(C)]
/// #[message(plain)]
/// pub struct Pixel {
///     pub x: u16,
///     pub y: u16,
/// }
///
/// #[derive(Message)]
/// pub struct Picture {
///     pub pixels: Vec<Pixel>,
/// }
///
/// fn width(picture: View<'_, Picture>) -> u16 {
///     let pixels: &[Pixel] = picture.pixels();
///     pixels.iter().map(|pixel| pixel.x).max().unwrap_or(0)
/// }
/// # let _: fn(View<'_, Picture>) -> u16 = width;
/// ```
///
/// # Safety
///
/// Implementations uphold what the derive proves:
/// - `Form` has a layout that does not depend on the target, and its check accepts only values that are valid to read;
/// - the alignment of `Form` is at most 16;
/// - if `PLAIN` is true, `Self` and `Form` have the same size, `Self` needs no stricter alignment, and the bytes of every
///   checked `Form` are a valid `Self` without interior mutability;
/// - if `ANY_BITS` is true, so is `PLAIN`, and any bytes are a valid `Self`; if `PLAIN` is true, zeros are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel in a message",
    label = "this type is no message",
    note = "derive it on a type of your own: `#[derive(ipc_rpc::Message)]`",
    note = "`usize` and `isize` differ between targets (use `u64`, `i64`); `Rc`, `Arc`, references and cells have no meaning in another process; wrap a foreign type in one of your own"
)]
pub unsafe trait Message: Argument<Self> + Sized + 'static {
    /// The value as it lies in a message.
    type Form: Portable + CheckBytes<Checker> + Debug + 'static;
    /// What the first pass of an encoder leaves for the second: where the parts of the value have gone.
    #[doc(hidden)]
    type Res;
    /// What reading the form gives; see [`View`].
    type View<'a>;
    /// What reading consecutive forms gives: `&[f32]` for numbers, `&[ArchivedHit]` for derived types, else [`Elements`].
    type Slice<'a>: Copy;
    /// Whether a checked form is the value, byte for byte.
    #[doc(hidden)]
    const PLAIN: bool = false;
    /// Whether any bits of the right number are a plain value.
    #[doc(hidden)]
    const ANY_BITS: bool = false;

    /// Reads the form in place.
    fn view(form: &Self::Form) -> Self::View<'_>;

    /// Reads consecutive forms in place.
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_>;

    /// Makes an owned value.
    ///
    /// # Errors
    ///
    /// A map or set that holds the same key twice is refused; no sender produces one.
    #[doc(hidden)]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError>;

    /// Describes the layout and its names.
    #[doc(hidden)]
    fn desc() -> &'static Desc;

    /// Is this the error of a handler? Its calls are counted as such.
    #[doc(hidden)]
    #[inline(always)]
    fn is_error(&self) -> bool {
        false
    }
}

/// Finds and checks the message of type `T` that ends at `data + len`.
///
/// # Errors
///
/// Anything that is not an archive of `T`: too short, misaligned, offsets that leave the message or overlap, nesting
/// deeper than [`MAX_DEPTH`], invalid text, numbers out of range, unknown variants.
///
/// # Safety
///
/// `data` is valid for reads of `len` bytes, and nobody changes them while the result lives.
#[inline]
pub unsafe fn access<'a, T: Message>(data: *const u8, len: usize) -> Result<&'a T::Form, MessageError> {
    // SAFETY: the caller's promise; there are no loans.
    unsafe { access_with::<T>(data, len, 0..0) }
}

/// As [`access`], of a message that may refer to memory at the addresses `loans`.
///
/// # Errors
///
/// As [`access`].
///
/// # Safety
///
/// As for [`access`], also of the bytes at `loans`.
#[inline]
pub unsafe fn access_with<'a, T: Message>(
    data: *const u8,
    len: usize,
    loans: Range<usize>,
) -> Result<&'a T::Form, MessageError> {
    let Some(form) = root::<T::Form>(data, len) else { return Err(misplaced::<T>(data, len)) };
    let mut checker = Checker::new(data.addr(), form.addr(), loans);
    // SAFETY: `root` gave an aligned address with `size_of::<T::Form>()` bytes inside the caller's readable range.
    unsafe { T::Form::check_bytes(form, &mut checker)? };
    // SAFETY: aligned and in range as above, valid because the check accepted it, unchanged by the caller's promise.
    Ok(unsafe { &*form })
}

/// Finds the message of type `T` that ends at `data + len` without judging its bytes.
///
/// # Safety
///
/// `data` is valid for reads of `len` bytes, nobody changes them while the result lives, and they are an archive of `T`.
#[inline]
pub unsafe fn access_unchecked<'a, T: Message>(data: *const u8, len: usize) -> Option<&'a T::Form> {
    let form = root::<T::Form>(data, len)?;
    // SAFETY: `root` gave an aligned address in the caller's readable range; the caller vouches for the bytes.
    Some(unsafe { &*form })
}

/// Makes an owned value of a checked form.
///
/// # Errors
///
/// See [`Message::deserialize`].
#[inline]
pub fn decode<T: Message>(form: &T::Form) -> Result<T, MessageError> {
    T::deserialize(form)
}

/// The address of the root of type `F`, if it fits and is aligned.
#[inline]
fn root<F>(data: *const u8, len: usize) -> Option<*const F> {
    let form = data.wrapping_add(len.checked_sub(size_of::<F>())?).cast::<F>();
    form.is_aligned().then_some(form)
}

#[cold]
fn misplaced<T: Message>(data: *const u8, len: usize) -> MessageError {
    match len < size_of::<T::Form>() {
        true => MessageError::too_short(T::desc(), size_of::<T::Form>(), len),
        false => MessageError::misaligned(T::desc(), data.addr(), align_of::<T::Form>()),
    }
}

/// What expansions of the macros and the call path use; no public interface.
#[doc(hidden)]
pub mod private_exports {
    pub use super::argument::Argument;
    pub use super::checker::{Checker, check, unknown_variant};
    pub use super::desc::{Desc, DescFn, Field, Kind, Variant, lines};
    pub use super::elements::{Elements, ElementsIter};
    pub use super::encoder::{Buffer, Encoder, Grow, encode, encode_flat, field, mismatch, resolve, serialize};
    pub use super::error::{EncodeError, MessageError, MessageErrorKind};
    pub use super::plain::{SliceArg, copies, has_tag, plain_ref, plain_slice, slice_arg};
    pub use super::{
        Archived, MAX_ALIGN, MAX_DEPTH, MAX_SIZE, Message, View, access, access_unchecked, access_with, decode,
        option_form, owned, result_form, str_arg,
    };
    pub use ipc_core::callee::Attached;
    pub use rkyv::bytecheck::CheckBytes;
    pub use rkyv::{Place, Portable};
    pub use std::any::TypeId;
}

/// Makes an owned argument of a checked form.
///
/// # Errors
///
/// See [`Message::deserialize`].
#[doc(hidden)]
#[inline]
pub fn owned<T: Message>(form: &T::Form) -> Result<T, MessageError> {
    T::deserialize(form)
}

/// Reads a string where it lies.
#[doc(hidden)]
#[inline]
pub fn str_arg(form: &<String as Message>::Form) -> &str {
    form.as_str()
}

/// Opens an optional argument without decoding it.
#[doc(hidden)]
#[inline]
pub fn option_form<T: Message>(form: &<Option<T> as Message>::Form) -> Option<&T::Form> {
    form.as_ref()
}

/// Opens a result without decoding it.
///
/// # Errors
///
/// The form of the error value, if the result is one.
#[doc(hidden)]
#[inline]
pub fn result_form<T: Message, E: Message>(form: &<Result<T, E> as Message>::Form) -> Result<&T::Form, &E::Form> {
    form.as_ref()
}

//! What may be written where a message is expected.
#![allow(unsafe_code)]
// Unsafe code is needed here because implementations promise to write valid forms.

use rkyv::Place;

use super::{EncodeError, Encoder, Message};

/// A value that is archived as a message of type `O`, borrowed or owned.
///
/// `T` is an argument for `T`, `str` for `String`, `[T]` for `Vec<T>`, `&A` for whatever `A` is one for, and so through
/// options, tuples, arrays and slices. What is written does not depend on which one is given.
///
/// ```
/// use ipc_rpc::Argument;
///
/// fn is_text<A: Argument<String> + ?Sized>(_: &A) {}
/// is_text("memory");
/// is_text(&String::from("memory"));
/// is_text(&"memory");
/// ```
///
/// # Safety
///
/// `resolve` writes a valid form of `O` that points only to what `serialize` wrote, and if `COPY` is true, all bytes of
/// `Self` are initialised and are the form of the value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent where `{O}` is expected",
    label = "expected `{O}` or a borrowed form of it"
)]
pub unsafe trait Argument<O: Message> {
    /// Whether the bytes of a value are its form.
    #[doc(hidden)]
    const COPY: bool = false;

    /// First pass: writes everything the form will point to.
    ///
    /// # Errors
    ///
    /// The value nests too deep or is too large, or there is no room for it.
    #[doc(hidden)]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<O::Res, EncodeError>;

    /// Second pass: writes the form into `out`.
    #[doc(hidden)]
    fn resolve(&self, resolver: O::Res, out: Place<O::Form>);
}

// SAFETY: both passes are those of the referent.
unsafe impl<O: Message, A: Argument<O> + ?Sized> Argument<O> for &A {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<O::Res, EncodeError> {
        A::serialize(self, encoder)
    }

    #[inline]
    fn resolve(&self, resolver: O::Res, out: Place<O::Form>) {
        A::resolve(self, resolver, out);
    }
}

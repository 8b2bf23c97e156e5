//! `Option` and `Result`.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts, and because the active variant of a form is
// written through a pointer.

use std::any::TypeId;
use std::ptr::addr_of_mut;

use rkyv::Place;
use rkyv::option::ArchivedOption;
use rkyv::result::ArchivedResult;

use super::super::encoder::{field, mismatch};
use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

/// How `repr(u8)` lays out a variant with one field.
#[repr(C)]
struct Tagged<F> {
    tag: u8,
    value: F,
}

/// Writes the tag of a variant and gives the place of its field.
///
/// # Safety
///
/// `E` is a `repr(u8)` enum whose variant number `tag` has one field, an `F`.
#[inline]
unsafe fn variant<E, F>(tag: u8, out: Place<E>) -> Place<F> {
    // SAFETY: the pointer is used to reach the parts of the variant.
    let form = unsafe { out.ptr() }.cast::<Tagged<F>>();
    // SAFETY: a variant with a field of `repr(u8)` begins as this `repr(C)` struct does, with the tag.
    let to = unsafe { addr_of_mut!((*form).tag) };
    // SAFETY: the tag lies in the place, which is valid for writes.
    unsafe { to.write(tag) };
    // SAFETY: as for the tag: the field of the variant lies where the struct has it.
    let value = unsafe { addr_of_mut!((*form).value) };
    // SAFETY: `value` is that field.
    unsafe { field(out, value) }
}

// SAFETY: `None` is variant 0 and takes no more than the zeroed place; `Some` is variant 1 with the form of the value.
unsafe impl<O: Message, A: Argument<O>> Argument<Option<O>> for Option<A> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<Option<O::Res>, EncodeError> {
        match self {
            Some(value) => Ok(Some(value.serialize(encoder)?)),
            None => Ok(None),
        }
    }

    #[inline]
    fn resolve(&self, resolver: Option<O::Res>, out: Place<ArchivedOption<O::Form>>) {
        match (self, resolver) {
            (Some(value), Some(resolver)) => {
                // SAFETY: `ArchivedOption` is `repr(u8)` and its variant 1 is `Some` of one field.
                let place = unsafe { variant::<_, O::Form>(1, out) };
                value.resolve(resolver, place);
            }
            // Places are zeroed, but the tag is written so that this does not depend on it.
            (None, None) => {
                // SAFETY: the pointer is used to write the tag, a byte at the start of a `repr(u8)` enum.
                let tag = unsafe { out.ptr() }.cast::<u8>();
                // SAFETY: it lies in the place, which is valid for writes.
                unsafe { tag.write(0) };
            }
            _ => mismatch(),
        }
    }
}

// SAFETY: the form is rkyv's, `repr(u8)`; its check refuses unknown variants.
unsafe impl<T: Message> Message for Option<T> {
    type Form = ArchivedOption<T::Form>;
    type Res = Option<T::Res>;
    type View<'a> = Option<T::View<'a>>;
    type Slice<'a> = Elements<'a, Option<T>>;

    #[inline]
    fn view(form: &Self::Form) -> Option<T::View<'_>> {
        form.as_ref().map(T::view)
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        form.as_ref().map(T::deserialize).transpose()
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Option<T>>(), kind: Kind::Standard("Option", &[T::desc]) } }
    }
}

// SAFETY: `Ok` is variant 0 and `Err` variant 1, each with the form of its value.
unsafe impl<O: Message, P: Message, A: Argument<O>, B: Argument<P>> Argument<Result<O, P>> for Result<A, B> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<Result<O::Res, P::Res>, EncodeError> {
        Ok(match self {
            Ok(value) => Ok(value.serialize(encoder)?),
            Err(error) => Err(error.serialize(encoder)?),
        })
    }

    #[inline]
    fn resolve(&self, resolver: Result<O::Res, P::Res>, out: Place<ArchivedResult<O::Form, P::Form>>) {
        match (self, resolver) {
            (Ok(value), Ok(resolver)) => {
                // SAFETY: `ArchivedResult` is `repr(u8)` and its variant 0 is `Ok` of one field.
                let place = unsafe { variant::<_, O::Form>(0, out) };
                value.resolve(resolver, place);
            }
            (Err(error), Err(resolver)) => {
                // SAFETY: `ArchivedResult` is `repr(u8)` and its variant 1 is `Err` of one field.
                let place = unsafe { variant::<_, P::Form>(1, out) };
                error.resolve(resolver, place);
            }
            _ => mismatch(),
        }
    }
}

// SAFETY: the form is rkyv's, `repr(u8)`; its check refuses unknown variants.
unsafe impl<T: Message, E: Message> Message for Result<T, E> {
    type Form = ArchivedResult<T::Form, E::Form>;
    type Res = Result<T::Res, E::Res>;
    type View<'a> = Result<T::View<'a>, E::View<'a>>;
    type Slice<'a> = Elements<'a, Result<T, E>>;

    #[inline]
    fn view(form: &Self::Form) -> Self::View<'_> {
        form.as_ref().map(T::view).map_err(E::view)
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        Ok(match form {
            ArchivedResult::Ok(value) => Ok(T::deserialize(value)?),
            ArchivedResult::Err(error) => Err(E::deserialize(error)?),
        })
    }

    fn is_error(&self) -> bool {
        self.is_err()
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Result<T, E>>(), kind: Kind::Standard("Result", &[T::desc, E::desc]) } }
    }
}

//! `Box`.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;
use std::fmt::{self, Debug};
use std::ops::Deref;

use rkyv::boxed::{ArchivedBox, BoxResolver};
use rkyv::bytecheck::CheckBytes;
use rkyv::{Place, Portable};

use super::super::{Argument, Checker, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

/// rkyv's box, shown as the value it points to.
#[repr(transparent)]
pub struct Boxed<F>(ArchivedBox<F>);

impl<F> Deref for Boxed<F> {
    type Target = F;

    #[inline]
    fn deref(&self) -> &F {
        self.0.get()
    }
}

impl<F: Debug> Debug for Boxed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        F::fmt(self, f)
    }
}

// SAFETY: transparent over a portable type.
unsafe impl<F: Portable> Portable for Boxed<F> {}

// SAFETY: transparent over a type whose check this is.
unsafe impl<F: CheckBytes<Checker>> CheckBytes<Checker> for Boxed<F> {
    #[inline]
    unsafe fn check_bytes(form: *const Self, checker: &mut Checker) -> Result<(), MessageError> {
        // SAFETY: the caller's promise, and the layouts are the same.
        unsafe { ArchivedBox::check_bytes(form.cast::<ArchivedBox<F>>(), checker) }
    }
}

// SAFETY: the value is archived before the form, which points to it.
unsafe impl<O: Message, A: Argument<O>> Argument<Box<O>> for Box<A> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<BoxResolver, EncodeError> {
        encoder.nested::<O, A>(self).map(BoxResolver::from_pos)
    }

    #[inline]
    fn resolve(&self, resolver: BoxResolver, out: Place<Boxed<O::Form>>) {
        // SAFETY: transparent, so a place of one is a place of the other.
        let out = unsafe { out.cast_unchecked::<ArchivedBox<O::Form>>() };
        ArchivedBox::resolve_from_raw_parts(resolver, (), out);
    }
}

// SAFETY: the form is rkyv's, of fixed layout; its check covers the range of the value and the value.
unsafe impl<T: Message> Message for Box<T> {
    type Form = Boxed<T::Form>;
    type Res = BoxResolver;
    // Not the view of `T`: a recursive enum's view would then contain itself.
    type View<'a> = &'a T::Form;
    type Slice<'a> = Elements<'a, Box<T>>;

    #[inline]
    fn view(form: &Self::Form) -> &T::Form {
        form
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        T::deserialize(form).map(Box::new)
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Box<T>>(), kind: Kind::Standard("Box", &[T::desc]) } }
    }
}

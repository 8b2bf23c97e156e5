//! `Box`.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;

use rkyv::Place;
use rkyv::boxed::{ArchivedBox, BoxResolver};

use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

// SAFETY: the value is archived before the form, which points to it.
unsafe impl<O: Message, A: Argument<O>> Argument<Box<O>> for Box<A> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<BoxResolver, EncodeError> {
        encoder.nested::<O, A>(self).map(BoxResolver::from_pos)
    }

    #[inline]
    fn resolve(&self, resolver: BoxResolver, out: Place<ArchivedBox<O::Form>>) {
        ArchivedBox::resolve_from_raw_parts(resolver, (), out);
    }
}

// SAFETY: the form is rkyv's, of fixed layout; its check covers the range of the value and the value.
unsafe impl<T: Message> Message for Box<T> {
    type Form = ArchivedBox<T::Form>;
    type Res = BoxResolver;
    // Not the view of `T`: a recursive enum's view would then contain itself.
    type View<'a> = &'a T::Form;
    type Slice<'a> = Elements<'a, Box<T>>;

    #[inline]
    fn view(form: &Self::Form) -> &T::Form {
        form.get()
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        T::deserialize(form.get()).map(Box::new)
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Box<T>>(), kind: Kind::Standard("Box", &[T::desc]) } }
    }
}

//! Loans, which lie in a message as vectors do.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;

use rkyv::Place;
use rkyv::vec::{ArchivedVec, VecResolver};

use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};
use crate::loan::Loan;

// SAFETY: both passes are those of the slice.
unsafe impl<T: Message> Argument<Loan<T>> for Loan<T> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, EncodeError> {
        <[T] as Argument<Vec<T>>>::serialize(self, encoder)
    }

    #[inline]
    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<T::Form>>) {
        <[T] as Argument<Vec<T>>>::resolve(self, resolver, out);
    }
}

// SAFETY: the form is that of a vector.
unsafe impl<T: Message> Message for Loan<T> {
    type Form = ArchivedVec<T::Form>;
    type Res = VecResolver;
    type View<'a> = T::Slice<'a>;
    type Slice<'a> = Elements<'a, Loan<T>>;

    #[inline]
    fn view(form: &Self::Form) -> T::Slice<'_> {
        T::slice(form.as_slice())
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        Vec::deserialize(form).map(Loan::from)
    }

    fn desc() -> &'static Desc {
        // The same as that of a vector, so that either side may use either.
        const { &Desc { id: TypeId::of::<Loan<T>>(), kind: Kind::Standard("Vec", &[T::desc]) } }
    }
}

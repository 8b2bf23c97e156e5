//! Tuples of up to twelve. The request of a method is the tuple of its arguments.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts, and because fields are written in place.

use std::any::TypeId;
use std::ptr::addr_of_mut;

use rkyv::Place;
use rkyv::tuple::*;

use super::super::encoder::field;
use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

macro_rules! tuple {
    ($form:ident: $($O:ident $A:ident $i:tt),*) => {
        // SAFETY: each field is archived by its own two passes and resolved where the form has it.
        unsafe impl<$($O: Message, $A: Argument<$O>),*> Argument<($($O,)*)> for ($($A,)*) {
            #[inline]
            fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<($($O::Res,)*), EncodeError> {
                Ok(($(self.$i.serialize(encoder)?,)*))
            }

            #[inline]
            fn resolve(&self, resolver: ($($O::Res,)*), out: Place<$form<$($O::Form),*>>) {
                // SAFETY: the pointer is used to reach the fields, not written to.
                let form = unsafe { out.ptr() };
                $(
                    // SAFETY: a place is aligned and valid, so the field's address lies in it.
                    let to = unsafe { addr_of_mut!((*form).$i) };
                    // SAFETY: `to` is a field of the form in `out`.
                    let place = unsafe { field(out, to) };
                    self.$i.resolve(resolver.$i, place);
                )*
            }
        }

        // SAFETY: the form is rkyv's, `repr(C)` of the forms of the fields; its check checks each.
        unsafe impl<$($O: Message),*> Message for ($($O,)*) {
            type Form = $form<$($O::Form),*>;
            type Res = ($($O::Res,)*);
            type View<'a> = ($($O::View<'a>,)*);
            type Slice<'a> = Elements<'a, ($($O,)*)>;

            #[inline]
            fn view(form: &Self::Form) -> Self::View<'_> {
                ($($O::view(&form.$i),)*)
            }

            #[inline]
            fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
                Elements::new(forms)
            }

            #[inline]
            fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
                Ok(($($O::deserialize(&form.$i)?,)*))
            }

            fn desc() -> &'static Desc {
                const { &Desc { id: TypeId::of::<Self>(), kind: Kind::Tuple(&[$($O::desc),*]) } }
            }
        }
    };
}

tuple!(ArchivedTuple1: O0 A0 0);
tuple!(ArchivedTuple2: O0 A0 0, O1 A1 1);
tuple!(ArchivedTuple3: O0 A0 0, O1 A1 1, O2 A2 2);
tuple!(ArchivedTuple4: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3);
tuple!(ArchivedTuple5: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4);
tuple!(ArchivedTuple6: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5);
tuple!(ArchivedTuple7: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6);
tuple!(ArchivedTuple8: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6, O7 A7 7);
tuple!(ArchivedTuple9: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6, O7 A7 7, O8 A8 8);
tuple!(ArchivedTuple10: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6, O7 A7 7, O8 A8 8, O9 A9 9);
tuple!(
    ArchivedTuple11: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6, O7 A7 7, O8 A8 8, O9 A9 9, O10 A10 10
);
tuple!(
    ArchivedTuple12: O0 A0 0, O1 A1 1, O2 A2 2, O3 A3 3, O4 A4 4, O5 A5 5, O6 A6 6, O7 A7 7, O8 A8 8, O9 A9 9, O10 A10 10,
    O11 A11 11
);

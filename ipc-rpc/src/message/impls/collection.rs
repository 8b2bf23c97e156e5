//! Maps and sets, archived as sequences: a map lies in a message as its pairs, a set as its elements.
//!
//! No form needs to be hashed or compared, so every message type that is a key natively is one here. B-tree collections
//! arrive in order, hash collections in the sender's order. A key that arrives twice is refused when the collection is
//! decoded: a sender cannot have produced it, and which value would win is not for the receiver to guess.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use rkyv::Place;
use rkyv::vec::{ArchivedVec, VecResolver};

use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};
use super::sequence::assert_sized;

macro_rules! collection {
    ($type:ty, [$($generics:tt)*], $name:literal, $element:ty, $item:ty, [$($param:ident),*]) => {
        // SAFETY: the elements are archived side by side and the form points to them.
        unsafe impl<$($generics)*> Argument<$type> for $type {
            fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, EncodeError> {
                const { assert_sized::<$element>() };
                encoder.sequence::<$element, $item>(self.iter())
            }

            #[inline]
            fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<<$element as Message>::Form>>) {
                ArchivedVec::resolve_from_len(self.len(), resolver, out);
            }
        }

        // SAFETY: the form is that of a vector of the elements.
        unsafe impl<$($generics)*> Message for $type {
            type Form = ArchivedVec<<$element as Message>::Form>;
            type Res = VecResolver;
            type View<'a> = <$element as Message>::Slice<'a>;
            type Slice<'a> = Elements<'a, $type>;

            #[inline]
            fn view(form: &Self::Form) -> Self::View<'_> {
                <$element>::slice(form.as_slice())
            }

            #[inline]
            fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
                Elements::new(forms)
            }

            fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
                const { assert_sized::<$element>() };
                let collection = form.iter().map(<$element>::deserialize).collect::<Result<$type, MessageError>>()?;
                match collection.len() == form.len() {
                    true => Ok(collection),
                    false => Err(MessageError::duplicate_key(Self::desc())),
                }
            }

            fn desc() -> &'static Desc {
                const { assert_sized::<$element>() };
                const { &Desc { id: TypeId::of::<$type>(), kind: Kind::Standard($name, &[$($param::desc),*]) } }
            }
        }
    };
}

collection!(
    HashMap<K, V, H>, [K: Message + Eq + Hash, V: Message, H: BuildHasher + Default + 'static],
    "Map", (K, V), (&K, &V), [K, V]
);
collection!(BTreeMap<K, V>, [K: Message + Ord, V: Message], "Map", (K, V), (&K, &V), [K, V]);
collection!(HashSet<T, H>, [T: Message + Eq + Hash, H: BuildHasher + Default + 'static], "Set", T, &T, [T]);
collection!(BTreeSet<T>, [T: Message + Ord], "Set", T, &T, [T]);

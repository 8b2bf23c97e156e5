//! Strings.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;

use rkyv::Place;
use rkyv::string::repr::INLINE_CAPACITY;
use rkyv::string::{ArchivedString, StringResolver};

use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

// SAFETY: rkyv archives the text: short strings in the form itself, others before it.
unsafe impl Argument<String> for str {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<StringResolver, EncodeError> {
        match self.len() <= INLINE_CAPACITY {
            true => ArchivedString::serialize_from_str(self, encoder),
            false => encoder.deeper(|encoder| ArchivedString::serialize_from_str(self, encoder)),
        }
    }

    #[inline]
    fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
        ArchivedString::resolve_from_str(self, resolver, out);
    }
}

// SAFETY: both passes are those of `str`.
unsafe impl Argument<String> for String {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<StringResolver, EncodeError> {
        str::serialize(self, encoder)
    }

    #[inline]
    fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
        str::resolve(self, resolver, out);
    }
}

// SAFETY: the form is rkyv's, of fixed layout; its check refuses bytes that are no UTF-8.
unsafe impl Message for String {
    type Form = ArchivedString;
    type Res = StringResolver;
    type View<'a> = &'a str;
    type Slice<'a> = Elements<'a, String>;

    #[inline]
    fn view(form: &ArchivedString) -> &str {
        form.as_str()
    }

    #[inline]
    fn slice(forms: &[ArchivedString]) -> Elements<'_, String> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &ArchivedString) -> Result<Self, MessageError> {
        Ok(form.as_str().to_owned())
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<String>(), kind: Kind::Primitive("String") } }
    }
}

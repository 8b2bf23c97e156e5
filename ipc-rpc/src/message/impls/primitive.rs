//! Numbers, `bool`, `char`, `Duration`, and the types without a value.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts.

use std::any::TypeId;
use std::marker::PhantomData;
use std::time::Duration;

use rkyv::{Archive, Place};

use super::super::plain::plain_slice;
use super::super::{Argument, Desc, Elements, EncodeError, Encoder, Kind, Message, MessageError};

/// Types whose form has their own bytes.
macro_rules! plain {
    ($($name:ident: |$form:ident| $native:expr;)*) => {$(
        const _: () = assert!(
            size_of::<$name>() == size_of::<<$name as Archive>::Archived>()
                && align_of::<$name>() <= align_of::<<$name as Archive>::Archived>()
        );

        // SAFETY: rkyv resolves the value itself, and a number, `bool` or `char` has no padding. Targets are little-endian,
        // so its bytes are its form.
        unsafe impl Argument<$name> for $name {
            const COPY: bool = true;

            #[inline]
            fn serialize(&self, _: &mut Encoder<'_>) -> Result<(), EncodeError> {
                Ok(())
            }

            #[inline]
            fn resolve(&self, (): (), out: Place<<$name as Archive>::Archived>) {
                Archive::resolve(self, (), out);
            }
        }

        // SAFETY: the form is rkyv's, of fixed layout; its size and alignment are asserted above, and its check refuses
        // bytes that are no `bool` or `char`.
        unsafe impl Message for $name {
            type Form = <$name as Archive>::Archived;
            type Res = ();
            type View<'a> = $name;
            type Slice<'a> = &'a [$name];
            const PLAIN: bool = true;
            const ANY_BITS: bool = !matches!(stringify!($name).as_bytes(), b"bool" | b"char");

            #[inline]
            fn view($form: &Self::Form) -> $name {
                $native
            }

            #[inline]
            fn slice(forms: &[Self::Form]) -> &[$name] {
                plain_slice::<$name>(forms)
            }

            #[inline]
            fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
                Ok(Self::view(form))
            }

            fn desc() -> &'static Desc {
                const { &Desc { id: TypeId::of::<$name>(), kind: Kind::Primitive(stringify!($name)) } }
            }
        }
    )*};
}

plain! {
    u8: |form| *form;
    i8: |form| *form;
    bool: |form| *form;
    u16: |form| form.to_native();
    u32: |form| form.to_native();
    u64: |form| form.to_native();
    u128: |form| form.to_native();
    i16: |form| form.to_native();
    i32: |form| form.to_native();
    i64: |form| form.to_native();
    i128: |form| form.to_native();
    f32: |form| form.to_native();
    f64: |form| form.to_native();
    char: |form| form.to_native();
}

// SAFETY: rkyv resolves the value itself.
unsafe impl Argument<Duration> for Duration {
    #[inline]
    fn serialize(&self, _: &mut Encoder<'_>) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn resolve(&self, (): (), out: Place<<Duration as Archive>::Archived>) {
        Archive::resolve(self, (), out);
    }
}

// SAFETY: the form is rkyv's, of fixed layout; its check refuses nanoseconds of a second or more.
unsafe impl Message for Duration {
    type Form = <Duration as Archive>::Archived;
    type Res = ();
    type View<'a> = Duration;
    type Slice<'a> = Elements<'a, Duration>;

    #[inline]
    fn view(form: &Self::Form) -> Duration {
        Duration::new(form.as_secs(), form.subsec_nanos())
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Elements<'_, Duration> {
        Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        Ok(Self::view(form))
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Duration>(), kind: Kind::Primitive("Duration") } }
    }
}

/// Types without a value: nothing is written.
macro_rules! nothing {
    ($($type:ty [$($generics:tt)*] $name:literal $value:expr;)*) => {$(
        // SAFETY: nothing is written, and nothing is what the form has.
        unsafe impl<$($generics)*> Argument<$type> for $type {
            const COPY: bool = true;

            #[inline]
            fn serialize(&self, _: &mut Encoder<'_>) -> Result<(), EncodeError> {
                Ok(())
            }

            #[inline]
            fn resolve(&self, (): (), _: Place<()>) {}
        }

        // SAFETY: the form is `()`, and no bytes are a valid value of a type without any.
        unsafe impl<$($generics)*> Message for $type {
            type Form = ();
            type Res = ();
            type View<'a> = ();
            type Slice<'a> = &'a [()];
            const PLAIN: bool = true;

            #[inline]
            fn view((): &()) {}

            #[inline]
            fn slice(forms: &[()]) -> &[()] {
                forms
            }

            #[inline]
            fn deserialize((): &()) -> Result<Self, MessageError> {
                Ok($value)
            }

            fn desc() -> &'static Desc {
                const { &Desc { id: TypeId::of::<$type>(), kind: Kind::Primitive($name) } }
            }
        }
    )*};
}

nothing! {
    () [] "()" ();
    PhantomData<T> [T: ?Sized + 'static] "PhantomData" PhantomData;
}

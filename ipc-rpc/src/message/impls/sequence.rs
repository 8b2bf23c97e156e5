//! Vectors, slices and arrays.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts, and because arrays are built in place.

use std::any::TypeId;
use std::mem::MaybeUninit;

use rkyv::Place;
use rkyv::vec::{ArchivedVec, VecResolver};

use super::super::plain::plain_slice;
use super::super::{Argument, Desc, EncodeError, Encoder, Kind, Message, MessageError, encoder};

/// Refuses sequences of elements that take no room: a few bytes could then claim any number of elements.
pub(super) const fn assert_sized<T: Message>() {
    assert!(
        size_of::<T::Form>() > 0,
        "a sequence of elements without a value cannot travel: send their number instead"
    );
}

// SAFETY: the elements are archived side by side, each by its own two passes or, if their bytes are their forms, copied.
unsafe impl<O: Message, A: Argument<O>> Argument<Vec<O>> for [A] {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, EncodeError> {
        const { assert_sized::<O>() };
        match A::COPY && size_of::<A>() == size_of::<O::Form>() {
            // SAFETY: `COPY` promises just that.
            true => unsafe { encoder.copies::<O, A>(self) },
            false => encoder.sequence::<O, &A>(self.iter()),
        }
    }

    #[inline]
    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<O::Form>>) {
        ArchivedVec::resolve_from_len(self.len(), resolver, out);
    }
}

// SAFETY: both passes are those of the slice.
unsafe impl<O: Message, A: Argument<O>> Argument<Vec<O>> for Vec<A> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, EncodeError> {
        self.as_slice().serialize(encoder)
    }

    #[inline]
    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<O::Form>>) {
        self.as_slice().resolve(resolver, out);
    }
}

// SAFETY: the form is rkyv's, of fixed layout; its check covers the range of the elements and every element.
unsafe impl<T: Message> Message for Vec<T> {
    type Form = ArchivedVec<T::Form>;
    type Res = VecResolver;
    type View<'a> = T::Slice<'a>;
    type Slice<'a> = super::super::Elements<'a, Vec<T>>;

    #[inline]
    fn view(form: &Self::Form) -> T::Slice<'_> {
        T::slice(form.as_slice())
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        super::super::Elements::new(forms)
    }

    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        const { assert_sized::<T>() };
        if !T::PLAIN {
            return form.iter().map(T::deserialize).collect();
        }
        let values = plain_slice::<T>(form.as_slice());
        let mut copy = Vec::with_capacity(values.len());
        let to: *mut T = copy.as_mut_ptr();
        // SAFETY: the copy has room for all values and lies elsewhere. A plain value owns nothing, so a second one with the
        // same bytes is a value of its own.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        // SAFETY: all of these have just been written, within the capacity.
        unsafe { copy.set_len(values.len()) };
        Ok(copy)
    }

    fn desc() -> &'static Desc {
        const { assert_sized::<T>() };
        const { &Desc { id: TypeId::of::<Vec<T>>(), kind: Kind::Standard("Vec", &[T::desc]) } }
    }
}

// SAFETY: each element is archived by its own two passes; an array has no padding of its own, so its bytes are its form if
// those of its elements are theirs.
unsafe impl<O: Message, A: Argument<O>, const N: usize> Argument<[O; N]> for [A; N] {
    const COPY: bool = A::COPY && size_of::<A>() == size_of::<O::Form>();

    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<[O::Res; N], EncodeError> {
        try_array(|i| self[i].serialize(encoder))
    }

    #[inline]
    fn resolve(&self, resolver: [O::Res; N], out: Place<[O::Form; N]>) {
        // SAFETY: the pointer is used to reach the elements, not written to.
        let first = unsafe { out.ptr() }.cast::<O::Form>();
        for (i, (value, resolver)) in self.iter().zip(resolver).enumerate() {
            // SAFETY: `i < N`, so this is an element of the array in `out`.
            let element = unsafe { encoder::field(out, first.wrapping_add(i)) };
            value.resolve(resolver, element);
        }
    }
}

// SAFETY: an array of forms has the fixed layout of its elements and their check; size, alignment and bytes follow those
// of the elements.
unsafe impl<T: Message, const N: usize> Message for [T; N] {
    type Form = [T::Form; N];
    type Res = [T::Res; N];
    type View<'a> = T::Slice<'a>;
    type Slice<'a> = super::super::Elements<'a, [T; N]>;
    const PLAIN: bool = T::PLAIN;
    const ANY_BITS: bool = T::ANY_BITS;

    #[inline]
    fn view(form: &Self::Form) -> T::Slice<'_> {
        T::slice(form)
    }

    #[inline]
    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        super::super::Elements::new(forms)
    }

    #[inline]
    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        try_array(|i| T::deserialize(&form[i]))
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<[T; N]>(), kind: Kind::Array(T::desc, N) } }
    }
}

/// Builds an array element by element until one fails.
#[inline]
fn try_array<T, E, const N: usize>(mut make: impl FnMut(usize) -> Result<T, E>) -> Result<[T; N], E> {
    /// Drops what has been built if a later element fails.
    struct Built<T, const N: usize> {
        values: [MaybeUninit<T>; N],
        count: usize,
    }

    impl<T, const N: usize> Drop for Built<T, N> {
        fn drop(&mut self) {
            for value in self.values.iter_mut().take(self.count) {
                // SAFETY: the first `count` values have been written and not been taken.
                unsafe { value.assume_init_drop() };
            }
        }
    }

    let mut built = Built { values: [const { MaybeUninit::uninit() }; N], count: 0 };
    for i in 0..N {
        built.values[i].write(make(i)?);
        built.count = i + 1;
    }
    let values: *const [T; N] = built.values.as_ptr().cast();
    built.count = 0;
    // SAFETY: all values have been written; the count of zero keeps `built` from dropping them as well.
    Ok(unsafe { values.read() })
}

//! A buffer of a column, as a part of a message.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts, and because a buffer refers to memory that it
// does not own by itself.

use std::any::TypeId;
use std::panic::AssertUnwindSafe;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow_buffer::Buffer;
use rkyv::Place;
use rkyv::vec::{ArchivedVec, VecResolver};

use crate::loan::Loan;
use crate::message::private_exports::{Desc, Encoder, Kind};
use crate::message::{Argument, Elements, EncodeError, Message, MessageError};

/// Lies in a message as a `Vec<u8>` does, but aligned for all elements that a column can have, or is referred to.
#[derive(Debug, Clone)]
pub struct Part(pub(super) Buffer);

// SAFETY: bytes are their own forms, written by the encoder as those of a vector are.
unsafe impl Argument<Part> for Part {
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<VecResolver, EncodeError> {
        encoder.aligned(&self.0)
    }

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(self.0.len(), resolver, out);
    }
}

// SAFETY: the form is that of a `Vec<u8>`.
unsafe impl Message for Part {
    type Form = ArchivedVec<u8>;
    type Res = VecResolver;
    type View<'a> = &'a [u8];
    type Slice<'a> = Elements<'a, Part>;

    fn view(form: &Self::Form) -> &[u8] {
        form.as_slice()
    }

    fn slice(forms: &[Self::Form]) -> Self::Slice<'_> {
        Elements::new(forms)
    }

    fn deserialize(form: &Self::Form) -> Result<Self, MessageError> {
        Ok(Part(Buffer::from(form.as_slice())))
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Part>(), kind: Kind::Standard("Vec", &[<u8 as Message>::desc]) } }
    }
}

/// A buffer of memory that `owner` keeps.
///
/// # Safety
/// `bytes` stay readable and unchanged for as long as `owner`, or a clone of it, lives.
pub(super) unsafe fn owned_by(bytes: &[u8], owner: Arc<dyn arrow_buffer::alloc::Allocation>) -> Buffer {
    if bytes.is_empty() {
        return Buffer::default(); // Aligned, as every buffer is that has nothing in it.
    }
    // SAFETY: the caller's promise.
    unsafe { Buffer::from_custom_allocation(NonNull::from(bytes).cast(), bytes.len(), owner) }
}

/// A buffer of what was written to a loan.
pub(super) fn lent(loan: Loan<u8>) -> Buffer {
    let owner = Arc::new(AssertUnwindSafe(loan));
    // SAFETY: nobody has the loan but the buffer, so it is not written any more, and the bytes stay where they are until it is
    // dropped.
    unsafe { owned_by(&owner, owner.clone()) }
}

//! Messages whose type is not known to the compiler, as the bytes that they are.
#![allow(unsafe_code)]
// Unsafe code is needed here because `Message` and `Argument` promise layouts, and to copy a reply.

use std::any::TypeId;

use ipc_core::caller::Answer;
use rkyv::Place;
use rkyv::ser::Writer;

use crate::call_error::CallError;
use crate::message::private_exports::{Desc, Encoder, Kind};
use crate::message::{Argument, EncodeError, Message, MessageError};
use crate::stub::{Held, Shared, Stub};

/// A request that is written already, for an address that is 8 modulo 16, where all requests begin.
#[derive(Debug)]
pub(super) struct Raw(pub(super) Vec<u8>);

// SAFETY: the bytes are written whole, before a form that has none.
unsafe impl Argument<Raw> for Raw {
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<u8, EncodeError> {
        encoder.write(&self.0)?;
        Ok(0)
    }

    fn resolve(&self, _: u8, _: Place<()>) {}
}

// SAFETY: no bytes are a valid value of a type without any.
unsafe impl Message for Raw {
    type Form = ();
    // Something is written before the form.
    type Res = u8;
    type View<'a> = ();
    type Slice<'a> = &'a [()];

    fn view((): &()) {}

    fn slice(forms: &[()]) -> &[()] {
        forms
    }

    fn deserialize((): &()) -> Result<Self, MessageError> {
        Ok(Raw(Vec::new()))
    }

    fn desc() -> &'static Desc {
        const { &Desc { id: TypeId::of::<Raw>(), kind: Kind::Primitive("()") } }
    }
}

/// Makes a call; gives the bytes of the reply.
pub(super) fn call(stub: &Stub, method: u16, request: &Raw) -> Result<Vec<u8>, CallError> {
    // Whether the bytes are an error is seen when they are decoded.
    stub.send_and(method, request, |_| false, move |answer| copy(method, answer))
}

fn copy(method: u16, answer: Answer<Shared>) -> Result<Vec<u8>, CallError> {
    let service = answer.holder().0.service;
    let held = Held::of(answer).map_err(|error| service.invalid(method, error))?;
    let (bytes, len) = held.bytes();
    // SAFETY: so many bytes are readable as long as `held` lives, and nobody changes them: they are copied or sealed, since
    // replies to calls without types are never read in place.
    Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), len) }.to_vec())
}

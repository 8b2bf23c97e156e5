//! What an answer, or none, means to who called.
//!
//! # Safety
//! Reads replies in the memory of a call block.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::time::Duration;

use ipc_core::caller::{Answer, Failure, Holder};

use crate::call_error::{CallError, MethodName};
use crate::connect::Connection;
use crate::message::private_exports::{access, access_with, owned, result_form};
use crate::message::{Message, MessageError};
use crate::service::{FLUSH, ServiceDesc};
use crate::status;
use crate::trust::{Snapshot, Trust};

impl ServiceDesc {
    /// What one of its methods is called.
    pub(crate) fn method(&self, method: u16) -> MethodName {
        let method = match self.methods.get(usize::from(method)) {
            Some(method) => method.name,
            None if method == FLUSH => "flush",
            #[cfg(feature = "dynamic")]
            None if method == crate::service::PING => "ping",
            None => "?",
        };
        MethodName { service: self.name, method }
    }

    /// The reply is no value of its type.
    #[cold]
    pub(crate) fn invalid(&self, method: u16, error: MessageError) -> CallError {
        CallError::Reply { method: self.method(method), error }
    }
}

impl CallError {
    /// The error for a failure in the time that was `allowed`.
    #[cold]
    pub(crate) fn without_answer(method: MethodName, failure: Failure, allowed: Duration) -> CallError {
        match failure {
            Failure::TimedOut => CallError::TimedOut { method, after: allowed, may_have_run: true },
            Failure::NotStarted => CallError::NotStarted { method, why: None },
            Failure::Corrupt(error) => CallError::Protocol { method, error },
            _ => CallError::MayHaveRun { method },
        }
    }
}

/// The owned `R` of an answer's bytes that are not trusted to stay as they are.
///
/// # Safety
/// `len` bytes at `data` are readable.
#[cold]
#[inline(never)]
unsafe fn copied<R: Message>(data: NonNull<u8>, len: usize) -> Result<R, MessageError> {
    // SAFETY: the caller's promise.
    let copy = unsafe { Snapshot::of(data, len) }?;
    let (data, len) = copy.bytes();
    // SAFETY: the bytes are a private copy, or sealed.
    unsafe { access::<R>(data.as_ptr(), len) }.and_then(owned::<R>)
}

impl Connection {
    /// The owned `R` of a reply.
    #[inline(never)]
    pub(crate) fn read<R: Message, C: Holder>(&self, method: u16, answer: &Answer<C>) -> Result<R, CallError> {
        self.value(answer).map_err(|error| self.invalid(method, error))
    }

    /// The owned `R` of a reply, whose block comes home then. For the shortest way of a call.
    #[inline(always)]
    pub(crate) fn read_last<R: Message, C: Holder>(&self, method: u16, answer: Answer<C>) -> Result<R, CallError> {
        let value = self.value(&answer);
        answer.release();
        value.map_err(|error| self.invalid(method, error))
    }

    // Whoever is not on that way calls `read`, so that there are few copies.
    #[inline(always)]
    fn value<R: Message, C: Holder>(&self, answer: &Answer<C>) -> Result<R, MessageError> {
        let (bytes, len) = answer.bytes();
        if self.trust == Trust::InPlace {
            // SAFETY: the bytes are this answer's; the server is trusted not to change them.
            return unsafe { access_with::<R>(bytes.as_ptr(), len, self.loans.clone()) }.and_then(owned::<R>);
        }
        // SAFETY: the bytes are this answer's. Not the answer itself: one whose address is known is not kept in registers.
        unsafe { copied::<R>(bytes, len) }
    }

    /// Is the reply the handler's error? It is read later.
    pub(crate) fn is_failure<R: Message, E: Message, C: Holder>(&self, answer: &Answer<C>) -> bool {
        let (mut bytes, len) = answer.bytes();
        let mut copy = None;
        if self.trust != Trust::InPlace {
            // SAFETY: the bytes are this answer's.
            bytes = copy.insert(unsafe { Snapshot::copy(bytes, len) }).bytes().0;
        }
        // SAFETY: the bytes are this answer's, which the server is trusted not to change, or a private copy of as many.
        let form = unsafe { access_with::<Result<R, E>>(bytes.as_ptr(), len, self.loans.clone()) };
        form.is_ok_and(|form| result_form::<R, E>(form).is_err())
    }

    /// The owned `Result<R, E>` of a reply, its error as the handler's.
    #[inline]
    pub(crate) fn read_result<R: Message, E: Message, C: Holder>(
        &self,
        method: u16,
        answer: &Answer<C>,
    ) -> Result<R, CallError<E>> {
        let result = self.read::<Result<R, E>, _>(method, answer);
        result.map_err(CallError::widen)?.map_err(CallError::Handler)
    }

    pub(crate) fn name(&self, method: u16) -> MethodName {
        self.service.method(method)
    }

    /// The reply is no value of its type.
    #[cold]
    pub(crate) fn invalid(&self, method: u16, error: MessageError) -> CallError {
        self.service.invalid(method, error)
    }

    /// No answer came within the time that was `allowed`.
    #[cold]
    pub(crate) fn failed(&self, method: u16, failure: Failure, allowed: Duration) -> CallError {
        if !matches!(failure, Failure::TimedOut) {
            self.sweep();
        }
        CallError::without_answer(self.name(method), failure, allowed)
    }

    /// The answer is no reply, but says why there is none.
    #[cold]
    pub(crate) fn not_replied<C: Holder>(&self, method: u16, answer: &Answer<C>, allowed: Duration) -> CallError {
        let (bytes, len) = answer.bytes();
        // SAFETY: the bytes are this answer's; a text is at most some thousand bytes, more is not looked at.
        let copy = unsafe { Snapshot::copy(bytes, len.min(4096)) };
        let (bytes, len) = copy.bytes();
        // SAFETY: a private copy of `len` bytes.
        let text = String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), len) });
        status::error(answer.status(), &text, self.name(method), allowed)
    }
}

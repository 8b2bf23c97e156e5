//! A call that a future serves.

use crate::context::Context;
use crate::message::Message;
use crate::service::{Refused, Replied};
use crate::status;

/// A call whose handler is a future: it may end later, on another thread.
#[derive(Debug)]
pub struct Admitted(());

impl Admitted {
    /// The arguments, where they lie.
    ///
    /// # Errors
    /// The request is no valid archive of `A`.
    pub fn args<A: Message>(&self) -> Result<&A::Form, Refused> {
        Err(Refused { status: status::REJECTED, reason: String::new() })
    }

    /// What the handler may know of the call.
    pub fn context(&self) -> Context {
        Context::default()
    }

    /// Writes the reply.
    ///
    /// # Errors
    /// The value cannot be sent; the handler has run.
    pub fn reply<R: Message>(&self, _value: &R) -> Result<Replied, Refused> {
        Err(Refused { status: status::REJECTED, reason: String::new() })
    }

    /// Answers.
    pub fn finish(self, _result: Result<Replied, Refused>) {}
}

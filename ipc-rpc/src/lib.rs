//! Typed RPC between processes over shared memory.
#![deny(unsafe_code)]

mod message;

pub use ipc_derive::Message;
pub use message::{
    Archived, Argument, Elements, ElementsIter, EncodeError, Message, MessageError, MessageErrorKind, View,
};

/// What expansions of the macros name; no public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::message::private_exports::*;
}

//! Typed RPC between processes of one machine, over shared memory.
#![deny(unsafe_code)]

mod call_error;
mod connect;
mod endpoint;
mod handshake;
mod message;
mod reply;
mod router;
mod server;
mod service;
mod status;
mod stub;
pub mod testing;
mod trust;

/// How a generated client returns results; the parameter of `XClient`.
pub mod mode {
    /// Methods return owned values.
    #[derive(Debug, Clone, Copy)]
    pub struct Owned;
    /// Methods return [`Reply`](crate::Reply)s that are read where they lie.
    #[derive(Debug, Clone, Copy)]
    pub struct Viewing;
}

pub use call_error::{CallError, MethodName};
pub use connect::{ClientConfig, ConnectError};
pub use handshake::{Difference, Mismatch};
pub use ipc_core::word::Corrupt;
pub use ipc_derive::{Message, service};
pub use message::{
    Archived, Argument, Elements, ElementsIter, EncodeError, Message, MessageError, MessageErrorKind, View,
};
pub use reply::Reply;
pub use server::{BindError, Limits, ServeError, Server, ServerBuilder, ServerHandle};
pub use service::{Dispatch, Pair};
pub use trust::Trust;

/// What expansions of the macros name; no public interface.
#[doc(hidden)]
pub mod __private {
    pub use ::core;
    pub use ::std::{string::String, vec::Vec};

    pub use crate::message::private_exports::*;
    pub use crate::mode::{Owned, Viewing};
    pub use crate::service::{Dispatch, Incoming, MethodDesc, Pair, ParamDesc, Refused, Replied, ServiceDesc};
    pub use crate::stub::Stub;
    pub use crate::{CallError, ClientConfig, ConnectError, Reply};
}

//! The macros of `ipc-rpc`: `#[derive(Message)]` and `#[service]`.
//!
//! Users reach both through `ipc_rpc`. Each macro runs in stages, one file a stage: parse the tokens into a model that
//! keeps the user's spans, check every rule and collect all mistakes, expand. A macro that found a mistake still emits
//! the items it would have defined, so that one mistake gives one message.
#![deny(unsafe_code)]

mod docs;
mod message;
mod report;
mod service;

use proc_macro::TokenStream;

/// Makes a struct or an enum a message: a type that arguments and results can have.
///
/// Beside `X` it defines `ArchivedX`, the type in shared memory, with a method for each field, and for an enum with data
/// `XView`. What a message may hold, how it is read and which options there are is written at the trait `ipc_rpc::Message`.
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    message::derive(input.into()).into()
}

/// `ipc_rpc::service`; documented there.
#[proc_macro_attribute]
pub fn service(attributes: TokenStream, item: TokenStream) -> TokenStream {
    service::attribute(attributes.into(), item.into()).into()
}

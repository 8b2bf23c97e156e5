//! Typed calls between processes of one Linux machine, over memory that both have mapped.
//!
//! A trait is the interface. [`#[service]`](macro@service) makes a client and a dispatcher of it; one process implements the
//! trait and serves it under a name, others connect to the name and call the methods as if they were local. Arguments and
//! results are [`Message`]s: they are written straight into shared memory and read there.
//!
//! ```
//! use ipc_rpc::{Message, Server, service};
//!
//! #[derive(Message, Debug, Clone, PartialEq)]
//! pub struct Hit { pub path: String, pub line: u32 }
//!
//! #[service]
//! pub trait Search {
//!     /// Lines that contain `word`.
//!     fn find(&self, word: &str, limit: u32) -> Vec<Hit>;
//! }
//!
//! // In one process:
//! struct Index { lines: Vec<String> }
//! impl Search for Index {
//!     fn find(&self, word: &str, limit: u32) -> Vec<Hit> {
//!         let all = self.lines.iter().zip(1..).filter(|(text, _)| text.contains(word));
//!         all.map(|(_, line)| Hit { path: "notes.txt".to_owned(), line }).take(limit as usize).collect()
//!     }
//! }
//! fn serve(name: &str, index: Index) -> Result<(), Box<dyn std::error::Error>> {
//!     Ok(Server::bind(name)?.serve(SearchDispatcher::new(index))?)
//! }
//!
//! // In another one:
//! fn ask(name: &str) -> Result<Vec<Hit>, Box<dyn std::error::Error>> {
//!     let search = SearchClient::connect(name)?;
//!     Ok(search.find("memory", 10)?)
//! }
//!
//! // (For a test both may be in one process.)
//! let index = Index { lines: vec!["a queue".to_owned(), "shared memory".to_owned()] };
//! let (search, _server) = ipc_rpc::testing::pair(SearchDispatcher::new(index))?;
//! assert_eq!(search.find("memory", 10)?, [Hit { path: "notes.txt".to_owned(), line: 2 }]);
//! # let _ = (serve, ask);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Calling
//!
//! For `trait Search` the macro defines `SearchClient`, which is `Clone`, `Send` and `Sync`: clones share one connection, and
//! any number of threads may call at once. `SearchClient::connect(name)` connects with default settings, `connect_with(name,
//! &config)` with a [`ClientConfig`]. Each method of the trait is a method of the client that takes the same arguments by
//! reference or value (`&str` where the trait has `&str`, `&Query` where it has `&Query` or `&Archived<Query>`) and returns
//! `Result<T, CallError>`, or `Result<T, CallError<E>>` where the trait returns `Result<T, E>`. `CallError<E>` is a
//! [`std::error::Error`] if `E` is one: with `E = String`, `?` does not turn it into a `Box<dyn Error>`. Two adapters give a
//! client of the same connection:
//!
//! - `with_timeout(duration)`: calls give up after this time, measured from their start, and the server does not begin a
//!   request whose time is over. Without it the limit is [`ClientConfig::timeout`]. A handler that runs already goes on.
//! - `view()`: methods return a [`Reply`], which is read where the server wrote it.
//!
//! ```
//! use std::time::Duration;
//! use ipc_rpc::{CallError, service, testing};
//!
//! #[service]
//! pub trait Texts {
//!     fn repeat(&self, text: &str, times: u32) -> Result<String, String>;
//! }
//! struct Plain;
//! impl Texts for Plain {
//!     fn repeat(&self, text: &str, times: u32) -> Result<String, String> {
//!         if times < 1000 { Ok(text.repeat(times as usize)) } else { Err(format!("{times} is too often")) }
//!     }
//! }
//!
//! let (texts, _server) = testing::pair(TextsDispatcher::new(Plain))?;
//! assert_eq!(texts.with_timeout(Duration::from_secs(1)).repeat("ab", 3).unwrap(), "ababab");
//! let reply = texts.view().repeat("x", 500).unwrap();
//! assert_eq!(reply.get().len(), 500); // a `&str` in shared memory
//! match texts.repeat("x", 5000) {
//!     Err(CallError::Handler(error)) => assert_eq!(error, "5000 is too often"),
//!     other => panic!("{other:?}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Serving
//!
//! `SearchDispatcher::new(value)` wraps a value that implements the trait; [`Server::bind`] takes the name and
//! [`Server::serve`] answers until a [`ServerHandle`] shuts it down. Handlers run on several threads at once, so the value is
//! `Send + Sync`; state that changes goes behind a lock or an atomic. A panic ends its own call; a stack overflow ends the
//! process, as everywhere, and most of the threads have Rust's default stack, 2 MiB. [`Server::builder`] has the rest:
//! several services under one name, the number of workers, the socket's mode, other users, limits, trust.
//!
//! Signals are the program's business: one that is ended by SIGTERM or Ctrl-C without a [`ServerHandle::shutdown`] has been
//! killed as far as clients can see.
//!
//! A name without a slash is a socket in a folder that only this user can use; one with a slash is the path of a socket. The
//! name of a server that was killed is free.
//!
//! # Messages
//!
//! Numbers, text, sequences, options, maps and the like are messages, and so is every struct or enum with
//! [`#[derive(Message)]`](macro@Message); [the trait](trait@Message) lists them. A handler may take an argument
//!
//! | as | and gets |
//! |---|---|
//! | `T` | an owned value |
//! | `&T` | a reference to an owned value |
//! | `&str` | the text, in shared memory |
//! | `&[T]` | the elements in shared memory if they are numbers, `bool`, `char` or structs of those without padding; else decoded |
//! | [`&Archived<T>`](Archived) | the value in shared memory, with a method for each field |
//! | `Option<&T>`, `Option<&str>`, .. | likewise |
//!
//! # Errors
//!
//! | type | says why |
//! |---|---|
//! | [`ConnectError`] | a client could not connect: names the socket, and the version or signature that differs |
//! | [`CallError`] | a call gave no result: whether the handler may have run, and whether the connection is over |
//! | [`BindError`], [`ServeError`] | a server could not start |
//! | [`EncodeError`], [`MessageError`] | a value cannot be sent; received bytes are no value of their type |
//!
//! All of them print as one lowercase line that says what to do where that is known. New variants may be added.
//!
//! # Guarantees
//!
//! - A call that returns `Ok` ran once. After an error for which [`CallError::may_have_run`] is false it has not run and will
//!   not; after the others nobody can tell. Nothing is repeated behind your back.
//! - When the server dies, every waiting call ends at once, with its reply if that was complete.
//! - Calls that one thread makes after each other run in that order, unless one of them timed out: it may still be running.
//!   Between threads nothing is ordered.
//! - A handler that panics fails its own call with [`CallError::Panicked`], and nothing else.
//! - Whatever a peer writes, it can at most end its own connection, if it is read at the level [`Trust::Snapshot`], the
//!   default for other users. [`Trust::InPlace`], the default for the same user, believes that a peer does not change bytes
//!   while they are read.
//! - Methods can be added to a trait without rebuilding the other side. A method that differs fails alone, with
//!   [`CallError::Incompatible`]; the others work.
//! - A process that waits for nothing and has nothing to do makes no system calls.
//!
//! # Limits
//!
//! Linux on 64-bit, little-endian machines. A message has less than 1 GiB. Do not use a connection on both sides of a `fork`.
//! There is no `async`, no way to start a call without waiting for it, no streams and no callbacks yet.
#![deny(unsafe_code)]

mod admitted;
mod asynchronous;
mod batch;
mod call_error;
mod callback;
mod connect;
mod context;
mod endpoint;
mod expected;
mod handshake;
mod message;
mod outcome;
mod pending;
mod reply;
mod router;
mod server;
mod service;
mod status;
mod stub;
mod terms;
pub mod testing;
mod trust;

/// How a generated client returns results; the parameter of `XClient`.
///
/// ```
/// use ipc_rpc::{mode, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
///
/// fn owned(calc: &CalcClient) -> Option<u64> { calc.add(2, 3).ok() }
/// fn in_place(calc: &CalcClient<mode::Viewing>) -> Option<u64> { calc.add(2, 3).ok().map(|sum| sum.get()) }
/// ```
pub mod mode {
    /// Methods return owned values.
    #[derive(Debug, Clone, Copy)]
    pub struct Owned;
    /// Methods return [`Reply`](crate::Reply)s that are read where they lie.
    #[derive(Debug, Clone, Copy)]
    pub struct Viewing;
    /// Methods return [`Pending`](crate::Pending) calls, before there is a reply.
    #[derive(Debug, Clone, Copy)]
    pub struct Starting;
}

pub use call_error::{CallError, MethodName};
pub use callback::{Callback, Handle};
pub use connect::{ClientConfig, ConnectError};
pub use context::{Context, InvalidTraceId, Metadata, MetadataIter, Peer, TraceId};
pub use handshake::{Difference, Mismatch};
pub use ipc_core::word::Corrupt;
pub use ipc_derive::Message;
/// Turns a trait into a service.
///
/// For `trait Calc` it defines, with the trait's visibility, `CalcClient` (see [Calling](crate#calling)) and
/// `CalcDispatcher` (see [Serving](crate#serving)). The trait itself stays as it is. Documentation and `cfg` of methods hold
/// for the generated ones too.
///
/// ```
/// use ipc_rpc::{Archived, Message, service, testing};
///
/// #[derive(Message)]
/// pub struct Document { pub title: String, pub words: Vec<u32> }
///
/// #[service]
/// pub trait Store {
///     /// Keeps a document; gives the number of its words.
///     fn add(&self, document: &Archived<Document>) -> u64;
///     fn mean(&self, numbers: &[f32]) -> Option<f32>;
///     #[rpc(name = "forget")]
///     fn forget_all(&self) {}
/// }
///
/// struct Nothing;
/// impl Store for Nothing {
///     fn add(&self, document: &Archived<Document>) -> u64 {
///         assert_eq!(document.title(), "a title"); // read where the client wrote it
///         document.words().len() as u64
///     }
///     fn mean(&self, numbers: &[f32]) -> Option<f32> {
///         (!numbers.is_empty()).then(|| numbers.iter().sum::<f32>() / numbers.len() as f32)
///     }
/// }
///
/// let (store, _server) = testing::pair(StoreDispatcher::new(Nothing))?;
/// assert_eq!(store.add(&Document { title: "a title".to_owned(), words: vec![1, 2, 3] })?, 3);
/// assert_eq!(store.mean(&[1.0, 2.0])?, Some(1.5));
/// store.forget_all()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Rules
///
/// Methods take `&self` and up to twelve arguments with plain names. Arguments are messages, or borrowed as
/// [the table](crate#messages) shows; results are owned. Methods may have a body, which an implementation can replace. Not
/// allowed are generics, lifetimes, `impl Trait`, `async` (yet), `unsafe`, associated types, constants and functions, and the
/// names that the client needs for itself: `clone`, `connect`, `connect_with`, `start`, `view`, `with_timeout`. All mistakes
/// of a trait are reported at once, each where it is.
///
/// # Options
///
/// - `#[service(crate = path)]`: where `ipc_rpc` is, if a crate of yours re-exports it.
/// - `#[rpc(name = "other")]` on a method: its name on the wire, so that it can be renamed in the source alone.
pub use ipc_derive::service;
pub use message::{
    Archived, Argument, Elements, ElementsIter, EncodeError, Message, MessageError, MessageErrorKind, View,
};
pub use pending::{Pending, join_all};
pub use reply::Reply;
pub use server::{BindError, Limits, ServeError, Server, ServerBuilder, ServerHandle};
pub use service::{Dispatch, Pair};
pub use trust::Trust;

// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// What expansions of the macros name; no public interface.
#[doc(hidden)]
pub mod __private {
    pub use ::core;
    pub use ::std::{boxed::Box, string::String, sync::Arc, vec::Vec};

    pub use crate::admitted::Admitted;
    pub use crate::callback::{Callback, Handle, Lent, handle_desc};
    pub use crate::expected::as_context;
    pub use crate::message::private_exports::*;
    pub use crate::mode::{Owned, Starting, Viewing};
    pub use crate::service::{Dispatch, Incoming, MethodDesc, Pair, ParamDesc, Refused, Replied, ServiceDesc};
    pub use crate::stub::Stub;
    pub use crate::{CallError, ClientConfig, ConnectError, Context, Metadata, Pending, Reply, TraceId};

    /// Reads a packet as the first one of a client, then as the answer of a server; for fuzzing. Says which it could be.
    pub fn read_packet(packet: &[u8], service: &'static ServiceDesc) -> (bool, bool) {
        let asked = matches!(crate::handshake::asked(packet), crate::handshake::Asked::Hello(_));
        (asked, crate::handshake::answered(packet, &[service]).is_some())
    }
}

//! Streams: many items in one call, from the server, from the client, or both ways.
//!
//! # How they travel
//! Every item is the reply of a request (server to client) or a request (client to server) of its own, on the blocks of the
//! connection like any call: flow control is that the client lends blocks and the server holds them. See `wire.rs` for the
//! requests and `docs/protocol.md` for the whole.
//!
//! | | server | client |
//! |---|---|---|
//! | output | `outlet.rs`: credits in, items out | `reader.rs` |
//! | input | `inlet.rs`, `input.rs`: items in | `feeder.rs` |
//! | both | `table.rs`, `serve.rs`, `reply.rs` | `shares.rs`, `open.rs` |

mod channel;
mod feeder;
mod gate;
mod inlet;
mod input;
mod late;
mod load;
mod open;
mod outlet;
mod packed;
mod produce;
mod reader;
mod reply;
mod serve;
mod shares;
mod sink;
mod stock;
mod streaming;
mod table;
mod threads;
mod window;
mod wire;

use std::any::TypeId;

use ipc_core::callee::Deferred;

use crate::message::Message;
use crate::message::private_exports::{Desc, Kind};
use crate::router::Client;

pub(crate) use serve::serve;
pub(crate) use shares::Streams;
pub use sink::{Closed, NotSent, Sink};
pub use streaming::Streaming;

/// The first of the method numbers that are the streams'.
pub(crate) const FIRST_METHOD: u16 = 0x3F00;
/// The last one.
pub(crate) const LAST_METHOD: u16 = 0x3F0F;

/// The streams of a client, as the server knows them.
pub(crate) type Table = table::Table<Deferred<Client>>;

/// Describes a stream, for fingerprints.
pub fn stream_desc<T: Message>() -> &'static Desc {
    const { &Desc { id: TypeId::of::<Streaming<T>>(), kind: Kind::Standard("Streaming", &[T::desc]) } }
}

/// Describes a stream that may not come to be, for fingerprints.
pub fn stream_result_desc<T: Message, E: Message>() -> &'static Desc {
    const {
        &Desc {
            id: TypeId::of::<Result<Streaming<T>, E>>(),
            kind: Kind::Standard("Result", &[stream_desc::<T>, E::desc]),
        }
    }
}

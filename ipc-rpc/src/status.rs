//! How a call ended, as the server puts it into the block; 0 to 15 are `ipc-core`'s.

/// The handler panicked; the reply is its message.
pub(crate) const PANICKED: u16 = 16;
/// The request is invalid, the handler has not run; the reply says why.
pub(crate) const REJECTED: u16 = 17;
/// The handler ran, its result cannot be sent; the reply says why.
pub(crate) const RESULT: u16 = 18;
/// The server does not take the call on, the handler has not run; the reply says which limit it has reached.
pub(crate) const BUSY: u16 = 19;

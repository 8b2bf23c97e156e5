//! What one server, and one client of it, may use.

/// Bounds on what clients can take of a server.
///
/// ```
/// use ipc_rpc::Limits;
/// let limits = Limits { clients: 8, ..Limits::default() };
/// assert_eq!(limits.blocks, 16_384);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, counting those that have ended while an argument of theirs is [`Kept`](crate::Kept). Default: 4096.
    pub clients: usize,
    /// Call blocks a connection may bring. Default: 16,384, the most there can be.
    pub blocks: u32,
    /// Address space, in bytes, a connection may bring for arguments and for replies each. Default: 1 GiB, the most.
    pub memory: u32,
    /// Calls of one client that `async` methods work on at once; further ones fail with
    /// [`CallError::Busy`](crate::CallError::Busy). Other methods are bounded by the workers: what they cannot take up waits.
    /// Default: 4096.
    pub calls: usize,
    /// The same for all clients together. Default: 16,384.
    pub all_calls: usize,
    /// Threads that the server gives to the streams of one client at once: to those whose items take long to make. A method
    /// that waits as a matter of course (it takes a stream or a callback and returns a stream, or is `#[rpc(blocking)]`) needs
    /// one, and fails with [`CallError::Busy`](crate::CallError::Busy) without; other iterators hold up a worker then, as long
    /// as they are slow. Writing to a [`Sink`](crate::Sink) needs none. Default: 64.
    pub streams: usize,
    /// Arguments of one client that handlers have as [`Kept`](crate::Kept) at once, those of running calls included; further calls
    /// of such methods fail with [`CallError::Busy`](crate::CallError::Busy). Default: 4096.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        use ipc_core::layout::{MAX_ARENA, MAX_BLOCKS};
        let (blocks, memory) = (MAX_BLOCKS, MAX_ARENA);
        Limits { clients: 4096, blocks, memory, calls: 4096, all_calls: 16_384, streams: 64, kept: 4096 }
    }
}

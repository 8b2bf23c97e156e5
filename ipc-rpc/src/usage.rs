//! What a server and a client have in use, for tests that look for what is left over.

use std::sync::atomic::Ordering;

use ipc_core::memory::MemoryUsage;

use crate::server::Callees;
use crate::stub::Stub;

/// What a server has in use. Exact once nothing runs.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (client, server) = testing::pair(CalcDispatcher::new(Adder))?;
/// client.add(2, 3)?;
/// let usage = server.usage();
/// assert_eq!((usage.clients, usage.tasks), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerUsage {
    /// Connections.
    pub clients: usize,
    /// Connections that are over but still used by a running call, or by an argument that is kept.
    pub retired: usize,
    /// Calls that have begun and are not answered, in whatever form.
    pub busy: usize,
    /// Those of them that futures work on.
    pub tasks: usize,
    /// Streams that are open, in either direction.
    pub streams: usize,
    /// Handles of objects of clients.
    pub callbacks: usize,
    /// Arguments that handlers have as [`Kept`](crate::Kept), also of clients that are gone.
    pub kept: usize,
    /// Extents of memory that hold replies. The last reply of a block keeps its extent until the block is used again.
    pub reply_extents: usize,
    /// The memory of replies in extents, of all clients.
    pub memory: MemoryUsage,
    /// Threads that look for requests and run handlers.
    pub workers: usize,
    /// Threads that run the futures of handlers.
    pub task_threads: usize,
}

impl ServerUsage {
    /// Is nothing in use but what a server keeps for its next call: its clients, its threads, and the memory of last replies?
    ///
    /// ```
    /// assert!(ipc_rpc::ServerUsage::default().is_idle());
    /// ```
    pub fn is_idle(&self) -> bool {
        (self.retired, self.busy, self.tasks, self.streams, self.callbacks, self.kept) == (0, 0, 0, 0, 0, 0)
    }

    pub(crate) fn of(callee: &Callees) -> Self {
        let core = callee.usage();
        let runtime = callee.handler().runtime();
        let (streams, callbacks) = runtime.open();
        ServerUsage {
            clients: core.channels,
            retired: core.retired,
            busy: core.busy,
            tasks: runtime.admitted(),
            streams,
            callbacks,
            kept: runtime.kept.load(Ordering::Relaxed),
            reply_extents: core.reply_extents,
            memory: core.memory,
            workers: core.workers,
            task_threads: runtime.threads(),
        }
    }
}

/// What a client has in use: all clones of it together. Exact once nothing runs.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (client, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// let reply = client.view().add(2, 3)?;
/// assert_eq!(testing::client_usage(&client).blocks, 1); // the reply is held
/// drop(reply);
/// assert_eq!(testing::client_usage(&client).blocks, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientUsage {
    /// Call blocks that are neither free nor kept by a thread for its next call.
    pub blocks: usize,
    /// Those of them that were given up, or sent one-way, and have not come home.
    pub zombies: usize,
    /// One-way calls that have not been answered, as far as was looked.
    pub oneway: usize,
    /// The memory of arguments in extents.
    pub memory: MemoryUsage,
    /// Futures that wait: for a reply, a block, or a flush.
    pub waiting: usize,
    /// Streams that are open, in either direction.
    pub streams: usize,
    /// Objects that are lent to the server.
    pub callbacks: usize,
    /// Calls that are over and whose arguments the server keeps ([`Kept`](crate::Kept)).
    pub kept: usize,
}

impl ClientUsage {
    /// Is nothing in use but what a client keeps for its next call, memory that is committed?
    ///
    /// ```
    /// assert!(ipc_rpc::ClientUsage::default().is_idle());
    /// ```
    pub fn is_idle(&self) -> bool {
        self.memory.used == 0 && ClientUsage { memory: MemoryUsage::default(), ..*self } == ClientUsage::default()
    }

    pub(crate) fn of(stub: &Stub) -> Self {
        let connection = stub.session.share();
        let core = connection.caller.usage();
        ClientUsage {
            blocks: core.blocks_out as usize,
            zombies: core.zombies as usize,
            oneway: core.detached as usize,
            memory: core.memory,
            waiting: core.waiting as usize,
            streams: connection.streams.open(),
            callbacks: connection.lending.as_ref().map_or(0, |lending| lending.objects()),
            kept: core.kept as usize,
        }
    }
}

//! What a server and a client have in use, for tests that look for what is left over.

use crate::server::Callees;

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
    /// Connections that are over but still used by a running call.
    pub retired: usize,
    /// Calls that have begun and are not answered, in whatever form.
    pub busy: usize,
    /// Those of them that futures work on.
    pub tasks: usize,
    /// Extents of memory that hold replies. The last reply of a block keeps its extent until the block is used again.
    pub reply_extents: usize,
    /// Bytes of replies in extents.
    pub reply_bytes: u64,
    /// Threads that look for requests and run handlers.
    pub workers: usize,
    /// Threads that run the futures of handlers.
    pub task_threads: usize,
}

impl ServerUsage {
    pub(crate) fn of(callee: &Callees) -> Self {
        let core = callee.usage();
        let runtime = callee.handler().runtime();
        ServerUsage {
            clients: core.channels,
            retired: core.retired,
            busy: core.busy,
            tasks: runtime.admitted(),
            reply_extents: core.reply_extents,
            reply_bytes: core.reply_bytes,
            workers: core.workers,
            task_threads: runtime.threads(),
        }
    }
}

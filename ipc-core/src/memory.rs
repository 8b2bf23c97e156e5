//! What an arena may use, what it keeps when it has no use for it, and why there is no more.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::layout::MAX_ARENA;

/// What one side of a connection may use for its large messages (a client for its arguments, a server for its replies to one
/// client), and what becomes of that memory when it is free.
///
/// Nothing has to be foreseen: memory is taken from the system when a message needs it, stays while messages of that size keep
/// coming, so that they cost neither system calls nor page faults, and goes back when it has not been needed for a while.
///
/// ```
/// use ipc_core::memory::Memory;
/// let small = Memory { quota: 64 << 20, ..Memory::default() };
/// assert_eq!(small.keep, 1 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that messages may have in use at once: requests under way, replies that are held, loans, with what they are rounded
    /// up by; of a server also up to a MiB of replies that were read and whose blocks are idle. What would need more fails with a
    /// [`NoMemory`] that says so. Default: all of the address space.
    pub quota: u64,
    /// Bytes that stay committed while nobody needs them. Default: 1 MiB.
    pub keep: u64,
    /// How long memory has to be unneeded before it goes back: after once to twice this time only `keep` bytes are left of it. A
    /// thread sees to it, which there is only as long as there is something to give back. Default: 250 ms.
    pub idle: Duration,
    /// Asks for huge pages (`MADV_HUGEPAGE`). Has an effect where the system allows them for shared memory
    /// (`/sys/kernel/mm/transparent_hugepage/shmem_enabled` is `advise`, or more), and none elsewhere; memory is taken in pieces
    /// of 2 MiB either way. Default: `false`.
    pub huge_pages: bool,
    /// Bytes that are committed and mapped from the start, and never given back, so that the first messages do not pay for
    /// it. If the system has not so much, none are. Default: 0.
    pub prefault: u32,
    /// The NUMA node whose memory is preferred, where there is such a node. Default: none, which is that of the core that writes
    /// first.
    pub numa_node: Option<u32>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            quota: u64::from(MAX_ARENA),
            keep: 1 << 20,
            idle: Duration::from_millis(250),
            huge_pages: false,
            prefault: 0,
            numa_node: None,
        }
    }
}

/// What an arena has now. Exact once nothing runs.
///
/// ```
/// use ipc_core::memory::MemoryUsage;
/// let mut halves = MemoryUsage::default();
/// (halves.free, halves.longest_free) = (100, 50);
/// assert_eq!(halves.fragmentation(), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// Bytes of messages.
    pub used: u64,
    /// Bytes that the system has given for it; they go back as [`Memory`] has it.
    pub committed: u64,
    /// Bytes of address space that are free.
    pub free: u64,
    /// The longest of the runs that these are in. (Of several connections: the sum of each one's longest.)
    pub longest_free: u64,
}

impl MemoryUsage {
    /// How much of what is free is not in one piece: 0 if a message may be as large as what is free, nearly 1 if it may not.
    ///
    /// ```
    /// use ipc_core::memory::MemoryUsage;
    /// assert_eq!(MemoryUsage::default().fragmentation(), 0.0);
    /// ```
    pub fn fragmentation(&self) -> f64 {
        if self.free == 0 { 0.0 } else { 1.0 - self.longest_free as f64 / self.free as f64 }
    }

    /// That of both together.
    ///
    /// ```
    /// use ipc_core::memory::MemoryUsage;
    /// let mut one = MemoryUsage::default();
    /// one.used = 3;
    /// assert_eq!(one.and(one).used, 6);
    /// ```
    #[must_use]
    pub fn and(self, other: MemoryUsage) -> Self {
        MemoryUsage {
            used: self.used + other.used,
            committed: self.committed + other.committed,
            free: self.free + other.free,
            longest_free: self.longest_free + other.longest_free,
        }
    }
}

/// What there is not enough of.
///
/// ```
/// use ipc_core::memory::{Lack, NoMemory};
///
/// /// Is it ours to raise a limit?
/// fn can_be_raised(error: &NoMemory) -> bool {
///     error.lack == Lack::Quota
/// }
/// # let _ = can_be_raised;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// What is allowed: [`Memory::quota`].
    Quota,
    /// Address space: no free run of it is that long.
    Space,
    /// The system's memory; the number of its error, such as `ENOSPC`.
    System(i32),
}

/// There is no memory for a message. Nothing has changed by the attempt.
///
/// ```
/// use ipc_core::memory::{Lack, NoMemory};
/// let error = NoMemory { lack: Lack::Quota, wanted: 3, used: 8, allowed: 10 };
/// assert!(error.passes() && error.to_string().contains("8 of the 10"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory {
    /// What there is not enough of.
    pub lack: Lack,
    /// Bytes that are wanted, by the part of the message that is known so far.
    pub wanted: u64,
    /// Bytes in use by others.
    pub used: u64,
    /// Bytes allowed, by the quota or the address space, whichever is less.
    pub allowed: u64,
}

impl NoMemory {
    /// A buffer that does not grow has no room for `wanted` bytes.
    ///
    /// ```
    /// use ipc_core::memory::NoMemory;
    /// assert!(!NoMemory::fixed(100).passes());
    /// ```
    pub fn fixed(wanted: usize) -> Self {
        NoMemory { lack: Lack::Space, wanted: wanted as u64, used: 0, allowed: 0 }
    }

    /// May there be enough a little later, when others have let go of what they use?
    ///
    /// ```
    /// use ipc_core::memory::NoMemory;
    /// assert!(!NoMemory::fixed(100).passes()); // a buffer that does not grow
    /// ```
    pub fn passes(&self) -> bool {
        matches!(self.lack, Lack::System(_)) || self.wanted <= self.allowed
    }
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoMemory { lack, wanted, used, allowed } = self;
        match lack {
            Lack::System(error) => {
                let error = io::Error::from_raw_os_error(*error);
                write!(f, "the system has no memory for {wanted} bytes: {error}; {used} bytes are in use")
            }
            Lack::Quota | Lack::Space if wanted > allowed => {
                let limit = if *lack == Lack::Quota { "`Memory::quota`" } else { "the limit" };
                write!(
                    f,
                    "no room for {wanted} bytes of a message: {allowed} are allowed; raise {limit}, or send it in parts"
                )
            }
            Lack::Quota => write!(
                f,
                "no room for {wanted} bytes of a message: {used} of the {allowed} that `Memory::quota` allows are in use; drop \
                 loans and replies that are still held, or raise it"
            ),
            Lack::Space => write!(
                f,
                "no room for {wanted} bytes of a message: {used} of the {allowed} bytes of address space are in use, and no \
                 free part is that long; drop loans and replies that are still held, or raise the limit"
            ),
        }
    }
}

impl std::error::Error for NoMemory {}

//! What of this process's memory can be passed on to a third process by mapping it there: memory that others have lent to it, or
//! that it has lent itself, and that somebody can keep as it is.

use std::any::Any;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Memory with an owner.
pub trait Source: Send + Sync {
    /// Keeps the `len` bytes at `data` as they are, if it has them.
    fn share(&self, data: NonNull<u8>, len: usize) -> Option<Shared>;
}

/// Memory that stays as it is.
pub struct Shared {
    /// The file it is a part of, which can be read only.
    pub file: Arc<OwnedFd>,
    /// Where in the file it begins.
    pub offset: u64,
    /// As long as this is there.
    pub hold: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("file", &self.file).field("offset", &self.offset).finish_non_exhaustive()
    }
}

struct Sources {
    all: Vec<Weak<dyn Source>>,
    /// Those that are gone are looked for when there are so many.
    limit: usize,
}

static SOURCES: Mutex<Sources> = Mutex::new(Sources { all: Vec::new(), limit: 64 });

// Not the one of `sync.rs`, whose mutex cannot be a static everywhere. Nobody waits under it.
fn lock() -> MutexGuard<'static, Sources> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on `source` is asked.
pub fn add(source: Weak<dyn Source>) {
    let mut sources = lock();
    if sources.all.len() >= sources.limit {
        sources.all.retain(|source| source.strong_count() > 0);
        sources.limit = (2 * sources.all.len()).max(64);
    }
    sources.all.push(source);
}

/// Keeps the `len` bytes at `data` as they are, if anybody has them.
pub fn find(data: NonNull<u8>, len: usize) -> Option<Shared> {
    // Asked, and dropped, without the lock.
    let all: Vec<_> = lock().all.iter().filter_map(Weak::upgrade).collect();
    all.iter().find_map(|source| source.share(data, len))
}

/// Do the `len` bytes at `data` lie in `range`?
pub fn contains(range: &Range<usize>, data: NonNull<u8>, len: usize) -> bool {
    let from = data.addr().get();
    from >= range.start && from <= range.end && len <= range.end - from
}

//! How many threads of the server work for the streams of one client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The threads that the streams of a client may have.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Arc<Count>);

#[derive(Debug)]
struct Count {
    used: AtomicUsize,
    limit: usize,
}

/// Leave to have one of them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Leave(Arc<Count>);

impl Threads {
    pub(crate) fn new(limit: usize) -> Self {
        Threads(Arc::new(Count { used: AtomicUsize::new(0), limit }))
    }

    /// One thread more, if there may be one.
    pub(crate) fn take(&self) -> Option<Leave> {
        let more = |used: usize| (used < self.0.limit).then(|| used + 1);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Leave(Arc::clone(&self.0)))
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Threads;

    #[test]
    fn a_place_that_is_dropped_is_free_again() {
        let threads = Threads::new(2);
        let places = [threads.take(), threads.take()];
        assert!(places.iter().all(Option::is_some) && threads.take().is_none());
        drop(places);
        assert!(threads.take().is_some());
        assert!(Threads::new(0).take().is_none());
    }
}

//! The streams of one client, as the server knows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::inlet::Inlet;
use super::outlet::{Held, Outlet};
use super::produce::{Produce, discard};
use super::threads::{Leave, Threads};
use super::wire::{CLOSE_INPUT, CLOSE_OUTPUT};

/// Streams that a client may have open at once; more are refused.
pub(crate) const MAX_STREAMS: usize = 1024;

/// Why all streams of a client are over.
const OVER: &str = "the client is gone, or the server shuts down";

/// The streams of one client, by the number that it has given them.
pub(crate) struct Table<H> {
    inner: Arc<Mutex<Inner<H>>>,
    pub(crate) threads: Threads,
}

struct Inner<H> {
    /// The client is gone.
    over: bool,
    streams: BTreeMap<u16, Entry<H>>,
}

/// A number can stand for one stream in each direction: those of one call.
struct Entry<H> {
    outlet: Option<Arc<Outlet<H>>>,
    inlet: Option<Arc<Inlet<H>>>,
    /// The handler has the input.
    claimed: bool,
}

impl<H> Default for Entry<H> {
    fn default() -> Self {
        Entry { outlet: None, inlet: None, claimed: false }
    }
}

impl<H> Clone for Table<H> {
    fn clone(&self) -> Self {
        Table { inner: Arc::clone(&self.inner), threads: self.threads.clone() }
    }
}

impl<H> std::fmt::Debug for Table<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("streams", &self.open()).finish()
    }
}

impl<H> Table<H> {
    /// Of a client whose streams may have so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        let inner = Inner { over: false, streams: BTreeMap::new() };
        Table { inner: Arc::new(Mutex::new(inner)), threads: Threads::new(threads) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<H>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams that are open, in both directions.
    pub(crate) fn open(&self) -> usize {
        let count = |e: &Entry<H>| usize::from(e.outlet.is_some()) + usize::from(e.inlet.is_some());
        self.lock().streams.values().map(count).sum()
    }
}

impl<H> Inner<H> {
    /// The place of a stream that is opened now.
    fn place(&mut self, target: u16) -> Result<&mut Entry<H>, &'static str> {
        if target == 0 {
            return Err("the request names no stream");
        }
        if self.over {
            return Err(OVER);
        }
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&target) {
            return Err("the client has too many streams open");
        }
        Ok(self.streams.entry(target).or_default())
    }

    fn tidy(&mut self, target: u16) {
        if self.streams.get(&target).is_some_and(|e| e.outlet.is_none() && e.inlet.is_none()) {
            self.streams.remove(&target);
        }
    }
}

impl<H: Held> Table<H> {
    #[inline]
    pub(crate) fn outlet(&self, target: u16) -> Option<Arc<Outlet<H>>> {
        self.lock().streams.get(&target)?.outlet.clone()
    }

    #[inline]
    pub(crate) fn inlet(&self, target: u16) -> Option<Arc<Inlet<H>>> {
        self.lock().streams.get(&target)?.inlet.clone()
    }

    /// An output stream begins. When all are over it ends at once: its handler has run, and its reader learns of the end as
    /// that of any other stream does.
    pub(crate) fn add_outlet(&self, target: u16, outlet: &Arc<Outlet<H>>) -> Result<(), &'static str> {
        let mut inner = self.lock();
        if inner.over {
            drop(inner);
            outlet.close();
            return Ok(());
        }
        let entry = inner.place(target)?;
        if entry.outlet.is_some() {
            return Err("the request names a stream that is in use");
        }
        entry.outlet = Some(Arc::clone(outlet));
        ipc_core::fail_point!(OutputRegistered);
        Ok(())
    }

    /// An input stream is announced.
    pub(crate) fn add_inlet(&self, target: u16) -> Result<(), &'static str> {
        let mut inner = self.lock();
        let entry = inner.place(target)?;
        if entry.inlet.is_some() || entry.outlet.is_some() {
            return Err("the request names a stream that is in use");
        }
        entry.inlet = Some(Inlet::new());
        entry.claimed = false;
        Ok(())
    }

    /// The same, for a request that the client may have given up, and told that it has no more use for the stream, before it
    /// was found here: it does that in this order, so either it has found the stream, or it `is_cancelled` by now.
    pub(crate) fn open_inlet(&self, target: u16, is_cancelled: impl FnOnce() -> bool) -> Result<(), &'static str> {
        self.add_inlet(target)?;
        if is_cancelled() {
            self.close_stream(target, CLOSE_INPUT);
        }
        Ok(())
    }

    /// The handler of the call takes its input stream, once. When all are over it has one that is closed, as it would have if it
    /// had taken its own a moment ago.
    pub(crate) fn claim_inlet(&self, target: u16) -> Option<Arc<Inlet<H>>> {
        let mut inner = self.lock();
        if inner.over {
            drop(inner);
            let inlet = Inlet::new();
            inlet.close(OVER);
            return Some(inlet);
        }
        let entry = inner.streams.get_mut(&target).filter(|e| !e.claimed)?;
        entry.claimed = true;
        entry.inlet.clone()
    }

    /// Where the stream of this number is found.
    pub(crate) fn home(&self, target: u16) -> Home<H> {
        Home { table: Arc::downgrade(&self.inner), target, threads: self.threads.clone() }
    }

    /// The client says that it has no more use for `what` of a stream.
    pub(crate) fn close_stream(&self, target: u16, what: u16) {
        let mut inner = self.lock();
        let Some(entry) = inner.streams.get_mut(&target) else { return };
        let outlet = if what & CLOSE_OUTPUT != 0 { entry.outlet.take() } else { None };
        let inlet = if what & CLOSE_INPUT != 0 { entry.inlet.take() } else { None };
        inner.tidy(target);
        drop(inner);
        if let Some(outlet) = outlet {
            outlet.close();
        }
        if let Some(inlet) = inlet {
            inlet.close("the client has given the call up");
        }
    }

    /// The client is gone. Does not run code of the user, but for wakers: it may be called where nothing may wait.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.over = true;
        let streams = std::mem::take(&mut inner.streams);
        drop(inner);
        let (mut inlets, mut producers) = (Vec::new(), Vec::new());
        for Entry { outlet, inlet, .. } in streams.into_values() {
            producers.extend(outlet.and_then(|outlet| outlet.end()));
            inlets.extend(inlet);
        }
        // Behind the outputs: one that is made out of an input is over by now, and does not fail.
        for inlet in inlets {
            inlet.close(OVER);
        }
        if !producers.is_empty() {
            let rest = Discarded(producers);
            // Without a thread they are dropped here.
            let _ = std::thread::Builder::new().name(String::from("ipc-rpc stream")).spawn(move || drop(rest));
        }
    }
}

/// What is of a user, and goes when this does.
struct Discarded(Vec<Box<dyn Produce>>);

impl Drop for Discarded {
    fn drop(&mut self) {
        self.0.drain(..).for_each(discard);
    }
}

/// Where a stream is found: the table of its client, which may be gone, and its number there.
pub(crate) struct Home<H> {
    table: Weak<Mutex<Inner<H>>>,
    target: u16,
    threads: Threads,
}

impl<H> std::fmt::Debug for Home<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").field("target", &self.target).finish_non_exhaustive()
    }
}

impl<H> Home<H> {
    /// This output stream is over: requests for it are answered without it.
    pub(crate) fn forget_outlet(&self, outlet: &Arc<Outlet<H>>) {
        let gone = self.forget(|entry| entry.outlet.take_if(|o| Arc::ptr_eq(o, outlet)));
        drop(gone);
    }

    /// This input stream is over.
    pub(crate) fn forget_inlet(&self, inlet: &Arc<Inlet<H>>) {
        let gone = self.forget(|entry| entry.inlet.take_if(|i| Arc::ptr_eq(i, inlet)));
        drop(gone);
    }

    /// Leave for a thread of the stream's own.
    pub(crate) fn thread(&self) -> Option<Leave> {
        self.threads.take()
    }

    fn forget<T>(&self, take: impl FnOnce(&mut Entry<H>) -> Option<T>) -> Option<T> {
        let table = self.table.upgrade()?;
        let mut inner = table.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = take(inner.streams.get_mut(&self.target)?);
        inner.tidy(self.target);
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::Table;
    use super::CLOSE_INPUT;

    #[test]
    fn a_word_that_overtakes_what_it_closes_leaves_nothing_behind() {
        let table = Table::new(1);
        table.open_inlet(1, || false).unwrap();
        assert_eq!(table.open(), 1);
        table.close_stream(1, CLOSE_INPUT);
        // The other way round.
        table.close_stream(2, CLOSE_INPUT);
        table.open_inlet(2, || true).unwrap();
        // In between.
        let close = || {
            table.close_stream(3, CLOSE_INPUT);
            true
        };
        table.open_inlet(3, close).unwrap();
        assert_eq!(table.open(), 0);
    }

    #[test]
    fn a_call_whose_input_went_with_all_streams_has_one_that_is_closed() {
        let table = Table::new(1);
        assert!(table.claim_inlet(1).is_none(), "it was not announced");
        table.add_inlet(1).unwrap();
        table.close();
        let inlet = table.claim_inlet(1).expect("announced, and taken away");
        assert!(inlet.wait(&mut VecDeque::new()).is_err());
    }
}

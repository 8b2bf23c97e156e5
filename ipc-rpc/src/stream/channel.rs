//! What lies between a [`Sink`](super::Sink) and the [`Streaming`](super::Streaming) that was made with it: nothing, until it
//! is known where the items go.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use super::outlet::End;
use super::packed::Packed;
use super::sink::{Closed, NotSent};
use crate::message::Message;
use crate::waiting::Waiting;

/// Where the items of a sink go.
pub(crate) trait Transport<T>: Send + Sync {
    /// Waits until the reader has room for the item.
    fn send(&self, item: &T) -> Result<(), Closed>;
    /// Sends if the reader has room now.
    fn try_send(&self, item: &T) -> Result<(), NotSent>;
    /// Ready once [`Transport::try_send`] is worth a try.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>>;
    /// There are no more items.
    fn finish(&self, end: Option<String>);
    /// Does nobody read any more?
    fn is_closed(&self) -> bool;
}

/// The two ends of a channel.
pub(crate) struct Channel<T> {
    /// Set once, when the reader is known.
    transport: OnceLock<Arc<dyn Transport<T>>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The sink is gone and has said this.
    end: Option<Option<String>>,
    /// The stream was dropped before it was read.
    dropped: bool,
    waiting: Waiting,
}

impl<T> Channel<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Channel { transport: OnceLock::new(), state: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items go there.
    pub(crate) fn attach(&self, transport: Arc<dyn Transport<T>>) {
        let mut state = self.lock();
        let end = state.end.take();
        let _ = self.transport.set(Arc::clone(&transport));
        let waiting = state.waiting.take();
        drop(state);
        if let Some(end) = end {
            transport.finish(end);
        }
        waiting.wake(&self.changed);
    }

    /// Nobody will read.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.dropped = true;
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake(&self.changed);
    }

    /// Where the items go, if that is known.
    #[inline]
    pub(crate) fn transport(&self) -> Option<&Arc<dyn Transport<T>>> {
        self.transport.get()
    }

    /// Waits until it is known where the items go.
    pub(crate) fn wait(&self) -> Result<&Arc<dyn Transport<T>>, Closed> {
        let mut state = self.lock();
        loop {
            if let Some(transport) = self.transport.get() {
                return Ok(transport);
            }
            if state.dropped {
                return Err(Closed::unread());
            }
            state.waiting.sleeps();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ready once it is known where the items go.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<&Arc<dyn Transport<T>>, Closed>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(transport) = self.transport.get() {
            return Poll::Ready(Ok(transport));
        }
        if state.dropped {
            return Poll::Ready(Err(Closed::unread()));
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// The sink is gone.
    pub(crate) fn finish(&self, end: Option<String>) {
        let mut state = self.lock();
        match self.transport.get() {
            Some(transport) => {
                drop(state);
                transport.finish(end);
            }
            None => state.end = Some(end),
        }
    }

    /// Does nobody read any more?
    pub(crate) fn is_closed(&self) -> bool {
        match self.transport.get() {
            Some(transport) => transport.is_closed(),
            None => self.lock().dropped,
        }
    }
}

/// Items that wait for a reader in the same process.
const LOCAL: usize = 16;

/// A transport within the process: for streams that are read where they are written, as in tests of a service.
#[derive(Debug, Default)]
pub(crate) struct Local {
    state: Mutex<LocalState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LocalState {
    items: VecDeque<Packed>,
    end: Option<Option<String>>,
    closed: bool,
    waiting: Waiting,
}

impl Local {
    fn lock(&self) -> MutexGuard<'_, LocalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, LocalState>) -> MutexGuard<'a, LocalState> {
        state.waiting.sleeps();
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, mut state: MutexGuard<'_, LocalState>) {
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake(&self.changed);
    }

    /// The next item, or how the stream ended.
    pub(crate) fn next(&self) -> Result<Packed, Option<String>> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.change(state);
                return Ok(item);
            }
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            state = self.wait(state);
        }
    }

    /// As [`Local::next`].
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Packed, Option<String>>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            self.change(state);
            return Poll::Ready(Ok(item));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Nobody reads any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let items = std::mem::take(&mut state.items);
        self.change(state);
        drop(items);
    }
}

impl<T: Message> Transport<T> for Local {
    fn send(&self, item: &T) -> Result<(), Closed> {
        let packed = Packed::new(item).map_err(Closed::cannot)?;
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(Closed::unread());
            }
            if state.items.len() < LOCAL {
                state.items.push_back(packed);
                self.change(state);
                return Ok(());
            }
            state = self.wait(state);
        }
    }

    fn try_send(&self, item: &T) -> Result<(), NotSent> {
        let packed = Packed::new(item).map_err(|error| NotSent::Closed(Closed::cannot(error)))?;
        let mut state = self.lock();
        if state.closed {
            return Err(NotSent::Closed(Closed::unread()));
        }
        if state.items.len() >= LOCAL {
            return Err(NotSent::Full);
        }
        state.items.push_back(packed);
        self.change(state);
        Ok(())
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Closed::unread()));
        }
        if state.items.len() < LOCAL {
            return Poll::Ready(Ok(()));
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn finish(&self, end: Option<String>) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        self.change(state);
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

/// The end of a stream as the outlet has it.
pub(crate) fn end_of(end: Option<String>) -> End {
    end.map_or_else(End::normal, End::failed)
}

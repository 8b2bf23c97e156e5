//! The reading end of an input stream in the server: items come in, the handler takes them in their order.
//!
//! An item stays in the client's block until the handler has read it; the answer to its request is what lets the client
//! send another one. A number of small items is copied and answered at once, so that the threads that bring and read them do
//! not change places for every few of them. Nothing else is kept here but the requests of blocks that the client has lent.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use ipc_core::layout::REPLIED;

use super::outlet::{Arriving, Held, LATER};
use super::stock::{MOST, SMALL};
use super::window::Window;
use super::wire::{self, CLOSED, Request};
use crate::status;
use crate::trust::Snapshot;
use crate::waiting::Waiting;

/// What comes in.
#[derive(Debug)]
pub(crate) enum Arrival<H> {
    /// An item; the request waits for its answer.
    Item(H),
    /// An item; the request is answered.
    Copied(Snapshot),
    /// The end, or why there are no more items.
    End(Option<String>),
}

/// The reading end of an input stream.
pub(crate) struct Inlet<H> {
    state: Mutex<State<H>>,
    changed: Condvar,
}

struct State<H> {
    /// What came before its turn.
    window: Window<Arrival<H>>,
    /// What the reader can have.
    ready: VecDeque<Arrival<H>>,
    /// How many items in both are copied.
    copied: usize,
    /// The end is among what has come.
    ended: bool,
    /// Why nothing comes any more.
    closed: Option<&'static str>,
    waiting: Waiting,
}

impl<H> std::fmt::Debug for Inlet<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inlet").finish_non_exhaustive()
    }
}

impl<H: Held> Inlet<H> {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            window: Window::new(),
            ready: VecDeque::new(),
            copied: 0,
            ended: false,
            closed: None,
            waiting: Waiting::default(),
        };
        Arc::new(Inlet { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker brings item number `number`. Gives its answer.
    pub(crate) fn bring(&self, number: u16, call: &mut (impl Arriving<H> + Request)) -> (u16, usize) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return (CLOSED, 0);
        }
        match state.window.judge(number) {
            Ok(ahead) if state.copied < MOST && call.request().1 <= SMALL => {
                state.copied += 1;
                state.window.put(ahead, Arrival::Copied(wire::copy(call)));
                self.tell(state);
                (REPLIED, 0)
            }
            Ok(ahead) => {
                state.window.put(ahead, Arrival::Item(call.put_off()));
                self.tell(state);
                LATER
            }
            Err(bad) => {
                drop(state);
                wire::say(status::REJECTED, bad.text(), call)
            }
        }
    }

    /// A worker brings the end, which has number `number`. Gives its answer.
    pub(crate) fn bring_end(&self, number: u16, reason: Option<String>, call: &mut impl Arriving<H>) -> (u16, usize) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return (CLOSED, 0);
        }
        // An end keeps no block lent, so nothing else limits how many there are.
        if state.ended {
            drop(state);
            return wire::say(status::REJECTED, "the stream has an end already", call);
        }
        match state.window.judge(number) {
            Ok(ahead) => {
                state.ended = true;
                state.window.put(ahead, Arrival::End(reason));
                self.tell(state);
                (REPLIED, 0)
            }
            Err(bad) => {
                drop(state);
                wire::say(status::REJECTED, bad.text(), call)
            }
        }
    }

    /// Wakes the reader if there is something for it.
    fn tell(&self, mut state: MutexGuard<'_, State<H>>) {
        if !state.window.is_ready() {
            return;
        }
        while let Some(arrival) = state.window.take() {
            state.ready.push_back(arrival);
        }
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake(&self.changed);
    }

    /// Takes what is here and due.
    fn take(&self, state: &mut State<H>, ready: &mut VecDeque<Arrival<H>>) -> Result<bool, &'static str> {
        let copied = |arrival: &Arrival<H>| usize::from(matches!(arrival, Arrival::Copied(_)));
        state.copied -= state.ready.iter().map(copied).sum::<usize>();
        ready.append(&mut state.ready);
        match state.closed {
            Some(why) if ready.is_empty() => Err(why),
            _ => Ok(!ready.is_empty()),
        }
    }

    /// Waits until something is due, and takes all that is. `Err`: nothing will come, and why.
    pub(crate) fn wait(&self, ready: &mut VecDeque<Arrival<H>>) -> Result<(), &'static str> {
        let mut state = self.lock();
        while !self.take(&mut state, ready)? {
            state.waiting.sleeps();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Takes all that is due, once something is. `Err`: nothing will come, and why.
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
        ready: &mut VecDeque<Arrival<H>>,
    ) -> Poll<Result<(), &'static str>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        let old = match self.take(&mut state, ready) {
            Ok(true) => return Poll::Ready(Ok(())),
            Err(why) => return Poll::Ready(Err(why)),
            Ok(false) => state.waiting.register(waker),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Nothing comes any more, or nobody reads any more.
    pub(crate) fn close(&self, why: &'static str) {
        let mut state = self.lock();
        state.closed.get_or_insert(why);
        let (ready, rest) = (std::mem::take(&mut state.ready), state.window.drain());
        let waiting = state.waiting.take();
        drop(state);
        settle(ready);
        settle(rest);
        waiting.wake(&self.changed);
    }
}

/// Answers items that nobody reads.
pub(crate) fn settle<H: Held>(arrivals: impl IntoIterator<Item = Arrival<H>>) {
    for arrival in arrivals {
        if let Arrival::Item(item) = arrival {
            item.finish(CLOSED, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    //! # Safety
    //! A request and a reply of no bytes.
    #![allow(unsafe_code)]

    use std::ptr::NonNull;

    use ipc_core::memory::NoMemory;

    use super::super::wire::{Place, Request};
    use super::*;

    struct Nothing;

    // SAFETY: no memory.
    unsafe impl Place for Nothing {
        fn buffer(&self) -> (NonNull<u8>, usize) {
            (NonNull::dangling(), 0)
        }
        fn grow(&mut self, _: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
            Err(NoMemory::fixed(needed))
        }
    }

    // SAFETY: no bytes.
    unsafe impl Request for Nothing {
        fn request(&self) -> (NonNull<u8>, usize) {
            (NonNull::dangling(), 0)
        }
    }

    impl Held for Nothing {
        fn finish(self, _: u16, _: usize) {}
        fn is_cancelled(&self) -> bool {
            false
        }
    }

    impl Arriving<Nothing> for Nothing {
        fn put_off(&mut self) -> Nothing {
            Nothing
        }
    }

    #[test]
    fn a_stream_has_one_end() {
        let inlet = Inlet::new();
        let end = |number| inlet.bring_end(number, Some("x".repeat(2048)), &mut Nothing).0;
        assert_eq!(end(200), REPLIED);
        assert!((0..256).all(|number| end(number) == status::REJECTED));
        assert_eq!(inlet.lock().window.iter().count(), 1);
    }

    #[test]
    fn a_stream_has_one_end_that_its_reader_has_not_read() {
        let inlet = Inlet::new();
        let end = |number| inlet.bring_end(number, None, &mut Nothing).0;
        assert_eq!(end(0), REPLIED);
        assert!((0..256).all(|number| end(number) == status::REJECTED));
        let mut ready = VecDeque::new();
        inlet.wait(&mut ready).unwrap();
        assert_eq!(end(1), status::REJECTED);
        assert!(matches!(ready.make_contiguous(), [Arrival::End(None)]));
    }
}

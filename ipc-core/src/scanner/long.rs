//! Handlers that take long, and the threads that look for requests meanwhile.
//!
//! A handler that waits for others must not keep the requests of others waiting. Before one runs, whoever leaves the scanner
//! role for it wakes an idle worker, or starts a spare one (P10). Which methods those are the handler says
//! ([`Handler::is_long`]); others are learned: a method that was still at it some time after a tick had found its worker
//! gone counts as long, until it turns out to be quick again.

use std::ptr;
use std::sync::{Arc, PoisonError};

use super::Shared;
use crate::callee::{Call, Channel, Handler};
use crate::clock;
use crate::layout::{OWN_METHODS, named};
use crate::serving::Serving;
use crate::sync::{AtomicU8, Ordering, thread};
use crate::tallies;

/// Methods that have a place in the table; those with higher numbers are asked for each time.
const METHODS: usize = 1024;
/// Not asked yet.
const UNKNOWN: u8 = 0;
const SHORT: u8 = 1;
/// As the handler says.
const LONG: u8 = 2;
/// As it turned out.
const LEARNED: u8 = 3;
/// A handler that was still running so long after a tick is long, one that is back so soon is not: nanoseconds.
const PROVES_LONG: u64 = 1_000_000;
const PROVES_SHORT: u64 = 100_000;

/// Which methods take long.
#[derive(Debug)]
pub(super) struct Methods {
    kinds: Box<[AtomicU8; METHODS]>,
}

impl Methods {
    pub(super) fn new() -> Self {
        Methods { kinds: Box::new([const { AtomicU8::new(UNKNOWN) }; METHODS]) }
    }

    /// Is this method known to be short?
    #[inline(always)]
    pub(super) fn is_short(&self, method: u16) -> bool {
        self.kinds.get(usize::from(method)).is_some_and(|kind| kind.load(Ordering::Relaxed) == SHORT)
    }

    fn note(&self, method: u16, kind: u8) {
        if let Some(place) = self.kinds.get(usize::from(method)) {
            place.store(kind, Ordering::Relaxed);
        }
    }

    fn kind(&self, method: u16) -> u8 {
        self.kinds.get(usize::from(method)).map_or(UNKNOWN, |kind| kind.load(Ordering::Relaxed))
    }
}

impl<H: Handler> Shared<H> {
    /// Runs a handler that is not known to be short, without the role.
    #[cold]
    #[inline(never)]
    pub(super) fn call_long(
        &self,
        serving: &Serving<Channel<H::Peer>>,
        channel: &Channel<H::Peer>,
        call: &mut Call<'_, H::Peer>,
    ) -> (u16, usize) {
        let method = call.method();
        if named(method) < OWN_METHODS {
            tallies::count(serving.row.get(), self.statistics.entry(named(method)));
        } else {
            channel.take_back_count();
        }
        self.run_long(&channel.peer, call, method)
    }

    fn run_long(&self, peer: &H::Peer, call: &mut Call<'_, H::Peer>, method: u16) -> (u16, usize) {
        let mut kind = self.methods.kind(method);
        if kind == UNKNOWN {
            kind = if self.handler.is_long(peer, method) { LONG } else { SHORT };
            // What is no method has no place among the figures, which short ones have to have.
            if usize::from(method) < self.statistics.methods() {
                self.methods.note(method, kind);
            }
        }
        if kind == SHORT {
            return self.handler.call(peer, call);
        }
        let began = (kind == LEARNED).then(clock::now);
        self.step_aside();
        let answer = self.handler.call(peer, call);
        if began.is_some_and(|began| clock::now().saturating_sub(began) < PROVES_SHORT) {
            self.methods.note(method, SHORT);
        }
        answer
    }

    /// This thread turns to something that takes long. Without the role; sees to it that somebody else looks for requests.
    fn step_aside(&self) {
        if !self.role.is_vacant() {
            return; // Somebody looks already.
        }
        if self.idle.leave() {
            self.wake.raise(); // [P10]
        } else {
            self.start_spare();
        }
    }

    /// Starts one more worker, if there may be more.
    #[cold]
    pub(super) fn start_spare(&self) {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever joins the spares takes it after it has stopped them.
        if self.stopping.load(Ordering::Relaxed) {
            return;
        }
        let me = self.base + spares.len();
        let (Some(shared), true) = (self.this.upgrade(), me < self.serving.len()) else { return };
        let thread = thread::Builder::new().name("ipc-rpc worker".into());
        // Without a thread more, requests wait as they do when there are no spares.
        if let Ok(thread) = thread.spawn(move || shared.work_as_number(me)) {
            spares.push(thread);
            // From the first one on there is somebody to hear a tick: the holder of the role is to arm it.
            self.has_spares.store(true, Ordering::Relaxed);
            self.attention.store(true, Ordering::Release);
        }
    }

    /// Is there a spare to wait for? Once they have been told to stop none is started any more.
    pub(super) fn has_spares(&self) -> bool {
        !self.spares.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits for the spares, which have been told to stop.
    pub(super) fn join_spares(&self) {
        let spares = std::mem::take(&mut *self.spares.lock().unwrap_or_else(PoisonError::into_inner));
        let me = thread::current().id();
        for spare in spares.into_iter().filter(|spare| spare.thread().id() != me) {
            let _ = spare.join();
        }
    }

    fn work_as_number(self: &Arc<Self>, me: usize) {
        if let Some(serving) = self.serving.get(me).filter(|s| s.claim()).and_then(|_| self.counting(me)) {
            self.work_as(serving);
            serving.release();
        }
    }

    /// This worker, of `own`, has the role now. If a tick has brought it here, notes which handlers have been found running.
    /// If other handlers run and nobody else is left to hear of the next one, somebody is started who will.
    #[cold]
    pub(super) fn take_over(&self, own: &Serving<Channel<H::Peer>>, ticked: bool) {
        if ticked {
            let now = clock::now();
            self.ticked_at.store(now, Ordering::Relaxed);
            self.serving.iter().for_each(|serving| serving.mark(now));
        }
        let others = || self.serving.iter().any(|s| !ptr::eq(s, own) && s.is_busy());
        if self.grow && self.idle.is_empty() && others() {
            self.start_spare();
        }
    }

    /// The handler of `method` has ended under `serving`, after somebody else had looked for requests.
    #[cold]
    pub(super) fn learn(&self, serving: &Serving<Channel<H::Peer>>, method: u16) {
        let since = self.ticked_at.load(Ordering::Relaxed);
        let long = serving.is_marked() && clock::now().saturating_sub(since) >= PROVES_LONG;
        if long && self.methods.kind(method) == SHORT {
            self.methods.note(method, LEARNED);
        }
    }
}

//! The writing end of an output stream in the server: credits come in, items go out in their order.
//!
//! # Who makes the items
//! A [`Sink`](super::Sink) takes a credit for each item and answers it, from whatever thread. If there is none, a small item
//! goes into stock (`stock.rs`), out of which the worker answers that brings the credit. An iterator is run by the worker
//! that brings the credit that is due ("one pumper at a time": it takes the iterator out of the state); credits that others
//! bring meanwhile wait in the window, and the pumper deals with them before it puts the iterator back. An iterator that
//! waits gets a thread of its own (`load.rs`), and credits wait in the window for it.
//!
//! # Ends
//! An end or a failure is an answer to the credit that is due; it waits for that credit if need be. After it, or after the
//! client has closed the stream or died, every credit is answered `CLOSED`.
//!
//! # Locks
//! User code (iterators, wakers, destructors) runs without the lock. Credits are answered without it too.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use ipc_core::clock;
use ipc_core::layout::REPLIED;

use super::channel::{Transport, end_of};
use super::load::Load;
use super::packed::Packed;
use super::produce::{Produce, discard};
use super::sink::{Closed, NotSent};
use super::stock::Stock;
use super::table::Home;
use super::waiting::Waiting;
use super::window::Window;
use super::wire::{self, CLOSED, ENDED, FAILED, Place, Request};
use crate::message::Message;
use crate::status;

/// A request that is answered later.
pub(crate) trait Held: Place + Request + Send + Sized + 'static {
    /// Answers it.
    fn finish(self, status: u16, len: usize);
    /// Has the client given it up?
    fn is_cancelled(&self) -> bool;
}

/// A request that can be answered now or later.
pub(crate) trait Arriving<H>: Place {
    /// Answers it later.
    fn put_off(&mut self) -> H;
}

/// Answered later: what the worker says about it is not heard.
pub(crate) const LATER: (u16, usize) = (REPLIED, 0);

/// How a stream ends.
#[derive(Debug, Clone)]
pub(crate) struct End {
    status: u16,
    text: String,
}

impl End {
    pub(crate) fn normal() -> Self {
        End { status: ENDED, text: String::new() }
    }

    pub(crate) fn failed(reason: String) -> Self {
        End { status: FAILED, text: reason }
    }

    fn write(&self, place: &mut (impl Place + ?Sized)) -> (u16, usize) {
        (self.status, wire::write_text(&self.text, place))
    }
}

/// The writing end of an output stream.
pub(crate) struct Outlet<H> {
    /// Where it is found until it is over.
    home: Home<H>,
    state: Mutex<State<H>>,
    /// Credits have come, or the stream is closed.
    changed: Condvar,
}

struct State<H> {
    /// While there is stock, nothing in it that is due stays there.
    window: Window<H>,
    stock: Stock,
    /// The last answer, if the credit for it has not come yet.
    end: Option<End>,
    closed: bool,
    producer: Option<Box<dyn Produce>>,
    /// The producer is run by a thread of its own, or is to be.
    threaded: bool,
    /// It waits as a matter of course: it is never run by a worker.
    blocking: bool,
    load: Load,
    waiting: Waiting,
}

impl<H> std::fmt::Debug for Outlet<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl<H: Held> Outlet<H> {
    fn new(home: Home<H>, producer: Option<Box<dyn Produce>>, blocking: bool) -> Arc<Self> {
        let state = State {
            window: Window::new(),
            stock: Stock::default(),
            end: None,
            closed: false,
            producer,
            threaded: blocking,
            blocking,
            load: Load::default(),
            waiting: Waiting::default(),
        };
        Arc::new(Outlet { home, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// For a sink.
    pub(crate) fn for_sink(home: Home<H>) -> Arc<Self> {
        Outlet::new(home, None, false)
    }

    /// For an iterator; `blocking`: it is known to wait for others, and gets a thread with [`Outlet::start`].
    pub(crate) fn for_items(home: Home<H>, producer: Box<dyn Produce>, blocking: bool) -> Arc<Self> {
        Outlet::new(home, Some(producer), blocking)
    }

    /// Starts the thread of a blocking iterator.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.lock().blocking && !self.start_thread() {
            let mut state = self.lock();
            (state.threaded, state.blocking) = (false, false);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is nobody reading any more, or has everything been said?
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.lock();
        state.closed || state.window.iter().any(H::is_cancelled)
    }

    /// A worker brings the credit of number `number`. Gives its answer.
    pub(crate) fn bring(self: &Arc<Self>, number: u16, call: &mut impl Arriving<H>) -> (u16, usize) {
        let mut state = self.lock();
        if state.closed {
            return (CLOSED, 0);
        }
        let ahead = match state.window.judge(number) {
            Ok(ahead) => ahead,
            Err(bad) => {
                drop(state);
                return wire::say(status::REJECTED, bad.text(), call);
            }
        };
        if ahead == 0 {
            if let Some((item, go_on)) = state.stock.take() {
                state.window.skip();
                let waiting = if go_on { state.waiting.take() } else { Waiting::default() };
                let more = state.window.is_ready();
                drop(state);
                waiting.wake(&self.changed);
                let answer = answer_with(&item, call);
                if more || answer.0 != REPLIED {
                    self.go_on(answer.0 != REPLIED);
                }
                return answer;
            }
            if let Some(end) = state.end.take() {
                let rest = state.shut();
                drop(state);
                self.home.forget_outlet(self);
                rest.settle(self);
                return end.write(call);
            }
            if !state.threaded
                && let Some(producer) = state.producer.take()
            {
                state.window.skip();
                drop(state);
                return self.pump(producer, call);
            }
        }
        state.window.put(ahead, call.put_off());
        if state.window.is_ready() {
            let waiting = state.waiting.take();
            drop(state);
            waiting.wake(&self.changed);
        }
        LATER
    }

    /// Answers the credit that is due out of the iterator, and those that have come meanwhile.
    fn pump(self: &Arc<Self>, mut producer: Box<dyn Produce>, call: &mut impl Place) -> (u16, usize) {
        let mut before = clock::now();
        let answer = producer.produce(call);
        let mut last = answer.0 != REPLIED;
        loop {
            let after = clock::now();
            let mut state = self.lock();
            state.load.add(after.saturating_sub(before));
            before = after;
            if last || state.closed {
                let rest = state.shut();
                drop(state);
                self.home.forget_outlet(self);
                discard(producer);
                rest.settle(self);
                return answer;
            }
            if state.load.is_slow() {
                state.threaded = true;
                state.producer = Some(producer);
                drop(state);
                if self.start_thread() {
                    return answer;
                }
                state = self.lock();
                state.threaded = false;
                match state.producer.take() {
                    Some(back) => producer = back,
                    None => return answer, // Closed meanwhile.
                }
            }
            let Some(mut credit) = state.window.take() else {
                state.producer = Some(producer);
                return answer;
            };
            drop(state);
            let (status, len) = producer.produce(&mut credit);
            last = status != REPLIED;
            if last {
                self.home.forget_outlet(self);
            }
            credit.finish(status, len);
        }
    }

    fn start_thread(self: &Arc<Self>) -> bool {
        let outlet = Arc::clone(self);
        let thread = std::thread::Builder::new().name(String::from("ipc-rpc stream"));
        thread.spawn(move || outlet.pump_on()).is_ok()
    }

    /// The thread of a blocking iterator.
    fn pump_on(self: &Arc<Self>) {
        let mut state = self.lock();
        let Some(mut producer) = state.producer.take() else { return };
        loop {
            if state.closed {
                break;
            }
            let Some(mut credit) = state.window.take() else {
                if state.load.is_quick() && !state.blocking {
                    state.threaded = false;
                    state.producer = Some(producer);
                    return;
                }
                state.waiting.sleeps();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let before = clock::now();
            let (status, len) = producer.produce(&mut credit);
            let took = clock::now().saturating_sub(before);
            let last = status != REPLIED || credit.is_cancelled();
            if last {
                self.home.forget_outlet(self);
            }
            credit.finish(status, len);
            state = self.lock();
            state.load.add(took);
            if last {
                break;
            }
        }
        let rest = state.shut();
        drop(state);
        discard(producer);
        rest.settle(self);
    }

    /// Answers the credits that are due and have something to be answered with; `failed`: an item could not be written, which
    /// ends the stream.
    #[cold]
    fn go_on(self: &Arc<Self>, mut failed: bool) {
        loop {
            let mut state = self.lock();
            if failed || state.closed {
                let rest = state.shut();
                drop(state);
                self.home.forget_outlet(self);
                return rest.settle(self);
            }
            if !state.window.is_ready() {
                return;
            }
            if let Some((item, _)) = state.stock.take() {
                let Some(mut credit) = state.window.take() else { return };
                drop(state);
                let (status, len) = answer_with(&item, &mut credit);
                credit.finish(status, len);
                failed = status != REPLIED;
            } else {
                let Some(end) = state.end.take() else { return };
                drop(state);
                return self.finish(end);
            }
        }
    }

    /// Sends an item if there is a credit for it or room in stock.
    fn offer<'a, T: Message>(self: &'a Arc<Self>, item: &T, packed: &mut Option<Packed>) -> Offered<'a, H> {
        loop {
            let mut state = self.lock();
            if state.closed || state.end.is_some() {
                return Offered::Closed(Closed::unread());
            }
            if state.stock.is_empty()
                && let Some(credit) = state.window.take()
            {
                drop(state);
                return Offered::Credit(credit);
            }
            if !state.stock.has_room() {
                return Offered::Full(state);
            }
            match packed.take() {
                Some(small) => match state.stock.put(small) {
                    Ok(()) => return Offered::Taken,
                    // It is written anew when there is a credit.
                    Err(_) => continue,
                },
                None => {
                    drop(state);
                    match Packed::new(item) {
                        Ok(new) => *packed = Some(new),
                        Err(error) => {
                            self.finish(End { status: status::RESULT, text: error.to_string() });
                            return Offered::Closed(Closed::cannot(error));
                        }
                    }
                }
            }
        }
    }

    /// The same for an item that is packed already; `true`: it is gone.
    #[cfg(feature = "futures")]
    fn offer_packed(self: &Arc<Self>, packed: &mut Option<Packed>) -> bool {
        let Some(item) = packed.take() else { return true };
        let mut state = self.lock();
        if state.stock.is_empty()
            && let Some(mut credit) = state.window.take()
        {
            drop(state);
            let (status, len) = answer_with(&item, &mut credit);
            credit.finish(status, len);
            if status != REPLIED {
                self.home.forget_outlet(self);
                self.close();
            }
            return true;
        }
        if state.stock.has_room() {
            match state.stock.put(item) {
                Ok(()) => return true,
                Err(item) => *packed = Some(item),
            }
        } else {
            *packed = Some(item);
        }
        false
    }

    /// Ready once an item can be sent. `Err`: closed.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(()));
        }
        if state.stock.has_room() || (state.stock.is_empty() && state.window.is_ready()) {
            return Poll::Ready(Ok(()));
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Ready once the stream is closed.
    #[cfg(feature = "futures")]
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(());
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Ends the stream: there is no further item.
    pub(crate) fn finish(self: &Arc<Self>, end: End) {
        let mut state = self.lock();
        if state.closed || state.end.is_some() {
            return;
        }
        if !state.stock.is_empty() {
            state.end = Some(end);
            return;
        }
        match state.window.take() {
            None => state.end = Some(end),
            Some(mut credit) => {
                let rest = state.shut();
                drop(state);
                let (status, len) = end.write(&mut credit);
                self.home.forget_outlet(self);
                credit.finish(status, len);
                rest.settle(self);
            }
        }
    }

    /// Ends the stream in the place of an item for which the credit was taken already.
    pub(crate) fn finish_with(self: &Arc<Self>, mut credit: H, status: u16, text: &str) {
        let (status, len) = wire::say(status, text, &mut credit);
        self.home.forget_outlet(self);
        credit.finish(status, len);
        self.close();
    }

    /// Nobody reads any more.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        let rest = state.shut();
        drop(state);
        rest.settle(self);
    }

    /// Does closing it run code of the user?
    pub(crate) fn has_producer(&self) -> bool {
        self.lock().producer.is_some()
    }
}

impl<H> State<H> {
    /// Closes it, and gives what is left to be done without the lock.
    fn shut(&mut self) -> Rest<H> {
        self.closed = true;
        self.end = None;
        self.stock = Stock::default();
        Rest { credits: self.window.drain(), producer: self.producer.take(), waiting: self.waiting.take() }
    }
}

/// What has become of an item.
enum Offered<'a, H> {
    /// It is in stock.
    Taken,
    /// It can be written there.
    Credit(H),
    /// There is no room now.
    Full(MutexGuard<'a, State<H>>),
    Closed(Closed),
}

fn answer_with(item: &Packed, place: &mut (impl Place + ?Sized)) -> (u16, usize) {
    match wire::write_packed(item, place) {
        Some(len) => (REPLIED, len),
        None => wire::say(status::RESULT, "there is no memory left for an item", place),
    }
}

/// What is left of a stream that was closed.
struct Rest<H> {
    credits: Vec<H>,
    producer: Option<Box<dyn Produce>>,
    waiting: Waiting,
}

impl<H: Held> Rest<H> {
    fn settle(self, outlet: &Outlet<H>) {
        for credit in self.credits {
            credit.finish(CLOSED, 0);
        }
        self.waiting.wake(&outlet.changed);
        discard(self.producer);
    }
}

/// An outlet that a sink writes to.
pub(crate) struct Writer<H>(pub(crate) Arc<Outlet<H>>);

impl<H: Held> Writer<H> {
    fn write<T: Message>(&self, mut credit: H, item: &T) -> Result<(), Closed> {
        if credit.is_cancelled() {
            // As good as a closed stream: its reader is gone, and the word about it on its way.
            self.0.home.forget_outlet(&self.0);
            credit.finish(CLOSED, 0);
            self.0.close();
            return Err(Closed::unread());
        }
        match wire::write(item, &mut credit) {
            Ok(len) => {
                credit.finish(REPLIED, len);
                Ok(())
            }
            Err(error) => {
                self.0.finish_with(credit, status::RESULT, &error.to_string());
                Err(Closed::cannot(error))
            }
        }
    }
}

#[cfg(feature = "futures")]
impl<H: Held> Writer<H> {
    /// Writes the items of a stream until it ends or nobody reads any more.
    pub(crate) async fn write_all<T: Message>(
        self,
        mut items: std::pin::Pin<Box<dyn futures_core::Stream<Item = T> + Send>>,
    ) {
        let ending = Ending(self);
        let mut packed = None;
        std::future::poll_fn(move |cx| ending.0.poll_all(cx, items.as_mut(), &mut packed)).await;
    }

    fn poll_all<T: Message>(
        &self,
        cx: &mut Context<'_>,
        mut items: std::pin::Pin<&mut (dyn futures_core::Stream<Item = T> + Send)>,
        packed: &mut Option<Packed>,
    ) -> Poll<()> {
        loop {
            if self.0.poll_closed(cx).is_ready() {
                return Poll::Ready(());
            }
            if packed.is_some() {
                match self.0.offer_packed(packed) {
                    true => continue,
                    false if self.0.poll_ready(cx).is_pending() => return Poll::Pending,
                    false => continue,
                }
            }
            match std::task::ready!(items.as_mut().poll_next(cx)) {
                Some(item) => match self.try_send(&item) {
                    Ok(()) => {}
                    // The item itself may be bound to this thread.
                    Err(NotSent::Full) => match Packed::new(&item) {
                        Ok(new) => *packed = Some(new),
                        Err(error) => self.0.finish(End { status: status::RESULT, text: error.to_string() }),
                    },
                    Err(NotSent::Closed(_)) => return Poll::Ready(()),
                },
                None => {
                    self.0.finish(End::normal());
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// Ends a stream whose task was dropped or has panicked.
#[cfg(feature = "futures")]
struct Ending<H: Held>(Writer<H>);

#[cfg(feature = "futures")]
impl<H: Held> Drop for Ending<H> {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { "the stream panicked" } else { "the server dropped the stream" };
        self.0.0.finish(End::failed(reason.into()));
    }
}

impl<T: Message, H: Held> Transport<T> for Writer<H> {
    fn send(&self, item: &T) -> Result<(), Closed> {
        let mut packed = None;
        loop {
            match self.0.offer(item, &mut packed) {
                Offered::Taken => return Ok(()),
                Offered::Credit(credit) => return self.write(credit, item),
                Offered::Closed(closed) => return Err(closed),
                Offered::Full(mut state) => {
                    state.waiting.sleeps();
                    drop(self.0.changed.wait(state));
                }
            }
        }
    }

    fn try_send(&self, item: &T) -> Result<(), NotSent> {
        match self.0.offer(item, &mut None) {
            Offered::Taken => Ok(()),
            Offered::Credit(credit) => self.write(credit, item).map_err(NotSent::Closed),
            Offered::Closed(closed) => Err(NotSent::Closed(closed)),
            Offered::Full(_) => Err(NotSent::Full),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.0.poll_ready(cx).map_err(|()| Closed::unread())
    }

    fn finish(&self, end: Option<String>) {
        self.0.finish(end_of(end));
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

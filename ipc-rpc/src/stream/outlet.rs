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
use super::threads::Leave;
use super::window::Window;
use super::wire::{self, CLOSED, ENDED, FAILED, Place, Request};
use crate::message::{EncodeError, Message};
use crate::status;
use crate::waiting::Waiting;

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

    /// An item cannot be sent.
    fn cannot(error: &EncodeError) -> Self {
        let (status, text) = status::of(error);
        End { status, text }
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

    /// Starts the thread of a blocking iterator, which has leave for it.
    pub(crate) fn start(self: &Arc<Self>, leave: Leave) {
        if !self.start_thread(leave) {
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
        let answer = self.produce(&mut *producer, call);
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
            if state.load.is_slow()
                && let Some(leave) = self.home.thread()
            {
                state.threaded = true;
                state.producer = Some(producer);
                drop(state);
                if self.start_thread(leave) {
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
            let (status, len) = self.produce(&mut *producer, &mut credit);
            last = status != REPLIED;
            if last {
                self.home.forget_outlet(self);
            }
            credit.finish(status, len);
            ipc_core::fail_point!(CreditAnswered);
        }
    }

    fn start_thread(self: &Arc<Self>, leave: Leave) -> bool {
        let outlet = Arc::clone(self);
        let thread = std::thread::Builder::new().name(String::from("ipc-rpc stream"));
        let run = move || {
            outlet.pump_on();
            drop(leave);
        };
        thread.spawn(run).is_ok()
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
            let (status, len) = self.produce(&mut *producer, &mut credit);
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
            if state.window.is_ready()
                && let Some((item, _)) = state.stock.take()
            {
                let credit = state.window.take();
                drop(state);
                if let Some(mut credit) = credit {
                    let (status, len) = answer_with(&item, &mut credit);
                    credit.finish(status, len);
                    failed = status != REPLIED;
                }
                continue;
            }
            if state.window.is_ready()
                && let Some(end) = state.end.take()
            {
                drop(state);
                return self.finish(end);
            }
            // There is room now, or a credit that came before its turn: whoever waits for either was not told by `bring`.
            let waiting = state.waiting.take();
            drop(state);
            return waiting.wake(&self.changed);
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
                            self.finish(End::cannot(&error));
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
        let closed = self.lock().closed;
        let (status, len) = if closed { (CLOSED, 0) } else { wire::say(status, text, &mut credit) };
        self.home.forget_outlet(self);
        credit.finish(status, len);
        self.close();
    }

    /// Nobody reads any more.
    pub(crate) fn close(self: &Arc<Self>) {
        discard(self.end());
    }

    /// As [`Outlet::close`], but does not run code of the user: dropping the iterator, which is given, may.
    pub(crate) fn end(self: &Arc<Self>) -> Option<Box<dyn Produce>> {
        let mut rest = self.lock().shut();
        let producer = rest.producer.take();
        rest.settle(self);
        producer
    }

    /// The next item, or the end. Closed meanwhile, it has none of its own: an input may have been closed with it, and fail.
    fn produce(&self, producer: &mut dyn Produce, place: &mut dyn Place) -> (u16, usize) {
        let answer = producer.produce(place);
        if answer.0 != REPLIED && self.lock().closed { (CLOSED, 0) } else { answer }
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
        Ok(len) => (REPLIED, len),
        Err(none) => wire::cannot(&EncodeError::OutOfMemory(none), place),
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
                ipc_core::fail_point!(CreditAnswered);
                Ok(())
            }
            Err(error) => {
                let (status, text) = status::of(&error);
                self.0.finish_with(credit, status, &text);
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
                        Err(error) => self.0.finish(End::cannot(&error)),
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

#[cfg(test)]
mod tests {
    //! # Safety
    //! Replies in the memory of a vector.
    #![allow(unsafe_code)]

    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::ptr::NonNull;
    use std::thread;
    use std::time::Duration;

    use ipc_core::memory::NoMemory;

    use proptest::prelude::*;

    use super::super::stock::MOST;
    use super::*;
    use crate::trust::Reading;

    /// What was answered, by number.
    type Answers = Arc<Mutex<BTreeMap<u16, (u16, Option<u64>)>>>;

    /// A credit; put off or not.
    struct Credit {
        number: u16,
        words: Vec<Cell<u128>>,
        answers: Answers,
    }

    impl Credit {
        fn new(number: u16, answers: &Answers) -> Self {
            Credit { number, words: vec![Cell::new(0); 130], answers: answers.clone() }
        }

        fn answer(&self, status: u16, len: usize) {
            let item =
                (status == REPLIED).then(|| wire::read_request::<(u64, String)>(&Reply(self, len), Reading::InPlace));
            let item = item.map(|item| item.unwrap().0);
            assert!(self.answers.lock().unwrap().insert(self.number, (status, item)).is_none(), "answered twice");
        }
    }

    struct Reply<'a>(&'a Credit, usize);

    // SAFETY: memory of the vector.
    unsafe impl Request for Reply<'_> {
        fn request(&self) -> (NonNull<u8>, usize) {
            (self.0.buffer().0, self.1)
        }
    }

    // SAFETY: memory of the vector, from its eighth byte on; cells, so that it may be written to.
    unsafe impl Place for Credit {
        fn buffer(&self) -> (NonNull<u8>, usize) {
            let first = NonNull::from(self.words.as_slice()).cast::<u8>();
            // SAFETY: the vector has more than eight bytes.
            (unsafe { first.byte_add(8) }, size_of_val(self.words.as_slice()) - 8)
        }
        fn grow(&mut self, _: usize, needed: usize) -> Result<(NonNull<u8>, usize), NoMemory> {
            Err(NoMemory::fixed(needed))
        }
    }

    // SAFETY: no bytes.
    unsafe impl Request for Credit {
        fn request(&self) -> (NonNull<u8>, usize) {
            (NonNull::dangling(), 0)
        }
    }

    impl Held for Credit {
        fn finish(self, status: u16, len: usize) {
            self.answer(status, len);
        }
        fn is_cancelled(&self) -> bool {
            false
        }
    }

    impl Arriving<Credit> for Credit {
        fn put_off(&mut self) -> Credit {
            Credit { number: self.number, words: std::mem::take(&mut self.words), answers: self.answers.clone() }
        }
    }

    /// A worker brings a credit.
    fn bring(outlet: &Arc<Outlet<Credit>>, number: u16, answers: &Answers) {
        let mut credit = Credit::new(number, answers);
        let (status, len) = outlet.bring(number, &mut credit);
        if !credit.words.is_empty() {
            credit.answer(status, len);
        }
    }

    fn outlet() -> Arc<Outlet<Credit>> {
        Outlet::for_sink(super::super::table::Table::new(1).home(1))
    }

    fn item(number: u64, large: bool) -> (u64, String) {
        (number, "x".repeat(if large { 1000 } else { 3 }))
    }

    /// Sends so many items from a thread of its own, every `large`th one too large for the stock.
    fn send(outlet: &Arc<Outlet<Credit>>, items: u64, large: u64) -> thread::JoinHandle<()> {
        let writer = Writer(outlet.clone());
        thread::spawn(move || {
            for number in 0..items {
                if writer.send(&item(number, large > 0 && number % large == large - 1)).is_err() {
                    return;
                }
            }
            Transport::<(u64, String)>::finish(&writer, None);
        })
    }

    fn expected(items: u64, credits: u16) -> BTreeMap<u16, (u16, Option<u64>)> {
        let answer = |n: u16| match u64::from(n).cmp(&items) {
            std::cmp::Ordering::Less => (REPLIED, Some(u64::from(n))),
            std::cmp::Ordering::Equal => (ENDED, None),
            std::cmp::Ordering::Greater => (CLOSED, None),
        };
        (0..credits).map(|n| (n, answer(n))).collect()
    }

    /// Waits until as many credits are answered; a writer that nobody wakes ends the test.
    fn until(answers: &Answers, count: usize) {
        for _ in 0..10_000 {
            if answers.lock().unwrap().len() >= count {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{} of {count} credits are answered", answers.lock().unwrap().len());
    }

    #[test]
    fn a_writer_without_room_is_woken_by_credits_that_come_in_any_order() {
        // The stock is full, or the next item does not go into it; then every pair of credits comes the wrong way round.
        for (items, large) in [(2 * MOST as u64, 0), (10, 2), (50, 7), (50, 50)] {
            let (outlet, answers) = (outlet(), Answers::default());
            let writer = send(&outlet, items, large);
            let room = if large == 0 { MOST } else { 0 };
            while outlet.lock().stock.len() < room {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            for pair in 0..(items as u16).div_ceil(2) + 1 {
                bring(&outlet, 2 * pair + 1, &answers);
                bring(&outlet, 2 * pair, &answers);
                until(&answers, 2 * usize::from(pair) + 2);
            }
            writer.join().unwrap();
            let credits = answers.lock().unwrap().len() as u16;
            assert_eq!(*answers.lock().unwrap(), expected(items, credits));
        }
    }

    #[test]
    fn a_closed_stream_answers_its_credits_and_ends_its_writer() {
        let (outlet, answers) = (outlet(), Answers::default());
        for number in [3, 2, 1] {
            bring(&outlet, number, &answers);
        }
        let writer = send(&outlet, 1000, 0);
        outlet.close();
        writer.join().unwrap();
        bring(&outlet, 0, &answers);
        assert!(answers.lock().unwrap().values().all(|(status, _)| *status == CLOSED));
        assert_eq!(answers.lock().unwrap().len(), 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the order in which credits come, from one worker or two, each is answered once and with the right item.
        #[test]
        fn every_credit_gets_its_item(
            items in 0u64..300,
            large in 0u64..12,
            window in 1u16..40,
            order in prop::collection::vec(any::<u16>(), 40),
            two in any::<bool>(),
        ) {
            let (outlet, answers) = (outlet(), Answers::default());
            let writer = send(&outlet, items, large);
            let mut next = 0u16;
            while u64::from(next) <= items {
                let mut numbers: Vec<u16> = (next..next + window).collect();
                numbers.sort_by_key(|n| order.get(usize::from(n - next)).copied());
                let half = if two { numbers.len() / 2 } else { 0 };
                let (first, second) = numbers.split_at(half);
                thread::scope(|scope| {
                    scope.spawn(|| first.iter().for_each(|n| bring(&outlet, *n, &answers)));
                    second.iter().for_each(|n| bring(&outlet, *n, &answers));
                });
                next += window;
                until(&answers, usize::from(next));
            }
            writer.join().unwrap();
            prop_assert_eq!(&*answers.lock().unwrap(), &expected(items, next));
        }

        /// The same for an iterator.
        #[test]
        fn every_credit_gets_the_iterators_item(
            items in 0u64..200,
            window in 1u16..40,
            order in prop::collection::vec(any::<u16>(), 40),
            blocking in any::<bool>(),
        ) {
            let answers = Answers::default();
            let all = (0..items).map(|n| Ok(item(n, false)));
            let producer = Box::new(super::super::produce::Items(Box::new(all)));
            let table = super::super::table::Table::new(1);
            let outlet = Outlet::for_items(table.home(1), producer, blocking);
            if blocking {
                outlet.start(table.threads.take().unwrap());
            }
            let mut next = 0u16;
            while u64::from(next) <= items {
                let mut numbers: Vec<u16> = (next..next + window).collect();
                numbers.sort_by_key(|n| order.get(usize::from(n - next)).copied());
                let (first, second) = numbers.split_at(numbers.len() / 2);
                thread::scope(|scope| {
                    scope.spawn(|| first.iter().for_each(|n| bring(&outlet, *n, &answers)));
                    second.iter().for_each(|n| bring(&outlet, *n, &answers));
                });
                next += window;
                until(&answers, usize::from(next));
            }
            prop_assert_eq!(&*answers.lock().unwrap(), &expected(items, next));
        }
    }
}

//! The calls that have streams, as the generated client makes them.
//!
//! # The order of things
//! A stream's number is chosen first and given back last. An input stream is announced before its call, so that items that
//! overtake the call find it. A call that fails closes its streams: it is given up *before* that, so that a handler that opens
//! a stream too late sees it.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Draft, Limit, NoBlock, Pending};
use ipc_core::clock;

use super::channel::Transport;
use super::feeder::Feeder;
use super::gate::Turn;
use super::produce::message_of;
use super::reader::{Reader, Span};
use super::shares::Ticket;
use super::sink::{Closed, NotSent};
use super::streaming::{Source, Streaming, reason_of};
use super::wire::{CLOSE_INPUT, CLOSE_OUTPUT, OPEN_INPUT};
use crate::call_error::CallError;
use crate::connect::Connection;
use crate::message::{Argument, Message};
use crate::stub::{AT_ONCE, Shared, Stub};
use crate::terms::{Terms, Timeout};

/// How long the second block of a call with an input is waited for before the first goes back.
const GIVE_WAY: Duration = Duration::from_millis(5);

/// A call with streams that has not been answered.
struct Opening {
    stub: Stub,
    ticket: Arc<Ticket>,
    method: u16,
    terms: Terms,
    span: Span,
    /// What is to be closed if this comes to nothing.
    closes: u16,
}

impl Opening {
    fn new(stub: &Stub, connection: &Arc<Connection>, method: u16) -> Result<Self, CallError> {
        let mut terms = stub.terms(connection, method)?;
        if terms.target != 0 {
            let reason = "an object that was lent has no methods with streams: lend one without, or connect to it";
            return Err(CallError::Rejected { method: connection.name(method), reason: reason.into() });
        }
        let Some(ticket) = Ticket::new(connection) else {
            return Err(connection.busy(method));
        };
        terms.target = ticket.number;
        // A limit that was configured is one for calls; one that was asked for holds for all that comes of this one.
        let asked = matches!(stub.timeout, Timeout::Asked(_)) || terms.allowed != stub.allowed();
        let limit = if let (Limit::Until(_), true) = (terms.limit, asked) { terms.limit } else { Limit::None };
        let span = Span { limit, allowed: terms.allowed };
        Ok(Opening { stub: stub.clone(), ticket, method, terms, span, closes: 0 })
    }

    fn not_sent(&self, why: NoBlock) -> CallError {
        self.ticket.connection.not_sent(self.method, why)
    }

    fn begin<A: Message>(
        &mut self,
        draft: Draft<Shared>,
        args: &impl Argument<A>,
        closes: u16,
    ) -> Result<Pending<Shared>, CallError> {
        let pending = self.stub.submit(&self.ticket.connection, draft, self.method, args, &self.terms, AT_ONCE)?;
        self.ticket.note(pending.lending());
        self.closes |= closes;
        Ok(pending)
    }

    /// Waits for the reply of the call.
    fn reply(&self, pending: Pending<Shared>) -> Result<Answer<Shared>, CallError> {
        let terms = &self.terms;
        let connection = &self.ticket.connection;
        let reply = connection.wait(self.method, pending, terms.limit, || terms.allowed, Ok, |error, _| Err(error));
        match reply {
            // When the time is over the input stream is closed as well, and the server may see that before it sees the call.
            Err(CallError::Rejected { method, .. }) if matches!(terms.limit, Limit::Until(deadline) if clock::now() >= deadline) => {
                Err(CallError::TimedOut { method, after: terms.allowed, may_have_run: false })
            }
            reply => reply,
        }
    }

    async fn reply_async(&self, mut pending: Pending<Shared>) -> Result<Answer<Shared>, CallError> {
        let limit = self.terms.limit;
        poll_fn(|cx| pending.poll_ready(cx, limit)).await;
        self.reply(pending)
    }

    fn read<R: Message>(&self, answer: &Answer<Shared>) -> Result<R, CallError> {
        self.ticket.connection.read::<R, _>(self.method, answer)
    }

    fn read_result<R: Message, E: Message>(&self, answer: &Answer<Shared>) -> Result<R, CallError<E>> {
        self.ticket.connection.read_result::<R, E, _>(self.method, answer)
    }

    /// The call has been answered: from now on its streams have owners.
    fn opened(mut self) -> (Arc<Ticket>, u16, Span) {
        self.closes = 0;
        (Arc::clone(&self.ticket), self.method, self.span)
    }

    fn streaming<T: Message>(self, input: bool) -> Streaming<T> {
        let (ticket, method, span) = self.opened();
        Streaming::over(Source::Output(Box::new(Reader::new(ticket, method, span, input))))
    }

    /// Two blocks: for the call, and for the items. One call after the other, so that none has the block that another one
    /// waits for with the first in its hand; and the first goes back now and then, for whoever waits for just one.
    fn two_blocks(&self) -> Result<(Draft<Shared>, Draft<Shared>), CallError> {
        let streams = &self.ticket.connection.streams;
        streams.has_two_blocks().map_err(|why| self.not_sent(why))?;
        let limit = self.fixed_limit();
        let _turn = streams.gate.enter(limit).ok_or_else(|| self.not_sent(NoBlock::Busy))?;
        loop {
            let first = Caller::draft(self.ticket.holder(), limit).map_err(|why| self.not_sent(why))?;
            match Caller::draft(self.ticket.holder(), for_a_while(limit)) {
                Ok(second) => return Ok((first, second)),
                Err(NoBlock::Busy) => {}
                Err(why) => return Err(self.not_sent(why)),
            }
            drop(first);
            self.is_in_time(limit)?;
        }
    }

    async fn two_blocks_async(&self) -> Result<(Draft<Shared>, Draft<Shared>), CallError> {
        let streams = &self.ticket.connection.streams;
        streams.has_two_blocks().map_err(|why| self.not_sent(why))?;
        let limit = self.fixed_limit();
        let _turn = self.turn(limit).await.ok_or_else(|| {
            let ended = self.ticket.connection.caller.has_ended();
            self.not_sent(if ended { NoBlock::Ended } else { NoBlock::Busy })
        })?;
        loop {
            let first = Caller::draft_async(self.ticket.holder(), limit).await.map_err(|why| self.not_sent(why))?;
            match Caller::draft_async(self.ticket.holder(), for_a_while(limit)).await {
                Ok(second) => return Ok((first, second)),
                Err(NoBlock::Busy) => {}
                Err(why) => return Err(self.not_sent(why)),
            }
            drop(first);
            self.is_in_time(limit)?;
        }
    }

    /// Lets this call in when no other takes two blocks; `None`: the limit has passed, or the connection is over.
    async fn turn(&self, limit: Limit) -> Option<Turn<'_>> {
        let gate = &self.ticket.connection.streams.gate;
        let mut late = match limit {
            Limit::Until(deadline) => Some(Caller::sleep_async(self.ticket.holder(), deadline)),
            _ => None,
        };
        poll_fn(|cx| match (gate.poll_enter(cx), &mut late) {
            (Poll::Ready(turn), _) => Poll::Ready(Some(turn)),
            (Poll::Pending, Some(late)) => Pin::new(late).poll(cx).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    fn is_in_time(&self, limit: Limit) -> Result<(), CallError> {
        match limit {
            Limit::Until(deadline) if clock::now() >= deadline => Err(self.not_sent(NoBlock::Busy)),
            _ => Ok(()),
        }
    }

    /// The limit from now on.
    fn fixed_limit(&self) -> Limit {
        match self.terms.limit {
            Limit::Lazy(timeout) => Limit::Until(clock::after(timeout)),
            other => other,
        }
    }

    /// The announcement of the input stream.
    fn announce(&mut self, mut draft: Draft<Shared>) -> Pending<Shared> {
        draft.address(self.ticket.number, 0);
        let pending = draft.submit(OPEN_INPUT, 0, self.terms.limit);
        ipc_core::fail_point!(InputAnnounced);
        self.ticket.note(pending.lending());
        self.closes |= CLOSE_INPUT;
        pending
    }

    /// Announces the input stream, and gives the blocks of the call and of the items.
    fn open_input(&mut self) -> Result<(Draft<Shared>, Arc<Feeder>), CallError> {
        let (first, second) = self.two_blocks()?;
        let pending = self.announce(first);
        let answer = self.reply(pending)?;
        let draft = match answer.again() {
            Some(draft) => draft,
            None => Caller::draft(self.ticket.holder(), self.terms.limit).map_err(|why| self.not_sent(why))?,
        };
        Ok((draft, Feeder::new(Arc::clone(&self.ticket), self.span, second)))
    }

    async fn open_input_async(&mut self) -> Result<(Draft<Shared>, Arc<Feeder>), CallError> {
        let (first, second) = self.two_blocks_async().await?;
        let pending = self.announce(first);
        let answer = self.reply_async(pending).await?;
        let draft = match answer.again() {
            Some(draft) => draft,
            None => {
                let draft = Caller::draft_async(self.ticket.holder(), self.terms.limit).await;
                draft.map_err(|why| self.not_sent(why))?
            }
        };
        Ok((draft, Feeder::new(Arc::clone(&self.ticket), self.span, second)))
    }
}

fn for_a_while(limit: Limit) -> Limit {
    let soon = clock::after(GIVE_WAY);
    Limit::Until(if let Limit::Until(deadline) = limit { deadline.min(soon) } else { soon })
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.closes != 0 {
            self.ticket.close(self.closes);
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// Sends the items of an input, as far as this thread has to do it: those of a channel are sent by whoever has the sink.
fn pump<T: Message>(input: Streaming<T>, feeder: &Arc<Feeder>) {
    let to: &dyn Transport<T> = &**feeder;
    match input.into_source() {
        Source::Channel(channel) => channel.attach(Arc::<Feeder>::clone(feeder)),
        Source::Items(mut items) => loop {
            if to.is_closed() {
                return;
            }
            match items.next() {
                Some(Ok(item)) => {
                    if to.send(&item).is_err() {
                        return;
                    }
                }
                Some(Err(reason)) => return feeder.finish_now(Some(reason)),
                None => return feeder.finish_now(None),
            }
        },
        source => {
            let mut items = Streaming::<T>::over(source);
            loop {
                if to.is_closed() {
                    return;
                }
                match items.next() {
                    Some(Ok(item)) => {
                        if to.send(&item).is_err() {
                            return;
                        }
                    }
                    Some(Err(error)) => return feeder.finish_now(Some(reason_of(error))),
                    None => return feeder.finish_now(None),
                }
            }
        }
    }
}

/// The same without a thread of its own.
async fn pump_async<T: Message>(input: Streaming<T>, feeder: &Arc<Feeder>) {
    let to: &dyn Transport<T> = &**feeder;
    let mut items = match input.into_source() {
        Source::Channel(channel) => return channel.attach(Arc::<Feeder>::clone(feeder)),
        source => Streaming::<T>::over(source),
    };
    loop {
        if poll_fn(|cx| to.poll_ready(cx)).await.is_err() {
            return;
        }
        match items.next_async().await {
            Some(Ok(item)) => {
                if poll_fn(|cx| poll_send(to, cx, &item)).await.is_err() {
                    return;
                }
            }
            other => {
                // With a block for the last word.
                let _ = poll_fn(|cx| to.poll_ready(cx)).await;
                return to.finish(other.and_then(Result::err).map(reason_of));
            }
        }
    }
}

fn poll_send<T>(to: &dyn Transport<T>, cx: &mut Context<'_>, item: &T) -> Poll<Result<(), Closed>> {
    loop {
        match to.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        match to.try_send(item) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(NotSent::Closed(closed)) => return Poll::Ready(Err(closed)),
            Err(NotSent::Full) => {}
        }
    }
}

/// Ends a feeder when the call is over, however it ends.
struct Feeding {
    feeder: Arc<Feeder>,
    goes_on: bool,
}

impl Feeding {
    fn new(feeder: Arc<Feeder>) -> Self {
        Feeding { feeder, goes_on: false }
    }

    /// The call was answered, and its input goes on beside its output.
    fn goes_on(mut self) {
        self.goes_on = true;
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        if !self.goes_on {
            self.feeder.close();
        }
    }
}

/// The input of a call that also has an output: a thread of its own sends the items, unless a sink's owner does.
fn pump_aside<T: Message>(input: Streaming<T>, feeder: &Arc<Feeder>) {
    if let Source::Channel(_) = input.source() {
        return pump(input, feeder);
    }
    let also = Arc::clone(feeder);
    let run = move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| pump(input, &also))) {
            let reason = format!("the iterator panicked: {}", message_of(panic));
            Transport::<T>::finish(&*also, Some(reason));
        }
    };
    if std::thread::Builder::new().name(String::from("ipc-rpc input")).spawn(run).is_err() {
        Transport::<T>::finish(&**feeder, Some(String::from("the client could not start a thread")));
    }
}

/// Reads the reply of a call with streams.
trait Reads<R, E>: Fn(&Opening, &Answer<Shared>) -> Result<R, CallError<E>> + Copy {}

impl<R, E, F: Fn(&Opening, &Answer<Shared>) -> Result<R, CallError<E>> + Copy> Reads<R, E> for F {}

impl Stub {
    /// Calls a method that returns a stream.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn open<A: Message, T: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Streaming<T>, CallError> {
        let opening = self.open_with(method, args, Opening::read)?;
        Ok(opening.streaming(false))
    }

    /// Calls a method that returns a `Result` of a stream.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub fn open_result<A: Message, T: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Streaming<T>, CallError<E>> {
        let opening = self.open_with(method, args, Opening::read_result::<(), E>)?;
        Ok(opening.streaming(false))
    }

    fn open_with<A: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let open = |stub: &Stub| stub.open_in_rounds(method, args, read);
        match self.interceptors() {
            Some(chain) => self.intercepted(chain, method, true, |_| false, open),
            None => open(self),
        }
    }

    fn open_in_rounds<A: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let mut rounds = self.rounds(method);
        let (opening, answer) = loop {
            match rounds.stub().open_once(method, args) {
                Err(error) => rounds.next(method, error).map_err(CallError::widen)?,
                Ok(opened) => break opened,
            }
        };
        read(&opening, &answer)?;
        Ok(opening)
    }

    fn open_once<A: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<(Opening, Answer<Shared>), CallError> {
        let mut opening = Opening::new(self, &self.session.share(), method)?;
        let draft = Caller::draft(opening.ticket.holder(), opening.terms.limit);
        let pending = opening.begin(draft.map_err(|why| opening.not_sent(why))?, args, CLOSE_OUTPUT)?;
        let answer = opening.reply(pending)?;
        Ok((opening, answer))
    }

    /// As [`Stub::open`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open_async<A: Message, T: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Streaming<T>, CallError> {
        let opening = self.open_with_async(method, args, Opening::read).await?;
        Ok(opening.streaming(false))
    }

    /// As [`Stub::open_result`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub async fn open_result_async<A: Message, T: Message, E: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<Streaming<T>, CallError<E>> {
        let opening = self.open_with_async(method, args, Opening::read_result::<(), E>).await?;
        Ok(opening.streaming(false))
    }

    async fn open_with_async<A: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let open = |stub: Stub| async move { stub.open_in_rounds_async(method, args, read).await };
        match self.interceptors() {
            Some(chain) => Box::pin(self.intercepted_async(chain, method, true, |_| false, open)).await,
            None => self.open_in_rounds_async(method, args, read).await,
        }
    }

    async fn open_in_rounds_async<A: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let mut rounds = self.rounds(method);
        let (opening, answer) = loop {
            match rounds.stub().open_once_async(method, args).await {
                Err(error) => rounds.next_async(method, error).await.map_err(CallError::widen)?,
                Ok(opened) => break opened,
            }
        };
        read(&opening, &answer)?;
        Ok(opening)
    }

    async fn open_once_async<A: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<(Opening, Answer<Shared>), CallError> {
        let mut opening = Opening::new(self, &self.session.share(), method)?;
        let draft = Caller::draft_async(opening.ticket.holder(), opening.terms.limit).await;
        let pending = opening.begin(draft.map_err(|why| opening.not_sent(why))?, args, CLOSE_OUTPUT)?;
        let answer = opening.reply_async(pending).await?;
        Ok((opening, answer))
    }

    /// A call whose input is announced. What fails before can be made again: nothing was taken from the stream.
    fn open_input(&self, method: u16) -> Result<(Opening, Draft<Shared>, Arc<Feeder>), CallError> {
        let mut rounds = self.rounds(method);
        loop {
            let opened = Opening::new(rounds.stub(), &rounds.stub().session.share(), method).and_then(|mut opening| {
                let (draft, feeder) = opening.open_input()?;
                Ok((opening, draft, feeder))
            });
            match opened {
                Err(error) => rounds.next(method, error)?,
                opened => return opened,
            }
        }
    }

    async fn open_input_async(&self, method: u16) -> Result<(Opening, Draft<Shared>, Arc<Feeder>), CallError> {
        let mut rounds = self.rounds(method);
        loop {
            let opened = async {
                let mut opening = Opening::new(rounds.stub(), &rounds.stub().session.share(), method)?;
                let (draft, feeder) = opening.open_input_async().await?;
                Ok((opening, draft, feeder))
            };
            match opened.await {
                Err(error) => rounds.next_async(method, error).await?,
                opened => return opened,
            }
        }
    }

    /// Calls a method that takes a stream.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn feed<A: Message, R: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<R, CallError> {
        self.feed_with(method, args, input, R::is_error, Opening::read::<R>)
    }

    /// Calls a method that takes a stream and returns a `Result`.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub fn feed_result<A: Message, R: Message, E: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<R, CallError<E>> {
        self.feed_with(method, args, input, |_| false, Opening::read_result::<R, E>)
    }

    fn feed_with<A: Message, I: Message, R, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
        failed: fn(&R) -> bool,
        read: impl Reads<R, E>,
    ) -> Result<R, CallError<E>> {
        let mut input = Some(input);
        let mut feed = |stub: &Stub| stub.feed_once(method, args, input.take(), read);
        match self.interceptors() {
            Some(chain) => self.intercepted(chain, method, false, failed, feed),
            None => feed(self),
        }
    }

    fn feed_once<A: Message, I: Message, R, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Option<Streaming<I>>,
        read: impl Reads<R, E>,
    ) -> Result<R, CallError<E>> {
        let Some(input) = input else { return Err(self.used_up(method).widen()) };
        let (mut opening, draft, feeder) = self.open_input(method).map_err(CallError::widen)?;
        let feeding = Feeding::new(feeder);
        let pending = opening.begin(draft, args, CLOSE_INPUT).map_err(CallError::widen)?;
        pump(input, &feeding.feeder);
        let answer = opening.reply(pending).map_err(CallError::widen)?;
        let result = read(&opening, &answer);
        opening.opened();
        result
    }

    /// As [`Stub::feed`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn feed_async<A: Message, R: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<R, CallError> {
        self.feed_with_async(method, args, input, R::is_error, Opening::read::<R>).await
    }

    /// As [`Stub::feed_result`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub async fn feed_result_async<A: Message, R: Message, E: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<R, CallError<E>> {
        self.feed_with_async(method, args, input, |_| false, Opening::read_result::<R, E>).await
    }

    async fn feed_with_async<A: Message, I: Message, R, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
        failed: fn(&R) -> bool,
        read: impl Reads<R, E>,
    ) -> Result<R, CallError<E>> {
        let Some(chain) = self.interceptors() else {
            return self.feed_once_async(method, args, Some(input), read).await;
        };
        let mut input = Some(input);
        let feed = |stub: Stub| {
            let input = input.take();
            async move { stub.feed_once_async(method, args, input, read).await }
        };
        Box::pin(self.intercepted_async(chain, method, false, failed, feed)).await
    }

    async fn feed_once_async<A: Message, I: Message, R, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Option<Streaming<I>>,
        read: impl Reads<R, E>,
    ) -> Result<R, CallError<E>> {
        let Some(input) = input else { return Err(self.used_up(method).widen()) };
        let (mut opening, draft, feeder) = self.open_input_async(method).await.map_err(CallError::widen)?;
        let feeding = Feeding::new(feeder);
        let mut pending = opening.begin(draft, args, CLOSE_INPUT).map_err(CallError::widen)?;
        let mut pump = pin!(pump_async(input, &feeding.feeder));
        let (mut pumps, limit, span) = (true, opening.terms.limit, opening.span.limit);
        poll_fn(|cx| {
            if pumps && pump.as_mut().poll(cx).is_ready() {
                pumps = false;
            }
            // While items are sent the time of an ordinary call does not run.
            pending.poll_ready(cx, if pumps { span } else { limit })
        })
        .await;
        let answer = opening.reply(pending).map_err(CallError::widen)?;
        let result = read(&opening, &answer);
        opening.opened();
        result
    }

    /// Calls a method that takes a stream and returns one.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn exchange<A: Message, T: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<Streaming<T>, CallError> {
        let opening = self.exchange_with(method, args, input, Opening::read)?;
        Ok(opening.streaming(true))
    }

    /// Calls a method that takes a stream and returns a `Result` of one.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub fn exchange_result<A: Message, T: Message, E: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<Streaming<T>, CallError<E>> {
        let opening = self.exchange_with(method, args, input, Opening::read_result::<(), E>)?;
        Ok(opening.streaming(true))
    }

    fn exchange_with<A: Message, I: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let mut input = Some(input);
        let mut exchange = |stub: &Stub| stub.exchange_once(method, args, input.take(), read);
        match self.interceptors() {
            Some(chain) => self.intercepted(chain, method, false, |_| false, exchange),
            None => exchange(self),
        }
    }

    fn exchange_once<A: Message, I: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Option<Streaming<I>>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let Some(input) = input else { return Err(self.used_up(method).widen()) };
        let (mut opening, draft, feeder) = self.open_input(method).map_err(CallError::widen)?;
        let feeding = Feeding::new(feeder);
        let pending = opening.begin(draft, args, CLOSE_INPUT | CLOSE_OUTPUT).map_err(CallError::widen)?;
        pump_aside(input, &feeding.feeder);
        let answer = opening.reply(pending).map_err(CallError::widen)?;
        read(&opening, &answer)?;
        drop(answer);
        feeding.goes_on();
        Ok(opening)
    }

    /// As [`Stub::exchange`].
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn exchange_async<A: Message, T: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<Streaming<T>, CallError> {
        let opening = self.exchange_with_async(method, args, input, Opening::read).await?;
        Ok(opening.streaming(true))
    }

    /// As [`Stub::exchange_result`].
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::Handler`] with the handler's own.
    pub async fn exchange_result_async<A: Message, T: Message, E: Message, I: Message>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
    ) -> Result<Streaming<T>, CallError<E>> {
        let opening = self.exchange_with_async(method, args, input, Opening::read_result::<(), E>).await?;
        Ok(opening.streaming(true))
    }

    async fn exchange_with_async<A: Message, I: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Streaming<I>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let Some(chain) = self.interceptors() else {
            return self.exchange_once_async(method, args, Some(input), read).await;
        };
        let mut input = Some(input);
        let exchange = |stub: Stub| {
            let input = input.take();
            async move { stub.exchange_once_async(method, args, input, read).await }
        };
        Box::pin(self.intercepted_async(chain, method, false, |_| false, exchange)).await
    }

    async fn exchange_once_async<A: Message, I: Message, E>(
        &self,
        method: u16,
        args: &impl Argument<A>,
        input: Option<Streaming<I>>,
        read: impl Reads<(), E>,
    ) -> Result<Opening, CallError<E>> {
        let Some(input) = input else { return Err(self.used_up(method).widen()) };
        let (mut opening, draft, feeder) = self.open_input_async(method).await.map_err(CallError::widen)?;
        let feeding = Feeding::new(feeder);
        let pending = opening.begin(draft, args, CLOSE_INPUT | CLOSE_OUTPUT).map_err(CallError::widen)?;
        pump_aside(input, &feeding.feeder);
        let answer = opening.reply_async(pending).await.map_err(CallError::widen)?;
        read(&opening, &answer)?;
        drop(answer);
        feeding.goes_on();
        Ok(opening)
    }

    /// Its input was sent before.
    #[cold]
    fn used_up(&self, method: u16) -> CallError {
        let reason = "its input can be sent once".into();
        CallError::Stream { method: self.session.read().name(method), reason }
    }
}

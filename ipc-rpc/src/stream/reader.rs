//! The stream that a client reads its server's items from.
//!
//! # Credits
//! Each request for an item is a credit. The reader keeps as many lent as its share of the connection's blocks and the size
//! of the items allow, starting with few: more only if the reader had to wait for the server. New ones are submitted quietly;
//! the server is woken for half a window of them at a time, or when the reader waits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Draft, Drafting, Failure, Limit, NoBlock, Pending};
use ipc_core::clock;
use ipc_core::layout::{NOT_RUN, REPLIED, STOPPING};

use super::shares::{MOST, Ticket};
use super::streaming::failed;
use super::wire::{self, CLOSE_INPUT, CLOSE_OUTPUT, CLOSED, ENDED, FAILED, NEXT};
use crate::call_error::CallError;
use crate::message::Message;
use crate::stub::Shared;

/// Credits that a new stream begins with: nothing is known of the size of its items.
const FIRST: usize = 2;
/// Bytes of items that wait for the reader, as far as their number can be chosen.
const MOST_BYTES: usize = 4 << 20;

/// How long a stream may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) limit: Limit,
    pub(crate) allowed: Duration,
}

/// Reads an output stream.
pub(crate) struct Reader {
    ticket: Arc<Ticket>,
    method: u16,
    span: Span,
    /// The credits that are out, in the order of their numbers.
    credits: VecDeque<Pending<Shared>>,
    /// The number of the next one.
    number: u16,
    /// How many may be out.
    size: usize,
    /// How many were submitted since the server was last notified.
    quiet: usize,
    /// A credit for which there is no block yet.
    drafting: Option<Drafting<Shared>>,
    over: bool,
    /// What is to be closed when this is dropped.
    closes: u16,
}

impl Reader {
    /// Reads the stream of `ticket`, whose call has been answered; `input`: there is one in the other direction too.
    pub(crate) fn new(ticket: Arc<Ticket>, method: u16, span: Span, input: bool) -> Self {
        let closes = if input { CLOSE_OUTPUT | CLOSE_INPUT } else { CLOSE_OUTPUT };
        let mut reader = Reader {
            ticket,
            method,
            span,
            credits: VecDeque::new(),
            number: 0,
            size: FIRST,
            quiet: 0,
            drafting: None,
            over: false,
            closes,
        };
        reader.refill();
        reader.notify();
        reader
    }

    /// How many credits may be out ahead of the reader.
    fn room(&self) -> usize {
        self.size.min(self.ticket.connection.streams.share() as usize)
    }

    fn lend(&mut self, mut draft: Draft<Shared>) {
        draft.address(self.ticket.number, self.number);
        self.number = self.number.wrapping_add(1);
        self.credits.push_back(draft.submit_quietly(NEXT, 0, Limit::None));
        ipc_core::fail_point!(CreditLent);
        self.quiet += 1;
    }

    fn notify(&mut self) {
        if self.quiet > 0 {
            self.quiet = 0;
            self.ticket.connection.caller.notify();
        }
    }

    /// Lends as many credits as there may be.
    fn refill(&mut self) {
        let room = self.room();
        while self.credits.len() < room {
            match Caller::try_draft(self.ticket.holder()) {
                Ok(draft) => self.lend(draft),
                Err(_) => break,
            }
        }
        if self.quiet > 0 && self.quiet * 2 >= room {
            self.notify();
        }
    }

    /// The oldest credit has no answer yet: more of them may help.
    fn has_to_wait(&mut self) {
        if self.size < MOST as usize && self.credits.len() >= self.size {
            self.size *= 2;
        }
        self.refill();
        self.notify();
    }

    /// The next item.
    pub(crate) fn next<T: Message>(&mut self) -> Option<Result<T, CallError>> {
        if self.over {
            return None;
        }
        if self.credits.is_empty() {
            self.drafting = None;
            match Caller::draft(self.ticket.holder(), self.span.limit) {
                Ok(draft) => self.lend(draft),
                Err(why) => return Some(Err(self.no_block(&why))),
            }
        }
        if !self.credits.front()?.is_ready() {
            self.has_to_wait();
        }
        let answer = self.ticket.wait(self.credits.pop_front()?, self.span.limit);
        self.judge(answer)
    }

    /// The next item, once it is here.
    pub(crate) fn poll_next<T: Message>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.credits.is_empty() {
            match ready!(self.poll_draft(cx)) {
                Ok(draft) => self.lend(draft),
                Err(why) => return Poll::Ready(Some(Err(self.no_block(&why)))),
            }
        }
        if !self.credits.front().is_none_or(Pending::is_ready) {
            self.has_to_wait();
        }
        let limit = self.span.limit;
        if let Some(first) = self.credits.front_mut() {
            ready!(first.poll_ready(cx, limit));
        }
        match self.credits.pop_front() {
            Some(first) => {
                let answer = self.ticket.wait(first, limit);
                Poll::Ready(self.judge(answer))
            }
            None => Poll::Ready(None),
        }
    }

    fn poll_draft(&mut self, cx: &mut Context<'_>) -> Poll<Result<Draft<Shared>, NoBlock>> {
        if self.drafting.is_none() {
            match Caller::try_draft(self.ticket.holder()) {
                Err(NoBlock::Busy) => {}
                done => return Poll::Ready(done),
            }
        }
        let (holder, limit) = (self.ticket.holder(), self.span.limit);
        let drafting = self.drafting.get_or_insert_with(|| Caller::draft_async(holder, limit));
        let draft = ready!(Pin::new(drafting).poll(cx));
        self.drafting = None;
        Poll::Ready(draft)
    }

    /// What the answer to the oldest credit means.
    #[inline]
    fn judge<T: Message>(&mut self, answer: Result<Answer<Shared>, Failure>) -> Option<Result<T, CallError>> {
        let connection = &self.ticket.connection;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return Some(Err(self.lost(failure))),
        };
        if answer.status() == REPLIED {
            let item = wire::read_answer::<T, _>(&answer, connection.trust);
            let len = answer.bytes().1;
            drop(answer);
            return match item {
                Ok(item) => {
                    if len * self.size > MOST_BYTES {
                        self.size = (MOST_BYTES / len).max(1);
                    }
                    self.refill();
                    Some(Ok(item))
                }
                Err(error) => {
                    let error = connection.invalid(self.method, error);
                    self.end(true);
                    Some(Err(error))
                }
            };
        }
        let (item, told) = match answer.status() {
            ENDED => (None, false),
            FAILED => {
                let reason = wire::read_text_of(&answer);
                (Some(Err(failed(connection.name(self.method), reason))), false)
            }
            // The server looks at the clock as well, and may be the first to see that the time is over.
            CLOSED if matches!(self.span.limit, Limit::Until(deadline) if clock::now() >= deadline) => {
                return Some(Err(self.lost(Failure::TimedOut)));
            }
            // A credit that was not taken says nothing of the call that opened the stream, which did run.
            NOT_RUN => return Some(Err(self.lost(Failure::TimedOut))),
            // Nor does one that comes when there is no stream any more. We have not closed it, so the server shuts down.
            STOPPING | CLOSED => return Some(Err(self.lost(Failure::MayHaveRun))),
            _ => (Some(Err(connection.not_replied(self.method, &answer, self.span.allowed))), true),
        };
        drop(answer);
        self.end(told);
        item
    }

    /// No answer will come.
    #[cold]
    fn lost(&mut self, failure: Failure) -> CallError {
        let failure = match failure {
            // The call that opened the stream did run.
            Failure::NotStarted => Failure::MayHaveRun,
            other => other,
        };
        self.end(true);
        self.ticket.connection.failed(self.method, failure, self.span.allowed)
    }

    #[cold]
    fn no_block(&mut self, why: &NoBlock) -> CallError {
        let failure = if *why == NoBlock::Busy { Failure::TimedOut } else { Failure::MayHaveRun };
        self.lost(failure)
    }

    /// There are no more items; `tell` the server if it may not know.
    fn end(&mut self, tell: bool) {
        self.over = true;
        self.drafting = None;
        // Given up before the word that closes the stream: what comes after it finds no stream.
        self.ticket.give_up(self.credits.drain(..));
        if tell {
            self.ticket.close(self.closes);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.over {
            self.end(true);
        }
    }
}

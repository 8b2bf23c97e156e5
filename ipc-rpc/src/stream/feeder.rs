//! The stream that a client writes for its server to read.
//!
//! # Items on their way
//! An item lies in the block of its request until the handler has read it, and the answer says so. As many are on their way as
//! the stream's share of the connection's blocks allows, starting with few: more only if the writer had to wait. One block is
//! the stream's own from the beginning to the end, so that it gets on whatever else the connection is used for; without a
//! share it sends one item at a time.
//!
//! # Turns
//! What is remembered of the stream is taken out of its lock by whoever works on it: sending can wait, and bringing blocks
//! home can wake tasks, which must not happen under a lock.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use ipc_core::caller::{Answer, Caller, Draft, Drafting, Failure, Limit, NoBlock, Pending};
use ipc_core::layout::{NOT_RUN, REPLIED};

use super::channel::Transport;
use super::reader::Span;
use super::shares::{MOST, Ticket};
use super::sink::{Closed, NotSent};
use super::window::SPAN;
use super::wire::{self, CLOSE_INPUT, CLOSED, ITEM};
use crate::message::Message;
use crate::stub::Shared;
use crate::waiting::Tasks;

/// Items that may be on their way at first.
const FIRST: usize = 2;
/// How far an item may be ahead of one that has not arrived; the server takes no more than [`SPAN`].
const MOST_AHEAD: u16 = SPAN / 2;
/// Bytes of items on their way, as far as their number can be chosen.
const MOST_BYTES: usize = 4 << 20;

/// Writes an input stream.
pub(crate) struct Feeder {
    ticket: Arc<Ticket>,
    span: Span,
    /// Nothing more is sent.
    over: AtomicBool,
    desk: Mutex<Desk>,
    /// The work is back on the desk.
    back: Condvar,
    /// Tasks that wait for an answer, for a block, or for their turn.
    tasks: Arc<Tasks>,
}

struct Desk {
    /// `None` while somebody works on it.
    work: Option<Work>,
    /// Threads that wait for their turn.
    threads: usize,
    /// Tasks do.
    tasks: bool,
}

/// What is remembered of the stream.
struct Work {
    /// Items that are on their way with their numbers, oldest first.
    items: VecDeque<(u16, Pending<Shared>)>,
    /// The number of the next item.
    number: u16,
    /// How many may be on their way.
    size: usize,
    /// The block for the next item.
    draft: Option<Draft<Shared>>,
    drafting: Option<Drafting<Shared>>,
}

/// Somebody's turn to work.
struct Turn<'a> {
    feeder: &'a Feeder,
    work: Option<Work>,
}

impl Deref for Turn<'_> {
    type Target = Work;
    fn deref(&self) -> &Work {
        match &self.work {
            Some(work) => work,
            None => unreachable!("the work is put back when the turn ends"),
        }
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Work {
        match &mut self.work {
            Some(work) => work,
            None => unreachable!("the work is put back when the turn ends"),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let feeder = self.feeder;
        let mut desk = feeder.desk();
        desk.work = self.work.take();
        let (threads, tasks) = (desk.threads > 0, std::mem::take(&mut desk.tasks));
        drop(desk);
        if threads {
            feeder.back.notify_one();
        }
        if tasks {
            feeder.wake();
        }
        if feeder.is_over() {
            feeder.clear();
        }
    }
}

impl Feeder {
    /// Writes the input stream of `ticket`, with a block of its own.
    pub(crate) fn new(ticket: Arc<Ticket>, span: Span, draft: Draft<Shared>) -> Arc<Self> {
        let items = VecDeque::new();
        let work = Work { items, number: 0, size: FIRST, draft: Some(draft), drafting: None };
        let desk = Desk { work: Some(work), threads: 0, tasks: false };
        let over = AtomicBool::new(false);
        let (back, tasks) = (Condvar::new(), Arc::default());
        Arc::new(Feeder { ticket, span, over, desk: Mutex::new(desk), back, tasks })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        Waker::from(Arc::clone(&self.tasks)).wake();
    }

    /// This thread's turn, as soon as nobody else has it.
    fn turn(&self) -> Turn<'_> {
        let mut desk = self.desk();
        loop {
            if let Some(work) = desk.work.take() {
                return Turn { feeder: self, work: Some(work) };
            }
            desk.threads += 1;
            desk = self.back.wait(desk).unwrap_or_else(PoisonError::into_inner);
            desk.threads -= 1;
        }
    }

    /// This thread's turn, if nobody has it.
    fn try_turn(&self) -> Option<Turn<'_>> {
        let work = self.desk().work.take()?;
        Some(Turn { feeder: self, work: Some(work) })
    }

    /// This task's turn, once nobody else has it. The task is in `tasks`.
    fn poll_turn(&self) -> Poll<Turn<'_>> {
        let mut desk = self.desk();
        match desk.work.take() {
            Some(work) => Poll::Ready(Turn { feeder: self, work: Some(work) }),
            None => {
                desk.tasks = true;
                Poll::Pending
            }
        }
    }

    /// How many items may be on their way.
    fn room(&self, work: &Work) -> usize {
        work.size.min(self.ticket.connection.streams.share() as usize).max(1)
    }

    /// Whether one more item may be sent; a writer that has to wait gets more room, up to a limit.
    fn has_room(&self, work: &mut Work) -> bool {
        if work.items.len() >= work.size && work.size < MOST as usize {
            work.size *= 2;
        }
        work.items.len() < self.room(work) && work.span() < MOST_AHEAD
    }

    /// Takes note of the answers that have come.
    fn collect(&self, work: &mut Work) {
        while work.items.front().is_some_and(|(_, item)| item.is_ready())
            && let Some((_, first)) = work.items.pop_front()
        {
            let answer = self.ticket.wait(first, self.span.limit);
            self.note(work, answer);
        }
    }

    /// An item was read, or will not be.
    fn note(&self, work: &mut Work, answer: Result<Answer<Shared>, Failure>) {
        match answer {
            Ok(answer) if answer.status() == REPLIED => {
                if work.draft.is_none() {
                    work.draft = answer.again();
                }
            }
            answer => {
                self.over.store(true, Ordering::Relaxed);
                // The handler is not to wait for an item that was refused. One that came too late is no news: the call is out
                // of time as well, and ends its streams itself.
                if matches!(answer, Ok(answer) if !matches!(answer.status(), CLOSED | NOT_RUN)) {
                    self.ticket.close(CLOSE_INPUT);
                }
            }
        }
    }

    /// Writes an item and lends it. `Err`: it cannot be sent, and the stream ends with that.
    fn lend<T: Message>(&self, work: &mut Work, mut draft: Draft<Shared>, item: &T) -> Result<(), Closed> {
        let len = match wire::write(item, &mut draft) {
            Ok(len) => len,
            Err(error) => {
                work.draft = Some(draft);
                self.end(work, Some(format!("an item cannot be sent: {error}")));
                return Err(Closed::cannot(error));
            }
        };
        draft.address(self.ticket.number, work.number);
        work.items.push_back((work.number, draft.submit(ITEM, len, Limit::None)));
        ipc_core::fail_point!(ItemLent);
        work.number = work.number.wrapping_add(1);
        if len * work.size > MOST_BYTES {
            work.size = (MOST_BYTES / len).max(1);
        }
        Ok(())
    }

    /// Says that there are no more items. Those on their way arrive.
    fn end(&self, work: &mut Work, reason: Option<String>) {
        self.over.store(true, Ordering::Relaxed);
        for (_, item) in work.items.drain(..) {
            self.ticket.note(item.lending());
            item.detach();
        }
        work.drafting = None;
        self.ticket.end_input(work.draft.take(), work.number, reason);
    }

    /// The block for what is sent next, as soon as there may be one more and there is one.
    fn next_block(&self, work: &mut Work) -> Result<Draft<Shared>, Closed> {
        loop {
            self.collect(work);
            if self.is_over() {
                return Err(Closed::unread());
            }
            if self.has_room(work) {
                match work.take_draft(&self.ticket) {
                    Ok(draft) => return Ok(draft),
                    Err(NoBlock::Busy) => {}
                    Err(_) => self.over.store(true, Ordering::Relaxed),
                }
            }
            if let Some((_, item)) = work.items.remove(work.awaited()) {
                let answer = self.ticket.wait(item, self.span.limit);
                self.note(work, answer);
            } else if !self.is_over() {
                match Caller::draft(self.ticket.holder(), self.span.limit) {
                    Ok(draft) => work.draft = Some(draft),
                    Err(_) => self.over.store(true, Ordering::Relaxed),
                }
            }
        }
    }

    /// Ends the stream; waits for a block to say so.
    pub(crate) fn finish_now(&self, reason: Option<String>) {
        let mut turn = self.turn();
        if let Ok(draft) = self.next_block(&mut turn) {
            turn.draft = Some(draft);
            self.end(&mut turn, reason);
        }
    }

    /// Gives up what is left of a stream that is over.
    fn clear(&self) {
        let mut desk = self.desk();
        let Some(work) = &mut desk.work else { return };
        let (items, rest) = (std::mem::take(&mut work.items), (work.draft.take(), work.drafting.take()));
        drop(desk);
        self.ticket.give_up(items.into_iter().map(|(_, item)| item));
        drop(rest);
    }

    /// Ends the stream without a word: the server knows, or the call is over.
    pub(crate) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.clear();
        self.wake();
    }

    /// Ready when the item that is worth waiting for is answered, or will not be: that is noted, so that a full window whose
    /// time is over ends the stream instead of being looked at for ever.
    fn poll_item(&self, work: &mut Work, cx: &mut Context<'_>) -> Poll<()> {
        let at = work.awaited();
        let Some((_, item)) = work.items.get_mut(at) else { return Poll::Ready(()) };
        ready!(item.poll_ready(cx, self.span.limit));
        if let Some((_, item)) = work.items.remove(at) {
            let answer = self.ticket.wait(item, self.span.limit);
            self.note(work, answer);
        }
        Poll::Ready(())
    }
}

impl Work {
    /// The place of the item whose answer a full window waits for. Not the first: items are read in order, and whoever sleeps
    /// does so for a number of them. But a server that has not found the first yet may have answered many that came later.
    fn awaited(&self) -> usize {
        if self.span() < MOST_AHEAD { self.items.len().saturating_sub(1) / 2 } else { 0 }
    }

    /// How far the next item is ahead of the first one that is not known to have arrived.
    fn span(&self) -> u16 {
        self.items.front().map_or(0, |(first, _)| self.number.wrapping_sub(*first))
    }

    /// The block of an item that is sent now.
    fn take_draft(&mut self, ticket: &Ticket) -> Result<Draft<Shared>, NoBlock> {
        match self.draft.take() {
            Some(draft) => Ok(draft),
            None => Caller::try_draft(ticket.holder()),
        }
    }
}

impl<T: Message> Transport<T> for Feeder {
    fn send(&self, item: &T) -> Result<(), Closed> {
        let mut turn = self.turn();
        let draft = self.next_block(&mut turn)?;
        self.lend(&mut turn, draft, item)
    }

    fn try_send(&self, item: &T) -> Result<(), NotSent> {
        let Some(mut turn) = self.try_turn() else { return Err(NotSent::Full) };
        self.collect(&mut turn);
        if !self.is_over() {
            if !self.has_room(&mut turn) {
                return Err(NotSent::Full);
            }
            match turn.take_draft(&self.ticket) {
                Ok(draft) => return self.lend(&mut turn, draft, item).map_err(NotSent::Closed),
                Err(NoBlock::Busy) => return Err(NotSent::Full),
                Err(_) => self.over.store(true, Ordering::Relaxed),
            }
        }
        Err(NotSent::Closed(Closed::unread()))
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.tasks.add(cx.waker());
        let waker = Waker::from(Arc::clone(&self.tasks));
        let mut cx = Context::from_waker(&waker);
        let mut turn = ready!(self.poll_turn());
        loop {
            self.collect(&mut turn);
            if self.is_over() {
                return Poll::Ready(Err(Closed::unread()));
            }
            if !self.has_room(&mut turn) {
                ready!(self.poll_item(&mut turn, &mut cx));
                continue;
            }
            if turn.draft.is_some() {
                return Poll::Ready(Ok(()));
            }
            let (holder, limit) = (self.ticket.holder(), self.span.limit);
            let drafting = turn.drafting.get_or_insert_with(|| Caller::draft_async(holder, limit));
            let draft = ready!(Pin::new(drafting).poll(&mut cx));
            turn.drafting = None;
            match draft {
                Ok(draft) => turn.draft = Some(draft),
                Err(_) => self.over.store(true, Ordering::Relaxed),
            }
        }
    }

    fn finish(&self, end: Option<String>) {
        // Whoever sends has a reference to the sink, and who finishes has the sink: nobody else has the turn for long.
        let mut turn = self.turn();
        self.collect(&mut turn);
        if !self.is_over() {
            self.end(&mut turn, end);
        }
    }

    fn is_closed(&self) -> bool {
        if let Some(mut turn) = self.try_turn() {
            self.collect(&mut turn);
        }
        self.is_over()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.close();
    }
}

//! The client's side of a connection's streams: their numbers, and how many blocks each may keep lent.
//!
//! # Blocks
//! A stream that is read ahead of its reader keeps blocks lent that nobody waits for. All streams of a connection together
//! keep at most a quarter of its blocks that way, in equal shares, so that calls and other streams always find one. A stream
//! whose share is nothing asks for each item when it is wanted, as a call does: then two blocks are enough for any number of
//! streams that take turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_core::caller::{Answer, Caller, Draft, Failure, Lending, Limit, NoBlock, Pending};
use ipc_core::clock;

use super::gate::Gate;
use super::late::Late;
use super::wire::{self, CLOSE, END};
use crate::connect::Connection;
use crate::stub::Shared;

/// No stream keeps more blocks lent.
pub(crate) const MOST: u32 = 32;
/// One in so many blocks may be lent by streams ahead of their readers.
const PART: u32 = 4;
/// Streams that a connection may have open at once.
const MAX_STREAMS: usize = super::table::MAX_STREAMS;

/// The streams of a connection.
#[derive(Debug)]
pub(crate) struct Streams {
    numbers: Mutex<Numbers>,
    /// For those who take two blocks.
    pub(crate) gate: Gate,
    blocks: u32,
    /// Blocks that all streams together may keep lent ahead of their readers.
    spare: u32,
    /// Each stream's part of them.
    share: AtomicU32,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u16,
    used: BTreeSet<u16>,
    /// Of streams that are over, or are being opened.
    late: Late<Lending>,
    /// Words that could not be sent because every block was out.
    unsent: VecDeque<Word>,
    /// A thread waits for a block to send them.
    sender: bool,
}

impl Streams {
    /// Of a connection with so many blocks.
    pub(crate) fn new(blocks: u32) -> Self {
        let spare = blocks / PART;
        Streams {
            numbers: Mutex::default(),
            gate: Gate::default(),
            blocks,
            spare,
            share: AtomicU32::new(spare.min(MOST)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call with an input needs a block while its items need another.
    pub(crate) fn has_two_blocks(&self) -> Result<(), NoBlock> {
        if self.blocks < 2 { Err(NoBlock::Busy) } else { Ok(()) }
    }

    /// Streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.lock().used.len()
    }

    /// How many blocks a stream may keep lent ahead of its reader or behind its writer.
    #[inline]
    pub(crate) fn share(&self) -> u32 {
        self.share.load(Ordering::Relaxed)
    }

    fn divide(&self, numbers: &Numbers) {
        let streams = u32::try_from(numbers.used.len().max(1)).unwrap_or(u32::MAX);
        self.share.store((self.spare / streams).min(MOST), Ordering::Relaxed);
    }

    /// A number that no open stream has, and that no request is about: one for a stream that is over must not reach another.
    fn begin(&self, caller: &Caller) -> Option<u16> {
        let mut numbers = self.lock();
        if numbers.used.len() >= MAX_STREAMS {
            return None;
        }
        for _ in 0..u16::MAX {
            numbers.last = numbers.last.wrapping_add(1).max(1);
            let number = numbers.last;
            if !numbers.late.is_any(number, |lending| caller.was_answered(*lending)) && numbers.used.insert(number) {
                self.divide(&numbers);
                return Some(number);
            }
        }
        None
    }

    fn end(&self, number: u16) {
        let mut numbers = self.lock();
        numbers.used.remove(&number);
        self.divide(&numbers);
    }
}

/// The number of an open stream, or of the two of one call.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) connection: Arc<Connection>,
    pub(crate) number: u16,
}

impl Ticket {
    /// A number for a new stream; `None`: there are too many.
    pub(crate) fn new(connection: &Arc<Connection>) -> Option<Arc<Self>> {
        let number = connection.streams.begin(&connection.caller)?;
        Some(Arc::new(Ticket { connection: Arc::clone(connection), number }))
    }

    /// A request of the stream is on its way, and may be given up: the number is not another stream's before it is answered.
    pub(crate) fn note(&self, request: Lending) {
        self.connection.streams.lock().late.add(self.number, request.block, request);
    }

    /// Waits for an answer.
    #[inline]
    pub(crate) fn wait(&self, pending: Pending<Shared>, limit: Limit) -> Result<Answer<Shared>, Failure> {
        let request = pending.lending();
        let answer = pending.wait(limit);
        if matches!(answer, Err(Failure::TimedOut)) {
            self.note(request);
        }
        answer
    }

    /// Gives requests up.
    pub(crate) fn give_up(&self, requests: impl IntoIterator<Item = Pending<Shared>>) {
        for pending in requests {
            self.note(pending.lending());
            drop(pending);
        }
    }

    /// The holder for requests of the stream.
    #[inline]
    pub(crate) fn holder(&self) -> Shared {
        Shared(Arc::clone(&self.connection))
    }

    /// Tells the server that this side has no more use for `what` of the stream. Does not wait.
    pub(crate) fn close(self: &Arc<Self>, what: u16) {
        self.tell(None, Word { ticket: Arc::clone(self), method: CLOSE, extra: what, text: None });
    }

    /// Tells the server that the input ends with number `number`, in the block of `draft` if there is one. Does not wait.
    pub(crate) fn end_input(self: &Arc<Self>, draft: Option<Draft<Shared>>, number: u16, reason: Option<String>) {
        self.tell(draft, Word { ticket: Arc::clone(self), method: END, extra: number, text: reason });
    }

    fn tell(&self, draft: Option<Draft<Shared>>, word: Word) {
        if self.connection.caller.has_ended() {
            return;
        }
        match draft.map_or_else(|| Caller::try_draft(self.holder()), Ok) {
            Ok(draft) => word.send(draft),
            Err(_) => send_later(&self.connection, word),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.streams.end(self.number);
    }
}

/// A request without an answer that matters.
#[derive(Debug)]
struct Word {
    ticket: Arc<Ticket>,
    method: u16,
    extra: u16,
    text: Option<String>,
}

impl Word {
    fn send(self, mut draft: Draft<Shared>) {
        let len = match &self.text {
            // A failure without a text is told from an end by its length.
            Some(text) => wire::write_text(if text.is_empty() { "no reason given" } else { text }, &mut draft),
            None => 0,
        };
        draft.address(self.ticket.number, self.extra);
        let pending = draft.submit(self.method, len, Limit::None);
        ipc_core::fail_point!(StreamWordSent);
        self.ticket.note(pending.lending());
        pending.detach();
    }
}

/// How long the thread of [`send_later`] sleeps before it looks whether anybody needs the connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// Every block is out, and whoever has this word must not wait: a thread does.
#[cold]
fn send_later(connection: &Arc<Connection>, word: Word) {
    let mut numbers = connection.streams.lock();
    numbers.unsent.push_back(word);
    if numbers.sender {
        return;
    }
    numbers.sender = true;
    drop(numbers);
    let also = Arc::clone(connection);
    let thread = std::thread::Builder::new().name(String::from("ipc-rpc stream"));
    if thread.spawn(move || send_all(&also)).is_err() {
        let mut numbers = connection.streams.lock();
        numbers.sender = false;
        let words = std::mem::take(&mut numbers.unsent);
        drop(numbers);
        drop(words);
    }
}

/// Does nobody use the connection but the words that are to be sent, and the thread that sends them? A word's ticket holds the
/// connection. It may be that of a stream in use, and of another word.
fn is_unused(connection: &Arc<Connection>, unsent: &VecDeque<Word>) -> bool {
    let mut tickets = BTreeMap::<u16, usize>::new();
    for word in unsent {
        *tickets.entry(word.ticket.number).or_default() += 1;
    }
    Arc::strong_count(connection) <= tickets.len() + 1
        && unsent.iter().all(|word| tickets.get(&word.ticket.number) == Some(&Arc::strong_count(&word.ticket)))
}

fn send_all(connection: &Arc<Connection>) {
    loop {
        match Caller::draft(Shared(Arc::clone(connection)), Limit::Until(clock::after(PATIENCE))) {
            Ok(draft) => {
                let mut numbers = connection.streams.lock();
                let Some(word) = numbers.unsent.pop_front() else {
                    numbers.sender = false;
                    return;
                };
                drop(numbers);
                word.send(draft);
            }
            Err(why) => {
                let mut numbers = connection.streams.lock();
                if is_unused(connection, &numbers.unsent) || why != NoBlock::Busy {
                    numbers.sender = false;
                    let words = std::mem::take(&mut numbers.unsent);
                    drop(numbers);
                    drop(words);
                    return;
                }
            }
        }
    }
}

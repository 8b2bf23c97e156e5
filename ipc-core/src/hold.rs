//! What the holder of the scanner role looks at: channels, their queues, and the watch set.
//!
//! A pass goes round in one direction: the watched words first, then the head of each queue. After a hit it goes on *behind*
//! it, so that no watched block can hide a queue, and no channel another one.
//!
//! # Safety
//! Pointers into channels that `channels` keeps alive: looking them up by place for every word would cost more than looking
//! at the word.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

use crate::callee::{Channel, GONE, RETIRED};
use crate::handover;
use crate::layout::BlockHead;
use crate::queue::{Consumer, Kind};
use crate::sync::{AtomicU64, Ordering};
use crate::word::{self, Corrupt, Seen};

/// Blocks watched in all, and of one channel.
const WATCHES: usize = 16;
const WATCHES_PER_CHANNEL: usize = 4;

/// A place in the watch set.
struct Watch<P> {
    channel: *const Channel<P>,
    head: *const BlockHead,
    /// The place of the channel.
    at: usize,
    block: u32,
}

impl<P> Watch<P> {
    #[inline(always)]
    fn found(&self) -> Found<P> {
        Found { channel: self.channel, at: self.at, block: self.block, head: self.head }
    }
}

/// A channel as the scanner sees it.
pub(crate) struct Scanned<P> {
    pub(crate) channel: Arc<Channel<P>>,
    requests: Consumer,
    /// The cells of its queue, which `channel` keeps mapped.
    cells: *const [AtomicU64],
    pub(crate) hung_up: bool,
    /// How often it may still be found unfinished after that: a peer that only pretends to be gone must not go on for ever.
    patience: u32,
}

impl<P> Scanned<P> {
    #[inline(always)]
    fn cells(&self) -> &[AtomicU64] {
        // SAFETY: cells of the segment that `channel` keeps mapped; atomics only.
        unsafe { &*self.cells }
    }

    /// Is there an entry at the head of its queue?
    pub(crate) fn is_ready(&self) -> bool {
        !self.channel.is_broken() && self.requests.is_ready(self.cells())
    }
}

/// The data of the role.
pub(crate) struct Hold<P> {
    pub(crate) channels: Vec<Option<Scanned<P>>>,
    /// A watched block's channel is in `channels` at its place: it is forgotten before the channel is retired.
    watches: [Watch<P>; WATCHES],
    /// Which of `watches` mean anything, a bit each.
    watching: u32,
    /// Where the next pass begins: a watch, or behind them a channel's queue.
    cursor: usize,
    /// Channels that are no longer scanned but may be in use by a worker.
    pub(crate) retired: Vec<Arc<Channel<P>>>,
    /// The tick is armed.
    pub(crate) ticking: bool,
    /// Requests served since the epoll set was last looked at.
    pub(crate) work: u32,
}

/// A request that was found. The channel is alive while the role is held.
pub(crate) struct Found<P> {
    pub(crate) channel: *const Channel<P>,
    /// The place of the channel.
    pub(crate) at: usize,
    pub(crate) block: u32,
    /// The head of the block; the pointer is good for all of its bytes.
    pub(crate) head: *const BlockHead,
}

impl<P> Hold<P> {
    /// No channels.
    pub(crate) fn new() -> Self {
        Hold {
            channels: Vec::new(),
            watches: [const { Watch { channel: ptr::null(), head: ptr::null(), at: 0, block: 0 } }; WATCHES],
            watching: 0,
            cursor: 0,
            retired: Vec::new(),
            ticking: false,
            work: 0,
        }
    }

    /// Scans `channel` from now on.
    pub(crate) fn add(&mut self, channel: Arc<Channel<P>>) {
        let cells = ptr::from_ref(channel.segment.request_cells());
        let scanned = Scanned { channel, requests: Consumer::new(), cells, hung_up: false, patience: 0 };
        match self.channels.iter_mut().find(|c| c.is_none()) {
            Some(place) => *place = Some(scanned),
            None => self.channels.push(Some(scanned)),
        }
    }

    /// Takes every promise to watch back, until one turns out to have been answered with a request.
    pub(crate) fn unwatch_all(&mut self) -> Option<Found<P>> {
        while self.watching != 0 {
            if let Some(found) = self.unwatch(self.watching.trailing_zeros() as usize) {
                return Some(found);
            }
        }
        None
    }

    /// The next request at or behind the cursor, which moves behind it: no watched block can hide a queue.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Found<P>> {
        let all = self.channels.len();
        if self.cursor < WATCHES {
            let behind = u32::MAX << self.cursor;
            let found = self.look_at_watches(behind).or_else(|| self.look_at_queues(0, all));
            return found.or_else(|| self.look_at_watches(!behind));
        }
        let start = (self.cursor - WATCHES).min(all);
        let found = self.look_at_queues(start, all).or_else(|| self.look_at_watches(u32::MAX));
        found.or_else(|| self.look_at_queues(0, start))
    }

    /// Looks at the watched words at the places in `mask`.
    #[inline(always)]
    fn look_at_watches(&mut self, mask: u32) -> Option<Found<P>> {
        let mut left = self.watching & mask;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(watch) = self.watches.get(at) else { continue };
            // SAFETY: its bit is set, so this is the block of a channel that `channels` keeps alive; atomics only.
            let value = unsafe { &*watch.head }.word.load(Ordering::Acquire); // [P1]
            if value == word::DONE | word::WATCHED {
                continue;
            }
            let found = watch.found();
            self.forget_watch(at);
            match word::unwatched(value) {
                Ok(_) => {
                    self.cursor = at + 1;
                    return Some(found);
                }
                // SAFETY: as above, of its channel.
                Err(corrupt) => unsafe { &*found.channel }.condemn(corrupt),
            }
        }
        None
    }

    /// Looks at the head of each queue from place `from` to `to`.
    #[inline(always)]
    fn look_at_queues(&mut self, from: usize, to: usize) -> Option<Found<P>> {
        for at in from..to {
            let ready = match self.channels.get(at) {
                Some(Some(scanned)) => scanned.requests.is_ready(scanned.cells()),
                _ => false,
            };
            if ready && let Some(found) = self.pop(at) {
                self.cursor = WATCHES + at + 1;
                return Some(found);
            }
        }
        None
    }

    /// Pops from the queue at place `at`, and judges the entry.
    fn pop(&mut self, at: usize) -> Option<Found<P>> {
        let Some(Some(scanned)) = self.channels.get_mut(at) else { return None };
        if scanned.channel.is_broken() {
            return None;
        }
        // SAFETY: cells of the segment that `channel` keeps mapped; atomics only.
        let cells = unsafe { &*scanned.cells };
        let popped = scanned.requests.pop(cells);
        let Some(Some(scanned)) = self.channels.get(at) else { return None };
        let channel = Arc::as_ptr(&scanned.channel);
        let entry = match popped {
            Ok(entry) => entry?,
            Err(corrupt) => {
                scanned.channel.condemn(corrupt);
                return None;
            }
        };
        let segment = &scanned.channel.segment;
        let block = segment.geometry().block_index(entry.offset);
        match block.filter(|block| entry.kind == Kind::Request && !self.is_watched(channel, *block)) {
            // Of a block, so inside of the segment.
            Some(block) => Some(Found { channel, at, block, head: segment.pointer(entry.offset).cast().as_ptr() }),
            None => {
                scanned.channel.condemn(Corrupt(u64::from(entry.offset)));
                None
            }
        }
    }

    /// The watches that mean something, with their places.
    fn watched(&self) -> impl Iterator<Item = (usize, &Watch<P>)> + Clone {
        self.watches.iter().enumerate().filter(|(at, _)| self.watching & (1 << at) != 0)
    }

    fn is_watched(&self, channel: *const Channel<P>, block: u32) -> bool {
        self.watched().any(|(_, w)| w.channel == channel && w.block == block)
    }

    #[inline(always)]
    fn forget_watch(&mut self, at: usize) {
        self.watching &= !(1 << at);
    }

    /// Puts a block that was answered with `WATCHED` into the set; its channel is scanned at place `at`. Beyond a limit an
    /// older one is given up; gives that one if its request has arrived.
    #[inline]
    pub(crate) fn watch(&mut self, found: Found<P>) -> Option<Found<P>> {
        let evicted = if self.watching == 0 { None } else { self.evict(found.channel) };
        let free = (!self.watching).trailing_zeros() as usize;
        if let Some(place) = self.watches.get_mut(free) {
            *place = Watch { channel: found.channel, head: found.head, at: found.at, block: found.block };
            self.watching |= 1 << free;
        }
        evicted
    }

    /// Makes room for one more watched block of `channel`.
    fn evict(&mut self, channel: *const Channel<P>) -> Option<Found<P>> {
        let own = self.watched().filter(|(_, w)| w.channel == channel);
        if let (WATCHES_PER_CHANNEL.., Some((last, _))) = (own.clone().count(), own.last()) {
            return self.unwatch(last);
        }
        if self.watching.count_ones() as usize >= WATCHES { self.unwatch(self.cursor % WATCHES) } else { None }
    }

    /// S3 for one place of the watch set; gives its request if one has arrived.
    fn unwatch(&mut self, at: usize) -> Option<Found<P>> {
        self.forget_watch(at);
        let watch = self.watches.get(at)?;
        // SAFETY: its bit was set, so this is the block of a channel that `channels` keeps alive; atomics only.
        match handover::unwatch(&unsafe { &*watch.head }.word) {
            Ok(true) => Some(watch.found()),
            Ok(false) => None,
            Err(corrupt) => {
                // SAFETY: `channels` keeps it alive.
                unsafe { &*watch.channel }.condemn(corrupt);
                None
            }
        }
    }

    /// The peer of channel `id` is gone, as it seems.
    pub(crate) fn hang_up(&mut self, id: u64) {
        // A request for each block may be left, and each turn serves one of this channel or of those before it.
        let others = u32::try_from(self.channels.len() + WATCHES).unwrap_or(u32::MAX);
        if let Some(scanned) = self.channels.iter_mut().flatten().find(|c| c.channel.id == id && !c.hung_up) {
            scanned.hung_up = true;
            scanned.channel.meets(GONE);
            scanned.patience = scanned.channel.segment.geometry().blocks().saturating_mul(others);
        }
    }

    /// Stops scanning a channel whose peer is gone, if nothing of it is left to serve; gives it then.
    pub(crate) fn retire(&mut self, at: usize) -> Option<Arc<Channel<P>>> {
        let scanned = self.channels.get_mut(at)?.as_mut()?;
        let here = scanned.channel.clone();
        let waits = scanned.patience > 0;
        scanned.patience = scanned.patience.saturating_sub(1);
        if waits && scanned.is_ready() {
            return None;
        }
        for place in 0..WATCHES {
            let Some((_, watch)) = self.watched().find(|(n, w)| *n == place && w.at == at) else { continue };
            let value = here.segment.block(watch.block).map(|head| head.word.load(Ordering::Acquire));
            if waits && !here.is_broken() && value.is_some_and(|v| word::seen(v) == Ok(Seen::Run)) {
                return None;
            }
            self.forget_watch(place);
        }
        if let Some(place) = self.channels.get_mut(at) {
            *place = None;
        }
        while matches!(self.channels.last(), Some(None)) {
            self.channels.pop();
        }
        here.meets(RETIRED);
        self.retired.push(here.clone());
        Some(here)
    }
}

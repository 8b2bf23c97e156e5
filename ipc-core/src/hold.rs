//! What the holder of the scanner role looks at: channels, their queues, and the watch set.
//!
//! A pass goes round in one direction: the watched words first, then the head of each queue. After a hit it goes on *behind*
//! it, so that no watched block can hide a queue, and no channel another one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::callee::Channel;
use crate::handover;
use crate::queue::{Consumer, Kind};
use crate::word::{self, Corrupt, Seen};

/// Blocks watched in all, and of one channel.
const WATCHES: usize = 16;
const WATCHES_PER_CHANNEL: usize = 4;

/// A place in the watch set.
struct Watch {
    channel: usize,
    block: u32,
}

/// A channel as the scanner sees it.
pub(crate) struct Scanned<P> {
    pub(crate) channel: Arc<Channel<P>>,
    requests: Consumer,
    pub(crate) hung_up: bool,
}

impl<P> Scanned<P> {
    /// Is there an entry at the head of its queue?
    pub(crate) fn is_ready(&self) -> bool {
        !self.channel.is_broken() && self.requests.is_ready(self.channel.segment.request_cells())
    }
}

/// The data of the role.
pub(crate) struct Hold<P> {
    pub(crate) channels: Vec<Option<Scanned<P>>>,
    watches: [Option<Watch>; WATCHES],
    /// Which of `watches` are taken.
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

/// A request that was found.
pub(crate) struct Found {
    pub(crate) channel: usize,
    pub(crate) block: u32,
}

impl<P> Hold<P> {
    /// No channels.
    pub(crate) fn new() -> Self {
        Hold {
            channels: Vec::new(),
            watches: [const { None }; WATCHES],
            watching: 0,
            cursor: 0,
            retired: Vec::new(),
            ticking: false,
            work: 0,
        }
    }

    /// Scans `channel` from now on.
    pub(crate) fn add(&mut self, channel: Arc<Channel<P>>) {
        let scanned = Scanned { channel, requests: Consumer::new(), hung_up: false };
        match self.channels.iter_mut().find(|c| c.is_none()) {
            Some(place) => *place = Some(scanned),
            None => self.channels.push(Some(scanned)),
        }
    }

    /// The channel at a place, if it is still in use.
    #[inline]
    pub(crate) fn channel(&self, at: usize) -> Option<&Arc<Channel<P>>> {
        self.channels.get(at).and_then(Option::as_ref).map(|c| &c.channel)
    }

    /// Takes every promise to watch back, until one turns out to have been answered with a request.
    pub(crate) fn unwatch_all(&mut self) -> Option<Found> {
        while self.watching != 0 {
            if let Some(found) = self.unwatch(self.watching.trailing_zeros() as usize) {
                return Some(found);
            }
        }
        None
    }

    /// The next request at or behind the cursor, which moves behind it: no watched block can hide a queue.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Found> {
        let start = self.cursor;
        let end = WATCHES + self.channels.len();
        let found = self.look(start, end);
        if found.is_some() || start == 0 { found } else { self.look(0, start.min(end)) }
    }

    /// Looks at the places from `from` to `to`: watches first, queues behind.
    #[inline]
    fn look(&mut self, from: usize, to: usize) -> Option<Found> {
        if from < WATCHES {
            let below = if to < WATCHES { (1u32 << to) - 1 } else { u32::MAX };
            let mut left = self.watching & below & (u32::MAX << from);
            while left != 0 {
                let at = left.trailing_zeros() as usize;
                left &= left - 1;
                if let Some(found) = self.look_at_watch(at) {
                    self.cursor = at + 1;
                    return Some(found);
                }
            }
        }
        for at in from.saturating_sub(WATCHES)..to.saturating_sub(WATCHES) {
            if let Some(found) = self.look_at_queue(at) {
                self.cursor = WATCHES + at + 1;
                return Some(found);
            }
        }
        None
    }

    #[inline]
    fn look_at_watch(&mut self, at: usize) -> Option<Found> {
        let Some(Some(watch)) = self.watches.get(at) else { return None };
        let (channel, block) = (watch.channel, watch.block);
        let Some(Some(scanned)) = self.channels.get(channel) else { return None };
        let head = scanned.channel.segment.block(block)?;
        let value = head.word.load(Ordering::Acquire);
        if value == word::DONE | word::WATCHED {
            return None;
        }
        let here = &scanned.channel;
        let found = match word::unwatched(value) {
            Ok(true) => Some(Found { channel, block }),
            Ok(false) => return None,
            Err(corrupt) => {
                here.condemn(corrupt);
                None
            }
        };
        self.forget_watch(at);
        found
    }

    #[inline]
    fn look_at_queue(&mut self, at: usize) -> Option<Found> {
        let Some(Some(scanned)) = self.channels.get_mut(at) else { return None };
        if scanned.channel.is_broken() {
            return None;
        }
        let entry = match scanned.requests.pop(scanned.channel.segment.request_cells()) {
            Ok(None) => return None,
            Ok(Some(entry)) => entry,
            Err(corrupt) => {
                scanned.channel.condemn(corrupt);
                return None;
            }
        };
        let here = self.channel(at)?;
        let nonsense = Corrupt(u64::from(entry.offset));
        match entry.kind {
            Kind::Request => match here.segment.geometry().block_index(entry.offset) {
                Some(block) if !self.is_watched(at, block) => Some(Found { channel: at, block }),
                _ => {
                    here.condemn(nonsense);
                    None
                }
            },
            Kind::Announcement => {
                here.condemn(nonsense);
                None
            }
        }
    }

    fn is_watched(&self, channel: usize, block: u32) -> bool {
        self.watching != 0 && self.watches.iter().flatten().any(|w| w.channel == channel && w.block == block)
    }

    fn forget_watch(&mut self, at: usize) {
        if let Some(place) = self.watches.get_mut(at) {
            *place = None;
            self.watching &= !(1 << at);
        }
    }

    /// Puts a block that was answered with `WATCHED` into the set. Beyond a limit an older one is given up; gives that one
    /// if its request has arrived.
    #[inline]
    pub(crate) fn watch(&mut self, channel: usize, block: u32) -> Option<Found> {
        let mut evicted = None;
        if self.watching != 0 {
            let mut own = (0, 0);
            for (at, watch) in self.watches.iter().enumerate() {
                if watch.as_ref().is_some_and(|w| w.channel == channel) {
                    own = (own.0 + 1, at);
                }
            }
            if own.0 >= WATCHES_PER_CHANNEL {
                evicted = self.unwatch(own.1);
            } else if self.watching.count_ones() as usize >= WATCHES {
                evicted = self.unwatch(self.cursor % WATCHES);
            }
        }
        let free = (!self.watching).trailing_zeros() as usize;
        if let Some(place) = self.watches.get_mut(free) {
            *place = Some(Watch { channel, block });
            self.watching |= 1 << free;
        }
        evicted
    }

    /// S3 for one place of the watch set; gives its request if one has arrived.
    fn unwatch(&mut self, at: usize) -> Option<Found> {
        let watch = self.watches.get_mut(at)?.take()?;
        self.watching &= !(1 << at);
        let Some(Some(scanned)) = self.channels.get(watch.channel) else { return None };
        let head = scanned.channel.segment.block(watch.block)?;
        match handover::unwatch(&head.word) {
            Ok(true) => Some(Found { channel: watch.channel, block: watch.block }),
            Ok(false) => None,
            Err(corrupt) => {
                scanned.channel.condemn(corrupt);
                None
            }
        }
    }

    /// Stops scanning a channel whose peer is gone, if nothing of it is left to serve.
    pub(crate) fn retire(&mut self, at: usize) -> bool {
        let Some(Some(scanned)) = self.channels.get(at) else { return true };
        let here = scanned.channel.clone();
        if scanned.is_ready() {
            return false;
        }
        for place in 0..WATCHES {
            let watch = self.watches.get(place).and_then(Option::as_ref).filter(|w| w.channel == at);
            let Some(block) = watch.map(|w| w.block) else { continue };
            let value = here.segment.block(block).map(|head| head.word.load(Ordering::Acquire));
            if !here.is_broken() && value.is_some_and(|v| word::seen(v) == Ok(Seen::Run)) {
                return false;
            }
            self.forget_watch(place);
        }
        if let Some(place) = self.channels.get_mut(at) {
            *place = None;
        }
        while matches!(self.channels.last(), Some(None)) {
            self.channels.pop();
        }
        self.retired.push(here);
        true
    }
}

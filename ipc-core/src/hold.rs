//! What the holder of the scanner role looks at: channels, their queues, and the watch set.
//!
//! Watched words are looked at first: who calls again and again is answered at once. After so many hits in a row, or none,
//! the heads of a few queues follow, in turn, so that a look costs the same with many channels as with a few; and those of the
//! queues that had requests last, so that idle channels delay nobody. Of one queue so many requests are taken in a row at
//! most. Both counts are small: no watched block can hide a queue, and no channel another one.
//!
//! # Safety
//! Pointers into channels that `channels` keeps alive: looking them up by place for every word would cost more than looking
//! at the word.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

use crate::callee::{Channel, GONE, RETIRED};
use crate::handover;
use crate::late::{Crowd, Late};
use crate::layout::BlockHead;
use crate::prefetch;
use crate::queue::{Consumer, Kind};
use crate::scanner::FIRST_PASSES;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::word::{self, Corrupt, Seen};

/// Blocks watched in all, and of one channel.
const WATCHES: usize = 16;
const WATCHES_PER_CHANNEL: usize = 4;
/// Hits on watched words before a queue has its turn.
const STREAK: u32 = 8;
/// Requests of one queue in a row before others have their turn.
const BURST: u32 = 9;
/// Queues of which one look sees the heads, in turn.
const SLICE: usize = 8;
/// So many of those that had requests last are looked at besides if there are more.
const RECENT: usize = 4;
/// Of so many blocks that could be watched if there were room, one takes the place of another.
const CHANCE: u32 = 16;
/// A caller from which so many requests come in a row is the only one that calls.
const RUN: u32 = 32;
/// How many entries ahead of the one that is taken the blocks are fetched.
const AHEAD: usize = 4;
/// Requests served, or readings of the clock made, between two looks at the epoll set.
pub(crate) const WORK_PER_POLL: u32 = 512;
/// Requests served at most between two looks for callers that are to be woken by now. Of those that come in a row one of so many
/// is measured.
pub(crate) const BETWEEN_PAUSES: u32 = 64;

/// Whether a request is measured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Not,
    /// And stands for itself.
    Alone,
    /// And stands for as many as it is one of.
    ForOthers,
}

/// A block as the holder of the role finds it. The channel is alive while the role is held.
pub(crate) struct Spot<P> {
    pub(crate) channel: *const Channel<P>,
    /// The head of the block; the pointer is good for all of its bytes.
    pub(crate) head: *const BlockHead,
    /// The place of the channel.
    pub(crate) at: usize,
    pub(crate) block: u32,
}

impl<P> Spot<P> {
    /// The request that was `seen` here, where the block is watched at `place`.
    #[inline(always)]
    fn found(&self, seen: Seen, place: usize) -> Found<P> {
        let &Spot { channel, head, at, block } = self;
        Found { spot: Spot { channel, head, at, block }, seen, place }
    }
}

/// Asks for the line of the block at `offset`, if there is one: it is on its way while something else is done.
#[inline(always)]
fn fetch(segment: &Segment, offset: u32) {
    if let Some(head) = segment.geometry().block_index(offset).and_then(|block| segment.block(block)) {
        prefetch::for_write(head);
    }
}

/// A channel as the scanner sees it.
pub(crate) struct Scanned<P> {
    pub(crate) channel: Arc<Channel<P>>,
    requests: Consumer,
    /// The cells of its queue, which `channel` keeps mapped.
    cells: *const [AtomicU64],
    /// The blocks that came by the queue last.
    last: [u32; WATCHES_PER_CHANNEL],
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
    watches: [Spot<P>; WATCHES],
    /// Which of `watches` mean anything, a bit each.
    watching: u16,
    /// The watch that is looked at first.
    cursor: usize,
    /// Hits on watched words since a queue had its turn.
    streak: u32,
    /// The queue that was looked at last, in turn, and how many more the next looks see at once.
    queue: usize,
    due: usize,
    /// The queues that had requests last, the latest behind. Many channels are idle as a rule: those that are not need not
    /// wait until it is their turn.
    recent: [usize; RECENT],
    /// Counts a run of requests down that are taken from one queue, and which one that is.
    burst: u32,
    burst_at: usize,
    /// Blocks that were not watched for want of room.
    unwatched: u32,
    /// Channels that are no longer scanned but may be in use by a worker.
    pub(crate) retired: Vec<Arc<Channel<P>>>,
    /// The tick is armed.
    pub(crate) ticking: bool,
    /// Requests served since the epoll set was last looked at.
    pub(crate) work: u32,
    /// How many looks in vain come before anything else is considered.
    pub(crate) first_passes: u32,
    /// Requests served in all, modulo 2^32.
    pub(crate) served: u32,
    /// Behind which of them there is a pause, and was the last: [`Hold::pause`].
    pub(crate) pause_at: u32,
    paused_at: u32,
    /// Which of them is measured, and stands for others.
    measure_at: u32,
    /// The next one is measured, for itself.
    woken: bool,
    random: u32,
    /// The place of the channel whose request was served last, and how many came from it in a row.
    last: usize,
    run: u32,
    /// The core that all channels have been told of.
    pub(crate) core: u32,
    /// Callers that are answered and not woken yet.
    pub(crate) late: Late<P>,
    pub(crate) crowd: Crowd,
}

/// A request that was found.
pub(crate) struct Found<P> {
    pub(crate) spot: Spot<P>,
    /// What is in its word.
    pub(crate) seen: Seen,
    /// The place where it was watched, [`ANY`], or [`NO_PLACE`].
    pub(crate) place: usize,
}

impl<P> Found<P> {
    /// The same, put together anew: what a function that is not inlined has written stays in memory else.
    #[inline(always)]
    pub(crate) fn renewed(self) -> Self {
        self.spot.found(self.seen, self.place)
    }
}

/// A block that was not watched is to be, in any place.
const ANY: usize = WATCHES;
/// Answered, the block is not to be watched.
pub(crate) const NO_PLACE: usize = WATCHES + 1;

impl<P> Hold<P> {
    /// No channels.
    pub(crate) fn new() -> Self {
        Hold {
            channels: Vec::new(),
            watches: [const { Spot { channel: ptr::null(), head: ptr::null(), at: 0, block: 0 } }; WATCHES],
            watching: 0,
            cursor: 0,
            streak: 0,
            queue: 0,
            due: 0,
            recent: [usize::MAX; RECENT],
            burst: 0,
            burst_at: 0,
            unwatched: 0,
            retired: Vec::new(),
            ticking: false,
            work: 0,
            first_passes: FIRST_PASSES,
            served: 0,
            pause_at: BETWEEN_PAUSES,
            paused_at: 0,
            measure_at: BETWEEN_PAUSES,
            woken: false,
            random: 0x9E37_79B9,
            last: 0,
            run: 0,
            core: 0,
            late: Late::new(),
            crowd: Crowd::default(),
        }
    }

    /// A request of the channel at place `at` is served.
    #[inline(always)]
    pub(crate) fn count(&mut self, at: usize) {
        self.served = self.served.wrapping_add(1);
        self.run = if at == self.last { self.run.saturating_add(1) } else { 0 };
        self.last = at;
    }

    /// The next request is one that the worker was woken for.
    pub(crate) fn awake(&mut self) {
        self.woken = true;
        self.pause_at = self.served.wrapping_add(1);
    }

    /// There is a pause: the requests since the last one were work.
    pub(crate) fn note_work(&mut self) {
        self.work += self.served.wrapping_sub(self.paused_at);
        self.paused_at = self.served;
    }

    /// Is the request behind which there is a pause one that is measured? Plans the next pause.
    pub(crate) fn pause(&mut self) -> Measure {
        let is_drawn = self.served == self.measure_at;
        if is_drawn {
            // Marsaglia's xorshift.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            // Each one is as likely as any other, whatever was measured before: so the steps have a geometric distribution.
            let part = (f64::from(self.random) + 0.5) / 2f64.powi(32);
            let steps = 1.0 + (part.ln() / (1.0 - 1.0 / f64::from(BETWEEN_PAUSES)).ln()).floor();
            self.measure_at = self.served.wrapping_add(steps as u32);
        }
        let left = self.measure_at.wrapping_sub(self.served);
        let to_poll = WORK_PER_POLL.saturating_sub(self.work).max(1);
        self.pause_at = self.served.wrapping_add(left.min(BETWEEN_PAUSES).min(to_poll));
        match std::mem::take(&mut self.woken) {
            true => Measure::Alone,
            false if is_drawn => Measure::ForOthers,
            false => Measure::Not,
        }
    }

    /// The channel of the only caller that calls, as it seems.
    pub(crate) fn only_caller(&self) -> Option<&Channel<P>> {
        let only = self.channels.len() == 1 || self.run >= RUN;
        self.channels.get(self.last).filter(|_| only)?.as_ref().map(|scanned| &*scanned.channel)
    }

    /// Scans `channel` from now on.
    pub(crate) fn add(&mut self, channel: Arc<Channel<P>>) {
        channel.segment.callee_flags().core.store(self.core, Ordering::Relaxed);
        let cells = ptr::from_ref(channel.segment.request_cells());
        let scanned = Scanned {
            channel,
            requests: Consumer::new(),
            cells,
            last: [u32::MAX; WATCHES_PER_CHANNEL],
            hung_up: false,
            patience: 0,
        };
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

    /// The next request, if there is one in what it is the turn of. The queues are looked at only if `queues` says so, or if
    /// it is long their turn.
    #[inline(always)]
    pub(crate) fn next(&mut self, queues: bool) -> Option<Found<P>> {
        if self.burst != 0 {
            self.burst -= 1;
            if self.burst != 0
                && let Some(found) = self.look_at_queue(self.burst_at)
            {
                return Some(found.renewed());
            }
            self.burst = 0;
        }
        let due = self.streak >= STREAK;
        if due && let Some(found) = self.look_at_queues() {
            return Some(found.renewed());
        }
        if let Some(found) = self.look_at_watches() {
            self.streak += 1;
            return Some(found);
        }
        if queues && !due { self.look_at_queues().map(Found::renewed) } else { None }
    }

    /// Looks at the watched words, once round from the cursor, which moves behind a hit.
    #[inline(always)]
    fn look_at_watches(&mut self) -> Option<Found<P>> {
        let mut left = self.watching.rotate_right(self.cursor as u32);
        while left != 0 {
            let at = (left.trailing_zeros() as usize + self.cursor) % WATCHES;
            left &= left - 1;
            let Some(watch) = self.watches.get(at) else { break };
            // SAFETY: the word of a watched block, whose channel is alive.
            let value = unsafe { &*watch.head }.word.load(Ordering::Acquire); // [P1]
            if value == word::DONE | word::WATCHED {
                continue;
            }
            let judged = match word::seen(value) {
                Ok(Seen::Nothing) => Err(Corrupt(u64::from(value))), // Nobody but us takes the promise back.
                judged => judged.map(|seen| watch.found(seen, at)),
            };
            let channel = watch.channel;
            self.forget_watch(at);
            match judged {
                Ok(found) => {
                    self.cursor = (at + 1) % WATCHES;
                    return Some(found);
                }
                // SAFETY: as above, of its channel.
                Err(corrupt) => unsafe { &*channel }.condemn(corrupt),
            }
        }
        None
    }

    /// There may be something in any queue: the next looks go once round before they are short again.
    pub(crate) fn look_at_all(&mut self) {
        self.due = self.channels.len();
    }

    /// Looks at the heads of the next few queues, then at those that had requests last: in this order nobody waits longer for
    /// its turn because of them.
    #[inline(never)]
    fn look_at_queues(&mut self) -> Option<Found<P>> {
        self.streak = 0;
        let all = self.channels.len();
        for _ in 0..self.due.max(SLICE).min(all) {
            self.due = self.due.saturating_sub(1);
            self.queue = if self.queue + 1 < all { self.queue + 1 } else { 0 };
            if let Some(found) = self.look_at_queue(self.queue) {
                if all > SLICE {
                    self.note_recent(self.queue);
                }
                return Some(found);
            }
        }
        if all > SLICE { self.look_at_recent() } else { None }
    }

    fn look_at_recent(&mut self) -> Option<Found<P>> {
        for at in self.recent {
            if let Some(found) = self.look_at_queue(at) {
                self.note_recent(at);
                return Some(found);
            }
        }
        None
    }

    /// The queue at place `at` had a request: of the recent ones it is the last to be looked at now, and to be forgotten.
    fn note_recent(&mut self, at: usize) {
        let place = self.recent.iter().position(|recent| *recent == at).unwrap_or(0);
        if let Some(later) = self.recent.get_mut(place..) {
            later.rotate_left(1);
        }
        self.recent[RECENT - 1] = at;
    }

    #[inline]
    fn look_at_queue(&mut self, at: usize) -> Option<Found<P>> {
        match self.channels.get(at) {
            Some(Some(scanned)) if scanned.requests.is_ready(scanned.cells()) => self.pop(at),
            _ => None,
        }
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
        let channel = Arc::as_ptr(&scanned.channel);
        let segment = &scanned.channel.segment;
        let entry = match popped {
            Ok(entry) => entry?,
            Err(corrupt) => {
                scanned.channel.condemn(corrupt);
                return None;
            }
        };
        let more = scanned.requests.is_ready(cells);
        if more {
            let mut first = AHEAD;
            if self.burst == 0 {
                (self.burst, self.burst_at, first) = (BURST, at, 0);
            }
            for ahead in first..=AHEAD {
                if let Some(offset) = scanned.requests.peek(cells, ahead) {
                    fetch(segment, offset);
                }
            }
        }
        let Some(block) = segment.geometry().block_index(entry.offset) else {
            scanned.channel.condemn(Corrupt(u64::from(entry.offset)));
            return None;
        };
        // A caller with one call at a time uses the same few blocks again and again, one with many under way does not.
        let again = scanned.last.contains(&block);
        if !again {
            let [a, b, c, _] = scanned.last;
            scanned.last = [block, a, b, c];
        }
        // Of a block, so inside of the segment.
        let head: *const BlockHead = segment.pointer(entry.offset).cast().as_ptr();
        if entry.kind != Kind::Request || self.is_watched(head) {
            // SAFETY: `channels` keeps it alive.
            unsafe { &*channel }.condemn(Corrupt(u64::from(entry.offset)));
            return None;
        }
        let place = if again && !more && self.is_worth_watching(channel) { ANY } else { NO_PLACE };
        // SAFETY: the head of a block of `channel`, which `channels` keeps alive; atomics only.
        match handover::request(&unsafe { &*head }.word) {
            Ok(seen) => Some(Found { spot: Spot { channel, head, at, block }, seen, place }),
            Err(corrupt) => {
                // SAFETY: `channels` keeps it alive.
                unsafe { &*channel }.condemn(corrupt);
                None
            }
        }
    }

    /// Shall a block of `channel` that came by the queue be watched from now on? If there is room, and now and then in the
    /// place of another: taking a promise back costs more than a call by the queue.
    fn is_worth_watching(&mut self, channel: *const Channel<P>) -> bool {
        if (self.watching.count_ones() as usize) < WATCHES
            && self.watched().filter(|(_, w)| w.channel == channel).count() < WATCHES_PER_CHANNEL
        {
            return true;
        }
        self.unwatched = (self.unwatched + 1) % CHANCE;
        self.unwatched == 0
    }

    /// The watches that mean something, with their places.
    fn watched(&self) -> impl Iterator<Item = (usize, &Spot<P>)> + Clone {
        self.watches.iter().enumerate().filter(|(at, _)| self.watching & (1 << at) != 0)
    }

    /// Is the block with this head watched? (No two channels have the same memory.)
    fn is_watched(&self, head: *const BlockHead) -> bool {
        let mut left = self.watching;
        while left != 0 {
            if self.watches.get(left.trailing_zeros() as usize).is_some_and(|watch| watch.head == head) {
                return true;
            }
            left &= left - 1;
        }
        false
    }

    #[inline(always)]
    fn forget_watch(&mut self, at: usize) {
        self.watching &= !(1 << at);
    }

    /// Puts a block that was answered with `WATCHED` back into its place in the set, unless another one has been put there.
    #[inline(always)]
    pub(crate) fn watch_again(&mut self, head: *const BlockHead, place: usize) -> bool {
        // What is there is still this block's then: it was, no other block of a channel that is alive has this head, and nobody
        // else watches a block that is being served.
        let free = self.watches.get(place).is_some_and(|watch| watch.head == head);
        if free {
            self.watching |= 1 << place;
        }
        free
    }

    /// Puts a block that was answered with `WATCHED` into the set. Beyond a limit an older one is given up; gives that one if
    /// its request has arrived.
    #[inline(never)]
    pub(crate) fn watch(&mut self, spot: Spot<P>) -> Option<Found<P>> {
        let evicted = if self.watching == 0 { None } else { self.evict(spot.channel) };
        let free = (!self.watching).trailing_zeros() as usize;
        if let Some(place) = self.watches.get_mut(free) {
            *place = spot;
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
        // The one behind the cursor has not been hit for longest.
        if self.watching.count_ones() as usize >= WATCHES { self.unwatch(self.cursor) } else { None }
    }

    /// S3 for one place of the watch set; gives its request if one has arrived.
    fn unwatch(&mut self, at: usize) -> Option<Found<P>> {
        self.forget_watch(at);
        let watch = self.watches.get(at)?;
        // SAFETY: its bit was set, so this is the block of a channel that `channels` keeps alive; atomics only.
        let word = &unsafe { &*watch.head }.word;
        match handover::unwatch(word).and_then(|arrived| arrived.then(|| handover::request(word)).transpose()) {
            // Its place is another's now, or soon.
            Ok(arrived) => arrived.map(|seen| watch.found(seen, ANY)),
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

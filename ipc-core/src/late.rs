//! Callers that sleep on an answered word and have not been woken yet.
//!
//! # Why
//! Where more callers want to run than there are cores, waking each as soon as it is answered is slow: the kernel lets the one
//! that slept run at once, often on the core of the worker that woke it, where it makes one request that nobody can answer
//! meanwhile, and sleeps again. So the holder of the scanner role wakes one when it finds nothing to do, and who has slept
//! for long: a few callers at a time have whole time slices, and are answered while they look.
//!
//! # Rules
//! The list belongs to the role [P17]. What is on it is woken in order: one whenever nothing is found, each after [`LATEST`],
//! all before the holder sleeps or stops, and all by whoever takes the role over from a worker that has not come back to it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::callee::Channel;
use crate::clock;
use crate::sync::Ordering;

/// Nobody is told later than so many nanoseconds after the answer, as long as requests are served.
const LATEST: u64 = 2_000_000;
/// The holder stays on a core for at least so long: each change costs some microseconds on both.
const STAY: u64 = 8_000_000;
/// So many can be on the list.
const MOST: usize = 1024;

struct Sleeper<P> {
    channel: Arc<Channel<P>>,
    block: u32,
    /// When it was answered.
    since: u64,
}

/// Who is to be woken, in the order of the answers.
pub(crate) struct Late<P> {
    sleepers: VecDeque<Sleeper<P>>,
    moved: u64,
    /// The core that callers were told of, since it was asked.
    told: u32,
}

impl<P> Late<P> {
    pub(crate) fn new() -> Self {
        Late { sleepers: VecDeque::new(), moved: 0, told: 0 }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.sleepers.is_empty()
    }

    /// Have callers been told of another core than this one, since this was asked?
    pub(crate) fn has_told_other(&mut self, core: u32) -> bool {
        let told = std::mem::take(&mut self.told);
        told != 0 && told != core
    }

    /// The answer to `block` of `channel` is told later. Who is due is told now.
    pub(crate) fn add(&mut self, channel: Arc<Channel<P>>, block: u32, now: u64) {
        self.sleepers.push_back(Sleeper { channel, block, since: now });
        if self.sleepers.len() > MOST {
            self.wake_one();
        }
        self.wake_due(now);
    }

    /// `false`: there was nobody to wake.
    pub(crate) fn wake_one(&mut self) -> bool {
        let Some(sleeper) = self.sleepers.pop_front() else { return false };
        // So that a caller that the kernel puts on this core makes room again at once.
        self.told = clock::core();
        sleeper.channel.segment.callee_flags().core.store(self.told, Ordering::Relaxed);
        if let Some(head) = sleeper.channel.segment.block(sleeper.block) {
            sleeper.channel.wake(head, sleeper.since);
        }
        true
    }

    pub(crate) fn wake_due(&mut self, now: u64) {
        while let Some(sleeper) = self.sleepers.front()
            && now.saturating_sub(sleeper.since) >= LATEST
        {
            let shares_core = sleeper.channel.segment.caller_flags().core.load(Ordering::Relaxed) == clock::core();
            if shares_core && now.saturating_sub(self.moved) >= STAY {
                // Its core is ours, so it makes one call whenever it is woken, and others many. Now it is their turn.
                clock::leave_core();
                self.moved = now;
            }
            self.wake_one();
        }
    }

    /// With the role, which was given up behind every [`Late::add`] [P17].
    pub(crate) fn wake_all(&mut self) {
        while self.wake_one() {}
    }
}

/// Channels whose callers take turns in being woken, from which on they are a crowd.
const MANY: u32 = 6;
/// A caller that has not been woken for longer counts as that many others.
const MOST_OTHERS: u32 = 32;
/// A request takes longer than so many nanoseconds: waking is not what matters.
const SLOW: u64 = 20_000;
/// Weight of what was before, in both averages.
const MEMORY: u32 = 16;

/// Do so many callers sleep for such short requests that they are better woken one after another?
///
/// Between two answers that wake callers of a channel there are as many to those of others as there are others that take
/// turns with it; what counts is the average over all channels, so that one that calls seldom makes no crowd.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Answers that had to wake somebody.
    answers: u32,
    /// Averages, times [`MEMORY`]: the number of others, and nanoseconds of a request.
    others: u32,
    pace: u64,
    /// When the last such answer was, and the number of requests by then.
    at: u64,
    served: u32,
}

impl Crowd {
    /// A caller of `channel` had to be woken. `served`: the number of requests so far.
    pub(crate) fn learn<P>(&mut self, channel: &Channel<P>, served: u32, now: u64) {
        self.answers = self.answers.wrapping_add(1);
        let before = channel.woken.swap(self.answers, Ordering::Relaxed);
        let others = self.answers.wrapping_sub(before).min(MOST_OTHERS);
        self.others = self.others - self.others / MEMORY + others;
        let requests = u64::from(served.wrapping_sub(self.served).max(1));
        let pace = (now.saturating_sub(self.at) / requests).min(8 * SLOW);
        self.pace = self.pace - self.pace / u64::from(MEMORY) + pace;
        (self.at, self.served) = (now, served);
    }

    pub(crate) fn is_there(&self) -> bool {
        self.others > MANY * MEMORY && self.pace < SLOW * u64::from(MEMORY)
    }
}

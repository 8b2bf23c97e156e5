//! Waiting until detached calls are answered, or until a moment.

use std::task::Waker;

use super::{Caller, Limit, NotFlushed, deadline_of, sleep, wake};
use crate::announcements::NEVER;
use crate::given;
use crate::lending::Holder;
use crate::sync::Ordering;
use crate::turns::{Flushing, Sleeping};

impl Caller {
    /// How many detached calls have not been answered, as far as was looked. Calls no wakers.
    pub fn detached(&self) -> u32 {
        self.lock().detached.count()
    }

    /// Was a detached call refused because the callee was leaving, since this was asked? For who has waited until they are all
    /// answered.
    pub fn take_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }

    /// Waits until every call that was detached before is answered, for as long as `limit` has it.
    ///
    /// # Errors
    /// [`NotFlushed`].
    pub fn flush(&self, limit: Limit) -> Result<(), NotFlushed> {
        let deadline = deadline_of(limit);
        let mut mark = None;
        loop {
            match self.look_for_flush(&mut mark, None, NEVER) {
                Ok(None) => return Ok(()),
                Err(why) => return Err(why),
                Ok(Some(mark)) => {
                    let given = self.lock();
                    if given.detached.is_flushed(mark) || self.has_ended() {
                        continue;
                    }
                    if sleep(&self.flushed, given, deadline).is_none() {
                        return Err(NotFlushed::TimedOut);
                    }
                }
            }
        }
    }

    /// As [`Caller::flush`], for a future.
    pub fn flush_async<C: Holder>(this: C, limit: Limit) -> Flushing<C> {
        Flushing::new(this, limit)
    }

    /// A future that is ready at a moment of `CLOCK_MONOTONIC`, in nanoseconds, or when the channel has ended.
    pub fn sleep_async<C: Holder>(this: C, until: u64) -> Sleeping<C> {
        Sleeping::new(this, until)
    }

    /// A future waits for a moment. It does so among those that wait for a flush, and is woken with them.
    pub(crate) fn register_for_alarm(&self, turn: &mut Option<u64>, waker: Waker, until: u64) {
        let mut given = self.lock();
        let number = *turn.get_or_insert_with(|| given.number());
        let old = given.for_flush.insert(number, given::Turn { waker, deadline: until });
        drop(given);
        drop(old);
        self.set_alarm(until);
    }

    /// Has what was detached before the first look (which sets `mark`) been answered? Else gives the mark; what is still
    /// lent will be announced, and the future `turn` be woken.
    pub(crate) fn look_for_flush(
        &self,
        mark: &mut Option<u64>,
        turn: Option<(&mut Option<u64>, Waker)>,
        deadline: u64,
    ) -> Result<Option<u64>, NotFlushed> {
        self.notify();
        self.hear();
        let (mut wakers, mut dropped) = (Vec::new(), None);
        let mut given = self.lock();
        self.take_home(&mut given, u32::MAX, &mut wakers);
        let mark = *mark.get_or_insert_with(|| given.detached.mark());
        // Before the look: what turns out to be answered already goes home, and that may have been the last one.
        let first = !given.detached.is_flushed(mark) && self.ask_to_be_told(&mut given, &mut wakers);
        let result = if given.detached.is_flushed(mark) {
            Ok(None)
        } else if self.has_ended() {
            Err(NotFlushed::Ended)
        } else {
            if let Some((turn, waker)) = turn {
                let number = *turn.get_or_insert_with(|| given.number());
                dropped = given.for_flush.insert(number, given::Turn { waker, deadline });
            }
            Ok(Some(mark))
        };
        drop(given);
        self.set_alarm(deadline);
        self.listen(first);
        wake(wakers);
        drop(dropped);
        result
    }

    /// A future waits for a flush no longer.
    pub(crate) fn unregister_for_flush(&self, turn: u64) {
        let own = self.lock().for_flush.remove(&turn);
        drop(own);
    }
}

//! Announcements that come, and who is to be told.

use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use super::{Caller, wake};
use crate::announcements::{Asked, NEVER, News};
use crate::given::{self, Zombie};
use crate::handover;
use crate::layout;
use crate::queue::Kind;
use crate::sync::Ordering;
use crate::word::{Corrupt, Lent};

impl Caller {
    /// A future waits for the reply in `block`: keeps its waker until the announcement comes.
    pub(crate) fn register(&self, block: u32, waker: Waker, deadline: Option<u64>) -> Result<Asked, Corrupt> {
        let Some(head) = self.head(block) else { return Err(Corrupt(u64::from(block))) };
        let asked = self.announcements.register(block, &head.word, waker, deadline)?;
        if let Asked::Due { first } = asked {
            if let Some(deadline) = deadline {
                self.set_alarm(deadline);
            }
            self.listen(first);
        }
        Ok(asked)
    }

    /// The future that waited for the reply in `block` has seen it.
    pub(crate) fn unregister(&self, block: u32) {
        self.announcements.unregister(block);
    }

    /// Does any future wait for a reply, as far as is known?
    pub(crate) fn waits_for_any(&self) -> bool {
        self.announcements.is_due()
    }

    /// When the future that waits for `block` gives up.
    pub(crate) fn deadline_of(&self, block: u32) -> u64 {
        self.announcements.deadline(block)
    }

    pub(super) fn set_alarm(&self, deadline: u64) {
        if deadline != NEVER && self.alarm.set(deadline) {
            self.bells.wake_by(deadline);
        }
    }

    /// Wakes the futures whose deadline has come, if any may have; gives the time of the next one.
    pub(crate) fn alarm(&self, now: u64) -> u64 {
        if self.alarm.ring(now) {
            let mut wakers = Vec::new();
            let replies = self.announcements.take_wakers(now, |waker| wakers.push(waker));
            let mut given = self.lock();
            let (late, blocks) = given::take_late(&mut given.for_block, now, &mut wakers);
            (0..late).for_each(|_| self.pool.end_wait());
            let (_, flushes) = given::take_late(&mut given.for_flush, now, &mut wakers);
            drop(given);
            self.alarm.set(replies.min(blocks).min(flushes));
            wake(wakers);
        }
        self.alarm.at()
    }

    /// Pops the announcements that have come, wakes who waits, brings home what nobody waits for.
    pub(super) fn hear(&self) {
        if self.announcements.is_due() {
            let heard = self.announcements.hear(self.segment.announcement_cells(), self.block_of(), self.news());
            self.judge(heard);
        }
    }

    /// `first`: an announcement is due, and none was before: sees to it that it will be heard.
    pub(crate) fn listen(&self, first: bool) {
        let asleep = &self.segment.caller_flags().asleep;
        if first && self.announcements.listen(self.segment.announcement_cells(), asleep) {
            self.hear();
        }
    }

    /// The doorbell rang.
    pub(crate) fn rung(&self) {
        let asleep = &self.segment.caller_flags().asleep;
        let cells = self.segment.announcement_cells();
        let heard = self.announcements.rung(cells, asleep, self.block_of(), self.news());
        self.judge(heard);
    }

    pub(super) fn judge(&self, heard: Result<(), Corrupt>) {
        if let Err(corrupt) = heard {
            self.condemn(corrupt);
        }
    }

    pub(super) fn block_of(&self) -> impl Fn(Kind, u32) -> Option<u32> {
        |kind, offset| {
            let block = self.segment.geometry().block_index(offset)?;
            match kind {
                Kind::Announcement => Some(block),
                // Until it is released the block is not lent, and its answer is there.
                Kind::Release => {
                    let head = self.head(block)?;
                    let done = handover::look(&head.word) == Ok(Lent::Done);
                    (done && head.status.load(Ordering::Relaxed) & layout::KEPT != 0).then_some(block)
                }
                Kind::Request => None,
            }
        }
    }

    pub(super) fn news(&self) -> impl FnMut(News<Zombie>) + '_ {
        |news| match news {
            News::Wake(waker) => wake(Some(waker)),
            News::Home(zombie) => {
                let done = self.head(zombie.block.number).map(|head| handover::look(&head.word));
                match done {
                    Some(Ok(Lent::Done)) => {
                        let mut wakers = Vec::new();
                        self.come_home(&mut self.lock(), zombie, &mut wakers);
                        wake(wakers);
                    }
                    Some(Ok(Lent::Out(value))) => self.condemn(Corrupt(u64::from(value))), // announced, but not done
                    Some(Err(corrupt)) => self.condemn(corrupt),
                    None => {}
                }
            }
            News::Released(Zombie { block, .. }) => self.released(block),
        }
    }
}

/// Does what [`Caller::listen`] does when no lock is held.
pub(super) struct Listening(pub(super) Weak<Caller>);

impl Wake for Listening {
    fn wake(self: Arc<Self>) {
        if let Some(caller) = self.0.upgrade() {
            caller.listen(true);
        }
    }
}

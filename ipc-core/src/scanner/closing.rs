//! What the workers do when the callee is to stop.
//!
//! # Safety
//! The data of the role, and pointers to channels that were found under the role, which this thread keeps meanwhile.
#![allow(unsafe_code)]

use std::time::Duration;

use super::Shared;
use crate::callee::{BUSY, Channel, HOLDS_REPLY, Handler};
use crate::clock;
use crate::doorbell;
use crate::hold::{Found, Hold, Scanned};
use crate::layout::{BlockHead, NOT_RUN, RELEASE, STOPPING};
use crate::sync::Ordering;
use crate::word::{Corrupt, Seen};

/// A look at everything, and whatever else is done with the role, seldom takes longer.
const MOMENT: Duration = Duration::from_micros(50);

impl<H: Handler> Shared<H> {
    /// Refuses what arrives for as long as handlers run: one of them may wait for it, or for what its caller does then. For a
    /// worker that runs none. Keeps the role while it sleeps: nobody else wants it, and whoever eats a doorbell on the way out
    /// raises `stop` behind it.
    pub(super) fn close_down(&self) {
        // Whoever has the role may have found a request before it was told, and run its handler next.
        while !self.role.try_take() {
            if self.role_is_kept.load(Ordering::Relaxed) {
                return;
            }
            clock::pause(MOMENT);
        }
        self.role_is_kept.store(true, Ordering::Relaxed);
        // For whoever takes the role next, that is when no handler runs any more.
        self.attention.store(true, Ordering::Relaxed);
        // SAFETY: this thread holds the role, and the reference ends before it gives the role up.
        let hold = unsafe { &mut *self.hold.get() };
        hold.late.wake_all(); // [P17]
        while self.runs_handlers() {
            self.attend(hold);
            if let Some(found) = hold.next(true).or_else(|| hold.unwatch_all()) {
                self.refuse(&found);
            } else if !self.prepare_to_wait(hold) {
                self.listen(None);
            }
        }
        self.role.give_up();
    }

    fn runs_handlers(&self) -> bool {
        self.serving.iter().any(|serving| serving.is_busy())
    }

    /// Raises the sleep flags. `true`: something has arrived. Nothing is watched.
    fn prepare_to_wait(&self, hold: &Hold<H::Peer>) -> bool {
        self.empty_doorbells();
        for scanned in hold.channels.iter().flatten() {
            doorbell::raise_one(&scanned.channel.segment.callee_flags().asleep);
        }
        doorbell::raised(); // [P4]
        hold.channels.iter().flatten().any(Scanned::is_ready)
    }

    fn refuse(&self, found: &Found<H::Peer>) {
        // SAFETY: this thread holds the role, so `hold.channels` keeps the channel alive.
        let channel = unsafe { &*found.spot.channel };
        // SAFETY: the head of a block of that channel; atomics only.
        let head = unsafe { &*found.spot.head };
        if let Err(corrupt) = refuse(channel, head, found.spot.block, found.seen) {
            channel.condemn(corrupt);
        }
    }
}

/// S1 and S2 of a request that is not run.
fn refuse<P>(channel: &Channel<P>, head: &BlockHead, block: u32, seen: Seen) -> Result<(), Corrupt> {
    let Some(served) = channel.blocks.get(block as usize).filter(|_| seen != Seen::Nothing) else { return Ok(()) };
    let before = served.state.load(Ordering::Relaxed);
    if before & BUSY != 0 {
        return Err(Corrupt(u64::from(block)));
    }
    if before & HOLDS_REPLY != 0 {
        channel.release_reply(block);
        served.state.store(0, Ordering::Relaxed);
    }
    let released = head.method.load(Ordering::Relaxed) == RELEASE;
    channel.refuse(head, block, if released || seen == Seen::Refuse { NOT_RUN } else { STOPPING });
    Ok(())
}

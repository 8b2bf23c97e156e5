//! The end of a lending: a block comes home at once, or as a zombie when it is answered, or when its request is released.

use std::sync::Arc;
use std::task::Waker;

use super::hearing::Listening;
use super::{Block, Caller, EXPORTS, GIVES_BACK, KEPT, LARGE, PARCEL, PATIENCE, PINS, POLLED, wake};
use crate::announcements::Asked;
use crate::given::{Given, Of, Zombie};
use crate::handover;
use crate::hot;
use crate::imports::Holds;
use crate::lane::{self, Parcel};
use crate::layout::{self, RELEASE, SENDS_PARCEL, STOPPING};
use crate::sync::Ordering;
use crate::word::{self, Lent};

impl Caller {
    /// A block of ours comes home.
    #[inline]
    pub(crate) fn bring_home(&self, block: Block) {
        crate::fail_point!(AnswerRead);
        if block.flags != 0 && !self.is_finished(block) {
            return;
        }
        if self.pool.has_waiters() || !hot::keep(self.number, block.number) {
            hot::bring_home(self, block.number);
        }
    }

    /// What has to be undone before a block can be used again. `false`: its announcement has not come yet, or the callee keeps
    /// it; it goes home then.
    #[cold]
    pub(crate) fn is_finished(&self, mut block: Block) -> bool {
        if block.flags & PARCEL != 0 {
            // Whoever wanted them has taken them.
            drop(lane::unpack(Parcel::default()));
            block.flags &= !PARCEL;
        }
        if block.flags & KEPT != 0 {
            let (released, first) = self.announcements.keep(block.number, Zombie { block, of: Of::Finished });
            self.listen(first);
            if released.is_none() {
                return false;
            }
        }
        self.free_memory(block);
        block.flags &= !(LARGE | PINS | EXPORTS | KEPT | GIVES_BACK);
        block.flags & POLLED == 0
            || self.announcements.leave(block.number, Zombie { block, of: Of::Finished }).0.is_some() // R3
    }

    /// What the request of a block has lent besides the block is ours again.
    #[inline]
    pub(crate) fn free_memory(&self, block: Block) {
        if block.flags & LARGE != 0 {
            self.free_large(block.number);
        }
        if block.flags & PINS != 0 {
            self.loans.unpin(block.number, &self.arena);
        }
        if block.flags & EXPORTS != 0 {
            drop(self.forget_exports(block.number));
        }
    }

    #[cold]
    pub(super) fn free_large(&self, number: u32) {
        if let Some(extent) = self.extent(number).and_then(|mut e| e.take()) {
            self.arena.free(extent);
        }
    }

    /// The request in `block` was read, or is not to be sent.
    pub(super) fn forget_exports(&self, block: u32) -> Holds {
        let (extents, holds) = self.exports.end(block);
        extents.into_iter().for_each(|extent| self.arena.free(extent));
        holds
    }

    /// A lent block is given up: it comes home when the callee answers.
    #[cold]
    pub(crate) fn abandon(&self, block: Block) {
        let Some(head) = self.head(block.number) else { return };
        let done = matches!(handover::wish(&head.word, word::CANCELLED), Ok(Lent::Done));
        crate::fail_point!(CallCancelled);
        self.add_zombie(block, Some(Of::GivenUp), done);
    }

    /// Nobody is to wait for a lent block: it comes home when the callee answers.
    #[cold]
    pub(crate) fn detach(&self, block: Block) {
        self.add_zombie(block, None, false);
        crate::fail_point!(CallDetached);
    }

    /// Lends a block once more, only to give the memory of its reply back. Nobody waits for the answer.
    #[cold]
    pub(crate) fn release_reply(&self, block: Block) {
        if !self.is_finished(Block { flags: block.flags | GIVES_BACK, ..block }) {
            return; // The block goes home later; the memory with its next call, or then if the callee keeps the request.
        }
        let Some(head) = self.head(block.number) else { return };
        head.method.store(RELEASE, Ordering::Relaxed);
        head.tag.store(0, Ordering::Relaxed);
        head.deadline.store(0, Ordering::Relaxed);
        match handover::submit(&head.word, 0) {
            Ok(watched) => {
                if !watched {
                    self.push(block.number);
                }
                crate::fail_point!(ReplyReleased);
                self.add_zombie(Block { flags: 0, ..block }, Some(Of::GivenUp), false);
            }
            Err(corrupt) => self.condemn(corrupt),
        }
    }

    /// A lent block that nobody waits for; `of` is `None` for a detached one. `done`: it is answered already.
    pub(super) fn add_zombie(&self, block: Block, of: Option<Of>, done: bool) {
        let mut wakers = Vec::new();
        let mut given = self.lock();
        let of = of.unwrap_or_else(|| Of::Detached(given.detached.add()));
        let zombie = Zombie { block, of };
        let mut first = false;
        let polled = block.flags & POLLED != 0;
        let (zombie, waker) =
            if polled { self.announcements.leave(block.number, zombie) } else { (Some(zombie), None) };
        match zombie {
            None => {}
            Some(zombie) if done => self.come_home(&mut given, zombie, &mut wakers),
            Some(zombie) => {
                given.zombies.push_back(zombie);
                self.zombies.fetch_add(1, Ordering::Relaxed);
                // Whoever sleeps for a block, or for detached calls, has not asked to be told of this one.
                if self.pool.has_waiters() {
                    first = self.ask_to_be_told(&mut given, &mut wakers);
                }
            }
        }
        drop(given);
        self.listen(first);
        wake(wakers);
        drop(waker);
    }

    /// Asks for an announcement of every zombie. `true`: [`Caller::listen`] has to follow, without the lock.
    pub(super) fn ask_to_be_told(&self, given: &mut Given, wakers: &mut Vec<Waker>) -> bool {
        let mut listen = false;
        while let Some(zombie) = self.pop_zombie(given) {
            let number = zombie.block.number;
            let Some(head) = self.head(number) else { continue };
            match self.announcements.ask_for(number, &head.word, zombie) {
                (Ok(Asked::Due { first }), _) => listen |= first,
                (Ok(Asked::Done), Some(zombie)) => self.come_home(given, zombie, wakers),
                (Err(corrupt), _) => self.condemn(corrupt),
                (Ok(Asked::Done), None) => {}
            }
        }
        listen
    }

    pub(super) fn pop_zombie(&self, given: &mut Given) -> Option<Zombie> {
        let zombie = given.zombies.pop_front()?;
        self.zombies.fetch_sub(1, Ordering::Relaxed);
        Some(zombie)
    }

    /// Brings zombies home that have been answered: looks at the oldest ones, and stops after `most`, or at the first one
    /// that is still lent unless all were asked for (`u32::MAX`).
    pub(super) fn take_home(&self, given: &mut Given, most: u32, wakers: &mut Vec<Waker>) {
        let mut looks = given.zombies.len().min(most as usize);
        while let Some(zombie) = given.zombies.front().filter(|_| looks > 0) {
            looks -= 1;
            let Some(head) = self.head(zombie.block.number) else { return };
            match handover::look(&head.word) {
                Ok(Lent::Done) => {
                    given.in_vain = 0;
                    if let Some(zombie) = self.pop_zombie(given) {
                        self.come_home(given, zombie, wakers);
                    }
                }
                Ok(Lent::Out(_)) => {
                    given.in_vain += 1;
                    if most == u32::MAX || given.in_vain >= PATIENCE {
                        given.in_vain = 0;
                        given.zombies.rotate_left(1);
                    }
                    if most != u32::MAX {
                        return;
                    }
                }
                Err(corrupt) => return self.condemn(corrupt),
            }
        }
    }

    /// A block that nobody waits for is answered, and its announcement popped if one was due.
    pub(super) fn come_home(&self, given: &mut Given, zombie: Zombie, wakers: &mut Vec<Waker>) {
        let Zombie { mut block, of } = zombie;
        if of != Of::Finished
            && let Some(head) = self.head(block.number)
        {
            let mut status = head.status.load(Ordering::Relaxed);
            if status & layout::KEPT != 0 {
                status &= !layout::KEPT;
                block.flags |= KEPT;
            }
            self.count(block.number, status);
            if status & SENDS_PARCEL != 0 {
                self.lane.discard(block.number);
            }
            if status == STOPPING && matches!(of, Of::Detached(_)) {
                self.lost.store(true, Ordering::Relaxed);
            }
        }
        if let Of::Detached(generation) = of
            && given.detached.remove(generation)
        {
            self.flushed.notify_all();
            wakers.extend(std::mem::take(&mut given.for_flush).into_values().map(|turn| turn.waker));
        }
        if block.flags & KEPT != 0 {
            let (released, first) = self.announcements.keep(block.number, Zombie { block, of: Of::Finished });
            if first {
                // Listening takes the lock that is held here.
                wakers.push(Waker::from(Arc::new(Listening(self.this.clone()))));
            }
            if released.is_none() {
                return;
            }
        }
        if block.flags & EXPORTS != 0 {
            wakers.push(Waker::from(Arc::new(self.forget_exports(block.number))));
            block.flags &= !EXPORTS;
        }
        self.free_memory(block);
        if self.pool.push(block.number) {
            wakers.extend(self.next_waiter(given));
        }
    }

    /// The callee does not keep the request in `block` any more, which nobody uses.
    pub(super) fn released(&self, block: Block) {
        crate::fail_point!(BlockReleased);
        let gives_back = block.flags & GIVES_BACK != 0;
        let block = Block { flags: block.flags & !(KEPT | GIVES_BACK), ..block };
        if gives_back {
            self.release_reply(block);
        } else if self.is_finished(block) {
            self.to_pool(&[block.number]);
        }
    }
}

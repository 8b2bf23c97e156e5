//! Getting a block: a free one, one that has come home, or the next one that does.

use std::task::Waker;

use super::{Caller, LOOKS, Limit, NoBlock, deadline_of, sleep, wake};
use crate::given::{self, Given};
use crate::hot;
use crate::lending::{Draft, Holder};
use crate::sync::Ordering;
use crate::turns::Drafting;

impl Caller {
    /// Takes a free block, or waits for one until `limit`.
    ///
    /// # Errors
    /// [`NoBlock`]; nothing was sent.
    #[inline]
    pub fn draft<C: Holder>(this: C, limit: Limit) -> Result<Draft<C>, NoBlock> {
        if this.has_ended() {
            return Err(NoBlock::Ended);
        }
        if this.zombies.load(Ordering::Relaxed) != 0 {
            this.look_for_zombies();
        }
        let number = match hot::take(this.number) {
            Some(number) => number,
            None => this.find_block(limit)?,
        };
        Ok(Draft::new(this, number))
    }

    /// Takes a free block if there is one.
    ///
    /// # Errors
    /// [`NoBlock`]; nothing was sent.
    #[inline]
    pub fn try_draft<C: Holder>(this: C) -> Result<Draft<C>, NoBlock> {
        let number = this.try_block()?;
        Ok(Draft::new(this, number))
    }

    /// As [`Caller::draft`], for a future: it waits its turn without a thread.
    pub fn draft_async<C: Holder>(this: C, limit: Limit) -> Drafting<C> {
        Drafting::new(this, limit)
    }

    #[inline]
    pub(crate) fn try_block(&self) -> Result<u32, NoBlock> {
        if self.has_ended() {
            return Err(NoBlock::Ended);
        }
        if self.zombies.load(Ordering::Relaxed) != 0 {
            self.look_for_zombies();
        }
        match hot::take(self.number).or_else(|| hot::refill(self)) {
            Some(number) => Ok(number),
            None => self.look_everywhere(),
        }
    }

    /// The pool is empty: has any block been answered that nobody has looked at?
    #[cold]
    pub(super) fn look_everywhere(&self) -> Result<u32, NoBlock> {
        self.notify();
        self.hear();
        if self.zombies.load(Ordering::Relaxed) != 0 {
            let mut wakers = Vec::new();
            self.take_home(&mut self.lock(), u32::MAX, &mut wakers);
            wake(wakers);
        }
        self.pool.pop().ok_or(NoBlock::Busy)
    }

    pub(super) fn find_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        match hot::refill(self) {
            Some(number) => Ok(number),
            None => self.wait_for_block(limit),
        }
    }

    /// Blocks come home to the pool: each wakes one that waits.
    pub(crate) fn to_pool(&self, blocks: &[u32]) {
        if self.pool.push_all(blocks) {
            blocks.iter().for_each(|_| self.wake_one());
        }
    }

    /// Brings answered zombies home, few at a time: the block of a reply just released is the hot one.
    #[cold]
    pub(super) fn look_for_zombies(&self) {
        let Ok(mut given) = self.given.try_lock() else { return };
        let mut wakers = Vec::new();
        self.take_home(&mut given, LOOKS, &mut wakers);
        drop(given);
        wake(wakers);
    }

    #[cold]
    pub(super) fn wait_for_block(&self, limit: Limit) -> Result<u32, NoBlock> {
        let deadline = deadline_of(limit);
        self.notify();
        self.pool.begin_wait(); // [P13]
        let result = loop {
            self.hear();
            let mut wakers = Vec::new();
            let mut given = self.lock();
            self.take_home(&mut given, u32::MAX, &mut wakers);
            let first = self.ask_to_be_told(&mut given, &mut wakers);
            if first || !wakers.is_empty() {
                drop(given);
                self.listen(first);
                wake(wakers);
                given = self.lock();
            }
            if let Some(block) = self.pool.pop() {
                break Ok(block);
            }
            if self.has_ended() {
                break Err(NoBlock::Ended);
            }
            match sleep(&self.freed, given, deadline) {
                Some(given) => drop(given),
                None => break Err(NoBlock::Busy),
            }
        };
        self.pool.end_wait();
        result
    }

    /// A future waits for a block: registers it as number `turn`, or takes a block at once. Gives a block, or the number.
    pub(crate) fn register_for_block(
        &self,
        turn: Option<u64>,
        waker: &Waker,
        deadline: u64,
    ) -> Result<Result<u32, u64>, NoBlock> {
        self.notify();
        self.hear();
        let waker = waker.clone();
        let (mut wakers, mut dropped) = (Vec::new(), None);
        let mut given = self.lock();
        let turn = turn.unwrap_or_else(|| given.number());
        match given.for_block.insert(turn, given::Turn { waker, deadline }) {
            None => self.pool.begin_wait(), // [P13]
            old => dropped = old,
        }
        self.take_home(&mut given, u32::MAX, &mut wakers);
        let first = self.ask_to_be_told(&mut given, &mut wakers);
        let block = self.pool.pop();
        let ended = block.is_none() && self.has_ended();
        let mut own = None;
        if block.is_some() || ended {
            own = given.for_block.remove(&turn);
            if own.is_some() {
                self.pool.end_wait();
            }
        }
        drop(given);
        if block.is_none() && !ended {
            self.set_alarm(deadline);
        }
        // What others rely on comes before the wakers: what they do, and for how long, is not known.
        self.listen(first);
        wake(wakers);
        drop((own, dropped));
        match block {
            Some(block) => Ok(Ok(block)),
            None if ended => Err(NoBlock::Ended),
            None => Ok(Err(turn)),
        }
    }

    /// A future waits for a block no longer. If it was woken for one and has not `taken` it, the next one is.
    pub(crate) fn unregister_for_block(&self, turn: u64, taken: bool) {
        let mut given = self.lock();
        let own = given.for_block.remove(&turn);
        let mut next = None;
        if own.is_some() {
            self.pool.end_wait();
        } else if !taken && !self.pool.is_empty() {
            next = self.next_waiter(&mut given);
        }
        drop(given);
        drop(own);
        wake(next);
    }

    /// A block is free: wakes a thread that waits for one, and gives the waker of a future that does.
    pub(super) fn next_waiter(&self, given: &mut Given) -> Option<Waker> {
        self.freed.notify_one();
        let (_, turn) = given.for_block.pop_first()?;
        self.pool.end_wait();
        Some(turn.waker)
    }

    #[cold]
    pub(super) fn wake_one(&self) {
        let next = self.next_waiter(&mut self.lock());
        wake(next);
    }
}

//! The free blocks of a caller: last in, first out, lock-free, private to the process.
//!
//! Last-in-first-out because the block that came home last is the one the callee most likely still watches.
//!
//! # Algorithm
//! Treiber's stack (1986) of block numbers; the head word carries a tag that changes with every operation, so a head that
//! was popped and pushed again in between is noticed. Links are in a private vector, never in shared memory.
//!
//! # Ordering
//! P13: a waiter adds itself to `waiters`, then changes the head's tag, then looks again; `push` changes the head, then
//! loads `waiters`. Both change the same word, so one of them comes second: the pusher, and it sees the waiter - or the
//! waiter, and it sees the block. No fence is on the path of a call.
//! The head also carries the block's memory from the thread that brings it home to the one that takes it next.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::word;

/// The free blocks of one channel.
#[derive(Debug)]
pub struct Pool {
    /// Tag in the upper half, block number plus one in the lower (0: empty).
    head: AtomicU64,
    next: Box<[AtomicU32]>,
    waiters: AtomicU32,
}

const TAG: u64 = 1 << 32;

impl Pool {
    /// All of `blocks` blocks are free; number 0 is on top.
    pub fn new(blocks: u32) -> Self {
        Pool::start_at(word::FIRST, blocks)
    }

    /// The same after so many operations, for tests of wrap-around.
    #[doc(hidden)]
    pub fn start_at(tag: u32, blocks: u32) -> Self {
        let next = (0..blocks).map(|b| AtomicU32::new(if b + 1 < blocks { b + 2 } else { 0 })).collect();
        Pool { head: AtomicU64::new(u64::from(tag) << 32 | u64::from(blocks > 0)), next, waiters: AtomicU32::new(0) }
    }

    /// Takes the block that came home last.
    #[inline]
    pub fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let block = (head as u32).checked_sub(1)?;
            // May be the link of an older life of this block: then the tag has changed and the exchange fails.
            let next = self.next.get(block as usize)?.load(Ordering::Relaxed);
            let new = (head & !(TAG - 1)).wrapping_add(TAG) | u64::from(next);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(block),
                Err(now) => head = now,
            }
        }
    }

    /// Takes blocks, as many as there are but no more than `into` has places; the one that came home last first.
    #[inline]
    pub fn pop_some(&self, into: &mut [u32]) -> usize {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let (mut next, mut count) = (head as u32, 0);
            for place in &mut *into {
                let Some(block) = next.checked_sub(1) else { break };
                // Any of these links may be of an older life of its block: then the tag has changed and the exchange fails.
                let Some(link) = self.next.get(block as usize) else { break };
                *place = block;
                next = link.load(Ordering::Relaxed);
                count += 1;
            }
            if count == 0 {
                return 0;
            }
            let new = (head & !(TAG - 1)).wrapping_add(TAG) | u64::from(next);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return count,
                Err(now) => head = now,
            }
        }
    }

    /// Brings a block home. `true`: somebody waits for one and must be woken.
    #[inline]
    pub fn push(&self, block: u32) -> bool {
        self.push_all(&[block])
    }

    /// Brings blocks home, the first to the top. `true`: somebody waits for one and must be woken.
    #[inline]
    pub fn push_all(&self, blocks: &[u32]) -> bool {
        for (block, below) in blocks.iter().zip(blocks.iter().skip(1)) {
            if let Some(link) = self.next.get(*block as usize) {
                link.store(below + 1, Ordering::Relaxed);
            }
        }
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return false };
        let Some(link) = self.next.get(*last as usize) else { return false };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head as u32, Ordering::Relaxed);
            let new = (head & !(TAG - 1)).wrapping_add(TAG) | u64::from(first + 1);
            // [P13] pairs with `begin_wait`, and release with the acquire of `pop`.
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return self.waiters.load(Ordering::Relaxed) != 0,
                Err(now) => head = now,
            }
        }
    }

    /// How many blocks are in it. A guess while others push and pop.
    pub fn len(&self) -> u32 {
        let mut count = 0;
        // Links may change under way, even into a circle: never more steps than there are blocks.
        for _ in 0..self.next.len() {
            let head = self.head.load(Ordering::Acquire);
            let mut block = head as u32;
            count = 0;
            while let Some(next) = block.checked_sub(1).and_then(|b| self.next.get(b as usize)) {
                if count as usize >= self.next.len() {
                    break;
                }
                count += 1;
                block = next.load(Ordering::Relaxed);
            }
            if self.head.load(Ordering::Relaxed) == head {
                break;
            }
        }
        count
    }

    /// Is it empty? A guess while others push and pop.
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed) as u32 == 0
    }

    /// Does a thread wait for a block? A hint: the answer may be old.
    #[inline(always)]
    pub fn has_waiters(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) != 0
    }

    /// A thread that found nothing is going to wait. It must `pop` again after this, before it sleeps.
    pub fn begin_wait(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        self.head.fetch_add(TAG, Ordering::AcqRel); // [P13] pairs with `push`.
    }

    /// The thread waits no longer.
    pub fn end_wait(&self) {
        self.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn last_in_first_out() {
        let pool = Pool::new(3);
        assert_eq!([pool.pop(), pool.pop(), pool.pop(), pool.pop()], [Some(0), Some(1), Some(2), None]);
        assert!(pool.is_empty() && !pool.push(1));
        assert_eq!(pool.len(), 1);
        pool.begin_wait();
        assert!(pool.push(2), "a waiter must be woken");
        pool.end_wait();
        assert_eq!([pool.pop(), pool.pop(), pool.pop()], [Some(2), Some(1), None]);
        assert!(!pool.push_all(&[0, 2, 1]));
        let mut some = [9; 2];
        assert_eq!((pool.pop_some(&mut some), some, pool.len()), (2, [0, 2], 1));
        assert_eq!((pool.pop_some(&mut some), some, pool.pop_some(&mut some)), (1, [1, 2], 0));
    }

    #[test]
    fn no_block_is_lost_or_doubled_between_threads() {
        let pool = Pool::new(4);
        let held: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50_000 {
                        let mut some = [0; 2];
                        let count = pool.pop_some(&mut some);
                        for b in &some[..count] {
                            assert_eq!(held[*b as usize].fetch_add(1, Ordering::Relaxed), 0);
                        }
                        for b in &some[..count] {
                            held[*b as usize].fetch_sub(1, Ordering::Relaxed);
                        }
                        pool.push_all(&some[..count]);
                    }
                });
            }
        });
        assert_eq!((0..5).filter(|_| pool.pop().is_some()).count(), 4);
    }
}

//! The scanner role: which one of a callee's worker threads looks at queues and watched words.
//!
//! A `WATCHED` bit is a promise of this role, not of a thread: the watch set stays behind when a worker leaves the role to
//! run a handler, and whoever takes the role next scans it. `docs/protocol.md`, "Workers", has the rules.
//!
//! # States
//! `0` vacant; `HELD`; `HELD|POKED` - a worker ate a doorbell and found the role held, so the holder must look again before
//! it sleeps. Poke and failed try are one read-modify-write (P6).

use crate::sync::{AtomicU32, Ordering};

const HELD: u32 = 1;
const POKED: u32 = 2;

/// The scanner role of one callee.
#[derive(Debug)]
pub struct Role {
    word: AtomicU32,
}

impl Default for Role {
    fn default() -> Self {
        Role::new()
    }
}

impl Role {
    /// A vacant role.
    pub fn new() -> Self {
        Role { word: AtomicU32::new(0) }
    }

    /// Takes the role if it is vacant.
    #[inline]
    pub fn try_take(&self) -> bool {
        // [P5] acquire: watch set, heads, `busy`; pairs with `give_up` and `commit_to_sleep`.
        self.word.compare_exchange(0, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the role, or makes its holder look once more before it sleeps.
    pub fn take_or_poke(&self) -> bool {
        // [P5] acquire, [P6] the poke is the same operation as the failed try; it releases what came before the doorbell.
        self.try_take() || self.word.fetch_or(HELD | POKED, Ordering::AcqRel) & HELD == 0
    }

    /// Gives the role up: before every handler.
    #[inline(always)]
    pub fn give_up(&self) {
        // [P5] release. A poke is wiped with it: whoever poked wanted somebody to look, and the next taker will.
        self.word.store(0, Ordering::Release);
    }

    /// A hint: is nobody scanning? (The answer may be old.)
    #[inline(always)]
    pub fn is_vacant(&self) -> bool {
        self.word.load(Ordering::Relaxed) & HELD == 0
    }

    /// The holder, about to sleep, gives the role up - unless it was poked: then it keeps the role and must scan again.
    pub fn commit_to_sleep(&self) -> bool {
        // [P5] release, [P6] same word as the poke.
        if self.word.compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            return true;
        }
        // [P6] acquire: the holder's next fence comes after that of the pusher whose doorbell was eaten.
        self.word.fetch_and(!POKED, Ordering::Acquire);
        false
    }
}

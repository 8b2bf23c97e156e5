//! Who is told when a block is answered, or comes back later: the caller's side of `ANNOUNCE`, and of blocks that are kept.
//!
//! A block whose lending has the wish `ANNOUNCE` comes back through the caller's own queue. Here is remembered for whom:
//! a future, of which the waker is kept, or nobody any more, and then the block goes home. All of it is private memory.
//!
//! # Algorithm
//! Each block has a slot under a lock of its own. The wish (C3) is made under that lock, and whoever pops an announcement
//! takes it too, so an announcement never meets a slot that does not know of it. One that was not asked for is the peer's
//! error.
//!
//! Nobody needs to sleep on the queue: the thread of `bells.rs` hears the ring and pops. That it is rung is the rule of
//! `outstanding`, the number of announcements that are due: whoever raises it from zero also raises the sleep flag, then
//! looks at the queue once more ([`Announcements::listen`]); and the thread that was rung, when it has popped everything,
//! does the same again as long as the number is not zero ([`Announcements::rung`]).
//!
//! A block that the callee keeps beyond the answer is announced in the same way when it is released: due from the moment that
//! its caller has let go of the answer. It may be released sooner, which is noted.
//!
//! # Ordering
//! P4, and P14: the number goes up before the flag is raised, and whoever is rung because that flag was up sees it so; it
//! goes down only under the lock of the queue. So who was rung, and has found the queue empty, cannot take the number for
//! zero while somebody relies on the flag that the ring has cleared.
//!
//! # Trust
//! Offsets, and whether a block can be released at all, are judged by the caller of this module; an entry for a block without a
//! due announcement is [`Corrupt`], and so is a second release.

use core::task::Waker;

use crate::doorbell;
use crate::handover;
use crate::queue::{Consumer, Kind};
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::word::{ANNOUNCE, Corrupt, Lent};

/// Announcements that are popped under one hold of the lock.
const BATCH: usize = 16;
/// No deadline.
pub const NEVER: u64 = u64::MAX;

/// What is waited for in one block. `L` is what becomes of a block that nobody waits for.
#[derive(Debug)]
struct Slot<L> {
    /// C3 with `ANNOUNCE` has succeeded, and the announcement has not been popped.
    due: bool,
    waker: Option<Waker>,
    /// When the future gives up, in nanoseconds of `CLOCK_MONOTONIC`.
    deadline: u64,
    left: Option<L>,
    release: Release<L>,
}

/// What is known of the release of a block that the callee keeps.
#[derive(Debug)]
enum Release<L> {
    /// The callee does not keep it, as far as anybody has looked.
    None,
    /// It has come before the answer was let go of.
    Come,
    /// It is due; what becomes of the block then.
    Due(L),
}

/// Whether an announcement will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The block is answered already; nothing is registered, and none will come.
    Done,
    /// It will come. `first`: no other one was due, so [`Announcements::listen`] has to follow.
    Due {
        /// None was due before.
        first: bool,
    },
}

/// What an announcement means for this process.
#[derive(Debug)]
pub enum News<L> {
    /// A future can go on.
    Wake(Waker),
    /// A block that nobody waits for is answered.
    Home(L),
    /// A block that nobody uses is kept by the callee no longer.
    Released(L),
}

/// The announcements of one channel.
#[derive(Debug)]
pub struct Announcements<L> {
    queue: Mutex<Consumer>,
    /// How many are due.
    outstanding: AtomicU32,
    slots: Box<[Mutex<Slot<L>>]>,
}

impl<L> Announcements<L> {
    /// For a channel of so many blocks, none of which has been lent.
    pub fn new(blocks: u32) -> Self {
        let slot =
            |_| Mutex::new(Slot { due: false, waker: None, deadline: NEVER, left: None, release: Release::None });
        Announcements {
            queue: Mutex::new(Consumer::new()),
            outstanding: AtomicU32::new(0),
            slots: (0..blocks).map(slot).collect(),
        }
    }

    fn slot(&self, block: u32) -> Result<MutexGuard<'_, Slot<L>>, Corrupt> {
        self.slots.get(block as usize).map(lock).ok_or(Corrupt(u64::from(block)))
    }

    /// C3, under the lock of the slot.
    fn ask(&self, slot: &mut Slot<L>, word: &AtomicU32) -> Result<Asked, Corrupt> {
        if slot.due {
            return Ok(Asked::Due { first: false });
        }
        match handover::wish(word, ANNOUNCE)? {
            Lent::Done => Ok(Asked::Done),
            Lent::Out(_) => {
                slot.due = true;
                crate::fail_point!(AnnouncementDue);
                // [P14] before the flag is raised. The pusher may be faster, but whoever pops waits for the slot.
                Ok(Asked::Due { first: self.outstanding.fetch_add(1, Ordering::AcqRel) == 0 })
            }
        }
    }

    /// A future waits for `block`: asks for an announcement, if none is due yet, and keeps `waker` for it. A `deadline`
    /// replaces that of the slot.
    ///
    /// # Errors
    /// [`Corrupt`] if the word is neither lent nor done; nothing is registered.
    pub fn register(
        &self,
        block: u32,
        word: &AtomicU32,
        waker: Waker,
        deadline: Option<u64>,
    ) -> Result<Asked, Corrupt> {
        let mut slot = self.slot(block)?;
        slot.deadline = deadline.unwrap_or(slot.deadline);
        let asked = self.ask(&mut slot, word);
        let old = slot.waker.take();
        let unused = match asked {
            Ok(Asked::Due { .. }) => slot.waker.replace(waker),
            _ => Some(waker),
        };
        // A waker may own the future that owns the block: those not kept are dropped when the lock is free again.
        drop(slot);
        drop((old, unused));
        asked
    }

    /// When the future that waits for `block` gives up; [`NEVER`] if none does.
    pub fn deadline(&self, block: u32) -> u64 {
        self.slot(block).map_or(NEVER, |slot| slot.deadline)
    }

    /// The future that waited for `block` has seen the answer, or waits in another way.
    pub fn unregister(&self, block: u32) {
        let waker = self.slot(block).ok().and_then(|mut slot| slot.waker.take());
        drop(waker);
    }

    /// Nobody uses `block` any longer. Gives `left` back if no announcement is due; else it is kept, and is news when the
    /// announcement comes (R3). Gives the waker, too: it may own futures that own other blocks, so it is to be dropped when no
    /// lock is held.
    pub fn leave(&self, block: u32, left: L) -> (Option<L>, Option<Waker>) {
        let Ok(mut slot) = self.slot(block) else { return (Some(left), None) };
        slot.deadline = NEVER;
        let waker = slot.waker.take();
        let back = if slot.due { slot.left.replace(left) } else { Some(left) };
        (back, waker)
    }

    /// Nobody uses `block` any longer, but the callee keeps it. Gives `left` back if the callee has released it meanwhile; else it
    /// is news when that comes. `true`: nothing else is due, so [`Announcements::listen`] has to follow.
    pub fn keep(&self, block: u32, left: L) -> (Option<L>, bool) {
        let Ok(mut slot) = self.slot(block) else { return (Some(left), false) };
        match core::mem::replace(&mut slot.release, Release::None) {
            Release::Come => (Some(left), false),
            // Of a block that is kept already there is nobody to let go.
            Release::None | Release::Due(_) => {
                slot.release = Release::Due(left);
                crate::fail_point!(BlockKept);
                (None, self.outstanding.fetch_add(1, Ordering::AcqRel) == 0) // [P14] as in `ask`.
            }
        }
    }

    /// Asks for an announcement of a block that nobody waits for. `left` comes back if the block is answered already.
    ///
    /// # Errors
    /// [`Corrupt`] if the word is neither lent nor done, with `left`.
    pub fn ask_for(&self, block: u32, word: &AtomicU32, left: L) -> (Result<Asked, Corrupt>, Option<L>) {
        let mut slot = match self.slot(block) {
            Ok(slot) => slot,
            Err(corrupt) => return (Err(corrupt), Some(left)),
        };
        let asked = self.ask(&mut slot, word);
        match asked {
            Ok(Asked::Due { .. }) => (asked, slot.left.replace(left)),
            _ => (asked, Some(left)),
        }
    }

    /// The count of due announcements has gone up from zero: raises the sleep flag. `true`: something has come meanwhile,
    /// [`Announcements::hear`] it.
    pub fn listen(&self, cells: &[AtomicU64], asleep: &AtomicU32) -> bool {
        doorbell::raise(asleep); // [P4], [P14]
        lock(&self.queue).is_ready(cells)
    }

    /// Pops everything, and hands on what it means when no lock is held. `block_of` finds a block by the offset in a cell, if an
    /// entry of this kind can be about it.
    ///
    /// # Errors
    /// [`Corrupt`] for a cell or an announcement that no honest peer sends; what came before it was handed on.
    pub fn hear(
        &self,
        cells: &[AtomicU64],
        block_of: impl Fn(Kind, u32) -> Option<u32>,
        mut each: impl FnMut(News<L>),
    ) -> Result<(), Corrupt> {
        loop {
            let mut news = [const { None }; BATCH];
            let popped = self.pop(cells, &block_of, &mut news);
            news.into_iter().flatten().for_each(&mut each);
            if popped? < BATCH {
                return Ok(());
            }
        }
    }

    fn pop(
        &self,
        cells: &[AtomicU64],
        block_of: &impl Fn(Kind, u32) -> Option<u32>,
        news: &mut [Option<News<L>>; BATCH],
    ) -> Result<usize, Corrupt> {
        let mut queue = lock(&self.queue);
        let mut popped = 0;
        for place in news {
            let Some(entry) = queue.pop(cells)? else { break };
            let nonsense = Corrupt(u64::from(entry.offset));
            let mut slot = self.slot(block_of(entry.kind, entry.offset).ok_or(nonsense)?)?;
            *place = match entry.kind {
                Kind::Announcement if slot.due => {
                    slot.due = false;
                    self.outstanding.fetch_sub(1, Ordering::AcqRel); // [P14] under the lock of the queue.
                    match slot.left.take() {
                        Some(left) => Some(News::Home(left)),
                        None => slot.waker.take().map(News::Wake),
                    }
                }
                Kind::Release => match core::mem::replace(&mut slot.release, Release::Come) {
                    Release::None => None,
                    Release::Due(left) => {
                        slot.release = Release::None;
                        self.outstanding.fetch_sub(1, Ordering::AcqRel); // [P14] as above.
                        Some(News::Released(left))
                    }
                    Release::Come => return Err(nonsense),
                },
                _ => return Err(nonsense),
            };
            crate::fail_point!(AnnouncementPopped);
            popped += 1;
        }
        Ok(popped)
    }

    /// The doorbell rang: as [`Announcements::hear`], and sees to it that the next announcement rings again.
    ///
    /// # Errors
    /// As there.
    pub fn rung(
        &self,
        cells: &[AtomicU64],
        asleep: &AtomicU32,
        block_of: impl Fn(Kind, u32) -> Option<u32>,
        mut each: impl FnMut(News<L>),
    ) -> Result<(), Corrupt> {
        loop {
            self.hear(cells, &block_of, &mut each)?;
            // [P14] `hear` ended under the lock of the queue.
            if !self.is_due() || !self.listen(cells, asleep) {
                return Ok(());
            }
        }
    }

    /// Is an announcement due? A hint, unless the lock of the queue was held by this thread just now.
    pub fn is_due(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) != 0
    }

    /// Takes the wakers of all futures, or of those whose deadline has come by `until`; gives the earliest of the
    /// other deadlines.
    pub fn take_wakers(&self, until: u64, mut each: impl FnMut(Waker)) -> u64 {
        let mut earliest = NEVER;
        for slot in &self.slots {
            let mut slot = lock(slot);
            if slot.waker.is_none() {
                continue;
            }
            if slot.deadline > until {
                earliest = earliest.min(slot.deadline);
                continue;
            }
            let waker = slot.waker.take();
            drop(slot);
            waker.into_iter().for_each(&mut each);
        }
        earliest
    }

    /// How many futures are registered, how many blocks wait for nothing but their announcement or answer, and how many for
    /// nothing but their release.
    pub fn count(&self) -> (u32, u32, u32) {
        self.slots.iter().fold((0, 0, 0), |(waiting, left, kept), slot| {
            let slot = lock(slot);
            (
                waiting + u32::from(slot.waker.is_some()),
                left + u32::from(slot.left.is_some()),
                kept + u32::from(matches!(slot.release, Release::Due(_))),
            )
        })
    }
}

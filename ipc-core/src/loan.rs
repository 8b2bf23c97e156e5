//! Loans: memory of an arena that is taken outside of calls, filled in place, and then referred to by the messages of calls.
//!
//! # Ownership
//! A loan belongs to its [`Loan`] handle, and to each block whose message refers to it: the block *pins* it (`pins.rs`) until it
//! comes home (the caller's) or its reply has been read (the callee's). It is freed when the handle is gone and no block that
//! is away pins it. Whoever holds the handle may write as long as none does; [`Loan::is_still_pinned`] says so, and only who borrows
//! from the handle can have it pinned.
//!
//! # Locks
//! `state`, then that of the arena.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::Arena;
use crate::extent::Extent;
use crate::imports::WORTH_MAPPING;
use crate::layout::{CHUNK, EXTENT, MAX_MESSAGE, PAGE};
use crate::memory::NoMemory;
use crate::pins::Pin;
use crate::segment::Segment;
use crate::sources::{self, Shared, Source};
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, lock};

/// Who has an arena to lend memory of.
pub trait Lender: Source + 'static {
    /// What is lent.
    fn loans(&self) -> &Loans;
    /// The memory that the arena is a part of.
    fn segment(&self) -> &Segment;
    /// The arena.
    fn arena(&self) -> &Arena;
    /// An owner of it; `None`: it is being dropped.
    fn this(&self) -> Option<Arc<dyn Lender>>;
}

/// Its loans can be passed on.
impl<L: Lender> Source for L {
    fn share(&self, data: NonNull<u8>, len: usize) -> Option<Shared> {
        let (lender, at) = (self.this()?, self.segment().offset_of(data)?);
        let held = self.loans().hold(at, u32::try_from(len).ok()?)?;
        let hold = Hold { lender, at: held };
        let file = self.segment().read_only().ok()?;
        Some(Shared { file, offset: u64::from(at), hold: Box::new(hold) })
    }
}

/// Keeps a loan as it is.
struct Hold {
    lender: Arc<dyn Lender>,
    at: u32,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.lender.loans().let_go(self.at, self.lender.arena());
    }
}

/// In the place of a block: who has passed the loan on to a third process.
const HELD: u32 = u32::MAX;

/// The loans of one arena.
#[derive(Debug)]
pub struct Loans {
    /// The peer reads messages where they lie, so that they can refer to loans.
    allowed: AtomicBool,
    /// Whoever passes memory on knows that there are loans here.
    announced: AtomicBool,
    /// Of each block, what it refers to first.
    pins: Box<[Pin]>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their places.
    loans: Vec<Entry>,
    /// What blocks refer to besides: the block, and the offset of the loan.
    more: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct Entry {
    /// Where the user's bytes begin, and how many there are.
    at: u32,
    len: u32,
    extent: Extent,
    /// How many blocks refer to it, or have done so last. Written under the lock; that there are none also tells who has the
    /// handle: nobody else has it pinned then.
    blocks: Arc<AtomicU32>,
    /// Its handle is gone.
    orphaned: bool,
}

impl Entry {
    fn count(&self, up: bool) {
        let now = self.blocks.load(Ordering::Relaxed);
        self.blocks.store(if up { now.wrapping_add(1) } else { now.saturating_sub(1) }, Ordering::Release);
    }
}

impl State {
    fn find(&self, at: u32) -> Option<usize> {
        self.loans.binary_search_by_key(&at, |entry| entry.at).ok()
    }

    /// The loan in which these bytes lie.
    fn around(&self, at: u32, len: u32) -> Option<&Entry> {
        let before = self.loans.partition_point(|entry| entry.at <= at);
        let entry = self.loans.get(before.checked_sub(1)?)?;
        // `at` is not below the start of the loan.
        (u64::from(at - entry.at) + u64::from(len) <= u64::from(entry.len)).then_some(entry)
    }

    /// One block less refers to the loan at `at`. Gives its memory, if nobody needs it any more.
    fn release(&mut self, at: u32) -> Option<Extent> {
        let position = self.find(at)?;
        self.loans.get(position)?.count(false);
        self.take_if_free(position)
    }

    fn take_if_free(&mut self, position: usize) -> Option<Extent> {
        let entry = self.loans.get(position)?;
        let free = entry.orphaned && entry.blocks.load(Ordering::Relaxed) == 0;
        free.then(|| self.loans.remove(position).extent)
    }
}

impl Loans {
    /// None, for a channel of so many blocks.
    pub(crate) fn new(blocks: u32) -> Self {
        let pins = (0..blocks).map(|_| Pin::default()).collect();
        Loans { allowed: AtomicBool::new(false), announced: AtomicBool::new(false), pins, state: Mutex::default() }
    }

    /// From now on messages may refer to loans.
    pub fn allow(&self) {
        self.allowed.store(true, Ordering::Relaxed);
    }

    /// May messages refer to loans?
    #[inline]
    pub fn are_allowed(&self) -> bool {
        self.allowed.load(Ordering::Relaxed)
    }

    /// How many there are, handles or not.
    pub fn count(&self) -> u32 {
        lock(&self.state).loans.len() as u32
    }

    /// Has `block` pin the loan in which the `len` bytes at offset `at` lie. `false`: they lie in none.
    #[inline]
    pub(crate) fn pin(&self, block: u32, at: u32, len: u32) -> bool {
        let Some(pin) = self.pins.get(block as usize) else { return false };
        pin.goes_with(at, len) || self.pin_another(pin, block, at, len)
    }

    #[cold]
    fn pin_another(&self, pin: &Pin, block: u32, at: u32, len: u32) -> bool {
        let mut state = lock(&self.state);
        let Some(entry) = state.around(at, len) else { return false };
        let (at, len) = (entry.at, entry.len);
        if !pin.is_away() {
            entry.count(true);
            let last = pin.at();
            pin.set(at, len);
            // An orphaned one is none that a block at home remembers.
            if let Some(entry) = last.and_then(|at| state.find(at)).and_then(|place| state.loans.get(place)) {
                entry.count(false);
            }
        } else if !state.more.contains(&(block, at)) {
            entry.count(true);
            state.more.push((block, at));
            pin.ask();
        }
        true
    }

    /// What the message of `block` referred to has been read.
    #[inline]
    pub(crate) fn unpin(&self, block: u32, arena: &Arena) {
        if self.pins.get(block as usize).is_some_and(Pin::comes_home) {
            self.unpin_all(block, arena);
        }
    }

    #[cold]
    fn unpin_all(&self, block: u32, arena: &Arena) {
        let mut state = lock(&self.state);
        let mut free = Vec::new();
        while let Some(place) = state.more.iter().position(|(by, _)| *by == block) {
            let (_, at) = state.more.swap_remove(place);
            free.extend(state.release(at));
        }
        if let Some(pin) = self.pins.get(block as usize)
            && let Some(at) = pin.at()
            && state.find(at).and_then(|place| state.loans.get(place)).is_some_and(|entry| entry.orphaned)
        {
            pin.forget();
            free.extend(state.release(at));
        }
        free.into_iter().for_each(|extent| arena.free(extent));
    }

    /// Does a block that is away refer to the loan at `at`, or is it held?
    #[cold]
    fn is_pinned(&self, at: u32) -> bool {
        let state = lock(&self.state);
        state.more.iter().any(|(_, other)| *other == at)
            || self.pins.iter().any(|pin| pin.at() == Some(at) && pin.is_away())
    }

    /// Has every block at home forget the loan at `at`, which nobody borrows meanwhile: a block could be about to leave with it.
    /// With `asks`, those that are away are looked at when they come home.
    fn forget(&self, state: &State, at: u32, asks: bool) {
        let Some(entry) = state.find(at).and_then(|place| state.loans.get(place)) else { return };
        for pin in self.pins.iter().filter(|pin| pin.at() == Some(at)) {
            if !(if asks { pin.ask() } else { pin.is_away() }) {
                pin.forget();
                entry.count(false);
            }
        }
    }

    /// Keeps the loan in which these bytes lie as it is. Gives what it is known by.
    fn hold(&self, at: u32, len: u32) -> Option<u32> {
        let mut state = lock(&self.state);
        let entry = state.around(at, len)?;
        entry.count(true);
        let at = entry.at;
        state.more.push((HELD, at));
        Some(at)
    }

    fn let_go(&self, at: u32, arena: &Arena) {
        let mut state = lock(&self.state);
        let Some(place) = state.more.iter().position(|held| *held == (HELD, at)) else { return };
        state.more.swap_remove(place);
        if let Some(extent) = state.release(at) {
            arena.free(extent);
        }
    }

    fn leave(&self, at: u32, arena: &Arena) {
        let mut state = lock(&self.state);
        self.forget(&state, at, true);
        let Some(position) = state.find(at) else { return };
        if let Some(entry) = state.loans.get_mut(position) {
            entry.orphaned = true;
        }
        if let Some(extent) = state.take_if_free(position) {
            arena.free(extent);
        }
    }
}

/// Memory of an arena that its owner may write until a message refers to it.
pub struct Loan {
    lender: Arc<dyn Lender>,
    at: u32,
    len: u32,
    blocks: Arc<AtomicU32>,
}

impl fmt::Debug for Loan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").field("at", &self.at).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Loan {
    /// `len` bytes, at an address that is a multiple of 64, and of the page if there are many. They are zero, or what messages
    /// of this arena have left there.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(lender: Arc<dyn Lender>, len: u32) -> Result<Self, NoMemory> {
        // Whole pages for what is large: they can be mapped elsewhere without the neighbours.
        let align = if len >= CHUNK { PAGE } else { EXTENT };
        let padded = u64::from(len).next_multiple_of(u64::from(align)) + u64::from(align - EXTENT);
        let (segment, arena) = (lender.segment(), lender.arena());
        if padded > u64::from(MAX_MESSAGE) {
            return Err(arena.refuses(u64::from(len)));
        }
        let extent = arena.take(segment, padded as u32, padded as u32)?;
        let at = extent.offset().next_multiple_of(align);
        let blocks = Arc::<AtomicU32>::default();
        let entry = Entry { at, len, extent, blocks: blocks.clone(), orphaned: false };
        let mut state = lock(&lender.loans().state);
        let place = state.loans.partition_point(|other| other.at < at);
        state.loans.insert(place, entry);
        drop(state);
        if len as usize >= WORTH_MAPPING && !lender.loans().announced.swap(true, Ordering::Relaxed) {
            let source: Arc<dyn Source> = lender.clone();
            sources::add(Arc::downgrade(&source));
        }
        Ok(Loan { lender, at, len, blocks })
    }

    /// Another one of the same arena and length.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn another(&self) -> Result<Self, NoMemory> {
        Loan::new(self.lender.clone(), self.len)
    }

    /// Address and number of the bytes.
    #[inline]
    pub fn bytes(&self) -> (NonNull<u8>, usize) {
        (self.lender.segment().pointer(self.at), self.len as usize)
    }

    /// May somebody else read it?
    #[inline]
    pub fn is_pinned(&self) -> bool {
        self.blocks.load(Ordering::Acquire) != 0 && self.lender.loans().is_pinned(self.at)
    }

    /// The same. `false` stays so for as long as nobody borrows it.
    #[inline]
    pub fn is_still_pinned(&mut self) -> bool {
        self.blocks.load(Ordering::Acquire) != 0 && self.look_for_pins()
    }

    #[cold]
    fn look_for_pins(&mut self) -> bool {
        let loans = self.lender.loans();
        loans.forget(&lock(&loans.state), self.at, false);
        self.blocks.load(Ordering::Acquire) != 0
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lender.loans().leave(self.at, self.lender.arena());
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::thread;

    use super::*;
    use crate::layout::Geometry;

    struct Bank {
        loans: Loans,
        segment: Segment,
        arena: Arc<Arena>,
    }

    impl Lender for Bank {
        fn loans(&self) -> &Loans {
            &self.loans
        }
        fn segment(&self) -> &Segment {
            &self.segment
        }
        fn arena(&self) -> &Arena {
            &self.arena
        }
        fn this(&self) -> Option<Arc<dyn Lender>> {
            None
        }
    }

    #[test]
    fn who_only_asks_whether_it_is_pinned_takes_no_pin_away() {
        let segment = Segment::create(Geometry::new(2, CHUNK, 0).unwrap()).unwrap();
        let arena = Arena::new(&segment, segment.geometry().caller_arena_at(), CHUNK);
        let bank = Arc::new(Bank { loans: Loans::new(2), segment, arena });
        let mut loan = Loan::new(bank.clone(), 4096).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = loan.is_pinned();
                }
            });
            let pinned = (0..300_000).all(|_| {
                assert!(bank.loans.pin(0, loan.at, 4096));
                let pinned = loan.is_pinned();
                bank.loans.unpin(0, &bank.arena);
                pinned
            });
            done.store(true, Ordering::Relaxed);
            assert!(pinned, "its owner would write while a message refers to it");
        });
        assert!(!loan.is_pinned() && !loan.is_still_pinned());
        drop(loan);
        assert_eq!(bank.arena.usage().used, 0);
    }
}

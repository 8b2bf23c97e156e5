//! Loans: memory of an arena that is taken outside of calls, filled in place, and then referred to by the messages of calls.
//!
//! # Ownership
//! A loan belongs to its [`Loan`] handle and to each block whose message refers to it: the block *pins* it, until it comes home
//! (the caller's) or its reply has been read (the callee's). It is freed when the handle is gone and nothing pins it. Whoever
//! holds the handle may write as long as nothing pins it; [`Loan::is_pinned`] says so, and only who borrows from the handle can
//! have it pinned.
//!
//! # Locks
//! `state`, then that of the arena.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::Arena;
use crate::extent::Extent;
use crate::layout::{CHUNK, EXTENT, MAX_MESSAGE, PAGE};
use crate::memory::NoMemory;
use crate::pins::Pins;
use crate::segment::Segment;
use crate::sync::{AtomicBool, Mutex, Ordering, lock};

/// Who has an arena to lend memory of.
pub trait Lender: Send + Sync + 'static {
    /// What is lent.
    fn loans(&self) -> &Loans;
    /// The memory that the arena is a part of.
    fn segment(&self) -> &Segment;
    /// The arena.
    fn arena(&self) -> &Arena;
}

/// The loans of one arena, in the order of their places.
#[derive(Debug, Default)]
pub struct Loans {
    /// The peer reads messages where they lie, so that they can refer to loans.
    allowed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    loans: Vec<Entry>,
    /// Which block pins the loan at which offset. A block pins a loan once.
    pins: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct Entry {
    /// Where the user's bytes begin, and how many there are.
    at: u32,
    len: u32,
    extent: Extent,
    pins: Arc<Pins>,
    /// Its handle is gone.
    orphaned: bool,
}

impl State {
    fn position(&self, at: u32) -> Result<usize, usize> {
        self.loans.binary_search_by_key(&at, |entry| entry.at)
    }

    /// Takes a loan out that nobody needs any more.
    fn take_if_free(&mut self, position: usize) -> Option<Extent> {
        let entry = self.loans.get(position)?;
        let free = entry.orphaned && entry.pins.are_none();
        free.then(|| self.loans.remove(position).extent)
    }
}

impl Loans {
    /// From now on messages may refer to loans.
    pub fn allow(&self) {
        self.allowed.store(true, Ordering::Relaxed);
    }

    /// May messages refer to loans?
    pub fn are_allowed(&self) -> bool {
        self.allowed.load(Ordering::Relaxed)
    }

    /// How many there are, handles or not.
    pub fn count(&self) -> u32 {
        lock(&self.state).loans.len() as u32
    }

    /// Has `block` pin the loan in which the `len` bytes at offset `at` lie. `false`: they lie in none.
    pub(crate) fn pin(&self, block: u32, at: u32, len: u32) -> bool {
        let mut state = lock(&self.state);
        let State { loans, pins } = &mut *state;
        let before = loans.partition_point(|entry| entry.at <= at);
        let Some(entry) = before.checked_sub(1).and_then(|place| loans.get(place)) else { return false };
        // `at` is not below the start of the loan.
        if u64::from(at - entry.at) + u64::from(len) > u64::from(entry.len) {
            return false;
        }
        if !pins.contains(&(block, entry.at)) {
            pins.push((block, entry.at));
            entry.pins.add();
        }
        true
    }

    /// What `block` has pinned is not used any more.
    #[cold]
    pub(crate) fn unpin(&self, block: u32, arena: &Arena) {
        let mut state = lock(&self.state);
        let mut place = 0;
        while let Some((by, at)) = state.pins.get(place).copied() {
            if by != block {
                place += 1;
                continue;
            }
            state.pins.swap_remove(place);
            let Ok(position) = state.position(at) else { continue };
            if let Some(entry) = state.loans.get(position) {
                entry.pins.remove();
            }
            if let Some(extent) = state.take_if_free(position) {
                arena.free(extent);
            }
        }
    }

    fn leave(&self, at: u32, arena: &Arena) {
        let mut state = lock(&self.state);
        let Ok(position) = state.position(at) else { return };
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
    pins: Arc<Pins>,
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
        let pins = Arc::<Pins>::default();
        let entry = Entry { at, len, extent, pins: pins.clone(), orphaned: false };
        let mut state = lock(&lender.loans().state);
        let place = state.loans.partition_point(|other| other.at < at);
        state.loans.insert(place, entry);
        drop(state);
        Ok(Loan { lender, at, len, pins })
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

    /// May somebody else read it? `false` stays so for as long as nobody borrows it.
    #[inline]
    pub fn is_pinned(&self) -> bool {
        !self.pins.are_none()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lender.loans().leave(self.at, self.lender.arena());
    }
}

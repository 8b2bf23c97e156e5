//! The blocks a thread used last, kept for its next calls.
//!
//! A blocking caller returns a block only to take it again. Passing it through the pool would cost two locked operations a
//! call and could hand it to another thread, away from the core where its line is. A thread with many calls in flight keeps
//! some more below that one, and exchanges half of them with the pool at once. At most an eighth of the blocks of a
//! channel are kept, each by one thread for one channel, so threads that wait for a block are never without others that
//! come home; a thread that knows of a waiter keeps nothing.
//!
//! A thread with many calls in flight mostly looks at their answers in the order in which it has sent them. That order is
//! remembered, so that the lines of the next few answers can be asked for ([`ahead`]).

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use crate::caller::Caller;
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, lock, thread_local};

/// Blocks a thread keeps at most.
const MOST: usize = 17;
const NONE: u32 = u32::MAX;
/// How many answers ahead of the one that is looked at the blocks are fetched.
const AHEAD: u32 = 4;

/// How many blocks one thread keeps: written by that thread only, but read by who counts.
#[derive(Debug)]
pub(crate) struct Place {
    count: AtomicU32,
}

impl Place {
    const fn new() -> Self {
        Place { count: AtomicU32::new(0) }
    }
}

/// What a thread that keeps nothing has for a place.
static NOWHERE: Place = Place::new();
/// Places of threads that have ended. They are never freed, but used again: there are as many as there were threads at once.
static PLACES: Mutex<Vec<&'static Place>> = Mutex::new(Vec::new());

struct Hot {
    /// The caller they are of; 0: none.
    caller: Cell<u64>,
    place: Cell<&'static Place>,
    /// How many it may keep.
    room: Cell<u32>,
    /// As many as `place` says; the one used last, which is for the next call, on top.
    blocks: [Cell<u32>; MOST],
    /// The block that was lent last.
    last: Cell<u32>,
    /// The block whose answer is looked at next if all goes in order, and the one that was fetched last.
    expected: Cell<u32>,
    ahead: Cell<u32>,
}

/// Brings home what the thread keeps when it ends. Apart from [`Hot`], which needs no destructor then, so that looking at it
/// is no question of whether it is still there.
struct Home(RefCell<Weak<Caller>>);

thread_local! {
    static HOT: Hot = const {
        Hot {
            caller: Cell::new(0),
            place: Cell::new(&NOWHERE),
            room: Cell::new(0),
            blocks: [const { Cell::new(0) }; MOST],
            last: Cell::new(NONE),
            expected: Cell::new(NONE),
            ahead: Cell::new(NONE),
        }
    };
    static HOME: Home = const { Home(RefCell::new(Weak::new())) };
}

/// Shuttle drops what a thread has in the order in which it came to have it, also what needs no destructor.
#[inline(always)]
fn home_first() {
    #[cfg(shuttle)]
    let _ = HOME.try_with(|_| ());
}

/// The block that this thread used last of those of the caller with number `caller`, if it keeps any.
#[inline(always)]
pub(crate) fn take(caller: u64) -> Option<u32> {
    home_first();
    HOT.with(|hot| if hot.caller.get() == caller { hot.pop() } else { None })
}

/// Keeps a block for the next call, if this thread keeps blocks of that caller and has room.
#[inline(always)]
pub(crate) fn keep(caller: u64, block: u32) -> bool {
    home_first();
    HOT.with(|hot| hot.caller.get() == caller && hot.push(block))
}

/// A block for a thread for which [`take`] has none: from the pool, with some more for the calls after this one.
#[inline(never)]
pub(crate) fn refill(caller: &Caller) -> Option<u32> {
    let room = HOT.with(|hot| if hot.caller.get() == caller.number() { hot.room.get() } else { 0 });
    if room <= 2 || caller.pool().has_waiters() {
        return caller.pool().pop();
    }
    let mut blocks = [0; MOST / 2];
    let got = blocks.get_mut(..room as usize / 2).map_or(0, |blocks| caller.pool().pop_some(blocks));
    let (first, others) = blocks.get(..got)?.split_first()?;
    // The uppermost of the pool, which was used last, is taken; the next one is to be on top of the others.
    for block in others.iter().rev() {
        if !keep(caller.number(), *block) {
            caller.to_pool(&[*block]);
        }
    }
    Some(*first)
}

/// Brings a block home for which [`keep`] has no room: the thread may come to keep blocks of `caller`, or more of them; else it
/// goes to the pool, with half of what is kept.
#[inline(never)]
pub(crate) fn bring_home(caller: &Caller, block: u32) {
    let free = !caller.pool().has_waiters();
    if free && HOT.with(|hot| hot.make_room(caller) && hot.push(block)) {
        return;
    }
    let mut blocks = [block; MOST / 2 + 1];
    let mut count = 1;
    HOT.with(|hot| {
        if hot.caller.get() == caller.number() {
            count += hot.take_oldest(blocks.get_mut(1..).unwrap_or_default());
        }
    });
    caller.to_pool(blocks.get(..count).unwrap_or(&[block]));
}

/// This thread has lent `block`: notes in `after` that it follows the block that it lent before.
#[inline(never)]
pub(crate) fn lent(caller: u64, block: u32, after: &[AtomicU32]) {
    let last = HOT.with(|hot| if hot.caller.get() == caller { hot.last.replace(block) } else { NONE });
    if let Some(after) = after.get(last as usize) {
        after.store(block, Ordering::Relaxed);
    }
}

/// The answer in `block` was there at the first look, so those behind it may be too: gives the block that was lent [`AHEAD`]
/// places behind it.
#[inline]
pub(crate) fn ahead(caller: u64, block: u32, after: &[AtomicU32]) -> Option<u32> {
    let follow = |block: u32| after.get(block as usize).map_or(NONE, |next| next.load(Ordering::Relaxed));
    HOT.with(|hot| {
        if hot.caller.get() != caller {
            return None;
        }
        let in_order = hot.expected.replace(follow(block)) == block;
        let steps = if in_order { 1 } else { AHEAD };
        let from = if in_order { hot.ahead.get() } else { block };
        let ahead = (0..steps).fold(from, |block, _| follow(block));
        hot.ahead.set(ahead);
        Some(ahead)
    })
}

impl Hot {
    #[inline(always)]
    fn pop(&self) -> Option<u32> {
        let count = &self.place.get().count;
        let left = count.load(Ordering::Relaxed).checked_sub(1)?;
        count.store(left, Ordering::Relaxed);
        self.blocks.get(left as usize).map(Cell::get)
    }

    #[inline(always)]
    fn push(&self, block: u32) -> bool {
        let count = &self.place.get().count;
        let had = count.load(Ordering::Relaxed);
        let Some(top) = self.blocks.get(had as usize).filter(|_| had < self.room.get()) else { return false };
        top.set(block);
        count.store(had + 1, Ordering::Relaxed);
        true
    }

    /// Takes the lower half away, if there is more than one; gives how many that were.
    fn take_oldest(&self, into: &mut [u32]) -> usize {
        let count = &self.place.get().count;
        let had = count.load(Ordering::Relaxed) as usize;
        let taken = (had / 2).min(into.len());
        for (from, to) in self.blocks.iter().zip(into).take(taken) {
            *to = from.get();
        }
        for (from, to) in self.blocks.iter().take(had).skip(taken).zip(&self.blocks) {
            to.set(from.get());
        }
        count.store((had - taken) as u32, Ordering::Relaxed);
        taken
    }

    /// Room for one more block of `caller`, if the thread may have it.
    fn make_room(&self, caller: &Caller) -> bool {
        if self.caller.get() != caller.number() {
            return self.adopt(caller);
        }
        let count = self.place.get().count.load(Ordering::Relaxed);
        let room = self.room.get();
        if count < room {
            return true;
        }
        let grown = (room as usize) < MOST && caller.kept().grow();
        if grown {
            self.room.set(room + 1);
        }
        grown
    }

    /// Makes this thread one that keeps blocks of `caller`; what it kept before goes home.
    fn adopt(&self, caller: &Caller) -> bool {
        if !caller.kept().has_room() {
            return false;
        }
        // Not in a thread that is ending, which keeps nothing any more.
        let Ok(home) = HOME.try_with(|home| home.0.take()) else { return false };
        if std::ptr::eq(self.place.get(), &raw const NOWHERE) {
            let place = lock(&PLACES).pop();
            self.place.set(place.unwrap_or_else(|| Box::leak(Box::new(Place::new()))));
        }
        self.go_home(&home);
        // Whoever was woken for one of them may have come to keep blocks here meanwhile: those stay.
        if self.caller.get() != 0 || !caller.kept().add(self.place.get()) {
            return false;
        }
        self.caller.set(caller.number());
        self.room.set(1);
        HOME.with(|home| home.0.replace(caller.weak()));
        true
    }

    fn go_home(&self, home: &Weak<Caller>) {
        let room = self.room.replace(0);
        self.caller.set(0);
        self.last.set(NONE);
        let mut blocks = [0; MOST];
        let mut count = 0;
        for (place, block) in blocks.iter_mut().zip(std::iter::from_fn(|| self.pop())) {
            *place = block;
            count += 1;
        }
        if let Some(caller) = home.upgrade() {
            caller.kept().remove(self.place.get(), room);
            caller.to_pool(blocks.get(..count).unwrap_or_default());
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        HOT.with(|hot| {
            hot.go_home(self.0.get_mut());
            let place = hot.place.replace(&NOWHERE);
            if !std::ptr::eq(place, &raw const NOWHERE) {
                lock(&PLACES).push(place);
            }
        });
    }
}

/// The threads that may keep blocks of one caller.
#[derive(Debug)]
pub(crate) struct Kept {
    places: Mutex<Vec<&'static Place>>,
    /// How many blocks more may be kept.
    room: AtomicU32,
    /// So much room is left for threads that keep none yet.
    reserve: u32,
    /// Some thread has had many calls in flight.
    many: AtomicBool,
}

impl Kept {
    /// Room for so many blocks.
    pub(crate) fn new(most: u32) -> Self {
        let (places, many) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        Kept { places, room: AtomicU32::new(most), reserve: most / 2, many }
    }

    fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed) != 0
    }

    fn take(&self, reserve: u32) -> bool {
        let one_less = |room: u32| room.checked_sub(1).filter(|_| room > reserve);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// One more thread.
    fn add(&self, place: &'static Place) -> bool {
        let room = self.take(0);
        if room {
            lock(&self.places).push(place);
        }
        room
    }

    /// One more block of a thread that keeps some.
    fn grow(&self) -> bool {
        self.many.store(true, Ordering::Relaxed);
        self.room.load(Ordering::Relaxed) > self.reserve && self.take(self.reserve)
    }

    /// One thread, with room for so many blocks, less.
    fn remove(&self, place: &'static Place, room: u32) {
        lock(&self.places).retain(|p| !std::ptr::eq(*p, place));
        self.room.fetch_add(room, Ordering::Relaxed);
    }

    /// Has any thread had many calls in flight? Then it is worth to look [`ahead`].
    #[inline(always)]
    pub(crate) fn is_of_many(&self) -> bool {
        self.many.load(Ordering::Relaxed)
    }

    /// How many blocks are kept now.
    pub(crate) fn count(&self) -> u32 {
        lock(&self.places).iter().map(|place| place.count.load(Ordering::Relaxed)).sum()
    }
}

//! The block a thread used last, kept for its next call.
//!
//! A blocking caller returns a block only to take it again. Passing it through the pool would cost two locked operations a
//! call and could hand it to another thread, away from the core where its line is. At most an eighth of the blocks of a
//! channel are kept this way, each by one thread for one channel, so threads that wait for a block are never without
//! others that come home; a thread that knows of a waiter keeps nothing.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use crate::caller::Caller;
use crate::sync::{AtomicU32, Mutex, Ordering, lock};

const NONE: u32 = u32::MAX;

/// What a thread that keeps nothing has for a place.
static NOWHERE: AtomicU32 = AtomicU32::new(NONE);
/// Places of threads that have ended. They are never freed, but used again: there are as many as there were threads at once.
static PLACES: Mutex<Vec<&'static AtomicU32>> = Mutex::new(Vec::new());

struct Hot {
    /// The caller it is of; 0: none.
    caller: Cell<u64>,
    /// Where the block is noted: written by this thread only, but read by who counts.
    place: Cell<&'static AtomicU32>,
    home: RefCell<Weak<Caller>>,
}

thread_local! {
    static HOT: Hot = const {
        Hot { caller: Cell::new(0), place: Cell::new(&NOWHERE), home: RefCell::new(Weak::new()) }
    };
}

/// The block that this thread keeps of the caller with number `caller`.
#[inline(always)]
pub(crate) fn take(caller: u64) -> Option<u32> {
    HOT.try_with(|hot| if hot.caller.get() == caller { hot.take() } else { None }).ok().flatten()
}

/// Keeps a block, if this thread keeps blocks of that caller and has none.
#[inline(always)]
pub(crate) fn keep(caller: u64, block: u32) -> bool {
    HOT.try_with(|hot| {
        let room = hot.caller.get() == caller && hot.place.get().load(Ordering::Relaxed) == NONE;
        if room {
            hot.place.get().store(block, Ordering::Relaxed);
        }
        room
    })
    .unwrap_or(false)
}

/// Makes this thread one that keeps blocks of `caller`; what it kept before goes home.
#[cold]
pub(crate) fn adopt(caller: &Caller) -> bool {
    HOT.try_with(|hot| {
        if hot.caller.get() == caller.number() {
            return false;
        }
        if std::ptr::eq(hot.place.get(), &raw const NOWHERE) {
            let place = lock(&PLACES).pop();
            hot.place.set(place.unwrap_or_else(|| Box::leak(Box::new(AtomicU32::new(NONE)))));
        }
        // The old caller's count would be that of the new one's block.
        if !caller.has_room_for_keepers() {
            return false;
        }
        hot.go_home();
        if !caller.may_keep(hot.place.get()) {
            return false;
        }
        hot.caller.set(caller.number());
        *hot.home.borrow_mut() = caller.weak();
        true
    })
    .unwrap_or(false)
}

impl Hot {
    #[inline(always)]
    fn take(&self) -> Option<u32> {
        let place = self.place.get();
        let block = place.load(Ordering::Relaxed);
        place.store(NONE, Ordering::Relaxed);
        (block != NONE).then_some(block)
    }

    fn go_home(&self) {
        let home = self.home.take();
        let block = self.take();
        self.caller.set(0);
        if let Some(caller) = home.upgrade() {
            caller.keeps_no_longer(self.place.get(), block);
        }
    }
}

impl Drop for Hot {
    fn drop(&mut self) {
        self.go_home();
        if !std::ptr::eq(self.place.get(), &raw const NOWHERE) {
            lock(&PLACES).push(self.place.get());
        }
    }
}

/// The threads that may keep a block of one caller.
#[derive(Debug)]
pub(crate) struct Kept {
    places: Mutex<Vec<&'static AtomicU32>>,
    /// How many of them there may be, minus how many there are.
    room: AtomicU32,
}

impl Kept {
    pub(crate) fn new(most: u32) -> Self {
        Kept { places: Mutex::new(Vec::new()), room: AtomicU32::new(most) }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn add(&self, place: &'static AtomicU32) -> bool {
        let one_less = |room: u32| room.checked_sub(1);
        let room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
        if room {
            lock(&self.places).push(place);
        }
        room
    }

    pub(crate) fn remove(&self, place: &'static AtomicU32) {
        lock(&self.places).retain(|p| !std::ptr::eq(*p, place));
        self.room.fetch_add(1, Ordering::Relaxed);
    }

    /// How many of them keep a block now.
    pub(crate) fn count(&self) -> u32 {
        lock(&self.places).iter().filter(|place| place.load(Ordering::Relaxed) != NONE).count() as u32
    }
}

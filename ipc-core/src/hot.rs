//! The block a thread used last, kept for its next call.
//!
//! A blocking caller returns a block only to take it again. Passing it through the pool would cost two locked operations a
//! call and could hand it to another thread, away from the core where its line is. At most an eighth of the blocks of a
//! channel are kept this way, each by one thread for one channel, so threads that wait for a block are never without
//! others that come home; a thread that knows of a waiter keeps nothing.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use crate::caller::Caller;

const NONE: u32 = u32::MAX;

struct Hot {
    /// The caller it is of; 0: none.
    caller: Cell<u64>,
    block: Cell<u32>,
    home: RefCell<Weak<Caller>>,
}

thread_local! {
    static HOT: Hot = const {
        Hot { caller: Cell::new(0), block: Cell::new(NONE), home: RefCell::new(Weak::new()) }
    };
}

/// The block that this thread keeps of the caller with number `caller`.
#[inline(always)]
pub(crate) fn take(caller: u64) -> Option<u32> {
    HOT.try_with(|hot| if hot.caller.get() == caller { Some(hot.block.replace(NONE)) } else { None })
        .ok()
        .flatten()
        .filter(|block| *block != NONE)
}

/// Keeps a block, if this thread keeps blocks of that caller and has none.
#[inline(always)]
pub(crate) fn keep(caller: u64, block: u32) -> bool {
    HOT.try_with(|hot| {
        let room = hot.caller.get() == caller && hot.block.get() == NONE;
        if room {
            hot.block.set(block);
        }
        room
    })
    .unwrap_or(false)
}

/// Makes this thread one that keeps blocks of `caller`; what it kept before goes home.
#[cold]
pub(crate) fn adopt(caller: &Caller) -> bool {
    HOT.try_with(|hot| {
        if hot.caller.get() == caller.number() || !caller.may_keep() {
            return false;
        }
        hot.go_home();
        hot.caller.set(caller.number());
        *hot.home.borrow_mut() = caller.weak();
        true
    })
    .unwrap_or(false)
}

impl Hot {
    fn go_home(&self) {
        let home = self.home.take();
        let block = self.block.replace(NONE);
        self.caller.set(0);
        if let Some(caller) = home.upgrade() {
            caller.keeps_no_longer((block != NONE).then_some(block));
        }
    }
}

impl Drop for Hot {
    fn drop(&mut self) {
        self.go_home();
    }
}

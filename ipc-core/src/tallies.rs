//! What a worker counts of the calls it runs: plain sums, one writer for each row.
//!
//! A row is written by the one thread that works under its [`Serving`](crate::serving::Serving) entry, so that counting needs
//! no locked instruction; whoever reads adds up the rows.
//!
//! # Safety
//! A pointer to a row, which whoever sets it keeps alive.
#![allow(unsafe_code)]

use crate::sync::{AtomicPtr, Ordering, Sum};

/// Methods that have a place in a row. The last one stands for all that have none.
pub const ENTRIES: usize = 1024;

/// The sums of one worker: calls that were given to the handler, by the number of the method.
pub type Row = [Sum; ENTRIES];

/// A call of the method with this place begins; the row is this thread's. `false`: there is no such place.
#[inline(always)]
pub(crate) fn count(row: &Row, method: usize) -> bool {
    let Some(calls) = row.get(method) else { return false };
    calls.store(calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    true
}

/// Where those count who have no row. Several write it, so it says nothing.
static SCRAP: Row = [const { Sum::new(0) }; ENTRIES];

/// Which row is a worker's.
#[derive(Debug)]
pub(crate) struct RowOf(AtomicPtr<Row>);

impl RowOf {
    pub(crate) fn new() -> Self {
        RowOf(AtomicPtr::new((&raw const SCRAP).cast_mut()))
    }

    /// # Safety
    /// The row stays for as long as this value is used.
    pub(crate) unsafe fn set(&self, row: &Row) {
        self.0.store(std::ptr::from_ref(row).cast_mut(), Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> &Row {
        // SAFETY: a static, or a row that stays, as whoever set it has promised; it consists of atomics.
        unsafe { &*self.0.load(Ordering::Relaxed) }
    }
}

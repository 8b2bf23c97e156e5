//! The one switch between the real machine and those of loom and shuttle.
//!
//! Everything that hands memory between threads or processes takes its atomics from here, so that the loom models in
//! `tests/` run the shipped code; and everything that waits takes locks and threads from here, so that shuttle can run all of
//! it. The switches are `cfg(loom)` and `cfg(shuttle)` alone: `cfg(all(test, loom))` would be off for every crate that uses
//! this one as a dependency, the models included.

#[cfg(shuttle)]
pub use crate::schedule::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence, process, spawn_for_ever,
};
#[cfg(not(any(loom, shuttle)))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// A count that hands no memory to anybody: what it says is true by and by. Every model runs with the real one.
pub use core::sync::atomic::AtomicU64 as Sum;

#[cfg(loom)]
pub use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(shuttle)]
pub use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(any(loom, shuttle)))]
pub use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(shuttle)]
pub(crate) use shuttle::{thread, thread_local};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{process::id as process, thread, thread_local};

/// Takes a lock that guards data no code leaves half changed, whatever happened to a thread that held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Tells the core that this thread is looking at a word in a loop.
#[inline(always)]
pub fn spin_hint() {
    #[cfg(not(any(loom, shuttle)))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(shuttle)]
    crate::schedule::give_way();
}

/// How often something is looked at before something else is tried. Few looks show shuttle as much as many.
pub const fn looks(times: u32) -> u32 {
    if cfg!(shuttle) && times > 2 { 2 } else { times }
}

/// Starts a thread that runs as long as the process.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn spawn_for_ever(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name("ipc-rpc bells".into()).spawn(work).map(drop)
}

//! `CLOCK_MONOTONIC` in nanoseconds, and the core this thread runs on: the same for all processes of the machine.
//!
//! # Safety
//! System calls with plain arguments, or with pointers to locals.
#![allow(unsafe_code)]

use std::time::Duration;

#[cfg(shuttle)]
pub(crate) use crate::schedule::give_way as leave_core;
#[cfg(shuttle)]
pub use crate::schedule::{core, now, pause};
#[cfg(not(shuttle))]
pub(crate) use std::thread::sleep as pause;

/// Nanoseconds of `CLOCK_MONOTONIC`, never 0.
///
/// ```
/// let before = ipc_core::clock::now();
/// assert!(ipc_core::clock::now() >= before && before > 0);
/// ```
#[cfg(not(shuttle))]
pub fn now() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the result; this clock always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    (t.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(t.tv_nsec as u64).max(1)
}

/// The moment `timeout` from now; saturates instead of overflowing.
pub fn after(timeout: Duration) -> u64 {
    now().saturating_add(nanoseconds(timeout))
}

/// A duration in nanoseconds, saturating.
pub fn nanoseconds(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

/// The core this thread runs on, plus one; 0 if the system does not tell.
#[inline]
#[cfg(not(shuttle))]
pub fn core() -> u32 {
    // SAFETY: no arguments.
    let core = unsafe { libc::sched_getcpu() };
    u32::try_from(core).map_or(0, |c| c + 1)
}

/// Moves this thread to another core, if it may run on one; it may run wherever it could before.
#[cfg(not(shuttle))]
pub(crate) fn leave_core() {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of bits, for which zero is a value.
    let mut all: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is a place for that many bytes.
    let known = unsafe { libc::sched_getaffinity(0, size, &raw mut all) } == 0;
    let here = core() as usize;
    // SAFETY: only reads the set.
    if !known || here == 0 || unsafe { libc::CPU_COUNT(&all) } < 2 {
        return;
    }
    let mut others = all;
    // SAFETY: checks that the number lies in the set.
    unsafe { libc::CPU_CLR(here - 1, &mut others) };
    for cores in [&others, &all] {
        // SAFETY: reads that many bytes of a local.
        unsafe { libc::sched_setaffinity(0, size, std::ptr::from_ref(cores)) };
    }
}

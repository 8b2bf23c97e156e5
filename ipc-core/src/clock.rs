//! `CLOCK_MONOTONIC` in nanoseconds, and the core this thread runs on: the same for all processes of the machine.
//!
//! # Safety
//! Two system calls with plain arguments.
#![allow(unsafe_code)]

use std::time::Duration;

/// Nanoseconds of `CLOCK_MONOTONIC`, never 0.
///
/// ```
/// let before = ipc_core::clock::now();
/// assert!(ipc_core::clock::now() >= before && before > 0);
/// ```
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
pub fn core() -> u32 {
    // SAFETY: no arguments.
    let core = unsafe { libc::sched_getcpu() };
    u32::try_from(core).map_or(0, |c| c + 1)
}

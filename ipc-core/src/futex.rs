//! Sleeping on a word in shared memory.
//!
//! # Safety
//! System calls on the address of an `AtomicU32` that is borrowed for the call.
#![allow(unsafe_code)]

#[cfg(shuttle)]
pub use crate::schedule::{futex_wait as wait, futex_wake as wake};
#[cfg(not(shuttle))]
use crate::sync::AtomicU32;

/// Sleeps while `word` holds `value`, until a wake, a signal, or `deadline` (nanoseconds of `CLOCK_MONOTONIC`). Says nothing
/// about why it returned: look at the word.
#[cfg(not(shuttle))]
pub fn wait(word: &AtomicU32, value: u32, deadline: Option<u64>) {
    let until = deadline.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000).min(i64::MAX as u64) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let until = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word is borrowed for the call, `until` is null or points to a local; FUTEX_WAIT_BITSET without the
    // private flag takes an absolute CLOCK_MONOTONIC time and works across processes.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            value,
            until,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
}

/// Wakes one sleeper. One, because an honest word has one; more would let a peer queue work on us.
#[cfg(not(shuttle))]
pub fn wake(word: &AtomicU32) {
    // SAFETY: the word is borrowed for the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

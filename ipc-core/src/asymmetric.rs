//! A pair of fences of which one costs nothing: the other interrupts every core that runs a thread of this process.
//!
//! Who does something a million times a second and has to be seen by who does something once an hour pays no instruction for
//! it. See membarrier(2), `MEMBARRIER_CMD_PRIVATE_EXPEDITED`.
//!
//! # Safety
//! A system call without pointers.
#![allow(unsafe_code)]

use crate::sync::Ordering;

/// The cheap fence: a store before it is seen by who has called [`heavy`], or a load behind it sees what was stored before
/// that call.
#[inline(always)]
pub fn light() {
    #[cfg(not(loom))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    // A model has no barrier that acts on other threads: there both sides pay.
    #[cfg(loom)]
    crate::sync::fence(Ordering::SeqCst);
}

/// The dear fence. `false`: the kernel has none for us (before Linux 4.14, or a sandbox forbids it), nothing is ordered.
#[cfg(not(loom))]
pub fn heavy() -> bool {
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
    let barrier = |command: libc::c_int| {
        // SAFETY: plain arguments.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    };
    // The first time in a process it has to register.
    let ordered = barrier(PRIVATE_EXPEDITED) || (barrier(REGISTER_PRIVATE_EXPEDITED) && barrier(PRIVATE_EXPEDITED));
    crate::sync::fence(Ordering::SeqCst);
    ordered
}

/// The dear fence.
#[cfg(loom)]
pub fn heavy() -> bool {
    crate::sync::fence(Ordering::SeqCst);
    true
}

//! Asking for a cache line before it is needed: what a pipeline of calls would otherwise wait for, line after line.
//!
//! # Safety
//! One instruction that only moves cache lines.
#![allow(unsafe_code)]

/// Asks for the line of `value` as its next writer: a line that is read first and written later travels twice. Does nothing
/// on machines for which it is not written.
#[inline(always)]
pub(crate) fn for_write<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a hint. It changes neither memory nor registers, and machines without it take it for no operation.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) core::ptr::from_ref(value), options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = value;
}

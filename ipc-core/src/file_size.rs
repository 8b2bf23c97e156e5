//! How large a file of this process may be. What is written beyond that is answered with the signal SIGXFSZ, which ends the
//! process; so it is asked before.
//!
//! # Safety
//! A system call.
#![allow(unsafe_code)]

use std::io;

/// The most bytes that a file may have (`ulimit -f`).
///
/// ```
/// assert!(ipc_core::file_size::most() > 0);
/// ```
pub fn most() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the result.
    match unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } {
        0 => limit.rlim_cur,
        _ => u64::MAX,
    }
}

/// May there be a file of `size` bytes? `of`: what it is for, for the error.
///
/// # Errors
/// `FileTooLarge`.
pub(crate) fn check(of: &str, size: u64) -> io::Result<()> {
    let most = most();
    if size <= most {
        return Ok(());
    }
    let why = format!("{of} has {size} bytes, files of this process at most {most} (ulimit -f)");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
}

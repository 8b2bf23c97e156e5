//! Memory that both processes map, made the POSIX way or that of System V.
//!
//! Mapped until the process ends: a process of this program has one round to live.
#![allow(unsafe_code)]
// Both ways are calls that the standard library lacks. What is shared is read and written through pointers and atomics; the
// other process is this same program and keeps to the turns that its flags, semaphores or signals give it.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::sync::atomic::AtomicU64;

use memmap2::MmapOptions;

use crate::Result;
use crate::process::Job;

/// What the words before the payload may take.
pub const HEAD: usize = 4096;

/// Where caller and server meet.
#[derive(Clone, Copy)]
pub struct Memory {
    base: *mut u8,
    len: usize,
}

/// The result of a system call that is negative if it failed.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Memory {
    /// POSIX shared memory, by name.
    pub fn posix(job: &Job, len: usize, create: bool) -> Result<Self> {
        let name = CString::new(job.name("memory"))?;
        let flags = libc::O_RDWR | if create { libc::O_CREAT | libc::O_EXCL } else { 0 };
        // SAFETY: a NUL-terminated name.
        let fd = check(unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) })?;
        // SAFETY: the kernel has just given us this descriptor.
        let file = unsafe { File::from_raw_fd(fd) };
        if create {
            file.set_len(len as u64)?;
        }
        let map = MmapOptions::new().len(len).map_raw(&file)?;
        let base = map.as_mut_ptr();
        std::mem::forget(map); // until the process ends
        Ok(Memory { base, len })
    }

    /// Removes its name.
    pub fn remove_posix(job: &Job) {
        if let Ok(name) = CString::new(job.name("memory")) {
            // SAFETY: a NUL-terminated name.
            unsafe { libc::shm_unlink(name.as_ptr()) };
        }
    }

    /// Shared memory of System V, by key.
    pub fn system_v(key: libc::key_t, len: usize, create: bool) -> Result<Self> {
        let flags = 0o600 | if create { libc::IPC_CREAT | libc::IPC_EXCL } else { 0 };
        // SAFETY: numbers only.
        let id = check(unsafe { libc::shmget(key, len, flags) })?;
        // SAFETY: the kernel chooses a free place.
        let base = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        if base.addr() == usize::MAX {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Memory { base: base.cast(), len })
    }

    /// Removes that of the key.
    pub fn remove_system_v(key: libc::key_t) {
        // SAFETY: numbers only.
        let id = unsafe { libc::shmget(key, 0, 0) };
        // SAFETY: numbers; removal needs no structure.
        unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    }

    /// A place in it.
    ///
    /// # Panics
    ///
    /// If the place is not in it.
    pub fn at(self, offset: usize, len: usize) -> *mut u8 {
        let end = offset.checked_add(len).expect("a small place");
        assert!(end <= self.len, "{offset} to {end} of {}", self.len);
        self.base.wrapping_add(offset)
    }

    /// A word of it, by its offset in bytes.
    ///
    /// # Panics
    ///
    /// If it is not in the memory, or not aligned.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        let word = self.at(offset, 8).cast::<u64>();
        assert!(word.is_aligned());
        // SAFETY: eight aligned bytes of the mapping, which stays; all accesses to the words are atomic.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Writes bytes.
    ///
    /// # Safety
    ///
    /// It must be this process's turn to use the place.
    pub unsafe fn write(self, offset: usize, bytes: &[u8]) {
        let place = self.at(offset, bytes.len());
        // SAFETY: as many bytes of the mapping, which is none of this process's own memory, and nobody else uses them now.
        unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Bytes in it.
    ///
    /// # Safety
    ///
    /// It must be this process's turn to use the place, as long as they are used.
    pub unsafe fn bytes<'a>(self, offset: usize, len: usize) -> &'a [u8] {
        let place = self.at(offset, len);
        // SAFETY: as many bytes of the mapping, which stays; nobody writes them while it is our turn.
        unsafe { std::slice::from_raw_parts(place, len) }
    }
}

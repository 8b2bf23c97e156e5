//! POSIX shared memory with two semaphores in it.
#![allow(unsafe_code)]
// Semaphores in shared memory are C's alone. They lie in the first page, which nothing else uses, and stay mapped.

use std::{io, mem};

use super::memory::{Memory, check};
use super::slots::{Bell, Slots};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::process::{self, Job};

pub struct PosixShm;

/// Two semaphores: the one this process posts and the one it waits for.
struct Semaphores {
    post: *mut libc::sem_t,
    wait: *mut libc::sem_t,
}

impl Semaphores {
    fn places(memory: Memory) -> [*mut libc::sem_t; 2] {
        [0, 128].map(|offset| memory.at(offset, mem::size_of::<libc::sem_t>()).cast())
    }
}

impl Bell for Semaphores {
    fn ring(&mut self, _slot: usize) -> Result<()> {
        // SAFETY: a semaphore that was set up before the other process was started.
        check(unsafe { libc::sem_post(self.post) })?;
        Ok(())
    }

    fn wait(&mut self, next: usize) -> Result<usize> {
        // SAFETY: as above.
        while unsafe { libc::sem_wait(self.wait) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        Ok(next)
    }
}

impl Mechanism for PosixShm {
    fn name(&self) -> &'static str {
        "posix-shm"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let memory = Memory::posix(job, Slots::bytes(job.payload, job.in_flight), false)?;
        let [wait, post] = Semaphores::places(memory);
        Slots::new(memory, job.payload, job.in_flight).serve(Semaphores { post, wait })
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let memory = Memory::posix(job, Slots::bytes(job.payload, job.in_flight), true)?;
        let [post, wait] = Semaphores::places(memory);
        for semaphore in [post, wait] {
            // SAFETY: a place for a semaphore that nobody uses yet.
            check(unsafe { libc::sem_init(semaphore, 1, 0) })?;
        }
        let slots = Slots::new(memory, job.payload, job.in_flight);
        Ok(Box::new(slots.caller(Semaphores { post, wait }, process::serve_by_name(job)?)))
    }

    fn remove(&self, job: &Job) {
        Memory::remove_posix(job);
    }
}

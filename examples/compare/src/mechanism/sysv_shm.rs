//! Shared memory of System V with a set of two of its semaphores.
#![allow(unsafe_code)]
// These calls are C's alone. They take numbers, and one structure that lives on the stack.

use std::io;

use super::memory::{Memory, check};
use super::slots::{Bell, Slots};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::process::{self, Job};

pub struct SysvShm;

/// A key for this run of the program.
fn key(job: &Job) -> libc::key_t {
    0x4900_0000 | (job.number & 0xff_ffff) as libc::key_t
}

/// A set of two semaphores: the one this process raises and the one it lowers.
struct Semaphores {
    set: libc::c_int,
    raise: u16,
    lower: u16,
}

impl Semaphores {
    fn change(&self, semaphore: u16, by: i16) -> io::Result<()> {
        let mut operation = libc::sembuf { sem_num: semaphore, sem_op: by, sem_flg: 0 };
        loop {
            // SAFETY: one operation, which lives on the stack.
            match check(unsafe { libc::semop(self.set, &raw mut operation, 1) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(|_| ()),
            }
        }
    }
}

impl Bell for Semaphores {
    fn ring(&mut self, _slot: usize) -> Result<()> {
        Ok(self.change(self.raise, 1)?)
    }

    fn wait(&mut self, next: usize) -> Result<usize> {
        self.change(self.lower, -1)?;
        Ok(next)
    }
}

impl Mechanism for SysvShm {
    fn name(&self) -> &'static str {
        "sysv-shm"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let memory = Memory::system_v(key(job), Slots::bytes(job.payload, job.in_flight), false)?;
        // SAFETY: numbers only.
        let set = check(unsafe { libc::semget(key(job), 2, 0) })?;
        Slots::new(memory, job.payload, job.in_flight).serve(Semaphores { set, raise: 1, lower: 0 })
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let memory = Memory::system_v(key(job), Slots::bytes(job.payload, job.in_flight), true)?;
        // SAFETY: numbers only.
        let set = check(unsafe { libc::semget(key(job), 2, 0o600 | libc::IPC_CREAT | libc::IPC_EXCL) })?;
        let slots = Slots::new(memory, job.payload, job.in_flight);
        Ok(Box::new(slots.caller(Semaphores { set, raise: 0, lower: 1 }, process::serve_by_name(job)?)))
    }

    fn remove(&self, job: &Job) {
        Memory::remove_system_v(key(job));
        // SAFETY: numbers only.
        let set = unsafe { libc::semget(key(job), 0, 0) };
        // SAFETY: numbers only.
        unsafe { libc::semctl(set, 0, libc::IPC_RMID) };
    }
}

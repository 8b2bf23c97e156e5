//! Real-time signals that carry the number of a slot in shared memory.
#![allow(unsafe_code)]
// Signals with values are C's alone. The calls take numbers, and structures that live on the stack; nothing handles a signal:
// it is blocked from before the server is started, which inherits that, and waited for.

use std::{io, mem};

use super::memory::{Memory, check};
use super::slots::{Bell, Slots};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::process::{self, Job};

pub struct Signal;

/// Signals to and from a process.
struct Signals {
    peer: libc::pid_t,
    set: libc::sigset_t,
}

impl Signals {
    /// The signal, blocked for this process and those that it starts.
    fn block() -> Result<libc::sigset_t> {
        // SAFETY: a set of bits, made empty next.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: a set on the stack.
        check(unsafe { libc::sigemptyset(&raw mut set) })?;
        // SAFETY: a set on the stack, and a signal that there is.
        check(unsafe { libc::sigaddset(&raw mut set, libc::SIGRTMIN()) })?;
        // SAFETY: a set on the stack; the old one is not asked for.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
            0 => Ok(set),
            error => Err(io::Error::from_raw_os_error(error).into()),
        }
    }
}

impl Bell for Signals {
    fn ring(&mut self, slot: usize) -> Result<()> {
        let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(slot) };
        // SAFETY: numbers; the peer is our child or our parent, and nobody follows the value as a pointer.
        check(unsafe { libc::sigqueue(self.peer, libc::SIGRTMIN(), value) })?;
        Ok(())
    }

    fn wait(&mut self, _next: usize) -> Result<usize> {
        // SAFETY: a structure of numbers.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        loop {
            // SAFETY: a set and a structure that live on the stack.
            match check(unsafe { libc::sigwaitinfo(&raw const self.set, &raw mut info) }) {
                // SAFETY: the signal was sent with a value.
                Ok(_) => return Ok(unsafe { info.si_value() }.sival_ptr.addr()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Mechanism for Signal {
    fn name(&self) -> &'static str {
        "sigqueue"
    }

    fn kind(&self) -> Kind {
        Kind::Kernel
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let memory = Memory::posix(job, Slots::bytes(job.payload, job.in_flight), false)?;
        let peer = libc::pid_t::try_from(std::os::unix::process::parent_id())?;
        Slots::new(memory, job.payload, job.in_flight).serve(Signals { peer, set: Signals::block()? })
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let memory = Memory::posix(job, Slots::bytes(job.payload, job.in_flight), true)?;
        let set = Signals::block()?;
        let server = process::serve_by_name(job)?;
        let peer = libc::pid_t::try_from(server.0.id())?;
        Ok(Box::new(Slots::new(memory, job.payload, job.in_flight).caller(Signals { peer, set }, server)))
    }

    fn remove(&self, job: &Job) {
        Memory::remove_posix(job);
    }
}

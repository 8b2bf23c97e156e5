//! What one would write by hand for large payloads: copy into shared memory, set a flag; the other process spins, sums,
//! and sets another one.
#![allow(unsafe_code)]
// The payload in shared memory is read where it lies. It belongs to the server from the request's number on and to the
// caller from the answer's.

use std::hint::spin_loop;
use std::sync::atomic::Ordering;

use super::memory::{HEAD, Memory};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::{Payload, sum};
use crate::process::{self, Job, Killed};

// Each in a cache line of its own.
const REQUEST: usize = 0;
const ANSWER: usize = 64;
const SUM: usize = 72;

pub struct ByHand;

struct Caller {
    memory: Memory,
    _server: Killed,
}

impl Mechanism for ByHand {
    fn name(&self) -> &'static str {
        "by-hand"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn refuses(&self, _payload: usize, in_flight: usize) -> Option<String> {
        (in_flight > 1).then(|| "there is one place".into())
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let memory = Memory::posix(job, HEAD + job.payload, false)?;
        let mut last = 0;
        loop {
            let request = memory.word(REQUEST).load(Ordering::Acquire);
            if request == last {
                spin_loop();
                continue;
            }
            last = request;
            // SAFETY: ours from the request's number on, which was acquired.
            let bytes = unsafe { memory.bytes(HEAD, job.payload) };
            memory.word(SUM).store(sum(bytes), Ordering::Relaxed);
            memory.word(ANSWER).store(request, Ordering::Release);
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let memory = Memory::posix(job, HEAD + job.payload, true)?;
        Ok(Box::new(Caller { memory, _server: process::serve_by_name(job)? }))
    }

    fn remove(&self, job: &Job) {
        Memory::remove_posix(job);
    }
}

impl Client for Caller {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        // SAFETY: ours until the next number is stored: the answer to the last one was acquired.
        unsafe { self.memory.write(HEAD, payload.bytes()) };
        self.memory.word(REQUEST).store(payload.calls(), Ordering::Release);
        while self.memory.word(ANSWER).load(Ordering::Acquire) != payload.calls() {
            spin_loop();
        }
        payload.check(self.memory.word(SUM).load(Ordering::Relaxed))
    }
}

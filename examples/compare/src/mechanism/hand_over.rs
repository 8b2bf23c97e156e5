//! A number in one cache line that the other process waits for and stores beside it: the least that an answer takes.

use std::hint::spin_loop;
use std::sync::atomic::Ordering;

use super::memory::{HEAD, Memory};
use super::{Client, Kind, Mechanism};
use crate::Result;
use crate::payload::{Payload, check};
use crate::process::{self, Job, Killed};

const REQUEST: usize = 0;
const ANSWER: usize = 8;

pub struct HandOver;

struct Caller {
    memory: Memory,
    _server: Killed,
}

impl Mechanism for HandOver {
    fn name(&self) -> &'static str {
        "hand-over"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn fixed(&self) -> Option<usize> {
        Some(8)
    }

    fn serve(&self, job: &Job) -> Result<()> {
        let memory = Memory::posix(job, HEAD, false)?;
        let (from, to, mut last) = (memory.word(REQUEST), memory.word(ANSWER), 0);
        loop {
            let request = from.load(Ordering::Acquire);
            if request == last {
                spin_loop();
            } else {
                last = request;
                to.store(request, Ordering::Release);
            }
        }
    }

    fn connect(&self, job: &Job) -> Result<Box<dyn Client>> {
        let memory = Memory::posix(job, HEAD, true)?;
        Ok(Box::new(Caller { memory, _server: process::serve_by_name(job)? }))
    }

    fn remove(&self, job: &Job) {
        Memory::remove_posix(job);
    }
}

impl Client for Caller {
    fn call(&mut self, payload: &Payload) -> Result<()> {
        let number = payload.calls();
        self.memory.word(REQUEST).store(number, Ordering::Release);
        let answer = self.memory.word(ANSWER);
        while answer.load(Ordering::Acquire) != number {
            spin_loop();
        }
        check(number, answer.load(Ordering::Relaxed))
    }
}

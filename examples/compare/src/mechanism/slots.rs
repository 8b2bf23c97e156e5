//! Payloads in shared memory, with something of the kernel's to tell the other process.
#![allow(unsafe_code)]
// A payload in shared memory is read where it lies. A slot belongs to the server from the moment it is told of the request,
// and to the caller from the moment it is told of the answer; the kernel's own ordering is between the two.

use std::sync::atomic::Ordering;

use super::Client;
use super::memory::{HEAD, Memory};
use crate::Result;
use crate::payload::sum;
use crate::process::Killed;

/// Length and answer of a slot take a cache line in front of its payload.
const LINE: usize = 64;

/// What tells the other process that a slot is its own now.
pub trait Bell {
    fn ring(&mut self, slot: usize) -> Result<()>;

    /// The slot it was told of. One that cannot say gives `next` back.
    fn wait(&mut self, next: usize) -> Result<usize>;
}

/// As many places for requests as there are calls in flight, used in turns.
#[derive(Clone, Copy)]
pub struct Slots {
    memory: Memory,
    payload: usize,
    count: usize,
}

impl Slots {
    /// The memory that they need.
    pub fn bytes(payload: usize, count: usize) -> usize {
        HEAD + count * Self::stride(payload)
    }

    pub fn new(memory: Memory, payload: usize, count: usize) -> Self {
        Slots { memory, payload, count }
    }

    fn stride(payload: usize) -> usize {
        LINE + payload.next_multiple_of(LINE)
    }

    fn at(&self, slot: usize) -> Result<usize> {
        let slot = Some(slot).filter(|slot| *slot < self.count).ok_or("a slot that there is not")?;
        Ok(HEAD + slot * Self::stride(self.payload))
    }

    fn next(&self, slot: usize) -> usize {
        (slot + 1) % self.count
    }

    /// The answering process.
    pub fn serve(&self, mut bell: impl Bell) -> Result<()> {
        let mut next = 0;
        loop {
            let slot = bell.wait(next)?;
            let at = self.at(slot)?;
            let len = usize::try_from(self.memory.word(at).load(Ordering::Acquire))?.min(self.payload);
            // SAFETY: ours until the bell is rung, see above.
            let bytes = unsafe { self.memory.bytes(at + LINE, len) };
            self.memory.word(at + 8).store(sum(bytes), Ordering::Release);
            bell.ring(slot)?;
            next = self.next(slot);
        }
    }

    /// The calling end.
    pub fn caller<B: Bell>(self, bell: B, server: Killed) -> Caller<B> {
        Caller { slots: self, bell, sent: 0, received: 0, _server: server }
    }
}

pub struct Caller<B> {
    slots: Slots,
    bell: B,
    sent: usize,
    received: usize,
    _server: Killed,
}

impl<B: Bell> Client for Caller<B> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let at = self.slots.at(self.sent)?;
        self.slots.memory.word(at).store(bytes.len() as u64, Ordering::Relaxed);
        // SAFETY: ours until the bell is rung, see above: no more are in flight than there are slots.
        unsafe { self.slots.memory.write(at + LINE, bytes) };
        self.bell.ring(self.sent)?;
        self.sent = self.slots.next(self.sent);
        Ok(())
    }

    fn receive(&mut self) -> Result<u64> {
        let slot = self.bell.wait(self.received)?;
        if slot != self.received {
            return Err(format!("an answer in slot {slot}, not {}", self.received).into());
        }
        self.received = self.slots.next(slot);
        Ok(self.slots.memory.word(self.slots.at(slot)? + 8).load(Ordering::Acquire))
    }
}

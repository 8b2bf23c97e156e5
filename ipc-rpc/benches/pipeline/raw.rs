//! The floor: offsets of blocks on a queue in each direction, and nothing else.
//!
//! Two processes map one segment. A block has 256 bytes; a request of 16 bytes and the reply of 8 lie in its first cache
//! line, behind the 40 bytes of a head that nobody uses here. The offset goes on a queue of the same cells as the typed
//! calls use, with a plain store: there is one producer and one consumer. No state words, no watching, no sleeping, no
//! deadlines, no death; both sides spin.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ipc_core::layout::INLINE;
use ipc_core::queue::{Consumer, Entry, Kind};
use ipc_core::segment::Area;
use ipc_core::word;

use crate::process::{self, Again, Shared};

/// Asks the other end to wait for the next round.
const STOP: u64 = u64::MAX;

/// The producing end without the locked operation that several threads would need.
#[derive(Default)]
struct Producer {
    tail: u64,
}

impl Producer {
    fn push(&mut self, cells: &[AtomicU64], kind: Kind, offset: u32) {
        let capacity = cells.len() as u64;
        let cell = word::cell(self.tail, capacity, kind as u8, offset);
        cells[(self.tail & (capacity - 1)) as usize].store(cell, Ordering::Release);
        self.tail += 1;
    }
}

fn wait(consumer: &mut Consumer, cells: &[AtomicU64]) -> Entry {
    loop {
        match consumer.pop(cells).expect("cells that only the other end writes") {
            Some(entry) => return entry,
            None => spin_loop(),
        }
    }
}

impl Shared {
    /// A word of the first line of a block: two for the request, one for the reply.
    fn word(&self, block: u32, n: u32) -> &AtomicU64 {
        let at = self.0.geometry().block_at(block) + INLINE + 8 * n;
        let word = self.0.bytes(Area::Inline(block), at, 8).expect("a place in the block");
        // SAFETY: eight aligned bytes of the mapping, used as an atomic only, alive as long as `self`.
        unsafe { AtomicU64::from_ptr(word.as_ptr().cast()) }
    }
}

/// The answering process.
pub fn answer(path: &str) {
    let memory = Shared::open(path);
    let (requests, replies) = (memory.0.request_cells(), memory.0.announcement_cells());
    let (mut consumer, mut producer) = (Consumer::new(), Producer::default());
    process::ready();
    loop {
        process::wait_to_be_told();
        loop {
            let offset = wait(&mut consumer, requests).offset;
            let block = memory.0.geometry().block_index(offset).expect("the offset of a block");
            let a = memory.word(block, 0).load(Ordering::Relaxed);
            let b = memory.word(block, 1).load(Ordering::Relaxed);
            memory.word(block, 2).store(a.wrapping_add(b), Ordering::Relaxed);
            producer.push(replies, Kind::Announcement, offset);
            if a == STOP {
                break;
            }
        }
    }
}

/// The asking end.
pub struct Raw {
    memory: Shared,
    other: Again,
    producer: Producer,
    consumer: Consumer,
    next: u64,
}

impl Raw {
    pub fn start() -> Self {
        let memory = Shared::create();
        let other = Again::start(&["raw", &memory.path()]);
        Raw { memory, other, producer: Producer::default(), consumer: Consumer::new(), next: 0 }
    }

    /// Nanoseconds for each of `calls`, so many in flight, after some that are not counted.
    pub fn round(&mut self, in_flight: u32, calls: u64) -> f64 {
        self.other.tell();
        self.calls(in_flight, calls / 10);
        let start = Instant::now();
        self.calls(in_flight, calls);
        let time = start.elapsed();
        self.ask(0, STOP);
        wait(&mut self.consumer, self.memory.0.announcement_cells());
        time.as_nanos() as f64 / calls as f64
    }

    /// Each reply makes room for the next request, in the same block.
    fn calls(&mut self, in_flight: u32, calls: u64) {
        let mut expected = [0; 256];
        let mut left = calls;
        for block in 0..in_flight {
            left -= 1;
            expected[block as usize] = self.ask(block, left);
        }
        let mut out = in_flight;
        while out > 0 {
            let offset = wait(&mut self.consumer, self.memory.0.announcement_cells()).offset;
            let block = self.memory.0.geometry().block_index(offset).expect("the offset of a block");
            assert_eq!(self.memory.word(block, 2).load(Ordering::Relaxed), expected[block as usize]);
            if left > 0 {
                left -= 1;
                expected[block as usize] = self.ask(block, left);
            } else {
                out -= 1;
            }
        }
    }

    fn ask(&mut self, block: u32, a: u64) -> u64 {
        self.next += 1;
        self.memory.word(block, 0).store(a, Ordering::Relaxed);
        self.memory.word(block, 1).store(self.next, Ordering::Relaxed);
        self.producer.push(self.memory.0.request_cells(), Kind::Request, self.memory.0.geometry().block_at(block));
        a.wrapping_add(self.next)
    }
}

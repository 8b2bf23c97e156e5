//! P4 in the other direction: the callee puts the offset of an answered block on the caller's queue.

use crate::harness::{
    By::{Loss, Words},
    explore,
};
use crate::parts::{Bell, Block, cells};
use ipc_core::doorbell::{must_ring, raise};
use ipc_core::handover::{finish, look, request, submit, wish};
use ipc_core::queue::{Consumer, Entry, Kind, Producer};
use ipc_core::sync::Ordering::{AcqRel, Acquire, Relaxed};
use ipc_core::sync::{AtomicU32, AtomicU64, spin_hint};
use ipc_core::word::{self, ANNOUNCE, DONE, Lent, STATE, Seen};
use loom::{sync::Arc, thread};

struct Shared {
    block: Block,
    cells: Vec<AtomicU64>,
    asleep: AtomicU32,
    bell: Bell,
}

impl Shared {
    fn new() -> Arc<Self> {
        // One block, so one cell: a second announcement before the first is popped would be lost.
        Arc::new(Shared {
            block: Block::new(word::FREE),
            cells: cells(1),
            asleep: AtomicU32::new(0),
            bell: Bell::new(),
        })
    }

    /// Callee: S2 and what follows from the wishes in the old word.
    fn answer(&self, wrong: &str, producer: &Producer) {
        let announce = match wrong {
            "S2 reads the wishes before it swaps" => {
                let old = self.block.word.load(Acquire);
                self.block.word.swap(DONE, AcqRel);
                old & ANNOUNCE != 0
            }
            _ => finish(&self.block.word, false).unwrap().announce,
        };
        if announce {
            producer.push(&self.cells, Kind::Announcement, 7);
            let ring = match wrong {
                "no fence after the announcement" => {
                    self.asleep.load(Relaxed) == 1 && self.asleep.swap(0, Relaxed) == 1
                }
                _ => must_ring(&self.asleep),
            };
            if ring {
                self.bell.ring();
            }
        }
    }

    /// Caller: waits for the announcement that is due.
    fn announced(&self, queue: &mut Consumer) {
        let entry = loop {
            if let Some(entry) = queue.pop(&self.cells).unwrap() {
                break entry;
            }
            raise(&self.asleep);
            if !queue.is_ready(&self.cells) {
                self.bell.wait();
            }
        };
        assert_eq!(entry, Entry { kind: Kind::Announcement, offset: 7 });
        assert_eq!(look(&self.block.word), Ok(Lent::Done), "announced, but not done");
    }
}

#[test]
fn p4_announcement() {
    explore(
        "announce::p4_announcement",
        None,
        &[
            ("no fence after the announcement", Loss),
            ("S2 reads the wishes before it swaps", Loss),
            ("the caller waits though C3 says done", Loss),
            ("C3 by fetch_or", Words("Corrupt")),
        ],
        announcement,
    );
}

/// The wish is set while the callee answers: either it is heeded, or C3 says that the block is done.
fn announcement(wrong: &'static str) {
    let shared = Shared::new();
    shared.block.write(1);
    submit(&shared.block.word, 0).unwrap();
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.block.serve();
            shared.answer(wrong, &Producer::new());
        })
    };
    let block = &shared.block;
    let mut queue = Consumer::new();
    let state = match wrong {
        "C3 by fetch_or" => match block.word.fetch_or(ANNOUNCE, AcqRel) {
            old if old & STATE == DONE => Lent::Done,
            old => Lent::Out(old | ANNOUNCE),
        },
        _ => wish(&block.word, ANNOUNCE).unwrap(),
    };
    if state != Lent::Done || wrong == "the caller waits though C3 says done" {
        shared.announced(&mut queue);
    }
    block.check(1);
    callee.join().unwrap();
    assert_eq!(queue.pop(&shared.cells), Ok(None), "announced twice");
    // The block can be lent again.
    assert_eq!(submit(&block.word, 0), Ok(false));
}

#[test]
fn p4_announced_block_is_reused() {
    explore(
        "announce::p4_announced_block_is_reused",
        Some(6),
        &[("R3: reused while its announcement is due", Words("announced, but not done"))],
        reuse,
    );
}

/// Rule R3: the caller sees the first reply by itself, yet reuses the block only after the announcement was popped.
fn reuse(wrong: &'static str) {
    let shared = Shared::new();
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let producer = Producer::new();
            for _ in 0..2 {
                while request(&shared.block.word).unwrap() != Seen::Run {
                    spin_hint();
                }
                shared.block.serve();
                shared.answer(wrong, &producer);
            }
        })
    };
    let mut queue = Consumer::new();
    for x in 1..=2 {
        shared.block.write(x);
        submit(&shared.block.word, ANNOUNCE).unwrap();
        if x == 1 {
            shared.block.spin();
            shared.block.check(x);
            if wrong == "R3: reused while its announcement is due" {
                continue;
            }
        }
        shared.announced(&mut queue);
        shared.block.check(x);
    }
    callee.join().unwrap();
}

//! P1, P2, P3: the hand-over of blocks, watched and unwatched, and their reuse.

use crate::harness::{
    By::{Loss, Race, Words},
    explore,
};
use crate::parts::{Block, cells};
use ipc_core::handover::{finish, look, request, submit, unwatch};
use ipc_core::queue::{Consumer, Entry, Kind, Producer};
use ipc_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use ipc_core::sync::{AtomicU64, spin_hint};
use ipc_core::word::{self, Cell, DONE, Lent, REQUEST, STATE, Seen, WATCHED};
use loom::{sync::Arc, thread};

#[test]
fn p1_p2_p3_watch_unwatch_reuse() {
    explore(
        "hand_over::p1_p2_p3_watch_unwatch_reuse",
        None,
        &[
            ("P1: C1 relaxed", Words("taken twice")),
            ("P1: S1 relaxed", Words("taken twice")),
            ("P2: S2 relaxed", Race),
            ("P2: C4 relaxed", Race),
            ("P3: cell stored relaxed", Words("stale hint")),
            ("P3: cell loaded relaxed", Words("stale hint")),
            ("C1 looks for WATCHED before it swaps", Loss),
            ("C1 stores over WATCHED", Words("wrong reply")),
            ("S2 sets WATCHED after DONE", Words("wrong reply")),
            ("S3 by load and store", Loss),
            ("S3 ignores its failure", Loss),
        ],
        |wrong| two_calls(wrong, 2),
    );
}

#[test]
fn p1_p2_p3_three_calls() {
    explore("hand_over::p1_p2_p3_three_calls", Some(5), &[], |wrong| two_calls(wrong, 3));
}

/// One block, called again and again. The callee watches it, looks once in vain, and unwatches it. The queue has exactly
/// the cells that the capacity rule asks for: one.
fn two_calls(wrong: &'static str, calls: u32) {
    let shared = Arc::new((Block::new(word::FREE), cells(1)));
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, cells) = &*shared;
            let mut queue = Tail { consumer: Consumer::new(), popped: 0 };
            let (mut watching, mut left) = (false, calls);
            while left > 0 {
                let mut found = false;
                if watching {
                    found = seen(wrong, block) == Seen::Run || s3(wrong, block);
                    watching = found;
                } else if let Some(entry) = queue.pop(wrong, cells) {
                    assert_eq!(entry, Entry { kind: Kind::Request, offset: 7 });
                    found = true;
                }
                if !found {
                    spin_hint();
                    continue;
                }
                // The capacity rules R1-R4 leave no stale hints.
                assert_eq!(seen(wrong, block), Seen::Run, "stale hint");
                block.serve();
                left -= 1;
                watching = left > 0;
                s2(wrong, block, watching);
            }
        })
    };
    let (block, cells) = &*shared;
    let producer = Producer::new();
    let mut pushed = 0;
    for x in 1..=calls {
        block.write(x);
        if !c1(wrong, block) {
            match wrong {
                "P3: cell stored relaxed" => cells[0].store(word::cell(pushed, 1, Kind::Request as u8, 7), Relaxed),
                _ => producer.push(cells, Kind::Request, 7),
            }
            pushed += 1;
        }
        while c4(wrong, block) != Lent::Done {
            spin_hint();
        }
        block.check(x);
    }
    callee.join().unwrap();
}

fn c1(wrong: &str, block: &Block) -> bool {
    match wrong {
        "P1: C1 relaxed" => word::submitted(block.word.swap(REQUEST, Relaxed)).unwrap(),
        "C1 looks for WATCHED before it swaps" => {
            let old = block.word.load(Acquire);
            block.word.swap(REQUEST, AcqRel);
            word::submitted(old).unwrap()
        }
        "C1 stores over WATCHED" => {
            let old = block.word.load(Acquire);
            block.word.store(REQUEST, Release);
            word::submitted(old).unwrap()
        }
        _ => submit(&block.word, 0).unwrap(),
    }
}

fn c4(wrong: &str, block: &Block) -> Lent {
    match wrong {
        "P2: C4 relaxed" => word::lent(block.word.load(Relaxed)).unwrap(),
        _ => look(&block.word).unwrap(),
    }
}

fn seen(wrong: &str, block: &Block) -> Seen {
    match wrong {
        "P1: S1 relaxed" => word::seen(block.word.load(Relaxed)).unwrap(),
        _ => request(&block.word).unwrap(),
    }
}

fn s2(wrong: &str, block: &Block, watched: bool) {
    let flag = if watched { WATCHED } else { 0 };
    match wrong {
        "P2: S2 relaxed" => drop(word::finished(block.word.swap(DONE | flag, Relaxed)).unwrap()),
        "S2 sets WATCHED after DONE" => {
            finish(&block.word, false).unwrap();
            block.word.fetch_or(flag, AcqRel);
        }
        _ => drop(finish(&block.word, watched).unwrap()),
    }
}

fn s3(wrong: &str, block: &Block) -> bool {
    match wrong {
        "S3 by load and store" => {
            let arrived = block.word.load(Acquire) & STATE == REQUEST;
            if !arrived {
                block.word.store(DONE, Release);
            }
            arrived
        }
        "S3 ignores its failure" => {
            let _ = unwatch(&block.word).unwrap();
            false
        }
        _ => unwatch(&block.word).unwrap(),
    }
}

struct Tail {
    consumer: Consumer,
    popped: u64,
}

impl Tail {
    fn pop(&mut self, wrong: &str, cells: &[AtomicU64]) -> Option<Entry> {
        if wrong != "P3: cell loaded relaxed" {
            return self.consumer.pop(cells).unwrap();
        }
        let Cell::Entry { offset, .. } = word::judge_cell(cells[0].load(Relaxed), self.popped, 1) else { return None };
        self.popped += 1;
        Some(Entry { kind: Kind::Request, offset })
    }
}

#[test]
fn p1_p2_the_watch_moves() {
    explore(
        "hand_over::p1_p2_the_watch_moves",
        None,
        &[("the evicted block's failure is ignored", Loss), ("evicted before the reply, looked at after it", Loss)],
        the_watch_moves,
    );
}

/// Two callers, two blocks, room for one in the watch set: block 0 is watched, the call in block 1 comes through the queue
/// and evicts it - or finds that its request has arrived.
fn the_watch_moves(wrong: &'static str) {
    let shared = Arc::new(([Block::new(DONE | WATCHED), Block::new(word::FREE)], cells(2), Producer::new()));
    let call = |number: usize| {
        let shared = shared.clone();
        move || {
            let (blocks, cells, producer) = &*shared;
            let block = &blocks[number];
            block.write(9);
            if !submit(&block.word, 0).unwrap() {
                producer.push(cells, Kind::Request, number as u32);
            }
            block.spin();
            block.check(9);
        }
    };
    let other = thread::spawn(call(1));
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (blocks, cells, _) = &*shared;
            let mut queue = Consumer::new();
            let (mut served, mut watched) = (0, Some(0));
            while served < 2 {
                let hit = watched.filter(|&w: &usize| request(&blocks[w].word).unwrap() == Seen::Run);
                let mut next = match hit {
                    Some(_) => watched.take(),
                    None => queue.pop(cells).unwrap().map(|entry| entry.offset as usize),
                };
                while let Some(number) = next.take() {
                    assert_eq!(request(&blocks[number].word), Ok(Seen::Run), "stale hint");
                    let early = wrong == "evicted before the reply, looked at after it";
                    if let Some(old) = watched.filter(|_| early) {
                        let _ = unwatch(&blocks[old].word).unwrap();
                    }
                    blocks[number].serve();
                    served += 1;
                    finish(&blocks[number].word, true).unwrap();
                    if let Some(old) = watched.replace(number) {
                        let arrived = !early && unwatch(&blocks[old].word).unwrap();
                        let ignored = wrong == "the evicted block's failure is ignored";
                        next = (arrived && !ignored).then_some(old);
                    }
                }
                spin_hint();
            }
        })
    };
    call(0)();
    other.join().unwrap();
    callee.join().unwrap();
}

//! P7: a caller that sleeps on the state word.

use crate::harness::{
    By::{Loss, Words},
    explore,
};
use crate::parts::{Block, Futex};
use ipc_core::handover::{finish, look, submit, unwatch, wish};
use ipc_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use ipc_core::word::{self, DONE, Lent, PARKED, REQUEST, STATE};
use loom::{sync::Arc, thread};

#[test]
fn p7_parked_caller() {
    explore(
        "parking::p7_parked_caller",
        None,
        &[
            ("C3 by load and store", Loss),
            ("C3 by fetch_or", Words("Corrupt")),
            ("the futex compares a value loaded after C3", Loss),
            ("S1 stores a running state over the word", Loss),
            ("S2 by load and store", Loss),
            ("S2 wakes before it answers", Loss),
        ],
        parked_caller,
    );
}

fn parked_caller(wrong: &'static str) {
    let shared = Arc::new((Block::new(word::FREE), Futex::new()));
    shared.0.write(1);
    submit(&shared.0.word, 0).unwrap();
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, futex) = &*shared;
            if wrong == "S1 stores a running state over the word" {
                block.word.store(REQUEST, Relaxed);
            }
            block.serve();
            let wake = match wrong {
                "S2 by load and store" => {
                    let old = block.word.load(Acquire);
                    block.word.store(DONE | word::WATCHED, Release);
                    old & PARKED != 0
                }
                "S2 wakes before it answers" => {
                    if block.word.load(Acquire) & PARKED != 0 {
                        futex.wake();
                    }
                    finish(&block.word, true).unwrap();
                    false
                }
                _ => finish(&block.word, true).unwrap().wake,
            };
            if wake {
                futex.wake();
            }
            // A wish that got into the answered word would break the promise to watch it.
            unwatch(&block.word).unwrap();
        })
    };
    let (block, futex) = &*shared;
    while look(&block.word).unwrap() != Lent::Done {
        match c3(wrong, block) {
            Lent::Done => break,
            Lent::Out(value) => match wrong {
                "the futex compares a value loaded after C3" => futex.wait(&block.word, block.word.load(Acquire)),
                _ => futex.wait(&block.word, value),
            },
        }
    }
    block.check(1);
    callee.join().unwrap();
}

fn c3(wrong: &str, block: &Block) -> Lent {
    match wrong {
        "C3 by load and store" => {
            let seen = block.word.load(Acquire);
            if seen & STATE == DONE {
                return Lent::Done;
            }
            block.word.store(seen | PARKED, Release);
            Lent::Out(seen | PARKED)
        }
        "C3 by fetch_or" => match block.word.fetch_or(PARKED, AcqRel) {
            old if old & STATE == DONE => Lent::Done,
            old => Lent::Out(old | PARKED),
        },
        _ => wish(&block.word, PARKED).unwrap(),
    }
}

//! P21, P22: a request that is kept beyond its call, and whose block comes back once.

use crate::harness::{
    By::{Loss, Race, Words},
    explore,
};
use crate::parts::{Block, Plain, cells};
use ipc_core::handover::{finish, look, submit};
use ipc_core::keeping::Keeping;
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::sync::Ordering::Relaxed;
use ipc_core::sync::{AtomicU64, spin_hint};
use ipc_core::word::{self, Lent};
use loom::{sync::Arc, thread};

/// The word of the last one who keeps a request whose answer is given.
const ALONE: u32 = 3 << 30 | 1;

struct Shared {
    block: Block,
    /// What the argument consists of, apart from the block's own request.
    argument: Plain<u32>,
    /// The answer says that the request is kept.
    kept: Plain<bool>,
    keeping: Keeping,
    /// The caller's queue.
    cells: Vec<AtomicU64>,
    producer: Producer,
}

impl Shared {
    fn new(keepers: u32) -> Arc<Self> {
        let shared = Shared {
            block: Block::new(word::FREE),
            argument: Plain::new(7),
            kept: Plain::new(false),
            keeping: Keeping::new(),
            cells: cells(1),
            producer: Producer::new(),
        };
        shared.block.write(1);
        submit(&shared.block.word, 0).unwrap();
        (0..keepers).for_each(|_| shared.keeping.begin());
        Arc::new(shared)
    }

    /// One of those who keep the request reads it, and lets go.
    fn let_go(&self, wrong: &str) {
        assert_eq!(self.argument.read(), 7, "written meanwhile");
        let last = match wrong {
            "P21: let go relaxed" => self.keeping.word().fetch_sub(1, Relaxed) == ALONE,
            _ => self.keeping.end(),
        };
        if last {
            self.keeping.word().store(0, Relaxed);
            self.producer.push(&self.cells, Kind::Release, 0);
        }
    }

    /// The worker answers.
    fn answer(&self, wrong: &str) {
        self.block.serve();
        let kept = wrong != "the answer never says so" && self.keeping.answer();
        self.kept.write(kept);
        let early = wrong == "P22: the answer is noted before it is given" && kept && self.keeping.answered();
        if early {
            self.producer.push(&self.cells, Kind::Release, 0);
        }
        finish(&self.block.word, false).unwrap();
        let alone = match wrong {
            "P22: the answer is noted before it is given" | "who answers does not look again" => false,
            "P22: the answer is noted relaxed" => {
                self.keeping.word().fetch_or(1 << 31, Relaxed) == ALONE & !(1 << 31 | 1)
            }
            _ => kept && self.keeping.answered(),
        };
        if alone {
            self.keeping.word().store(0, Relaxed);
            self.producer.push(&self.cells, Kind::Release, 0);
        }
    }
}

/// The caller sees the answer, waits for the release if there is to be one, and writes the next request over this one.
fn call(wrong: &'static str, keepers: u32) {
    let shared = Shared::new(keepers);
    let others: Vec<_> = (0..keepers)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || shared.let_go(wrong))
        })
        .collect();
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || {
            let mut queue = Consumer::new();
            if wrong.starts_with("P22") {
                // As the thread of the bells, which looks at any time.
                if queue.pop(&shared.cells).unwrap().is_some() {
                    assert_eq!(look(&shared.block.word), Ok(Lent::Done), "released, but not answered");
                    return;
                }
            }
            shared.block.spin();
            shared.block.check(1);
            if shared.kept.read() {
                while queue.pop(&shared.cells).unwrap().is_none() {
                    spin_hint();
                }
            }
            shared.argument.write(8);
            shared.block.write(2);
        })
    };
    shared.answer(wrong);
    caller.join().unwrap();
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(!shared.keeping.is_kept(), "the next call of the block finds it kept");
}

const FAULTS: &[(&str, crate::harness::By)] = &[
    ("P21: let go relaxed", Race),
    ("P22: the answer is noted before it is given", Words("released, but not answered")),
    ("P22: the answer is noted relaxed", Words("released, but not answered")),
    ("the answer never says so", Race),
    ("who answers does not look again", Loss),
];

#[test]
fn p21_p22_a_kept_request() {
    explore("keeping::p21_p22_a_kept_request", None, FAULTS, |wrong| call(wrong, 1));
}

#[test]
fn p21_p22_kept_twice() {
    explore("keeping::p21_p22_kept_twice", Some(3), &[FAULTS[0], FAULTS[4]], |wrong| call(wrong, 2));
}

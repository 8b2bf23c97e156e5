//! P8, P9, P12: what a caller concludes, and does not sleep through, when the callee has died.

use crate::harness::{
    By::{Loss, Words},
    explore,
};
use crate::parts::{Block, Futex};
use ipc_core::handover::{finish, look, submit, take, was_taken, wish};
use ipc_core::sync::Ordering::{Relaxed, SeqCst};
use ipc_core::sync::{AtomicU32, fence};
use ipc_core::word::{self, CANCELLED, Lent, PARKED};
use loom::{sync::Arc, thread};

#[test]
fn p8_outcome() {
    explore(
        "death::p8_outcome",
        None,
        &[
            ("no release fence", Words("says NotStarted")),
            ("taken noted after the handler's first effect", Words("says NotStarted")),
            ("no acquire fence", Words("says NotStarted")),
        ],
        outcome,
    );
}

/// `effect` stands for anything the handler does that others can see.
fn outcome(wrong: &'static str) {
    let shared = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let callee = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (taken, effect) = &*shared;
            match wrong {
                "no release fence" => taken.store(1, Relaxed),
                "taken noted after the handler's first effect" => effect.store(1, Relaxed),
                _ => take(taken, 1),
            }
            effect.store(1, Relaxed);
            take(taken, 1);
        })
    };
    let (taken, effect) = &*shared;
    if effect.load(Relaxed) == 1 {
        let ran = match wrong {
            "no acquire fence" => taken.load(Relaxed) != 0,
            _ => was_taken(taken, 0),
        };
        assert!(ran, "says NotStarted, but it ran");
    }
    callee.join().unwrap();
}

/// The caller of one block, the futex of its word, and the flag that says the callee is dead.
type Shared = Arc<(Block, Futex, AtomicU32)>;

/// Sleeps until the word has changed to something worth waking up for.
fn park(shared: &Shared, value: u32) {
    let (block, futex, _) = &**shared;
    loop {
        futex.wait(&block.word, value);
        match look(&block.word).unwrap() {
            Lent::Out(now) if now & !value & CANCELLED != 0 => break,
            Lent::Out(now) => assert_eq!(now, value),
            Lent::Done => unreachable!("the callee is dead"),
        }
    }
}

#[test]
fn p9_death_against_park() {
    explore(
        "death::p9_death_against_park",
        None,
        &[
            ("wakes without changing the word", Loss),
            ("wakes before it changes the word", Loss),
            ("looks for PARKED and leaves other words alone", Loss),
        ],
        death_against_park,
    );
}

/// The block was lent when its callee died; the caller never looks at the flag.
fn death_against_park(wrong: &'static str) {
    let shared: Shared = Arc::new((Block::new(word::FREE), Futex::new(), AtomicU32::new(0)));
    submit(&shared.0.word, 0).unwrap();
    let reaper = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, futex, _) = &*shared;
            match wrong {
                "wakes without changing the word" => futex.wake(),
                "wakes before it changes the word" => {
                    futex.wake();
                    wish(&block.word, CANCELLED).unwrap();
                }
                "looks for PARKED and leaves other words alone" => {
                    if matches!(look(&block.word).unwrap(), Lent::Out(value) if value & PARKED != 0) {
                        wish(&block.word, CANCELLED).unwrap();
                        futex.wake();
                    }
                }
                _ => {
                    wish(&block.word, CANCELLED).unwrap();
                    futex.wake();
                }
            }
        })
    };
    if let Lent::Out(value) = wish(&shared.0.word, PARKED).unwrap()
        && value & CANCELLED == 0
    {
        park(&shared, value);
    }
    reaper.join().unwrap();
}

#[test]
fn p9_death_between_answer_and_wake() {
    explore(
        "death::p9_death_between_answer_and_wake",
        None,
        &[("wakes only where a request is still lent", Loss)],
        death_between_answer_and_wake,
    );
}

/// The callee gives the block back and dies before it wakes the caller; the hang-up comes after both.
fn death_between_answer_and_wake(wrong: &'static str) {
    let shared: Shared = Arc::new((Block::new(word::FREE), Futex::new(), AtomicU32::new(0)));
    submit(&shared.0.word, 0).unwrap();
    let dying = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, futex, _) = &*shared;
            finish(&block.word, false).unwrap();
            // Killed here, whatever `finish` has said. What follows is the reaper of the caller's process.
            let lent = matches!(look(&block.word).unwrap(), Lent::Out(_));
            if lent {
                wish(&block.word, CANCELLED).unwrap();
            }
            if lent || wrong != "wakes only where a request is still lent" {
                futex.wake();
            }
        })
    };
    let (block, futex, _) = &*shared;
    while let Lent::Out(value) = wish(&block.word, PARKED).unwrap() {
        futex.wait(&block.word, value);
    }
    dying.join().unwrap();
}

#[test]
fn p12_submitted_after_the_visit() {
    explore(
        "death::p12_submitted_after_the_visit",
        None,
        &[
            ("no fence in the caller", Loss),
            ("no fence in the reaper", Loss),
            ("the caller looks at `dead` before C3", Loss),
            ("the reaper sets `dead` after its visit", Loss),
            ("the caller parks on a block it has cancelled", Loss),
        ],
        submitted_after_the_visit,
    );
}

/// The caller lends the block while the reaper makes its round: the reaper sees the wish, or the caller sees `dead`.
fn submitted_after_the_visit(wrong: &'static str) {
    let shared: Shared = Arc::new((Block::new(word::FREE), Futex::new(), AtomicU32::new(0)));
    let reaper = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (block, futex, dead) = &*shared;
            let late = wrong == "the reaper sets `dead` after its visit";
            if !late {
                dead.store(1, Relaxed);
            }
            if wrong != "no fence in the reaper" {
                fence(SeqCst);
            }
            // A word that was never lent is an error to `wish`, and of no interest here.
            if let Ok(Lent::Out(_)) = wish(&block.word, CANCELLED) {
                futex.wake();
            }
            if late {
                dead.store(1, Relaxed);
            }
        })
    };
    let (block, _, dead) = &*shared;
    block.write(1);
    submit(&block.word, 0).unwrap();
    let zombie = wrong == "the caller parks on a block it has cancelled";
    if zombie {
        wish(&block.word, CANCELLED).unwrap();
    }
    let early = dead.load(Relaxed);
    if let Lent::Out(value) = wish(&block.word, PARKED).unwrap() {
        if wrong != "no fence in the caller" {
            fence(SeqCst);
        }
        let gone = match wrong {
            "the caller looks at `dead` before C3" => early,
            _ => dead.load(Relaxed),
        };
        // CANCELLED in the value is the reaper's: the caller itself never parks on a block that it has cancelled.
        if gone == 0 && (value & CANCELLED == 0 || zombie) {
            park(&shared, value);
        }
    }
    reaper.join().unwrap();
}

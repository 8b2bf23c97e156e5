//! P17: a caller that is answered but not woken yet is on a list of the scanner role, which passes from worker to worker.

use crate::harness::{By::Loss, explore};
use crate::parts::{Bell, Block, Futex, Plain};
use ipc_core::handover::{finish, submit, wish};
use ipc_core::idle::Idle;
use ipc_core::role::Role;
use ipc_core::word::{self, Lent, PARKED};
use loom::{sync::Arc, thread};
use std::mem::take;

struct Shared {
    block: Block,
    futex: Futex,
    role: Role,
    idle: Idle,
    /// Whether the caller is on the list: belongs to the role.
    late: Plain<bool>,
    /// The tick, and whatever else wakes an idle worker.
    tick: Bell,
}

impl Shared {
    /// A block that is lent, and a role that somebody holds.
    fn new() -> Arc<Self> {
        let role = Role::new();
        assert!(role.try_take());
        let block = Block::new(word::FREE);
        block.write(1);
        submit(&block.word, 0).unwrap();
        let (futex, idle, late) = (Futex::new(), Idle::new(), Plain::new(false));
        Arc::new(Shared { block, futex, role, idle, late, tick: Bell::new() })
    }

    /// Caller: sleeps until it is answered.
    fn call(&self) {
        while let Lent::Out(value) = wish(&self.block.word, PARKED).unwrap() {
            self.futex.wait(&self.block.word, value);
        }
        self.block.check(1);
    }

    /// Worker that has left the role for the handler: answers, and wakes the caller or puts it on the list. `true`: it has the
    /// role again.
    fn answer(&self, wrong: &str) -> bool {
        self.block.serve();
        let wake = finish(&self.block.word, false).unwrap().wake;
        let early = !self.idle.is_empty();
        let won = self.role.try_take();
        let idle = match wrong {
            "put off though nobody is idle" => true,
            "looks for idle workers without the role" => early,
            _ => !self.idle.is_empty(),
        };
        if wake && ((won && idle) || wrong == "the list is changed without the role") {
            self.late.write(true);
        } else if wake && wrong != "the role is lost and nobody is woken" {
            self.futex.wake();
        }
        won
    }

    /// Worker that holds the role: wakes who is on the list.
    fn wake_all(&self) {
        if self.late.change(take) {
            self.futex.wake();
        }
    }

    /// Idle worker: takes the role over, and leaves it for a handler that does not end.
    fn take_over(&self, wrong: &str) {
        loop {
            let mut taken = self.idle.begin() && self.role.try_take();
            if !taken {
                self.tick.wait();
            }
            self.idle.end();
            taken = taken || self.role.try_take();
            if taken {
                break;
            }
        }
        if wrong != "who takes the role over leaves the list alone" {
            self.wake_all();
        }
        self.role.give_up();
    }
}

#[test]
fn p17_told_later() {
    explore(
        "late::p17_told_later",
        Some(3),
        &[
            ("put off though nobody is idle", Loss),
            ("looks for idle workers without the role", Loss),
            ("who takes the role over leaves the list alone", Loss),
            ("the role is lost and nobody is woken", Loss),
            ("the list is changed without the role", Loss),
        ],
        told_later,
    );
}

/// Worker 1 (this thread) answers, finds another request, and runs a handler that waits until the caller goes on.
fn told_later(wrong: &'static str) {
    let shared = Shared::new();
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || shared.call())
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || shared.take_over(wrong))
    };
    shared.role.give_up();
    shared.tick.ring();
    if shared.answer(wrong) {
        shared.role.give_up();
    }
    shared.tick.ring();
    caller.join().unwrap();
    other.join().unwrap();
}

#[test]
fn p17_told_before_sleep() {
    explore(
        "late::p17_told_before_sleep",
        None,
        &[("the holder sleeps and leaves the list as it is", Loss)],
        told_before_sleep,
    );
}

/// The other worker sleeps all the time, and a process that sleeps has no tick.
fn told_before_sleep(wrong: &'static str) {
    let shared = Shared::new();
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || shared.call())
    };
    shared.idle.begin();
    shared.role.give_up();
    assert!(shared.answer(wrong));
    if wrong != "the holder sleeps and leaves the list as it is" {
        shared.wake_all();
    }
    assert!(shared.role.commit_to_sleep());
    caller.join().unwrap();
}

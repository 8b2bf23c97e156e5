//! P11: a living callee closes a channel. What the caller concludes from the hang-up must be final.

use crate::harness::{
    By::{Race, Words},
    explore,
};
use crate::parts::Plain;
use ipc_core::handover::{take, was_taken};
use ipc_core::role::Role;
use ipc_core::sync::Ordering::{Acquire, Release};
use ipc_core::sync::{AtomicU32, spin_hint};
use loom::{sync::Arc, thread};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[test]
fn p11_orderly_close() {
    explore(
        "close::p11_orderly_close",
        None,
        &[
            ("closes before it retires the channel", Words("says NotStarted")),
            ("retires the channel without the role", Race),
            ("taken noted after the role is given up", Words("says NotStarted")),
        ],
        orderly_close,
    );
}

struct Shared {
    role: Role,
    /// The channel is in the scan set; belongs to the role.
    open: Plain<bool>,
    taken: AtomicU32,
    /// The socket; the kernel orders a close before the hang-up that the peer reads.
    closed: AtomicU32,
}

impl Shared {
    fn take_role(&self) {
        while !self.role.try_take() {
            spin_hint();
        }
    }
}

fn orderly_close(wrong: &'static str) {
    let shared = Arc::new(Shared {
        role: Role::new(),
        open: Plain::new(true),
        taken: AtomicU32::new(0),
        closed: AtomicU32::new(0),
    });
    let ran = std::sync::Arc::new(AtomicBool::new(false));
    let worker = {
        let (shared, ran) = (shared.clone(), ran.clone());
        thread::spawn(move || {
            shared.take_role();
            let found = shared.open.read();
            let late = wrong == "taken noted after the role is given up";
            if found && !late {
                take(&shared.taken, 1);
            }
            shared.role.give_up();
            if found {
                take(&shared.taken, 1);
                ran.store(true, SeqCst);
            }
        })
    };
    let closer = {
        let shared = shared.clone();
        thread::spawn(move || {
            if wrong == "closes before it retires the channel" {
                shared.closed.store(1, Release);
            }
            let alone = wrong == "retires the channel without the role";
            if !alone {
                shared.take_role();
            }
            shared.open.write(false);
            if !alone {
                shared.role.give_up();
            }
            shared.closed.store(1, Release);
        })
    };
    let not_started = shared.closed.load(Acquire) == 1 && !was_taken(&shared.taken, 0);
    worker.join().unwrap();
    closer.join().unwrap();
    assert!(!(not_started && ran.load(SeqCst)), "says NotStarted, but it ran");
}

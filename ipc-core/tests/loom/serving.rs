//! P19: a channel is let go of while a worker may still be answering one of its calls.

use crate::harness::{By::Race, explore};
use crate::parts::Plain;
use ipc_core::role::Role;
use ipc_core::serving::Serving;
use ipc_core::sync::AtomicU32;
use ipc_core::sync::Ordering::Relaxed;
use loom::{sync::Arc, thread};

struct Shared {
    role: Role,
    serving: Serving<u32>,
    /// An entry that is not the project's.
    relaxed: AtomicU32,
    /// The channel is scanned; belongs to the role.
    open: Plain<bool>,
    /// The memory of the channel.
    channel: Plain<u32>,
    address: u32,
}

impl Shared {
    fn is_served(&self, wrong: &str) -> bool {
        match wrong {
            "the last access is not released" => self.relaxed.load(Relaxed) != 0,
            _ => self.serving.serves(&raw const self.address),
        }
    }

    fn begin(&self) {
        self.relaxed.store(1, Relaxed);
        self.serving.begin(&raw const self.address);
    }

    fn end(&self) {
        self.relaxed.store(0, Relaxed);
        self.serving.end();
    }
}

#[test]
fn p19_a_channel_outlives_its_calls() {
    explore(
        "serving::p19_a_channel_outlives_its_calls",
        None,
        &[
            ("noted behind the role", Race),
            ("wiped before the answer", Race),
            ("the last access is not released", Race),
            ("nobody looks for calls that run", Race),
        ],
        a_channel_outlives_its_calls,
    );
}

/// A worker finds a request and answers it without the role; a tick marks its entry; another worker retires the channel.
fn a_channel_outlives_its_calls(wrong: &'static str) {
    let shared = Arc::new(Shared {
        role: Role::new(),
        serving: Serving::default(),
        relaxed: AtomicU32::new(0),
        open: Plain::new(true),
        channel: Plain::new(0),
        address: 0,
    });
    let worker = {
        let shared = shared.clone();
        thread::spawn(move || {
            if !shared.role.try_take() {
                return;
            }
            let found = shared.open.read();
            let late = wrong == "noted behind the role";
            if found && !late {
                shared.begin();
            }
            shared.role.give_up();
            if !found {
                return;
            }
            if late {
                shared.begin();
            }
            if wrong == "wiped before the answer" {
                shared.end();
            }
            shared.channel.write(1);
            shared.end();
        })
    };
    if shared.role.try_take() {
        shared.serving.mark(1);
        shared.open.write(false);
        // Else a later holder of the role looks again.
        if !shared.is_served(wrong) || wrong == "nobody looks for calls that run" {
            shared.channel.write(2);
        }
        shared.role.give_up();
    }
    worker.join().unwrap();
}

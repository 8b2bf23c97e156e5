//! P20: memory that a message refers to is written again by its owner, or given to somebody else.

use crate::harness::{By::Race, By::Words, explore};
use crate::parts::Plain;
use ipc_core::pins::Pin;
use ipc_core::sync::AtomicU32;
use ipc_core::sync::Ordering::Relaxed;
use loom::{sync::Arc, sync::Mutex, thread};

struct Shared {
    memory: Plain<u32>,
    pin: Pin,
    /// A state that is not the project's.
    relaxed: AtomicU32,
    /// Times that the memory was freed, under the lock of the loans.
    freed: Mutex<u32>,
}

impl Shared {
    /// A message refers to the memory.
    fn away() -> Arc<Self> {
        let pin = Pin::default();
        pin.set(64, 64);
        Arc::new(Shared { memory: Plain::new(0), pin, relaxed: AtomicU32::new(1), freed: Mutex::new(0) })
    }

    /// Another thread hears that it was read.
    fn read(this: &Arc<Self>, wrong: &'static str) -> thread::JoinHandle<()> {
        let shared = this.clone();
        thread::spawn(move || {
            let home = || {
                shared.relaxed.store(0, Relaxed);
                if shared.pin.comes_home() {
                    shared.free();
                }
            };
            let early = wrong == "at home before it was read";
            if early {
                home();
            }
            shared.memory.read();
            if !early {
                home();
            }
        })
    }

    fn free(&self) {
        let mut freed = self.freed.lock().unwrap();
        self.memory.write(2);
        *freed += 1;
    }
}

#[test]
fn p20_lent_memory_is_written_when_it_was_read() {
    explore(
        "pins::p20_lent_memory_is_written_when_it_was_read",
        None,
        &[("the state says nothing of the reading", Race), ("at home before it was read", Race)],
        |wrong| {
            let shared = Shared::away();
            let reader = Shared::read(&shared, wrong);
            let away = match wrong {
                "the state says nothing of the reading" => shared.relaxed.load(Relaxed) != 0,
                _ => shared.pin.is_away(),
            };
            if !away {
                shared.memory.write(1);
            }
            reader.join().unwrap();
        },
    );
}

#[test]
fn p20_what_nobody_owns_is_freed_once() {
    explore(
        "pins::p20_what_nobody_owns_is_freed_once",
        None,
        &[
            ("the owner only looks", Words("freed 0 times")),
            ("the owner does not look", Race),
            ("at home before it was read", Race),
        ],
        |wrong| {
            let shared = Shared::away();
            let reader = Shared::read(&shared, wrong);
            // The owner leaves.
            let away = match wrong {
                "the owner only looks" => shared.pin.is_away(),
                "the owner does not look" => false,
                _ => shared.pin.ask(),
            };
            if !away {
                shared.free();
            }
            reader.join().unwrap();
            let freed = *shared.freed.lock().unwrap();
            assert!(freed == 1, "freed {freed} times");
        },
    );
}

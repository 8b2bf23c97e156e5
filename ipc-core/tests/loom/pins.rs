//! P20: memory that a message refers to is written again by its owner.

use crate::harness::{By::Race, explore};
use crate::parts::Plain;
use ipc_core::pins::Pins;
use ipc_core::sync::AtomicU32;
use ipc_core::sync::Ordering::Relaxed;
use loom::{sync::Arc, sync::Mutex, thread};

struct Shared {
    memory: Plain<u32>,
    pins: Mutex<Arc<Pins>>,
    /// A number that is not the project's.
    relaxed: AtomicU32,
}

#[test]
fn p20_lent_memory_is_written_when_it_was_read() {
    explore(
        "pins::p20_lent_memory_is_written_when_it_was_read",
        None,
        &[
            ("the number says nothing of the reading", Race),
            ("taken away before it was read", Race),
            ("one reader is enough", Race),
        ],
        lent_memory_is_written_when_it_was_read,
    );
}

/// Two messages refer to the memory. Two threads hear that they were read, while the owner wants to write.
fn lent_memory_is_written_when_it_was_read(wrong: &'static str) {
    let pins = Arc::new(Pins::default());
    let shared = Arc::new(Shared { memory: Plain::new(0), pins: Mutex::new(pins.clone()), relaxed: AtomicU32::new(2) });
    pins.add();
    if wrong != "one reader is enough" {
        pins.add();
    }
    let readers = [0; 2].map(|_| {
        let shared = shared.clone();
        thread::spawn(move || {
            let remove = || {
                shared.pins.lock().unwrap().remove();
                shared.relaxed.fetch_sub(1, Relaxed);
            };
            let early = wrong == "taken away before it was read";
            if early {
                remove();
            }
            shared.memory.read();
            if !early {
                remove();
            }
        })
    });
    let free = match wrong {
        "the number says nothing of the reading" => shared.relaxed.load(Relaxed) == 0,
        _ => pins.are_none(),
    };
    if free {
        shared.memory.write(1);
    }
    readers.map(|reader| reader.join().unwrap());
}

//! P18: a value is read by one thread while another exchanges it, and drops it when nobody reads it.
//!
//! The light fence is a whole one here, since loom knows no barrier that acts on other threads; what the models show is that
//! the rest holds if the two order each other.

use crate::harness::{By::Race, explore};
use crate::parts::Plain;
use ipc_core::asymmetric::{heavy, light};
use ipc_core::swap::Place;
use ipc_core::sync::AtomicPtr;
use ipc_core::sync::Ordering::{AcqRel, Acquire, Relaxed};
use loom::sync::Arc;
use loom::thread;

/// Any change behind its first is that of its drop.
struct Value {
    content: Plain<u32>,
}

struct Shared {
    values: [Value; 2],
    current: AtomicPtr<Value>,
    place: Place,
    /// In the place of `place`, for wrong variants.
    reads: AtomicPtr<Value>,
}

fn pointer(value: &Value) -> *mut Value {
    std::ptr::from_ref(value).cast_mut()
}

impl Shared {
    fn find(&self, read: *mut Value) -> &Value {
        self.values.iter().find(|value| pointer(value) == read).unwrap()
    }

    fn enter(&self, wrong: &str) -> *mut Value {
        let read = match wrong {
            "does not look again" => {
                let read = self.current.load(Acquire);
                self.reads.store(read, Relaxed);
                light();
                read
            }
            "no fence in the reader" => loop {
                let read = self.current.load(Acquire);
                self.reads.store(read, Relaxed);
                if self.current.load(Acquire) == read {
                    break read;
                }
            },
            _ => self.place.enter(&self.current),
        };
        if wrong == "leaves without order" {
            self.reads.store(read, Relaxed);
            light();
            if self.current.load(Acquire) != read {
                return self.enter(wrong);
            }
            self.place.leave();
        }
        read
    }

    fn holds(&self, value: *mut Value) -> bool {
        self.place.holds(value) || self.reads.load(Acquire) == value
    }
}

#[test]
fn p18_exchange_under_a_reader() {
    explore(
        "swap::p18_exchange_under_a_reader",
        None,
        &[
            ("does not look again", Race),
            ("no fence in the reader", Race),
            ("no fence in who exchanges", Race),
            ("leaves without order", Race),
            ("drops what is read", Race),
        ],
        exchange_under_a_reader,
    );
}

fn exchange_under_a_reader(wrong: &'static str) {
    let values = [1, 2].map(|content| Value { content: Plain::new(content) });
    let current = AtomicPtr::new(std::ptr::null_mut());
    let reads = AtomicPtr::new(std::ptr::null_mut());
    let shared = Arc::new(Shared { values, current, place: Place::new(), reads });
    shared.current.store(pointer(&shared.values[0]), Relaxed);
    let reader = {
        let shared = shared.clone();
        thread::spawn(move || {
            let read = shared.enter(wrong);
            let content = shared.find(read).content.read();
            assert!(content == 1 || content == 2);
            if wrong == "leaves without order" {
                shared.reads.store(std::ptr::null_mut(), Relaxed);
            } else {
                shared.place.leave();
                shared.reads.store(std::ptr::null_mut(), ipc_core::sync::Ordering::Release);
            }
        })
    };
    let old = shared.current.swap(pointer(&shared.values[1]), AcqRel);
    if wrong != "no fence in who exchanges" {
        assert!(heavy());
    }
    if wrong == "drops what is read" || !shared.holds(old) {
        shared.find(old).content.change(|content| *content = 0);
    }
    reader.join().unwrap();
}

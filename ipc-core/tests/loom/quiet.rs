//! P15, P16: what one thread does for others: rings for requests submitted quietly, wakes when a deadline has come.

use crate::harness::{By::Loss, explore};
use crate::parts::{Bell, Told, cells};
use ipc_core::alarm::Alarm;
use ipc_core::doorbell::{Quiet, must_ring, raise};
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::sync::Ordering::{Relaxed, Release};
use ipc_core::sync::{AtomicBool, AtomicU32, AtomicU64, spin_hint};
use loom::sync::{Arc, Mutex};
use loom::thread;

struct Shared {
    cells: Vec<AtomicU64>,
    asleep: AtomicU32,
    bell: Bell,
    quiet: Quiet,
    /// A flag that is not the project's.
    relaxed: AtomicBool,
}

#[test]
fn p15_another_thread_rings() {
    explore(
        "quiet::p15_another_thread_rings",
        None,
        &[
            ("noted before the push", Loss),
            ("the flag says nothing of the cell", Loss),
            ("who takes the flag does not ring", Loss),
        ],
        another_thread_rings,
    );
}

/// A thread pushes quietly, and rings later unless another one has rung for it. The consumer falls asleep meanwhile.
fn another_thread_rings(wrong: &'static str) {
    let shared = Arc::new(Shared {
        cells: cells(1),
        asleep: AtomicU32::new(0),
        bell: Bell::new(),
        quiet: Quiet::new(),
        relaxed: AtomicBool::new(false),
    });
    let notify = move |shared: &Shared, pusher: bool| {
        let taken = match wrong {
            "the flag says nothing of the cell" => shared.relaxed.swap(false, Relaxed),
            _ => shared.quiet.take(),
        };
        if taken && (pusher || wrong != "who takes the flag does not ring") && must_ring(&shared.asleep) {
            shared.bell.ring();
        }
    };
    let pusher = {
        let shared = shared.clone();
        thread::spawn(move || {
            let early = wrong == "noted before the push";
            if early {
                shared.quiet.note();
            }
            Producer::new().push(&shared.cells, Kind::Request, 0);
            match wrong {
                "the flag says nothing of the cell" => shared.relaxed.store(true, Relaxed),
                _ if early => {}
                _ => shared.quiet.note(),
            }
            notify(&shared, true);
        })
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || notify(&shared, false))
    };
    let mut consumer = Consumer::new();
    while consumer.pop(&shared.cells).unwrap().is_none() {
        raise(&shared.asleep);
        if !consumer.is_ready(&shared.cells) {
            shared.bell.wait();
        }
    }
    pusher.join().unwrap();
    other.join().unwrap();
}

#[test]
fn p16_no_deadline_is_forgotten() {
    explore(
        "quiet::p16_no_deadline_is_forgotten",
        Some(3),
        &[("set before it is noted", Loss), ("wiped after the look", Loss), ("the next time is not set", Loss)],
        no_deadline_is_forgotten,
    );
}

/// A deadline is added while an earlier one rings. Time is a number that only goes up.
fn no_deadline_is_forgotten(wrong: &'static str) {
    let shared = Arc::new((Alarm::new(), Mutex::new(vec![1u64]), Told::new(), AtomicU64::new(1)));
    shared.0.set(1);
    let adds = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (alarm, noted, _, now) = &*shared;
            if wrong == "set before it is noted" {
                alarm.set(2);
                noted.lock().unwrap().push(2);
            } else {
                noted.lock().unwrap().push(2);
                alarm.set(2);
            }
            now.store(2, Release);
        })
    };
    let clock = {
        let shared = shared.clone();
        thread::spawn(move || {
            let (alarm, noted, told, now) = &*shared;
            let mut found = 0;
            while found < 2 {
                // What wakes the sleeping thread by this time is not part of the model: it looks again and again.
                let at = now.load(Relaxed);
                let late = wrong == "wiped after the look";
                if late && alarm.at() > at || !late && !alarm.ring(at) {
                    spin_hint();
                    continue;
                }
                let mut noted = noted.lock().unwrap();
                noted.retain(|deadline| {
                    let over = *deadline <= at;
                    if over {
                        found += 1;
                        told.tell();
                    }
                    !over
                });
                let next = noted.iter().min().copied();
                drop(noted);
                if late {
                    alarm.ring(at);
                } else if let Some(next) = next
                    && wrong != "the next time is not set"
                {
                    alarm.set(next);
                }
            }
        })
    };
    shared.2.wait();
    shared.2.wait();
    adds.join().unwrap();
    clock.join().unwrap();
}

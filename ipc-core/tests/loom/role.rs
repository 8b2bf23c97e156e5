//! P5, P6: the scanner role, which carries the watch set and the head of the queue from worker to worker.

use crate::harness::{
    By::{Loss, Race},
    explore,
};
use crate::parts::{Bell, Block, Plain, cells};
use ipc_core::doorbell::{must_ring, raise};
use ipc_core::handover::{finish, request, submit, unwatch};
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::role::Role;
use ipc_core::sync::Ordering::{self, AcqRel, Acquire, Relaxed, Release};
use ipc_core::sync::{AtomicU32, AtomicU64};
use ipc_core::word::{self, Seen};
use loom::{sync::Arc, thread};
use std::mem::take;
use std::sync::atomic::AtomicUsize;

/// The project's role, or one with a step replaced.
enum AnyRole {
    Right(Role),
    Wrong { word: AtomicU32, take: Ordering, give_up: Ordering },
}

const HELD: u32 = 1;
const POKED: u32 = 2;

impl AnyRole {
    /// A role that somebody holds.
    fn held(wrong: &str) -> Self {
        let orders = match wrong {
            "P5: taken relaxed" => (Relaxed, Release),
            "P5: given up relaxed" => (Acquire, Relaxed),
            "P6: poke apart from the try" => (Acquire, Release),
            _ => {
                let role = Role::new();
                assert!(role.try_take());
                return AnyRole::Right(role);
            }
        };
        AnyRole::Wrong { word: AtomicU32::new(HELD), take: orders.0, give_up: orders.1 }
    }

    fn try_take(&self) -> bool {
        match self {
            AnyRole::Right(role) => role.try_take(),
            AnyRole::Wrong { word, take, .. } => word.compare_exchange(0, HELD, *take, Relaxed).is_ok(),
        }
    }

    fn take_or_poke(&self) -> bool {
        match self {
            AnyRole::Right(role) => role.take_or_poke(),
            AnyRole::Wrong { word, .. } => {
                let taken = self.try_take();
                if !taken {
                    word.fetch_or(POKED, AcqRel);
                }
                taken
            }
        }
    }

    fn give_up(&self) {
        match self {
            AnyRole::Right(role) => role.give_up(),
            AnyRole::Wrong { word, give_up, .. } => word.store(0, *give_up),
        }
    }

    fn is_vacant(&self) -> bool {
        match self {
            AnyRole::Right(role) => role.is_vacant(),
            AnyRole::Wrong { word, .. } => word.load(Relaxed) & HELD == 0,
        }
    }

    fn commit_to_sleep(&self) -> bool {
        match self {
            AnyRole::Right(role) => role.commit_to_sleep(),
            AnyRole::Wrong { word, .. } => {
                let slept = word.compare_exchange(HELD, 0, Release, Relaxed).is_ok();
                if !slept {
                    word.fetch_and(!POKED, Acquire);
                }
                slept
            }
        }
    }
}

/// What belongs to whoever holds the role.
struct Scan {
    queue: Consumer,
    watching: bool,
}

struct Shared {
    block: Block,
    role: AnyRole,
    scan: Plain<Scan>,
    cells: Vec<AtomicU64>,
    producer: Producer,
    asleep: AtomicU32,
    bell: Bell,
}

impl Shared {
    fn new(wrong: &str) -> Arc<Self> {
        Arc::new(Shared {
            block: Block::new(word::FREE),
            role: AnyRole::held(wrong),
            scan: Plain::new(Scan { queue: Consumer::new(), watching: false }),
            cells: cells(1),
            producer: Producer::new(),
            asleep: AtomicU32::new(0),
            bell: Bell::new(),
        })
    }

    /// Caller: lends the block, by the watched word or by the queue.
    fn call(&self, x: u32) {
        self.block.write(x);
        if !submit(&self.block.word, 0).unwrap() {
            self.producer.push(&self.cells, Kind::Request, 7);
            if must_ring(&self.asleep) {
                self.bell.ring();
            }
        }
    }

    /// Worker: serves a request that has arrived.
    fn serve(&self, watched: bool) {
        assert_eq!(request(&self.block.word), Ok(Seen::Run), "stale hint");
        self.block.serve();
        finish(&self.block.word, watched).unwrap();
    }

    /// Worker that holds the role: looks everywhere and prepares to sleep; `true`: it found the request and served it.
    fn visit(&self) -> bool {
        let found = self.scan.change(|scan| {
            if take(&mut scan.watching) && unwatch(&self.block.word).unwrap() {
                return true;
            }
            self.bell.empty();
            raise(&self.asleep);
            scan.queue.pop(&self.cells).unwrap().is_some()
        });
        if found {
            self.serve(false);
        }
        found
    }
}

#[test]
fn p5_watched_before_the_role_is_won_back() {
    explore(
        "role::p5_watched_before_the_role_is_won_back",
        Some(5),
        &[
            ("P5: taken relaxed", Race),
            ("P5: given up relaxed", Race),
            ("WATCHED is published and not followed up", Loss),
            ("the role is lost and S3's failure ignored", Loss),
        ],
        watched_before_the_role_is_won_back,
    );
}

/// Worker 1 (this thread) leaves the role for a handler, promises to watch, and tries to win the role back; worker 2 wakes
/// and scans meanwhile; the caller calls again as soon as it is answered.
fn watched_before_the_role_is_won_back(wrong: &'static str) {
    let shared = Shared::new(wrong);
    shared.block.write(1);
    submit(&shared.block.word, 0).unwrap();
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.block.spin();
            shared.block.check(1);
            shared.call(2);
            shared.block.spin();
            shared.block.check(2);
        })
    };
    let other = {
        let shared = shared.clone();
        thread::spawn(move || {
            let taken = shared.role.try_take();
            let served = taken && shared.visit();
            if taken {
                shared.role.give_up();
            }
            served
        })
    };
    shared.role.give_up();
    let watched = shared.role.is_vacant();
    shared.serve(watched);
    let mut served = false;
    if shared.role.try_take() {
        shared.scan.change(|scan| scan.watching = watched);
        served = shared.visit();
        shared.role.give_up();
    } else if watched {
        let followed_up = wrong != "WATCHED is published and not followed up";
        let arrived = followed_up && unwatch(&shared.block.word).unwrap();
        served = arrived && wrong != "the role is lost and S3's failure ignored";
        if served {
            shared.serve(false);
        }
    }
    served |= other.join().unwrap();
    // Both workers are idle: this one stands for whichever of them the doorbell wakes.
    while !served {
        shared.bell.hear();
        assert!(shared.role.try_take());
        served = shared.visit();
        shared.role.give_up();
    }
    caller.join().unwrap();
}

#[test]
fn p6_poke() {
    explore(
        "role::p6_poke",
        Some(6),
        &[
            ("P6: no poke", Loss),
            ("P6: poke apart from the try", Loss),
            ("P6: the holder commits by a plain store", Loss),
        ],
        poke,
    );
}

/// Worker 1 is past its last look when worker 2 eats the doorbell.
fn poke(wrong: &'static str) {
    let shared = Shared::new(wrong);
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || shared.call(1))
    };
    let work = |mut holder: bool| {
        let (shared, served) = (shared.clone(), served.clone());
        move || {
            loop {
                if !holder {
                    shared.bell.hear();
                    if served.load(Ordering::SeqCst) == 1 {
                        break;
                    }
                    holder = match wrong {
                        "P6: no poke" => shared.role.try_take(),
                        _ => shared.role.take_or_poke(),
                    };
                    continue;
                }
                if shared.visit() {
                    served.fetch_add(1, Ordering::SeqCst);
                    shared.role.give_up();
                    break;
                }
                holder = match wrong {
                    "P6: the holder commits by a plain store" => {
                        shared.role.give_up();
                        false
                    }
                    _ => !shared.role.commit_to_sleep(),
                };
            }
            // Lets the other worker leave the model.
            shared.bell.stop();
        }
    };
    let other = thread::spawn(work(false));
    work(true)();
    other.join().unwrap();
    caller.join().unwrap();
    assert_eq!(served.load(Ordering::SeqCst), 1);
}

//! P10: a worker leaves the scanner role for a handler that takes long, while another goes to sleep.

use crate::harness::{By::Loss, explore};
use crate::parts::{Bell, Plain};
use ipc_core::idle::Idle;
use ipc_core::role::Role;
use ipc_core::sync::Ordering::Relaxed;
use ipc_core::sync::{AtomicBool, AtomicU32, fence};
use loom::{sync::Arc, thread};

/// The project's count, or one with a step replaced.
enum AnyIdle {
    Right(Idle),
    Wrong { count: AtomicU32, left: AtomicBool, fences: (bool, bool), looks_first: bool },
}

impl AnyIdle {
    fn new(wrong: &str) -> Self {
        let (count, left) = (AtomicU32::new(0), AtomicBool::new(false));
        match wrong {
            "no fence in who leaves" => AnyIdle::Wrong { count, left, fences: (false, true), looks_first: false },
            "no fence in who goes to sleep" => {
                AnyIdle::Wrong { count, left, fences: (true, false), looks_first: false }
            }
            "looks before it counts itself" => AnyIdle::Wrong { count, left, fences: (true, true), looks_first: true },
            _ => AnyIdle::Right(Idle::new()),
        }
    }

    fn leave(&self) -> bool {
        match self {
            AnyIdle::Right(idle) => idle.leave(),
            AnyIdle::Wrong { count, left, fences, .. } => {
                left.store(true, Relaxed);
                if fences.0 {
                    fence(ipc_core::sync::Ordering::SeqCst);
                }
                count.load(Relaxed) != 0
            }
        }
    }

    fn begin(&self) -> bool {
        match self {
            AnyIdle::Right(idle) => idle.begin(),
            AnyIdle::Wrong { count, left, fences, looks_first } => {
                let early = *looks_first && left.load(Relaxed);
                count.fetch_add(1, Relaxed);
                if fences.1 {
                    fence(ipc_core::sync::Ordering::SeqCst);
                }
                if *looks_first { early } else { left.load(Relaxed) }
            }
        }
    }

    fn end(&self) {
        match self {
            AnyIdle::Right(idle) => idle.end(),
            AnyIdle::Wrong { count, .. } => _ = count.fetch_sub(1, Relaxed),
        }
    }
}

struct Shared {
    role: Role,
    idle: AnyIdle,
    /// Belongs to the role.
    scan: Plain<u32>,
    wake: Bell,
}

#[test]
fn p10_leave_for_long() {
    explore(
        "idle::p10_leave_for_long",
        None,
        &[
            ("no fence in who leaves", Loss),
            ("no fence in who goes to sleep", Loss),
            ("looks before it counts itself", Loss),
            ("the role is given up behind the look", Loss),
            ("nobody is woken", Loss),
        ],
        leave_for_long,
    );
}

/// This thread never comes back to the role: the other has to find it.
fn leave_for_long(wrong: &'static str) {
    let role = Role::new();
    assert!(role.try_take());
    let shared = Arc::new(Shared { role, idle: AnyIdle::new(wrong), scan: Plain::new(0), wake: Bell::new() });
    let other = {
        let shared = shared.clone();
        thread::spawn(move || {
            while !shared.role.try_take() {
                if shared.idle.begin() && shared.role.try_take() {
                    shared.idle.end();
                    break;
                }
                shared.wake.wait();
                shared.idle.end();
            }
            shared.scan.change(|scan| *scan += 1);
        })
    };
    shared.scan.change(|scan| *scan += 1);
    let late = wrong == "the role is given up behind the look";
    if !late {
        shared.role.give_up();
    }
    if shared.idle.leave() && wrong != "nobody is woken" {
        shared.wake.ring();
    }
    if late {
        shared.role.give_up();
    }
    other.join().unwrap();
    assert_eq!(shared.scan.read(), 2);
}

//! Worker numbers: each is one thread's at a time.
#![cfg(not(loom))]

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use ipc_core::callee::{Call, Greeting, Handler};
use ipc_core::scanner::{Callee, Workers};

struct Nobody;

impl Handler for Nobody {
    type Peer = ();
    fn greet(&self, _: &[u8], _: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<()> {
        Greeting { answer: Vec::new(), accepted: None }
    }
    fn call(&self, (): &(), _: &mut Call<'_, ()>) -> (u16, usize) {
        (0, 0)
    }
}

/// Two threads under one number would overwrite each other's note of the channel they use, which would be unmapped then.
#[test]
fn a_number_is_one_threads_at_a_time() {
    let callee = Arc::new(Callee::new(Nobody, None, Workers { base: 1, spare: 0, grow: false }).unwrap());
    let stepper = callee.stepper(0).unwrap();
    assert!(callee.stepper(0).is_none());
    callee.work(0); // Returns at once, though nobody has stopped the callee.
    callee.work(1);
    drop(stepper);
    let first = callee.clone();
    let worker = std::thread::spawn(move || first.work(0));
    callee.stop();
    worker.join().unwrap();
    assert!(callee.stepper(0).is_some());
}

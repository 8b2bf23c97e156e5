//! P1, P2, P3 with a call that is deferred: it is answered by a thread that never has the role, while the caller lends the
//! block again or is gone.

use crate::harness::{
    By::{Race, Words},
    explore,
};
use crate::parts::{Block, Plain, cells};
use ipc_core::handover::{finish, request, submit, take};
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::sync::Ordering::Relaxed;
use ipc_core::sync::{AtomicU8, AtomicU64, spin_hint};
use ipc_core::word::{self, Seen};
use loom::{sync::Arc, thread};

const BUSY: u8 = 1;

struct Shared {
    block: Block,
    cells: Vec<AtomicU64>,
    producer: Producer,
    /// What the callee remembers of the block.
    state: AtomicU8,
    /// The extent of the block's reply.
    extent: Plain<u32>,
}

impl Shared {
    fn answer(&self, wrong: &str, extent: u32) {
        let late = wrong == "BUSY is cleared behind S2";
        if wrong != "the extent is noted behind S2" {
            self.extent.write(extent);
        }
        if !late {
            self.state.store(0, Relaxed);
        }
        finish(&self.block.word, false).unwrap();
        if late {
            self.state.store(0, Relaxed);
        }
        if wrong == "the extent is noted behind S2" {
            self.extent.write(extent);
        }
    }
}

#[test]
fn p1_p2_p3_deferred_answer_and_next_request() {
    explore(
        "defer::p1_p2_p3_deferred_answer_and_next_request",
        None,
        &[("BUSY is cleared behind S2", Words("is busy")), ("the extent is noted behind S2", Race)],
        deferred_answer_and_next_request,
    );
}

/// One thread answers the deferred call, the caller lends the block again as soon as it sees that, this thread scans.
fn deferred_answer_and_next_request(wrong: &'static str) {
    let shared = Arc::new(Shared {
        block: Block::new(word::FREE),
        cells: cells(1),
        producer: Producer::new(),
        state: AtomicU8::new(BUSY),
        extent: Plain::new(0),
    });
    shared.block.write(1);
    submit(&shared.block.word, 0).unwrap();
    let answering = {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.block.serve();
            shared.answer(wrong, 1);
        })
    };
    let caller = {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.block.spin();
            shared.block.check(1);
            shared.block.write(2);
            assert!(!submit(&shared.block.word, 0).unwrap());
            shared.producer.push(&shared.cells, Kind::Request, 0);
            shared.block.spin();
            shared.block.check(2);
        })
    };
    let mut queue = Consumer::new();
    while queue.pop(&shared.cells).unwrap().is_none() {
        spin_hint();
    }
    assert_eq!(request(&shared.block.word), Ok(Seen::Run), "stale hint");
    assert_eq!(shared.state.load(Relaxed), 0, "is busy, so an honest caller is cut off");
    assert_eq!(shared.extent.read(), 1);
    shared.state.store(BUSY, Relaxed);
    shared.block.serve();
    shared.answer("", 2);
    answering.join().unwrap();
    caller.join().unwrap();
}

#[test]
fn p2_deferred_answer_and_retirement() {
    explore(
        "defer::p2_deferred_answer_and_retirement",
        None,
        &[("the call does not keep its channel", Words("unmapped"))],
        deferred_answer_and_retirement,
    );
}

/// The memory of a channel, unmapped with its last owner.
struct Mapped {
    block: Block,
    gone: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.gone.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn deferred_answer_and_retirement(wrong: &'static str) {
    let gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let channel = Arc::new(Mapped { block: Block::new(word::FREE), gone: gone.clone() });
    channel.block.write(1);
    submit(&channel.block.word, 0).unwrap();
    take(&channel.block.taken, 0);
    let kept = (wrong != "the call does not keep its channel").then(|| channel.clone());
    let answering = {
        let gone = gone.clone();
        thread::spawn(move || {
            thread::yield_now();
            assert!(!gone.load(std::sync::atomic::Ordering::SeqCst), "unmapped while a call writes its answer");
            let Some(channel) = kept else { return };
            channel.block.serve();
            finish(&channel.block.word, false).unwrap();
            assert!(!gone.load(std::sync::atomic::Ordering::SeqCst), "unmapped while a call writes its answer");
        })
    };
    // The role's reference, and with it the channel if nobody else has one.
    drop(channel);
    answering.join().unwrap();
    assert!(gone.load(std::sync::atomic::Ordering::SeqCst), "the last one unmaps");
}

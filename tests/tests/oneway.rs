//! One-way calls: handed over and not waited for, in order, with the same admission limit, and flushed.
#![allow(missing_docs)]

#[path = "support/jobs.rs"]
mod jobs;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use ipc_rpc::__private::Stub;
use ipc_rpc::CallError;
use ipc_rpc_tests::watchdog::Watchdog;

use jobs::*;

fn note(stub: &Stub, n: u64) -> Result<(), CallError> {
    stub.oneway::<(u64,)>(NOTE, &(&n,))
}

fn noted(stub: &Stub) -> (u64, u64) {
    stub.call::<(), (u64, u64)>(NOTED, &()).unwrap()
}

fn nothing_is_left(stub: &Stub) {
    until("all blocks come home", || {
        let _ = noted(stub);
        let usage = stub.caller().usage();
        usage.blocks_out == 0
            && usage.zombies == 0
            && usage.memory.used == 0
            && usage.waiting == 0
            && usage.detached == 0
    });
}

#[test]
fn all_of_them_arrive_before_a_flush_returns() {
    let _watchdog = Watchdog::start("flush");
    let (stub, _gate, _server) = jobs();
    stub.flush().unwrap();
    let mut sum = 0;
    for round in 0..20 {
        for n in 0..500 {
            note(&stub, n).unwrap();
            sum += n;
        }
        if round % 2 == 0 {
            stub.flush().unwrap()
        } else {
            block_on(stub.flush_async()).unwrap()
        }
        assert_eq!(noted(&stub), ((round + 1) * 500, sum));
    }
    nothing_is_left(&stub);
}

#[test]
fn they_return_before_the_handler_ends_and_are_not_cancelled() {
    let _watchdog = Watchdog::start("handed over");
    let (stub, gate, _server) = jobs();
    for n in 0..10 {
        stub.oneway::<(u64,)>(PASS, &(&n,)).unwrap();
    }
    let error = stub.with_timeout(Duration::from_millis(20)).flush().unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("Jobs::flush"), "{error}");
    let late = block_on(stub.with_timeout(Duration::from_millis(20)).flush_async());
    assert!(matches!(late, Err(CallError::TimedOut { .. })), "{late:?}");
    gate.open();
    stub.flush().unwrap();
    assert_eq!(gate.entered.load(Ordering::SeqCst), 10);
    nothing_is_left(&stub);
}

#[test]
fn a_batch_of_more_than_there_are_blocks() {
    let _watchdog = Watchdog::start("large batch");
    let (stub, _gate, _server) = jobs();
    thread::sleep(Duration::from_millis(5)); // the server sleeps
    stub.batch(|stub| {
        for n in 0..2000 {
            note(&stub, n).unwrap();
        }
        stub.flush().unwrap();
        note(&stub, 0).unwrap();
        block_on(stub.flush_async()).unwrap();
        note(&stub, 0).unwrap();
        block_on(stub.oneway_async::<(u64,)>(NOTE, &(&0,))).unwrap();
    });
    stub.flush().unwrap();
    assert_eq!(noted(&stub), (2003, 1_999_000));
    nothing_is_left(&stub);
}

#[test]
fn large_ones_and_ones_that_fail_come_home() {
    let _watchdog = Watchdog::start("large one-way calls");
    let (stub, _gate, _server) = jobs();
    let bytes = vec![3; 200_000];
    for _ in 0..300 {
        stub.oneway::<(Vec<u8>,)>(MIRROR, &(&bytes[..],)).unwrap();
        stub.oneway::<()>(PANIC, &()).unwrap();
        stub.oneway::<(u64,)>(HALVE, &(&1,)).unwrap();
    }
    stub.flush().unwrap();
    nothing_is_left(&stub);
}

#[test]
fn the_admission_limit_holds_for_them() {
    let _watchdog = Watchdog::start("admission");
    let (stub, gate, _server) = jobs();
    // Without a time limit: requests whose time is over come home before the gate opens.
    for _ in 0..256 {
        stub.oneway::<(u64,)>(PASS, &(&1,)).unwrap();
    }
    let error = stub.with_timeout(Duration::from_millis(10)).oneway::<(u64,)>(PASS, &(&1,)).unwrap_err();
    assert!(matches!(error, CallError::Busy { server: false, .. }), "{error}");
    gate.open();
    nothing_is_left(&stub);
}

#[test]
fn the_end_of_the_server_ends_a_flush() {
    let _watchdog = Watchdog::start("death");
    let (stub, gate, server) = jobs();
    for n in 0..20 {
        stub.oneway::<(u64,)>(PASS, &(&n,)).unwrap();
    }
    until("a handler runs", || gate.entered.load(Ordering::SeqCst) > 0);
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        gate.open();
        drop(server);
    });
    if let Err(error) = stub.flush() {
        assert!(error.is_disconnected(), "{error}");
    }
    ends.join().unwrap();
    until("the connection is over", || stub.caller().has_ended());
    assert!(note(&stub, 1).unwrap_err().is_disconnected());
}

#[ipc_rpc::service]
trait Tally {
    #[rpc(oneway)]
    fn note(&self, n: u64);
    #[rpc(oneway)]
    async fn note_later(&self, n: u64);
    fn sum(&self) -> u64;
}

#[derive(Default)]
struct Sheet(std::sync::atomic::AtomicU64);

impl Tally for Sheet {
    fn note(&self, n: u64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }
    async fn note_later(&self, n: u64) {
        self.0.fetch_add(n, Ordering::SeqCst);
    }
    fn sum(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_batch_has_them_too() {
    let _watchdog = Watchdog::start("a batch");
    let (client, _server) = ipc_rpc::testing::pair(TallyDispatcher::new(Sheet::default())).unwrap();
    // More than there are blocks.
    for round in 1..=3 {
        let sum = client.batch(|calls| {
            for n in 0..1000 {
                calls.note(n).unwrap();
                calls.note_later(n).unwrap();
            }
            // They may have all blocks still, and to start is not to wait.
            loop {
                match calls.sum() {
                    Err(CallError::Busy { .. }) => std::thread::yield_now(),
                    sum => break sum.unwrap(),
                }
            }
        });
        sum.wait().unwrap();
        client.flush().unwrap();
        assert_eq!(client.sum().unwrap(), round * 999_000);
    }
    client.start().note(1).unwrap();
    client.flush().unwrap();
    assert_eq!(client.sum().unwrap(), 3 * 999_000 + 1);
}

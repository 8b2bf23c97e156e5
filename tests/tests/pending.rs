//! Calls that are waited for later: in any order and form, dropped at any time, with a server that fails or ends.
#![allow(missing_docs)]

#[path = "support/jobs.rs"]
mod jobs;

use std::future::Future;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use ipc_rpc::__private::Stub;
use ipc_rpc::{CallError, Pending, join_all};
use ipc_rpc_tests::watchdog::Watchdog;

use jobs::*;

fn add(stub: &Stub, a: u64, b: u64) -> Pending<u64> {
    stub.start::<(u64, u64), u64>(ADD, &(&a, &b)).expect("a free block")
}

fn pass(stub: &Stub, n: u64) -> Pending<u64> {
    stub.start::<(u64,), u64>(PASS, &(&n,)).expect("a free block")
}

/// All blocks come home.
fn nothing_is_left(stub: &Stub) {
    until("all blocks come home", || {
        // One-way, so that the zombies are looked at.
        let _ = stub.call::<(u64, u64), u64>(ADD, &(&1, &1));
        let usage = stub.caller().usage();
        usage.blocks_out == 0 && usage.zombies == 0 && usage.memory.used == 0 && usage.waiting == 0
    });
}

#[test]
fn a_pending_call_is_send_and_owns_what_it_needs() {
    fn check<T: Send + Unpin + Future + 'static>() {}
    check::<Pending<Vec<u8>>>();
    // Of a result that cannot be sent between threads nothing is there before it is read.
    check::<Pending<std::rc::Rc<u8>>>();
    let (stub, _gate, _server) = jobs();
    let call = add(&stub, 1, 2);
    drop(stub);
    assert_eq!(thread::spawn(move || call.wait().unwrap()).join().unwrap(), 3);
}

#[test]
fn many_in_flight_are_waited_for_in_any_order() {
    let _watchdog = Watchdog::start("many in flight");
    let (stub, _gate, _server) = jobs();
    for _ in 0..50 {
        let calls: Vec<_> = (0..64).map(|n| add(&stub, n, 1)).collect();
        assert_eq!(join_all(calls).unwrap(), (1..65).collect::<Vec<_>>());
        let calls: Vec<_> = (0..64).map(|n| (n, add(&stub, n, 1))).collect();
        for (n, call) in calls.into_iter().rev() {
            assert_eq!(call.wait().unwrap(), n + 1);
        }
    }
    nothing_is_left(&stub);
}

#[test]
fn a_result_is_there_or_not() {
    let _watchdog = Watchdog::start("there or not");
    let (stub, gate, _server) = jobs();
    let mut call = pass(&stub, 7);
    assert!(!call.is_ready());
    assert!(call.try_wait().is_none());
    gate.open();
    until("the reply comes", || call.is_ready());
    assert_eq!(call.try_wait().unwrap().unwrap(), 7);
    assert!(!call.is_ready());
    let spent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.try_wait()));
    assert!(spent.is_err(), "a result is given once");
    nothing_is_left(&stub);
}

#[test]
fn all_executors_run_it() {
    let _watchdog = Watchdog::start("executors");
    let (stub, gate, _server) = jobs();
    for n in 0..200 {
        assert_eq!(block_on(add(&stub, n, 1)).unwrap(), n + 1);
        assert_eq!(smol::block_on(add(&stub, n, 2)).unwrap(), n + 2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..100).map(|n| tokio::spawn(add(&stub, n, 1))).collect();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap().unwrap(), n + 1);
        }
    });
    // One that takes long, so that its waker is called from elsewhere.
    let late = pass(&stub, 5);
    let opener = thread::spawn(move || {
        thread::sleep(Duration::from_millis(30));
        gate.open();
    });
    assert_eq!(block_on(late).unwrap(), 5);
    opener.join().unwrap();
    nothing_is_left(&stub);
}

#[test]
fn the_forms_can_be_mixed() {
    let _watchdog = Watchdog::start("mixed forms");
    let (stub, gate, _server) = jobs();
    let mut call = pass(&stub, 1);
    assert!(poll_once(&mut call).is_pending());
    assert!(call.try_wait().is_none());
    assert!(poll_once(&mut call).is_pending());
    gate.open();
    assert_eq!(call.wait().unwrap(), 1);
    let mut call = pass(&stub, 2);
    while !call.is_ready() {
        thread::yield_now();
    }
    assert!(matches!(poll_once(&mut call), Poll::Ready(Ok(2))));
    // Polled by one executor, then by another.
    gate.close();
    let mut call = pass(&stub, 3);
    assert!(poll_once(&mut call).is_pending());
    gate.open();
    assert_eq!(smol::block_on(call).unwrap(), 3);
    nothing_is_left(&stub);
}

#[test]
fn handlers_fail_in_their_own_call() {
    let (stub, _gate, _server) = jobs();
    let halve = |n: u64| stub.start_result::<(u64,), u64, String>(HALVE, &(&n,)).unwrap();
    assert_eq!(halve(8).wait().unwrap(), 4);
    assert!(matches!(halve(7).wait(), Err(CallError::Handler(text)) if text == "7 is odd"));
    assert!(matches!(block_on(halve(9)), Err(CallError::Handler(text)) if text == "9 is odd"));
    let panics = stub.start::<(), u64>(PANIC, &()).unwrap();
    assert!(matches!(panics.wait(), Err(CallError::Panicked { message, .. }) if &*message == "as asked"));
    let results = join_all([8, 7, 6].map(halve));
    assert!(matches!(results, Err(CallError::Handler(text)) if text == "7 is odd"));
    nothing_is_left(&stub);
}

#[test]
fn dropping_a_call_cancels_it() {
    let _watchdog = Watchdog::start("dropping");
    let (stub, gate, server) = jobs();
    // As many as there are workers get into their handlers, the others wait.
    let calls: Vec<_> = (0..100).map(|n| pass(&stub, n)).collect();
    until("a handler runs", || gate.entered.load(Ordering::SeqCst) > 0);
    drop(calls);
    gate.open();
    nothing_is_left(&stub);
    assert!(gate.entered.load(Ordering::SeqCst) < 100, "some had not begun");
    // Dropped when the reply is there; polled and dropped.
    let call = add(&stub, 1, 1);
    until("the reply comes", || call.is_ready());
    drop(call);
    gate.close();
    let mut call = pass(&stub, 1);
    assert!(poll_once(&mut call).is_pending());
    drop(call);
    gate.open();
    nothing_is_left(&stub);
    drop(server);
}

#[test]
fn large_arguments_and_results_come_home() {
    let _watchdog = Watchdog::start("large");
    let (stub, _gate, _server) = jobs();
    let bytes: Vec<u8> = (0..300_000).map(|n| n as u8).collect();
    let mirror = || stub.start::<(Vec<u8>,), Vec<u8>>(MIRROR, &(&bytes[..],)).unwrap();
    for _ in 0..20 {
        let mut calls: Vec<_> = (0..10).map(|_| mirror()).collect();
        drop(calls.split_off(5));
        for call in calls {
            assert!(call.wait().unwrap() == bytes);
        }
    }
    nothing_is_left(&stub);
}

#[test]
fn busy_at_once_when_there_is_no_block() {
    let _watchdog = Watchdog::start("busy");
    let (stub, gate, _server) = jobs();
    let mut calls = Vec::new();
    let error = loop {
        match stub.start::<(u64,), u64>(PASS, &(&1,)) {
            Ok(call) => calls.push(call),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CallError::Busy { server: false, .. }), "{error}");
    assert!(!error.may_have_run());
    assert_eq!(calls.len(), 256);
    gate.open();
    assert_eq!(join_all(calls).unwrap(), vec![1; 256]);
    nothing_is_left(&stub);
}

#[test]
fn every_form_times_out() {
    let _watchdog = Watchdog::start("time-outs");
    let (stub, gate, _server) = jobs();
    let hasty = stub.with_timeout(Duration::from_millis(20));
    let timed_out = |result: Result<u64, CallError>| match result {
        Err(CallError::TimedOut { after, .. }) => assert_eq!(after, Duration::from_millis(20)),
        other => panic!("{other:?}"),
    };
    timed_out(pass(&hasty, 1).wait());
    timed_out(block_on(pass(&hasty, 2)));
    timed_out(smol::block_on(pass(&hasty, 3)));
    let mut call = pass(&hasty, 4);
    timed_out(loop {
        match call.try_wait() {
            Some(result) => break result,
            None => thread::yield_now(),
        }
    });
    // Several deadlines at once, the last one first.
    let (slow, quick) = (stub.with_timeout(Duration::from_millis(60)), stub.with_timeout(Duration::from_millis(10)));
    let (mut slow, mut quick) = (pass(&slow, 1), pass(&quick, 1));
    assert!(poll_once(&mut slow).is_pending());
    assert!(poll_once(&mut quick).is_pending());
    assert!(matches!(block_on(quick), Err(CallError::TimedOut { .. })));
    assert!(matches!(block_on(slow), Err(CallError::TimedOut { .. })));
    gate.open();
    nothing_is_left(&stub);
}

#[test]
fn the_end_of_the_server_ends_every_form() {
    let _watchdog = Watchdog::start("the end of the server");
    for form in 0..4 {
        let (stub, gate, server) = jobs();
        let mut call = pass(&stub, 1);
        until("the handler runs", || gate.entered.load(Ordering::SeqCst) > 0);
        let ends = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            gate.open();
            drop(server);
        });
        // The handler ends before its server does, so a reply may come.
        let result = match form {
            0 => call.wait(),
            1 => block_on(call),
            2 => smol::block_on(call),
            _ => loop {
                match call.try_wait() {
                    Some(result) => break result,
                    None => thread::yield_now(),
                }
            },
        };
        assert!(matches!(&result, Ok(1) | Err(CallError::MayHaveRun { .. })), "{result:?}");
        ends.join().unwrap();
        until("the connection is over", || stub.caller().has_ended());
        let error = stub.start::<(u64,), u64>(PASS, &(&1,)).unwrap_err();
        assert!(error.is_disconnected() && !error.may_have_run(), "{error}");
    }
}

#[test]
fn a_batch_is_announced_when_it_ends() {
    let _watchdog = Watchdog::start("batches");
    let (stub, _gate, _server) = jobs();
    for _ in 0..100 {
        let calls = stub.batch(|stub| (0..64).map(|n| add(&stub, n, 1)).collect::<Vec<_>>());
        assert_eq!(join_all(calls).unwrap(), (1..65).collect::<Vec<_>>());
    }
    // Waiting inside of one, in every form.
    for form in 0..5 {
        thread::sleep(Duration::from_millis(5)); // the server sleeps
        stub.batch(|stub| {
            let mut call = add(&stub, form, 1);
            let sum = match form {
                0 => call.wait(),
                1 => block_on(call),
                2 => stub.call::<(u64, u64), u64>(ADD, &(&form, &1)),
                3 => {
                    while !call.is_ready() {
                        thread::yield_now();
                    }
                    call.wait()
                }
                _ => loop {
                    match call.try_wait() {
                        Some(result) => break result,
                        None => thread::yield_now(),
                    }
                },
            };
            assert_eq!(sum.unwrap(), form + 1);
        });
    }
    // One that unwinds, and a stub that gets out of one or into another thread.
    let mut call = None;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        stub.batch(|stub| {
            call = Some(add(&stub, 1, 1));
            std::panic::resume_unwind(Box::new("as asked"))
        })
    }));
    assert!(unwound.is_err());
    assert_eq!(call.unwrap().wait().unwrap(), 2);
    let escaped = stub.batch(|stub| stub);
    let (mut call, mut other) = (add(&escaped, 1, 2), None);
    until("it was announced", || call.is_ready());
    assert_eq!(call.try_wait().unwrap().unwrap(), 3);
    stub.batch(|stub| {
        thread::scope(|scope| {
            scope.spawn(|| other = Some(add(&stub, 2, 2)));
        });
        // Announced by the other thread itself.
        assert_eq!(other.take().unwrap().wait().unwrap(), 4);
    });
    nothing_is_left(&stub);
}

#[test]
fn any_end_at_any_time_leaves_nothing() {
    let _watchdog = Watchdog::start("churn");
    let (stub, gate, _server) = jobs();
    gate.open();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut calls: Vec<Pending<u64>> = Vec::new();
    for round in 0..20_000 {
        match random(10) {
            0..5 => {
                let hasty = stub.with_timeout(Duration::from_micros(random(50)));
                let from = if random(3) == 0 { &hasty } else { &stub };
                calls.extend(from.start::<(u64, u64), u64>(ADD, &(&round, &0)).ok());
            }
            5 => drop((!calls.is_empty()).then(|| calls.swap_remove(random(calls.len() as u64) as usize))),
            6 => {
                if let Some(call) = calls.pop() {
                    let result = call.wait();
                    assert!(
                        matches!(&result, Ok(n) if *n <= round) || matches!(result, Err(CallError::TimedOut { .. }))
                    );
                }
            }
            7 => {
                if let Some(call) = calls.last_mut()
                    && !matches!(poll_once(call), Poll::Pending)
                {
                    drop(calls.pop());
                }
            }
            8 => {
                if let Some(call) = calls.pop() {
                    let _ = block_on(call);
                }
            }
            _ => {
                let bytes = vec![1; random(4000) as usize];
                drop(stub.start::<(Vec<u8>,), Vec<u8>>(MIRROR, &(&bytes[..],)));
            }
        }
        if calls.len() > 100 {
            calls.clear();
        }
    }
    drop(calls);
    nothing_is_left(&stub);
}

//! Calls as futures, on executors of all kinds, with fewer blocks than calls, cancelled, timed out and cut off.
#![allow(missing_docs)]

#[path = "support/jobs.rs"]
mod jobs;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use ipc_rpc::__private::Stub;
use ipc_rpc::CallError;
use ipc_rpc_tests::watchdog::Watchdog;

use jobs::*;

async fn add(stub: Stub, a: u64, b: u64) -> Result<u64, CallError> {
    stub.call_async::<(u64, u64), u64>(ADD, &(&a, &b)).await
}

async fn pass(stub: Stub, n: u64) -> Result<u64, CallError> {
    stub.call_async::<(u64,), u64>(PASS, &(&n,)).await
}

fn nothing_is_left(stub: &Stub) {
    until("all blocks come home", || {
        let _ = stub.call::<(u64, u64), u64>(ADD, &(&1, &1));
        let usage = stub.caller().usage();
        usage.blocks_out == 0 && usage.zombies == 0 && usage.memory.used == 0 && usage.waiting == 0
    });
}

/// Polls all of them, each with a waker of its own, until all are done; the thread parks between.
fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    struct Mark(thread::Thread, AtomicU64);
    impl Wake for Mark {
        fn wake(self: Arc<Self>) {
            self.1.store(1, Ordering::SeqCst);
            self.0.unpark();
        }
    }
    let count = futures.len();
    let mut running: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), Arc::new(Mark(thread::current(), AtomicU64::new(1))), None))
        .collect();
    let mut done = 0;
    while done < count {
        let mut polled = false;
        for (future, mark, output) in &mut running {
            if output.is_none() && mark.1.swap(0, Ordering::SeqCst) == 1 {
                polled = true;
                let waker = Waker::from(mark.clone());
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    *output = Some(result);
                    done += 1;
                }
            }
        }
        if !polled && done < count {
            thread::park();
        }
    }
    running.into_iter().map(|(_, _, output)| output.unwrap()).collect()
}

#[test]
fn futures_are_send_when_their_arguments_are() {
    fn check<T: Send>(future: T) -> T {
        future
    }
    let (stub, _gate, _server) = jobs();
    let text = String::from("a text");
    let bytes = text.as_bytes();
    drop(check(stub.call_async::<(Vec<u8>,), Vec<u8>>(MIRROR, &(bytes,))));
    drop(check(stub.view_async::<(Vec<u8>,), Vec<u8>>(MIRROR, &(bytes,))));
    drop(check(stub.call_result_async::<(u64,), u64, String>(HALVE, &(&1,))));
    drop(check(stub.view_result_async::<(u64,), u64, String>(HALVE, &(&1,))));
    drop(check(stub.oneway_async::<(u64,)>(NOTE, &(&1,))));
    drop(check(stub.flush_async()));
    // None of them was polled.
    assert_eq!(stub.call::<(), (u64, u64)>(NOTED, &()).unwrap(), (0, 0));
    nothing_is_left(&stub);
}

#[test]
fn every_executor_runs_them() {
    let _watchdog = Watchdog::start("executors");
    let (stub, _gate, _server) = jobs();
    for n in 0..100 {
        assert_eq!(block_on(add(stub.clone(), n, 1)).unwrap(), n + 1);
        assert_eq!(smol::block_on(add(stub.clone(), n, 1)).unwrap(), n + 1);
    }
    let tasks: Vec<_> = (0..50).map(|n| smol::spawn(add(stub.clone(), n, 1))).collect();
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(smol::block_on(task).unwrap(), n + 1);
    }
    for threads in [1, 3] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..500).map(|n| tokio::spawn(add(stub.clone(), n, 1))).collect();
            for (n, task) in (0..).zip(tasks) {
                assert_eq!(task.await.unwrap().unwrap(), n + 1);
            }
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(add(stub.clone(), 1, 1)).unwrap(), 2);
    nothing_is_left(&stub);
}

#[test]
fn replies_are_owned_or_left_where_they_lie() {
    let (stub, _gate, _server) = jobs();
    block_on(async {
        let bytes = vec![7; 100_000];
        let mirrored = stub.call_async::<(Vec<u8>,), Vec<u8>>(MIRROR, &(&bytes[..],)).await.unwrap();
        assert!(mirrored == bytes);
        let view = stub.view_async::<(Vec<u8>,), Vec<u8>>(MIRROR, &(&bytes[..],)).await.unwrap();
        assert!(view.get() == &bytes[..]);
        let halve = |n: u64| {
            let stub = stub.clone();
            async move { stub.call_result_async::<(u64,), u64, String>(HALVE, &(&n,)).await }
        };
        assert_eq!(halve(8).await.unwrap(), 4);
        assert!(matches!(halve(7).await, Err(CallError::Handler(text)) if text == "7 is odd"));
        let view = stub.view_result_async::<(u64,), u64, String>(HALVE, &(&8,)).await.unwrap();
        assert_eq!(view.get(), 4);
        let error = stub.view_result_async::<(u64,), u64, String>(HALVE, &(&7,)).await.unwrap_err();
        assert!(matches!(error, CallError::Handler(text) if text == "7 is odd"));
        let panics = stub.call_async::<(), u64>(PANIC, &()).await;
        assert!(matches!(panics, Err(CallError::Panicked { .. })));
    });
    nothing_is_left(&stub);
}

#[test]
fn a_thousand_calls_share_the_blocks() {
    let _watchdog = Watchdog::start("more calls than blocks");
    let (stub, gate, _server) = jobs();
    for _ in 0..5 {
        let sums = all((0..1000).map(|n| add(stub.clone(), n, 1)).collect());
        for (n, sum) in (0..).zip(sums) {
            assert_eq!(sum.unwrap(), n + 1);
        }
    }
    // All blocks taken by calls that take long: the others wait for one, and get one when somebody drops his.
    let mut held: Vec<_> = (0..256).map(|n| stub.start::<(u64,), u64>(PASS, &(&n,)).unwrap()).collect();
    let mut waiting = pin!(add(stub.clone(), 2, 3));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(held.split_off(128));
    gate.open();
    assert_eq!(block_on(waiting).unwrap(), 5);
    for call in held {
        call.wait().unwrap();
    }
    nothing_is_left(&stub);
}

#[test]
fn waiting_for_a_block_times_out_as_busy_and_can_be_given_up() {
    let _watchdog = Watchdog::start("waiting for a block");
    let (stub, gate, _server) = jobs();
    let held: Vec<_> = (0..256).map(|n| stub.start::<(u64,), u64>(PASS, &(&n,)).unwrap()).collect();
    let hasty = stub.with_timeout(Duration::from_millis(20));
    let error = block_on(add(hasty.clone(), 1, 1)).unwrap_err();
    assert!(matches!(error, CallError::Busy { server: false, .. }), "{error}");
    let error = smol::block_on(hasty.oneway_async::<(u64,)>(NOTE, &(&1,))).unwrap_err();
    assert!(matches!(error, CallError::Busy { server: false, .. }), "{error}");
    // Of three that wait two are dropped; the third is told.
    let mut waiting: Vec<_> = (0..3).map(|n| Box::pin(add(stub.clone(), n, 1))).collect();
    for call in &mut waiting {
        assert!(poll_once(call).is_pending());
    }
    let last = waiting.pop().unwrap();
    drop(waiting);
    let opener = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        gate.open();
        drop(held);
    });
    assert_eq!(block_on(last).unwrap(), 3);
    opener.join().unwrap();
    nothing_is_left(&stub);
}

#[test]
fn dropping_a_future_cancels_the_call() {
    let _watchdog = Watchdog::start("dropping");
    let (stub, gate, _server) = jobs();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        for _ in 0..20 {
            let late = tokio::time::timeout(Duration::from_millis(1), pass(stub.clone(), 1)).await;
            assert!(late.is_err());
        }
        let task = tokio::spawn(pass(stub.clone(), 1));
        tokio::time::sleep(Duration::from_millis(2)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    gate.open();
    nothing_is_left(&stub);
    assert!(gate.entered.load(Ordering::SeqCst) <= 21);
}

#[test]
fn futures_time_out_and_end_with_the_server() {
    let _watchdog = Watchdog::start("time-outs and death");
    let (stub, gate, server) = jobs();
    let hasty = stub.with_timeout(Duration::from_millis(10));
    for result in all((0..20).map(|n| pass(hasty.clone(), n)).collect::<Vec<_>>()) {
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::TimedOut { after, .. } if after == Duration::from_millis(10)), "{error}");
    }
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        gate.open();
        drop(server);
    });
    let results = all((0..300).map(|n| pass(stub.clone(), n)).collect::<Vec<_>>());
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(passed) => assert_eq!(passed, n),
            Err(error) => assert!(error.is_disconnected(), "{error}"),
        }
    }
    ends.join().unwrap();
    assert!(block_on(add(stub, 1, 1)).unwrap_err().is_disconnected());
}

#[test]
fn an_executor_thread_is_never_held_up() {
    let _watchdog = Watchdog::start("one thread");
    let (stub, gate, _server) = jobs();
    // On one thread: calls that are not answered, one that waits for a block, and a timer that goes on.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let tasks: Vec<_> = (0..300).map(|n| tokio::task::spawn_local(pass(stub.clone(), n))).collect();
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                gate.open();
                for (n, task) in (0..).zip(tasks) {
                    assert_eq!(task.await.unwrap().unwrap(), n);
                }
            })
            .await;
    });
    nothing_is_left(&stub);
}

#[test]
fn any_end_at_any_time_leaves_nothing() {
    let _watchdog = Watchdog::start("churn");
    let (stub, gate, _server) = jobs();
    gate.open();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    type Call = Pin<Box<dyn Future<Output = Result<u64, CallError>> + Send>>;
    let mut calls: Vec<Call> = Vec::new();
    for round in 0..20_000 {
        match random(8) {
            0..4 => {
                let from = match random(4) {
                    0 => stub.with_timeout(Duration::from_micros(random(100))),
                    _ => stub.clone(),
                };
                calls.push(match random(6) {
                    0 => Box::pin(pass(from, round)),
                    1 => Box::pin(async move {
                        let bytes = vec![1; (round % 5000) as usize];
                        Ok(from.call_async::<(Vec<u8>,), Vec<u8>>(MIRROR, &(&bytes[..],)).await?.len() as u64)
                    }),
                    2 => Box::pin(async move { from.oneway_async::<(u64,)>(NOTE, &(&round,)).await.map(|()| 0) }),
                    3 => Box::pin(async move { from.flush_async().await.map(|()| 0) }),
                    _ => Box::pin(add(from, round, 0)),
                });
                let polled = calls.last_mut().map(poll_once);
                if matches!(polled, Some(Poll::Ready(_))) {
                    drop(calls.pop());
                }
            }
            4 if !calls.is_empty() => {
                drop(calls.swap_remove(random(calls.len() as u64) as usize));
            }
            5 if !calls.is_empty() => {
                let at = random(calls.len() as u64) as usize;
                if poll_once(&mut calls[at]).is_ready() {
                    drop(calls.swap_remove(at));
                }
            }
            6 => {
                if let Some(call) = calls.pop() {
                    let _ = block_on(call);
                }
            }
            _ => {}
        }
        if calls.len() > 400 {
            let some = calls.split_off(200);
            let _ = all(some);
        }
    }
    drop(calls);
    nothing_is_left(&stub);
}

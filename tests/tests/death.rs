//! Processes that are killed or stopped in the middle of calls. The watchdog of each test is what catches a hang.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipc_rpc::__private::Stub;
use ipc_rpc::{CallError, ClientConfig, Dispatch};
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{CalcClient, WorkClient, WorkDispatcher, Worker, bytes};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

/// No limit: a call that misses the death of its server hangs.
fn patient() -> ClientConfig {
    ClientConfig { timeout: None, reconnect: None, ..ClientConfig::default() }
}

fn gone(error: &CallError) -> bool {
    matches!(error, CallError::NotStarted { .. } | CallError::MayHaveRun { .. })
}

#[test]
fn callers_that_sleep_hear_of_the_servers_death() {
    let place = Place::new("callers_that_sleep_hear_of_the_servers_death");
    let mut server = place.serve(SERVER, &["workers=4"]);
    let client = WorkClient::connect_with(place.socket(), &patient()).unwrap();
    std::thread::scope(|scope| {
        // Four are in their handlers, the others in the queue.
        let calls: Vec<_> = (0..12)
            .map(|n| {
                let gate = place.join(&format!("gate{n}"));
                let client = &client;
                scope.spawn(move || (fs::exists(format!("{gate}.in")).unwrap(), client.pass(&gate)))
            })
            .collect();
        let begun = || place.files().iter().filter(|f| f.ends_with(".in")).count();
        until(|| begun() == 4);
        // Long enough that they do not spin any more.
        std::thread::sleep(Duration::from_millis(100));
        server.kill();
        let ends: Vec<_> = calls.into_iter().map(|c| c.join().unwrap().1.unwrap_err()).collect();
        assert!(ends.iter().all(gone), "{ends:?}");
        assert_eq!(ends.iter().filter(|e| e.may_have_run()).count(), 4, "{ends:?}");
        let text = ends.iter().find(|e| e.may_have_run()).unwrap().to_string();
        assert_eq!(text, "the server of Work ended while it worked on Work::pass; how far that came is unknown");
        let text = ends.iter().find(|e| !e.may_have_run()).unwrap().to_string();
        assert_eq!(text, "the server of Work is gone; Work::pass has not run: repeat the call later");
    });
    let error = client.runs().unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
}

#[test]
fn callers_that_spin_hear_of_the_servers_death() {
    let place = Place::new("callers_that_spin_hear_of_the_servers_death");
    for round in 0..10 {
        let mut server = place.serve(SERVER, &["workers=2"]);
        let client = CalcClient::connect_with(place.socket(), &patient()).unwrap();
        let calls = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| {
                loop {
                    match client.add(1, 2) {
                        Ok(sum) => assert_eq!(sum, 3),
                        Err(error) => break error,
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
            until(|| calls.load(Ordering::Relaxed) > 50 * round);
            server.kill();
            let error = caller.join().unwrap();
            assert!(gone(&error), "{error:?}");
        });
    }
}

#[test]
fn many_threads_hear_of_the_servers_death() {
    let place = Place::new("many_threads_hear_of_the_servers_death");
    for round in 0..5 {
        let mut server = place.serve(SERVER, &["workers=4"]);
        let clients: Vec<_> = (0..3).map(|_| WorkClient::connect_with(place.socket(), &patient()).unwrap()).collect();
        let calls = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..48)
                .map(|n| {
                    let (client, calls) = (&clients[n % 3], &calls);
                    let data = bytes(n * 500, n as u8);
                    scope.spawn(move || {
                        loop {
                            match client.mirror(&data) {
                                Ok(back) => assert!(back == data),
                                Err(error) => break error,
                            }
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            until(|| calls.load(Ordering::Relaxed) > 100 * round);
            server.kill();
            for caller in callers {
                let error = caller.join().unwrap();
                assert!(gone(&error), "{error:?}");
            }
        });
    }
}

#[test]
fn threads_that_wait_for_a_block_hear_of_the_servers_death() {
    let place = Place::new("threads_that_wait_for_a_block_hear_of_the_servers_death");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect_with(place.socket(), &ClientConfig { blocks: 2, ..patient() }).unwrap();
    // One block with a held reply, one given up while it is lent.
    let held = client.view().make(10, 7).unwrap();
    let gate = place.join("gate");
    while !fs::exists(format!("{gate}.in")).unwrap() {
        // On a busy machine it may expire before it is begun, and come home.
        assert!(client.with_timeout(Duration::from_millis(20)).pass(&gate).is_err());
    }
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| client.runs())).collect();
        std::thread::sleep(Duration::from_millis(100));
        server.kill();
        for thread in waiting {
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
        }
    });
    assert_eq!(held.get(), [7; 10]);
}

#[test]
fn what_was_answered_before_the_death_is_delivered_after_it() {
    let place = Place::new("what_was_answered_before_the_death_is_delivered_after_it");
    let mut server = place.serve(SERVER, &["workers=1"]);
    let dispatcher = WorkDispatcher::new(Worker::default());
    let stub = Stub::connect(dispatcher.service(), place.socket(), &patient()).unwrap();
    let number = |name| dispatcher.service().methods.iter().position(|m| m.name == name).unwrap() as u16;
    let (mirror, pass, runs) = (number("mirror"), number("pass"), number("runs"));
    let begin_mirror = |data: &Vec<u8>| stub.start::<(Vec<u8>,), Vec<u8>>(mirror, &(data.as_slice(),)).unwrap();
    // Inline, in the caller's memory, in the server's memory.
    let sizes = [10, 3000, 500_000];
    let answered: Vec<_> = sizes.map(|len| (bytes(len, 1), begin_mirror(&bytes(len, 1)))).into_iter().collect();
    // The only worker takes them in order: with this reply, those are written.
    assert_eq!(stub.call::<(), u64>(runs, &()).unwrap(), 3);
    let gate = place.join("gate");
    let taken = stub.start::<(String,), u64>(pass, &(gate.as_str(),)).unwrap();
    until(|| fs::exists(format!("{gate}.in")).unwrap());
    let waiting = begin_mirror(&bytes(10, 2));
    server.kill();
    until(|| stub.caller().has_ended());
    for (data, pending) in answered {
        assert!(pending.wait().unwrap() == data);
    }
    let error = taken.wait().unwrap_err();
    assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
    let error = waiting.wait().unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
}

#[test]
fn a_handler_that_aborts_the_server_is_a_death_too() {
    let place = Place::new("a_handler_that_aborts_the_server_is_a_death_too");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = WorkClient::connect_with(place.socket(), &patient()).unwrap();
    let error = client.abort().unwrap_err();
    assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
    assert!(!server.wait().success());
    // Now that it is gone for good, whoever meets its socket removes it.
    assert!(matches!(client.runs(), Err(CallError::NotStarted { .. })));
    assert!(WorkClient::connect(place.socket()).is_err());
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[test]
fn a_killed_client_leaves_the_server_as_it_was() {
    let place = Place::new("a_killed_client_leaves_the_server_as_it_was");
    let server = place.serve(SERVER, &["workers=12"]);
    let descriptors = settled(&place, &server);
    let honest = CalcClient::connect(place.socket()).unwrap();
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut n = 0;
            while stop.load(Ordering::Relaxed) == 0 {
                assert_eq!(honest.add(n, 1).unwrap(), n + 1);
                n += 1;
            }
            n
        });
        for round in 0..4 {
            let gate = place.join(&format!("gate{round}-"));
            let mut client = place.start(CLIENT, &["cling", &place.socket(), &gate]);
            until(|| (0..4).all(|n| fs::exists(format!("{gate}{n}.in")).unwrap()));
            client.kill();
            // Its handlers are still running, in memory that nobody else has any more.
            assert!(proc::segments(server.pid()) >= 2);
            (0..4).for_each(|n| fs::write(format!("{gate}{n}.out"), "").unwrap());
            until(|| proc::segments(server.pid()) == 1);
        }
        stop.store(1, Ordering::Relaxed);
        assert!(calls.join().unwrap() > 0);
    });
    drop(honest);
    until(|| proc::segments(server.pid()) == 0 && proc::descriptors(server.pid()) == descriptors);
    // Memory too: what the killed ones held was megabytes each.
    until(|| proc::memory(server.pid()).1 < 1 << 20 << 3);
}

#[test]
fn a_client_killed_while_it_calls_without_pause() {
    let place = Place::new("a_client_killed_while_it_calls_without_pause");
    let server = place.serve(SERVER, &["workers=3"]);
    let descriptors = settled(&place, &server);
    let honest = CalcClient::connect(place.socket()).unwrap();
    for round in 0..10 {
        let mut clients: Vec<Helper> =
            (0..2).map(|_| place.start(CLIENT, &["calls", &place.socket(), "1000000000"])).collect();
        until(|| proc::segments(server.pid()) >= 3);
        std::thread::sleep(Duration::from_millis(round));
        clients.iter_mut().for_each(Helper::kill);
        assert_eq!(honest.add(1, 1).unwrap(), 2);
        until(|| proc::segments(server.pid()) == 1);
    }
    drop(honest);
    until(|| proc::segments(server.pid()) == 0 && proc::descriptors(server.pid()) == descriptors);
}

#[test]
fn a_stopped_server_is_slow_and_not_dead() {
    let place = Place::new("a_stopped_server_is_slow_and_not_dead");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &patient()).unwrap();
    let (stop, calls) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|thread| {
                let (client, stop, calls) = (&client, &stop, &calls);
                scope.spawn(move || {
                    while stop.load(Ordering::Relaxed) == 0 {
                        assert_eq!(client.add(thread, 1).unwrap(), thread + 1);
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for pause in [1, 10, 100, 2000] {
            let before = calls.load(Ordering::Relaxed);
            until(|| calls.load(Ordering::Relaxed) > before);
            server.stop();
            std::thread::sleep(Duration::from_millis(pause));
            // With a limit, the call ends at it. It may have been answered before the signal arrived.
            let hasty = client.with_timeout(Duration::from_millis(5));
            if pause >= 100 {
                assert!(matches!(hasty.add(1, 1), Err(CallError::TimedOut { .. })));
            }
            server.go_on();
        }
        let before = calls.load(Ordering::Relaxed);
        until(|| calls.load(Ordering::Relaxed) > before + 100);
        stop.store(1, Ordering::Relaxed);
        callers.into_iter().for_each(|c| c.join().unwrap());
    });
}

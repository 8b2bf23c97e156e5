//! How calls end when they do not end well: panics, errors of handlers, deadlines, too many replies, too large values.

use std::fs;
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, EncodeError};
use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::services::{Nest, WorkClient, WorkError};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

fn connected(test: &'static str, options: &[&str]) -> (Place, Helper, WorkClient) {
    let place = Place::new(test);
    let server = place.serve(SERVER, options);
    let client = WorkClient::connect(place.socket()).unwrap();
    (place, server, client)
}

#[test]
fn a_panicking_handler_fails_its_own_call_only() {
    let (place, server, client) = connected("a_panicking_handler_fails_its_own_call_only", &["workers=4"]);
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| client.pass(&gate));
        until(|| fs::exists(format!("{gate}.in")).unwrap());
        for n in 0..200 {
            let error = client.panic(&format!("no {n}")).unwrap_err();
            assert_eq!(error.to_string(), format!("Work::panic panicked: no {n}"));
            assert!(error.may_have_run() && !error.is_disconnected());
        }
        let error = client.panic_with_a_number().unwrap_err();
        assert!(error.to_string().contains("the panic carries no text"), "{error}");
        let long = "x".repeat(100_000);
        let CallError::Panicked { message, .. } = client.panic(&long).unwrap_err() else { panic!() };
        assert!(message.len() > 1000 && long.starts_with(&*message));
        fs::write(format!("{gate}.out"), "").unwrap();
        assert_eq!(other.join().unwrap().unwrap(), 1);
    });
    assert_eq!(client.runs().unwrap(), 203);
    assert!(ipc_rpc_tests::proc::is_alive(server.pid()));
}

#[test]
fn errors_of_a_handler_arrive_as_they_are() {
    let (_place, _server, client) = connected("errors_of_a_handler_arrive_as_they_are", &[]);
    assert_eq!(client.fail(0).unwrap(), "well");
    let error = client.fail(-3).unwrap_err();
    assert_eq!(error.to_string(), "it went wrong (code -3)");
    let CallError::Handler(inner) = error else { panic!("{error:?}") };
    assert_eq!(inner, WorkError { code: -3, reason: "it went wrong".into() });
    assert!(matches!(client.view().fail(5), Err(CallError::Handler(WorkError { code: 5, .. }))));
    assert_eq!(client.view().fail(0).unwrap().get(), "well");
}

#[test]
fn a_call_gives_up_at_its_deadline_and_an_expired_one_is_not_run() {
    let (place, _server, client) =
        connected("a_call_gives_up_at_its_deadline_and_an_expired_one_is_not_run", &["workers=1"]);
    let gate = place.join("gate");
    let config = ClientConfig { timeout: Some(Duration::from_millis(20)), ..ClientConfig::default() };
    let hasty = WorkClient::connect_with(place.socket(), &config).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| client.pass(&gate));
        until(|| fs::exists(format!("{gate}.in")).unwrap());
        // The only worker is busy; these requests expire in the queue.
        for milliseconds in [0, 1, 30] {
            let limit = Duration::from_millis(milliseconds);
            let error = client.with_timeout(limit).sleep(0).unwrap_err();
            let CallError::TimedOut { method, after, .. } = &error else { panic!("{error:?}") };
            assert_eq!((method.to_string().as_str(), *after), ("Work::sleep", limit));
            assert!(error.to_string().contains(&format!("{limit:?}")), "{error}");
            assert!(!error.is_disconnected());
        }
        // The configured timeout does the same.
        assert!(matches!(hasty.sleep(0), Err(CallError::TimedOut { .. })));
        fs::write(format!("{gate}.out"), "").unwrap();
        assert_eq!(slow.join().unwrap().unwrap(), 1);
    });
    assert_eq!(client.runs().unwrap(), 1, "an expired request was run");
    // A handler that is running when the time is over.
    let error = client.with_timeout(Duration::from_millis(20)).sleep(300).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { may_have_run: true, .. }), "{error:?}");
    assert!(error.to_string().contains("may have run"), "{error}");
    assert_eq!(client.runs().unwrap(), 2);
    assert_eq!(client.with_timeout(Duration::from_secs(60)).sleep(1).unwrap(), 3);
}

#[test]
fn a_client_process_says_that_its_call_timed_out() {
    let (place, _server, _client) = connected("a_client_process_says_that_its_call_timed_out", &[]);
    let mut client = place.start(env!("CARGO_BIN_EXE_test_client"), &["timeout", &place.socket(), "30"]);
    let text = client.line();
    assert!(text.contains("Work::sleep gave no reply within 30ms"), "{text}");
}

#[test]
fn held_replies_exhaust_the_blocks_until_one_is_dropped() {
    let place = Place::new("held_replies_exhaust_the_blocks_until_one_is_dropped");
    let _server = place.serve::<&str>(SERVER, &[]);
    let config = ClientConfig { blocks: 8, ..ClientConfig::default() };
    let client = WorkClient::connect_with(place.socket(), &config).unwrap();
    let mut held: Vec<_> = (0..8).map(|n| client.view().make(1000, n).unwrap()).collect();
    let error = client.with_timeout(Duration::from_millis(30)).runs().unwrap_err();
    assert!(matches!(error, CallError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("drop held replies") && !error.may_have_run(), "{error}");
    // A thread that waits for a block gets the one that is dropped.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.with_timeout(Duration::from_secs(60)).runs());
        std::thread::sleep(Duration::from_millis(50));
        held.truncate(7);
        assert_eq!(waiting.join().unwrap().unwrap(), 8);
    });
    for (n, reply) in held.iter().enumerate() {
        assert_eq!(reply.get(), vec![n as u8; 1000]);
    }
    drop(held);
    assert_eq!(client.runs().unwrap(), 8);
}

#[test]
fn calls_given_up_do_not_use_up_the_blocks_for_ever() {
    let place = Place::new("calls_given_up_do_not_use_up_the_blocks_for_ever");
    let _server = place.serve(SERVER, &["workers=1"]);
    let config = ClientConfig { blocks: 4, ..ClientConfig::default() };
    let client = WorkClient::connect_with(place.socket(), &config).unwrap();
    for round in 0..5 {
        let gate = place.join(&format!("gate{round}"));
        let hasty = client.with_timeout(Duration::from_millis(5));
        // The first may be held up on its way; it is to be in the handler before the others come.
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| client.pass(&gate));
            until(|| fs::exists(format!("{gate}.in")).unwrap());
            // One or another given up in the last round may not have come home yet: then these find no block.
            for _ in 0..3 {
                assert!(matches!(hasty.sleep(0), Err(CallError::TimedOut { .. } | CallError::Busy { .. })));
            }
            assert!(matches!(hasty.sleep(0), Err(CallError::Busy { .. })));
            let waiting = scope.spawn(|| client.runs());
            fs::write(format!("{gate}.out"), "").unwrap();
            slow.join().unwrap().unwrap();
            waiting.join().unwrap().unwrap();
        });
    }
    assert_eq!(client.runs().unwrap(), 5);
}

#[test]
fn what_nests_too_deep_is_a_typed_error_on_either_side() {
    let (_place, _server, client) = connected("what_nests_too_deep_is_a_typed_error_on_either_side", &[]);
    assert_eq!(client.levels(Nest::of(60)).unwrap(), 60);
    assert_eq!(client.nest(60).unwrap(), Nest::of(60));
    let runs = client.runs().unwrap();
    let error = client.levels(Nest::of(5000)).unwrap_err();
    assert!(matches!(&error, CallError::Arguments { error: EncodeError::TooDeep { .. }, .. }), "{error:?}");
    assert!(
        error.to_string().contains("the arguments of Work::levels cannot be sent: the value nests deeper than"),
        "{error}"
    );
    assert!(!error.may_have_run());
    assert_eq!(client.runs().unwrap(), runs);
    let error = client.nest(5000).unwrap_err();
    assert!(matches!(&error, CallError::Result { .. }), "{error:?}");
    assert!(
        error.to_string().contains("the result of Work::nest could not be sent: the value nests deeper"),
        "{error}"
    );
    assert!(error.may_have_run());
    assert_eq!(client.nest(1).unwrap(), Nest::of(1));
}

#[test]
fn what_is_too_large_is_a_typed_error_on_either_side() {
    let (place, _server, client) = connected("what_is_too_large_is_a_typed_error_on_either_side", &[]);
    // Zero pages that are never touched: the size is judged before a byte is copied.
    let huge = vec![0u8; 1 << 30];
    let error = client.checksum(&huge).unwrap_err();
    assert!(matches!(&error, CallError::Arguments { error: EncodeError::TooLarge { .. }, .. }), "{error:?}");
    assert!(error.to_string().contains("send it in parts"), "{error}");
    let error = client.make(1 << 30, 0).unwrap_err();
    assert!(matches!(&error, CallError::Result { .. }), "{error:?}");
    assert!(error.to_string().contains("send it in parts"), "{error}");
    // Small arenas are full before that.
    let config = ClientConfig { arguments: 1 << 16, replies: 1 << 16, ..ClientConfig::default() };
    let small = WorkClient::connect_with(place.socket(), &config).unwrap();
    let error = small.checksum(&huge[..1 << 20]).unwrap_err();
    assert!(matches!(&error, CallError::NoMemory { server: false, .. }), "{error:?}");
    let error = small.make(1 << 20, 0).unwrap_err();
    assert!(matches!(&error, CallError::NoMemory { server: true, .. }), "{error:?}");
    assert!(error.to_string().contains("bytes of a message"), "{error}");
    assert_eq!(small.make(40_000, 1).unwrap(), vec![1; 40_000]);
    assert_eq!(small.mirror(&huge[..30_000]).unwrap(), huge[..30_000]);
    // Held replies fill the arena of the replies; a dropped one makes room.
    let held = small.view().make(40_000, 2).unwrap();
    match small.make(40_000, 3) {
        Err(error @ CallError::NoMemory { server: true, .. }) => assert!(error.may_have_run() && !error.is_retryable()),
        other => panic!("{other:?}"),
    }
    drop(held);
    assert_eq!(small.make(40_000, 3).unwrap(), vec![3; 40_000]);
}

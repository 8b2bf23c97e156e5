//! A graceful end: handlers that run finish, calls that were not begun are said not to have.

use std::fs;

use ipc_rpc::{CallError, ClientConfig, Context, Server};
use ipc_rpc_tests::helper::{Place, faithful, until};
use ipc_rpc_tests::services::{CalcClient, WorkClient};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

#[test]
fn running_handlers_end_and_waiting_calls_are_not_started() {
    let place = Place::new("running_handlers_end_and_waiting_calls_are_not_started");
    let mut server = place.serve(SERVER, &["workers=3"]);
    let config = ClientConfig { timeout: None, reconnect: None, ..ClientConfig::default() };
    let client = WorkClient::connect_with(place.socket(), &config).unwrap();
    let gates: Vec<_> = (0..9).map(|n| place.join(&format!("gate{n}"))).collect();
    std::thread::scope(|scope| {
        let calls: Vec<_> = gates.iter().map(|gate| scope.spawn(|| client.pass(gate))).collect();
        let begun = || gates.iter().filter(|g| fs::exists(format!("{g}.in")).unwrap()).count();
        until(|| begun() == 3);
        server.say("shutdown");
        // Handlers are never cut off: only what the test does lets them end.
        std::thread::sleep(std::time::Duration::from_millis(100));
        for gate in &gates {
            fs::write(format!("{gate}.out"), "").unwrap();
        }
        let ends: Vec<_> = calls.into_iter().map(|c| c.join().unwrap()).collect();
        assert_eq!(ends.iter().filter(|e| e.is_ok()).count(), 3, "{ends:?}");
        let rest: Vec<_> = ends.iter().filter_map(|e| e.as_ref().err()).collect();
        assert!(rest.iter().all(|e| matches!(e, CallError::NotStarted { .. })), "{rest:?}");
        assert_eq!(begun(), 3, "a call that was said not to have run has run");
    });
    assert_eq!(server.line(), "ended");
    assert!(!fs::exists(place.socket()).unwrap());
}

#[test]
fn the_name_is_free_for_a_new_server() {
    let place = Place::new("the_name_is_free_for_a_new_server");
    for n in 0..10 {
        let mut server = place.serve::<&str>(SERVER, &[]);
        let client = CalcClient::connect_with(place.socket(), &faithful()).unwrap();
        assert_eq!(client.add(n, n).unwrap(), 2 * n);
        server.say("shutdown");
        assert_eq!(server.line(), "ended");
        assert!(matches!(client.add(1, 1), Err(CallError::NotStarted { .. })));
        assert!(place.files().is_empty());
        server.hang_up();
        server.wait();
    }
}

#[test]
fn an_idle_and_a_busy_server_both_end() {
    let place = Place::new("an_idle_and_a_busy_server_both_end");
    for threads in [0, 1, 16] {
        let mut server = place.serve(SERVER, &["workers=4"]);
        let client = CalcClient::connect_with(place.socket(), &faithful()).unwrap();
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            match client.add(2, 2) {
                                Ok(sum) => assert_eq!(sum, 4),
                                Err(error) => break error,
                            }
                        }
                    })
                })
                .collect();
            std::thread::sleep(std::time::Duration::from_millis(30));
            server.say("shutdown");
            assert_eq!(server.line(), "ended");
            for caller in callers {
                let error = caller.join().unwrap();
                assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
            }
        });
    }
}

#[ipc_rpc::service]
trait Patient {
    /// Returns when the server shuts down, and whether its caller had given up.
    fn until_stopped(&self, ctx: &Context) -> bool;
}

struct Doctor;

impl Patient for Doctor {
    fn until_stopped(&self, ctx: &Context) -> bool {
        until(|| ctx.is_stopping());
        ctx.is_cancelled()
    }
}

#[test]
fn handlers_are_told_of_the_end() {
    let place = Place::new("handlers_are_told_of_the_end");
    let server = Server::bind(place.socket()).unwrap();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.serve(PatientDispatcher::new(Doctor)));
    let client = PatientClient::connect_with(place.socket(), &faithful()).unwrap();
    let call = client.start().until_stopped().unwrap();
    until(|| handle.usage().busy == 1);
    handle.shutdown();
    assert!(!call.wait().unwrap());
    serving.join().unwrap().unwrap();
}

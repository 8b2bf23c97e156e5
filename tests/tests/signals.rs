//! SIGTERM and SIGINT: an orderly end, once, and only where nobody has other plans.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use ipc_rpc::{CallError, service};
use ipc_rpc_tests::helper::{Helper, Place, faithful, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::system::{self, INTERRUPT, TERMINATE};

const SERVER: &str = env!("CARGO_BIN_EXE_managed_server");

/// As in the server.
#[service]
pub trait Later {
    /// As `Work::pass`.
    async fn later(&self, gate: &str) -> u64;
}

/// Waits until the server at `name` serves, so that it hears of signals if it wants to.
fn serves(name: &str) {
    assert_eq!(CalcClient::connect(name).unwrap().add(2, 3).unwrap(), 5);
}

fn begun(gate: &str) -> bool {
    fs::exists(format!("{gate}.in")).unwrap()
}

fn open(gate: &str) {
    fs::write(format!("{gate}.out"), "").unwrap();
}

/// The server has taken notice of a signal.
fn heard(server: &Helper) -> bool {
    !proc::handles(server.pid(), TERMINATE) && !proc::handles(server.pid(), INTERRUPT)
}

#[test]
fn a_running_call_is_answered_and_the_name_is_free() {
    let place = Place::new("a_running_call_is_answered_and_the_name_is_free");
    for signal in [TERMINATE, INTERRUPT] {
        let gate = place.join(&format!("gate{signal}"));
        let mut server = place.serve::<&str>(SERVER, &[]);
        let client = WorkClient::connect_with(place.socket(), &faithful()).unwrap();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.pass(&gate));
            until(|| begun(&gate));
            server.signal(signal);
            until(|| heard(&server));
            open(&gate);
            assert_eq!(call.join().unwrap().unwrap(), 1);
        });
        assert_eq!(server.line(), "ended");
        assert!(server.wait().success());
        assert!(matches!(client.runs(), Err(CallError::NotStarted { .. })));
        assert!(!fs::exists(place.socket()).unwrap());
    }
}

#[test]
fn a_future_has_its_grace() {
    let place = Place::new("a_future_has_its_grace");
    for (options, ends) in [(["async", "grace=90000"], true), (["async", "grace=30"], false)] {
        let gate = place.join(&format!("gate{ends}"));
        let mut server = place.serve(SERVER, &options);
        let client = LaterClient::connect_with(place.socket(), &faithful()).unwrap();
        let call = client.start().later(&gate).unwrap();
        until(|| begun(&gate));
        server.signal(TERMINATE);
        until(|| heard(&server));
        if ends {
            open(&gate);
            assert_eq!(call.wait().unwrap(), 1);
        } else {
            let error = call.wait().unwrap_err();
            assert!(matches!(error, CallError::Abandoned { .. }), "{error:?}");
        }
        assert_eq!(server.line(), "ended");
        assert!(server.wait().success());
        assert!(!fs::exists(place.socket()).unwrap());
    }
}

#[test]
fn the_second_one_kills() {
    let place = Place::new("the_second_one_kills");
    for (n, [first, second]) in [[TERMINATE, TERMINATE], [TERMINATE, INTERRUPT]].into_iter().enumerate() {
        let gate = place.join(&format!("gate{n}"));
        let mut server = place.serve::<&str>(SERVER, &[]);
        let client = WorkClient::connect_with(place.socket(), &faithful()).unwrap();
        std::thread::scope(|scope| {
            let call = scope.spawn(|| client.pass(&gate));
            until(|| begun(&gate));
            server.signal(first);
            until(|| heard(&server));
            server.signal(second);
            assert_eq!(server.wait().signal(), Some(second));
            let error = call.join().unwrap().unwrap_err();
            assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
        });
    }
}

#[test]
fn all_servers_of_a_process_end_and_the_next_one_hears_too() {
    let place = Place::new("all_servers_of_a_process_end_and_the_next_one_hears_too");
    let other = place.join("other.sock");
    let mut server = place.serve(SERVER, &["again", &format!("other={other}")]);
    serves(&place.socket());
    serves(&other);
    server.signal(TERMINATE);
    assert_eq!(server.line(), "ended");
    assert_eq!(server.line(), "bound");
    serves(&place.socket());
    until(|| !fs::exists(&other).unwrap());
    server.signal(TERMINATE);
    assert_eq!(server.line(), "ended");
    assert!(server.wait().success());
    assert!(place.files().is_empty());
}

#[test]
fn who_has_a_handler_keeps_it() {
    let place = Place::new("who_has_a_handler_keeps_it");
    let mut server = place.serve(SERVER, &["own"]);
    for _ in 0..3 {
        serves(&place.socket());
        server.signal(TERMINATE);
        assert_eq!(server.line(), "heard");
    }
    serves(&place.socket());
    // There is none for this one.
    server.signal(INTERRUPT);
    assert_eq!(server.line(), "ended");
    assert!(server.wait().success());
}

#[test]
fn what_is_ignored_stays_ignored() {
    let place = Place::new("what_is_ignored_stays_ignored");
    let mut command = Command::new(SERVER);
    command.arg(place.socket());
    system::ignore_interrupts(&mut command);
    let mut server = place.run(command);
    assert_eq!(server.line(), "bound");
    serves(&place.socket());
    assert!(proc::handles(server.pid(), TERMINATE) && !proc::handles(server.pid(), INTERRUPT));
    server.signal(INTERRUPT);
    serves(&place.socket());
    server.signal(TERMINATE);
    assert_eq!(server.line(), "ended");
}

#[test]
fn who_does_not_want_them_is_killed() {
    let place = Place::new("who_does_not_want_them_is_killed");
    let mut server = place.serve(SERVER, &["off"]);
    serves(&place.socket());
    server.signal(TERMINATE);
    assert_eq!(server.wait().signal(), Some(TERMINATE));
    assert!(fs::exists(place.socket()).unwrap());
}

#[test]
fn a_forked_child_dies_and_its_parent_goes_on() {
    let place = Place::new("a_forked_child_dies_and_its_parent_goes_on");
    let mut server = place.serve::<&str>(SERVER, &[]);
    serves(&place.socket());
    server.say("fork");
    let child = server.line().parse().unwrap();
    system::kill(child, TERMINATE);
    until(|| !proc::is_alive(child));
    serves(&place.socket());
    assert!(proc::handles(server.pid(), TERMINATE));
    server.signal(TERMINATE);
    assert_eq!(server.line(), "ended");
}

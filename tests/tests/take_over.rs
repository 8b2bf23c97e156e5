//! A new server takes the name over from a living one.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use ipc_rpc::{BindError, CallError, Server, ServerInfo};
use ipc_rpc_tests::helper::{Helper, Place, faithful, until};
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::{proc, system};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

/// The next server of the same name.
fn successor(place: &Place) -> Helper {
    place.serve(SERVER, &["take=over", "workers=3"])
}

#[test]
fn the_name_is_that_of_who_serves_now() {
    let place = Place::new("the_name_is_that_of_who_serves_now");
    let mut first = successor(&place);
    let second = successor(&place);
    assert_eq!(first.line(), "ended");
    first.hang_up();
    assert!(first.wait().success());
    let pid = second.pid() as i32;
    let taken = Server::bind(place.socket()).unwrap_err();
    assert!(matches!(taken, BindError::AddressInUse { pid: Some(told), .. } if told == pid), "{taken}");
    assert_eq!(ServerInfo::of(place.socket(), Duration::from_secs(20)).unwrap().pid, pid);
    // A process that is alive, and can be looked at: what it writes is read where it lies.
    let client = WorkClient::connect(place.socket()).unwrap();
    let reply = client.view().make(3, 7).unwrap();
    assert!(proc::is_shared(reply.get().as_ptr().addr()));
}

#[test]
fn no_call_is_lost_and_no_client_finds_nobody() {
    let place = Place::new("no_call_is_lost_and_no_client_finds_nobody");
    // With nobody there it is a name like any other.
    let mut server = successor(&place);
    let client = CalcClient::connect(place.socket()).unwrap();
    let (calls, connects, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (client, calls, over) = (client.clone(), &calls, &over);
            scope.spawn(move || {
                while over.load(Ordering::Relaxed) == 0 {
                    assert_eq!(client.add(thread, 1).unwrap(), thread + 1, "whatever it takes");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while over.load(Ordering::Relaxed) == 0 {
                let client = CalcClient::connect(place.socket()).unwrap();
                assert_eq!(client.add(1, 1).unwrap(), 2);
                connects.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..20 {
            let before = (calls.load(Ordering::Relaxed), connects.load(Ordering::Relaxed));
            until(|| calls.load(Ordering::Relaxed) > before.0 + 100 && connects.load(Ordering::Relaxed) > before.1 + 5);
            let next = successor(&place);
            assert_eq!(server.line(), "ended");
            server.hang_up();
            assert!(server.wait().success());
            server = next;
        }
        over.store(1, Ordering::Relaxed);
    });
    assert_eq!(place.files(), ["test.sock"]);
    drop(client);
    until(|| proc::segments(server.pid()) == 0 && proc::sockets(server.pid()) == 1);
    server.say("shutdown");
    assert_eq!(server.line(), "ended");
    assert!(place.files().is_empty(), "the last one removes the file");
}

#[test]
fn what_has_begun_is_ended_by_the_old_one() {
    let place = Place::new("what_has_begun_is_ended_by_the_old_one");
    let mut old = place.serve(SERVER, &["workers=3"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let gates = ["a", "b", "c", "d"].map(|name| place.join(name));
    let begun = || gates.iter().filter(|gate| fs::exists(format!("{gate}.in")).unwrap()).count();
    std::thread::scope(|scope| {
        let first: Vec<_> = gates[..2].iter().map(|gate| scope.spawn(|| client.pass(gate))).collect();
        until(|| begun() == 2);
        let new = successor(&place);
        // New calls of the same client go to the new one, while the old one is still at work.
        let second: Vec<_> = gates[2..].iter().map(|gate| scope.spawn(|| client.pass(gate))).collect();
        until(|| begun() == 4);
        assert!(proc::is_alive(old.pid()));
        gates.iter().for_each(|gate| fs::write(format!("{gate}.out"), "").unwrap());
        let run = |calls: Vec<ScopedJoinHandle<'_, Result<u64, CallError>>>| {
            let mut runs: Vec<u64> = calls.into_iter().map(|call| call.join().unwrap().unwrap()).collect();
            runs.sort();
            runs
        };
        assert_eq!((run(first), run(second)), (vec![1, 2], vec![1, 2]), "each server has counted its own");
        assert_eq!(old.line(), "ended");
        assert_eq!(client.runs().unwrap(), 2);
        drop(new);
    });
    // Without reconnection such a client is told.
    let mut old = place.serve::<&str>(SERVER, &[]);
    let proud = CalcClient::connect_with(place.socket(), &faithful()).unwrap();
    assert_eq!(proud.add(1, 2).unwrap(), 3);
    let _new = successor(&place);
    assert_eq!(old.line(), "ended");
    assert!(matches!(proud.add(1, 2), Err(CallError::NotStarted { .. })));
}

#[test]
fn who_is_killed_while_the_name_goes_over_leaves_nothing() {
    let place = Place::new("who_is_killed_while_the_name_goes_over_leaves_nothing");
    for round in 0..20 {
        let mut old = place.serve::<&str>(SERVER, &[]);
        let mut new = place.start(SERVER, &[&place.socket(), "take=over"]);
        std::thread::sleep(std::time::Duration::from_micros(300 * round));
        if round % 2 == 0 {
            old.kill()
        } else {
            new.kill()
        };
        // Whoever of the two is left, if any, can be followed.
        let mut next = successor(&place);
        assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
        old.kill();
        new.kill();
        next.kill();
        drop(successor(&place));
    }
}

#[test]
fn only_a_server_of_the_same_user_hands_over() {
    let place = Place::new("only_a_server_of_the_same_user_hands_over");
    // One that does not answer.
    let server = place.serve::<&str>(SERVER, &[]);
    server.stop();
    let error = Server::builder().take_over().bind(place.socket()).unwrap_err();
    assert!(matches!(error, BindError::NotHandedOver { .. }), "{error:?}");
    assert!(error.to_string().contains("does not answer; it may be stopped"), "{error}");
    server.go_on();
    // It keeps what nobody is there any more to take.
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
    drop(server);
    // Something else.
    let path = place.join("other.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let error = Server::builder().take_over().bind(&path).unwrap_err();
    assert!(!matches!(error, BindError::AddressInUse { .. }), "{error:?}");
    let path = place.join("file");
    fs::File::create(&path).unwrap().write_all(b"text").unwrap();
    assert!(Server::builder().take_over().bind(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"text");
    // Another user, who may connect.
    if !system::is_root() {
        println!("skipped: only root can start a process of another user");
        return;
    }
    let server = place.serve(SERVER, &["mode=666", "allow=65534"]);
    let copy = place.join("server");
    fs::copy(SERVER, &copy).unwrap();
    for path in [place.path(), copy.as_ref()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&copy);
    command.args([&place.socket(), "take=over"]);
    system::run_as(&mut command, 65_534, &[65_534]);
    let line = place.run(command).line();
    assert!(line.contains("does not hand its name over: a server hands its name over to its own user only"), "{line}");
    assert_eq!(CalcClient::connect(place.socket()).unwrap().add(1, 2).unwrap(), 3);
    drop(server);
}

//! What a server and a client do that have nothing to do: nothing.

use std::time::Duration;

use ipc_rpc_tests::helper::Place;
use ipc_rpc_tests::proc;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

/// A thread that makes no system call is never switched in or out: nothing wakes it.
fn asleep(pids: &[u32]) {
    // The spinning and the last tick are over in milliseconds; on a busy machine it may take longer.
    std::thread::sleep(Duration::from_secs(1));
    let switches = || pids.iter().map(|pid| proc::switches(*pid)).collect::<Vec<_>>();
    let before = switches();
    assert!(before.iter().all(|threads| !threads.is_empty()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(switches(), before);
}

#[test]
fn an_idle_server_and_an_idle_client_are_never_scheduled() {
    let place = Place::new("an_idle_server_and_an_idle_client_are_never_scheduled");
    let server = place.serve::<&str>(SERVER, &[]);
    let mut client = place.start(CLIENT, &["idle", &place.socket(), "2000"]);
    assert_eq!(client.line(), "idle");
    asleep(&[server.pid(), client.pid()]);
}

#[test]
fn a_server_without_clients_and_one_that_lost_a_client_are_never_scheduled() {
    let place = Place::new("a_server_without_clients_and_one_that_lost_a_client_are_never_scheduled");
    let server = place.serve::<&str>(SERVER, &[]);
    let other = place.start(SERVER, &[place.join("other.sock")]);
    let mut client = place.start(CLIENT, &["idle", &place.socket(), "100"]);
    assert_eq!(client.line(), "idle");
    client.kill();
    asleep(&[server.pid(), other.pid()]);
}

#[test]
fn callers_of_a_handler_that_takes_long_are_not_scheduled_meanwhile() {
    let place = Place::new("callers_of_a_handler_that_takes_long_are_not_scheduled_meanwhile");
    let _server = place.serve::<&str>(SERVER, &[]);
    let mut client = place.start(CLIENT, &["timeout", &place.socket(), "5000"]);
    // Its limit is a timer in the kernel, not a clock that is read now and then.
    asleep(&[client.pid()]);
    assert!(client.line().contains("gave no reply within 5s"));
}

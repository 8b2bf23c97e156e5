//! The calculator, run as two commands.
#![deny(unsafe_code)]

mod util;

use std::thread;
use std::time::{Duration, Instant};

use util::{Place, Running};

#[test]
fn two_commands_add() {
    let place = Place::new();
    let _server = Running(place.example("calculator").arg("serve").spawn().expect("a server that starts"));
    let begin = Instant::now();
    let answer = loop {
        let answer = place.run("calculator", &["add", "2", "3"]);
        if answer.code == Some(0) || begin.elapsed() > Duration::from_secs(20) {
            break answer;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((answer.out.as_str(), answer.err.as_str(), answer.code), ("5\n", "", Some(0)));
    let answer = place.run("calculator", &["add", "-0.5", "1e3"]);
    assert_eq!(answer.out, "999.5\n");

    let second = place.run("calculator", &["serve"]);
    assert_eq!((second.code, second.err.lines().count()), (Some(1), 1), "{second:?}");
    assert!(second.err.contains("a server is running at"), "{second:?}");
}

#[test]
fn without_a_server_the_client_says_what_it_tried() {
    let place = Place::new();
    let answer = place.run("calculator", &["add", "2", "3"]);
    assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
    let socket = place.path().join("ipc-rpc/calculator.sock");
    assert!(answer.err.contains(socket.to_str().expect("UTF-8")), "{answer:?}");
    assert!(answer.err.contains("start"), "{answer:?}");
}

#[test]
fn wrong_arguments_are_refused() {
    let place = Place::new();
    for arguments in [&["add", "2"][..], &["subtract", "2", "3"], &[]] {
        let answer = place.run("calculator", arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(1), ""));
        assert_eq!(answer.err, "calculator: usage: calculator serve | calculator add A B\n");
    }
}

//! The prober, run as two commands.
#![deny(unsafe_code)]

mod util;

use std::net::TcpListener;
use std::process::Command;

use util::Place;

#[test]
fn open_and_closed_addresses_are_told_apart() {
    let place = Place::new();
    let (mut server, line) = place.serve("async_tokio", &["serve"]);
    assert_eq!(line, "probing\n");
    let listeners: Vec<TcpListener> = (0..20).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let mut addresses: Vec<String> =
        listeners.iter().map(|listener| listener.local_addr().expect("its address").to_string()).collect();
    let probe = |addresses: &[String]| {
        let arguments: Vec<&str> = ["probe"].into_iter().chain(addresses.iter().map(String::as_str)).collect();
        place.run("async_tokio", &arguments)
    };
    let all_open = probe(&addresses);
    assert_eq!((all_open.code, all_open.err.as_str()), (Some(0), ""), "{all_open:?}");
    assert_eq!(all_open.out.lines().count(), 20);
    for address in &addresses {
        let line = all_open.out.lines().find_map(|line| line.strip_prefix(&format!("{address}: open, ")));
        let time = line.and_then(|line| line.strip_suffix(" ms")).expect("a line for each");
        assert!(time.parse::<f64>().is_ok(), "{all_open:?}");
    }
    // A port that nobody listens on any more, and no address at all.
    drop(listeners);
    addresses.truncate(1);
    addresses.push("nonsense".into());
    let closed = probe(&addresses);
    assert_eq!((closed.code, closed.out.lines().count()), (Some(1), 2), "{closed:?}");
    assert!(closed.out.contains(&format!("{}: Connection refused", addresses[0])), "{closed:?}");
    assert!(closed.out.contains("nonsense: "), "{closed:?}");

    // Ctrl-C ends the server in good order: its socket is gone.
    assert!(place.path().join("ipc-rpc/prober.sock").exists());
    let interrupt = Command::new("kill").args(["-INT", &server.0.id().to_string()]).status().expect("kill");
    assert!(interrupt.success());
    assert_eq!(server.0.wait().expect("an end").code(), Some(0));
    assert!(!place.path().join("ipc-rpc/prober.sock").exists());
}

#[test]
fn mistakes_are_told_in_one_line() {
    let place = Place::new();
    for arguments in [&[][..], &["probe"], &["serve", "more"]] {
        let answer = place.run("async_tokio", arguments);
        assert_eq!((answer.code, answer.out.as_str()), (Some(2), ""));
        assert_eq!(answer.err, "async_tokio: usage: async_tokio serve | async_tokio probe ADDRESS:PORT..\n");
    }
    let answer = place.run("async_tokio", &["probe", "127.0.0.1:1"]);
    assert_eq!((answer.code, answer.err.lines().count()), (Some(2), 1), "{answer:?}");
    assert!(answer.err.contains("prober.sock"), "{answer:?}");
}

//! A handler that does not return holds up nobody else, with default settings. No durations: a call that had to wait for the
//! slow one would wait for ever, since the test opens the gate only afterwards.

use std::fs;

use ipc_rpc::ClientConfig;
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::services::{CalcClient, WorkClient};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const CLIENT: &str = env!("CARGO_BIN_EXE_test_client");

fn patient() -> ClientConfig {
    ClientConfig { timeout: None, ..ClientConfig::default() }
}

fn begun(gate: &str) -> bool {
    fs::exists(format!("{gate}.in")).expect("the test's folder")
}

fn open(gate: &str) {
    fs::write(format!("{gate}.out"), "").expect("the test's folder");
}

/// So many calls at a slow handler, each by a client of its own, while others call.
fn others_go_on(test: &'static str, slow: usize) {
    let place = Place::new(test);
    let _server = place.serve::<&str>(SERVER, &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let work = WorkClient::connect_with(place.socket(), &patient()).unwrap();
    let gates: Vec<String> = (0..slow).map(|n| place.join(&format!("gate{n}"))).collect();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = gates
            .iter()
            .map(|gate| {
                let client = WorkClient::connect_with(place.socket(), &patient()).unwrap();
                let call = scope.spawn(move || client.pass(gate).unwrap());
                // All of them get as far as the handler, however many are there already.
                until(|| begun(gate));
                call
            })
            .collect();
        // Another client, a further one of this process, a new one, and new ones of another process.
        for n in 0..2000 {
            assert_eq!(calc.add(n, 1).unwrap(), n + 1);
        }
        assert_eq!(work.checksum(b"text").unwrap(), ipc_rpc_tests::services::checksum(b"text"));
        let fresh = CalcClient::connect(place.socket()).unwrap();
        assert_eq!(fresh.add(1, 2).unwrap(), 3);
        let mut process = place.start(CLIENT, &["calls", &place.socket(), "500"]);
        assert_eq!(process.line(), "done");
        // Slow ones that follow each other do not either.
        for n in 0..3 {
            let gate = place.join(&format!("later{n}"));
            let call = scope.spawn({
                let (work, gate) = (work.clone(), gate.clone());
                move || work.pass(&gate).unwrap()
            });
            until(|| begun(&gate));
            assert_eq!(calc.add(7, n).unwrap(), 7 + n);
            open(&gate);
            call.join().unwrap();
        }
        gates.iter().for_each(|gate| open(gate));
        for call in waiting {
            call.join().unwrap();
        }
    });
}

#[test]
fn others_go_on_while_one_handler_does_not_return() {
    others_go_on("others_go_on_while_one_handler_does_not_return", 1);
}

#[test]
fn others_go_on_while_six_handlers_do_not_return() {
    others_go_on("others_go_on_while_six_handlers_do_not_return", 6);
}

#[test]
fn calls_of_the_same_client_go_on_too() {
    let place = Place::new("calls_of_the_same_client_go_on_too");
    let _server = place.serve::<&str>(SERVER, &[]);
    let work = WorkClient::connect_with(place.socket(), &patient()).unwrap();
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| work.pass(&gate).unwrap());
        until(|| begun(&gate));
        for n in 0..500u64 {
            assert_eq!(work.mirror(&[n as u8]).unwrap(), [n as u8]);
        }
        open(&gate);
        call.join().unwrap();
    });
}

#[test]
fn a_client_that_wakes_a_sleeping_server_does_not_wait_for_the_slow_handler() {
    let place = Place::new("a_client_that_wakes_a_sleeping_server_does_not_wait_for_the_slow_handler");
    let _server = place.serve::<&str>(SERVER, &[]);
    let work = WorkClient::connect_with(place.socket(), &patient()).unwrap();
    let calc = CalcClient::connect(place.socket()).unwrap();
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| work.pass(&gate).unwrap());
        until(|| begun(&gate));
        for n in 0..20 {
            // Long enough for everybody who looks to fall asleep.
            std::thread::sleep(std::time::Duration::from_millis(30));
            assert_eq!(calc.add(n, n).unwrap(), 2 * n);
        }
        open(&gate);
        call.join().unwrap();
    });
}

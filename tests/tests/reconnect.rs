//! One client value and servers that come and go.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, ClientConfig, ConnectError, ConnectionEvent, Observer, Reconnect};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::services::{CalcClient, WorkClient};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

fn events() -> (ClientConfig, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let observer = Observer::new(move |event| {
        let name = match event {
            ConnectionEvent::Lost { .. } => "lost",
            ConnectionEvent::Failed { next: Some(_), .. } => "failed",
            ConnectionEvent::Failed { next: None, .. } => "given up",
            ConnectionEvent::Restored { .. } => "restored",
            _ => "?",
        };
        assert!(event.to_string().contains("test.sock"), "{event}");
        let _ = tell.send(String::from(name));
    });
    let reconnect = Reconnect { observer: Some(observer), ..Reconnect::default() };
    (ClientConfig { reconnect: Some(reconnect), ..ClientConfig::default() }, told)
}

#[test]
fn a_client_survives_its_server() {
    let place = Place::new("a_client_survives_its_server");
    let (config, told) = events();
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    for round in 0..10 {
        assert_eq!(client.add(round, 1).unwrap(), round + 1);
        server.kill();
        server = place.serve::<&str>(SERVER, &[]);
        assert_eq!(client.add(round, 2).unwrap(), round + 2, "{round}");
        assert_eq!(told.recv().unwrap(), "lost");
        until(|| told.try_recv().is_ok_and(|event| event == "restored"));
        until(|| proc::segments(std::process::id()) == 1);
    }
}

#[test]
fn a_call_waits_for_the_next_server() {
    let place = Place::new("a_call_waits_for_the_next_server");
    let (config, told) = events();
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    assert_eq!(client.add(1, 2).unwrap(), 3);
    server.kill();
    std::thread::scope(|scope| {
        let calls = [(); 3].map(|()| scope.spawn(|| client.add(2, 3)));
        assert_eq!(told.recv().unwrap(), "lost");
        assert_eq!(told.recv().unwrap(), "failed");
        assert!(calls.iter().all(|call| !call.is_finished()));
        let _server = place.serve::<&str>(SERVER, &[]);
        assert!(calls.map(|call| call.join().unwrap().unwrap()).into_iter().all(|sum| sum == 5));
    });
}

#[test]
fn who_has_no_patience_is_told_why() {
    let place = Place::new("who_has_no_patience_is_told_why");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let reconnect = Reconnect { patience: Duration::from_millis(50), ..Reconnect::default() };
    let config = ClientConfig { reconnect: Some(reconnect), timeout: None, ..ClientConfig::default() };
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    let never = ClientConfig { reconnect: None, ..ClientConfig::default() };
    let proud = CalcClient::connect_with(place.socket(), &never).unwrap();
    server.kill();
    for _ in 0..3 {
        let error = client.add(1, 2).unwrap_err();
        assert!(error.is_retryable() && !error.may_have_run());
        let CallError::NotStarted { why: Some(why), .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**why, ConnectError::NoServer { .. }), "{why:?}");
        assert!(error.to_string().contains("no server of Calc at"), "{error}");
    }
    assert!(matches!(proud.add(1, 2).unwrap_err(), CallError::NotStarted { why: None, .. }));
    // The limit of a call is one of waiting, too.
    let patient = Reconnect { patience: Duration::from_secs(3600), ..Reconnect::default() };
    let mut server = place.serve::<&str>(SERVER, &[]);
    let config = ClientConfig { reconnect: Some(patient), ..ClientConfig::default() };
    let patient = CalcClient::connect_with(place.socket(), &config).unwrap();
    server.kill();
    let error = patient.with_timeout(Duration::from_millis(20)).add(1, 2).unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
    let _server = place.serve::<&str>(SERVER, &[]);
    until(|| client.add(1, 2).is_ok());
    assert_eq!(patient.add(1, 2).unwrap(), 3);
    assert!(proud.add(1, 2).is_err());
}

#[test]
fn what_may_have_run_is_not_repeated() {
    let place = Place::new("what_may_have_run_is_not_repeated");
    let mut server = place.serve::<&str>(SERVER, &["workers=2"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.pass(&gate));
        until(|| fs::exists(format!("{gate}.in")).unwrap());
        server.kill();
        server = place.serve::<&str>(SERVER, &["workers=2"]);
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
        assert!(!error.is_retryable());
    });
    assert_eq!(client.runs().unwrap(), 0, "the new server has run nothing");
}

#[test]
fn futures_wait_for_the_next_server_without_a_thread() {
    let place = Place::new("futures_wait_for_the_next_server_without_a_thread");
    let (config, told) = events();
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    server.kill();
    // To start is not to wait.
    let begun = Instant::now();
    until(|| matches!(client.start().add(1, 2), Err(CallError::NotStarted { .. })));
    assert!(begun.elapsed() < Duration::from_secs(4), "it has waited for patience to be over");
    assert_eq!(told.recv().unwrap(), "lost");
    let _server = place.serve::<&str>(SERVER, &[]);
    until(|| client.start().add(1, 2).is_ok_and(|pending| pending.wait().is_ok()));
}

#[test]
fn many_threads_and_many_servers() {
    let place = Place::new("many_threads_and_many_servers");
    let (calls, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect(place.socket()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (client, calls, over) = (client.clone(), &calls, &over);
            scope.spawn(move || {
                while over.load(Ordering::Relaxed) == 0 {
                    match client.add(thread, 1) {
                        Ok(sum) => assert_eq!(sum, thread + 1),
                        Err(CallError::MayHaveRun { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..20 {
            let before = calls.load(Ordering::Relaxed);
            until(|| calls.load(Ordering::Relaxed) > before + 100);
            server.kill();
            server = place.serve::<&str>(SERVER, &[]);
        }
        over.store(1, Ordering::Relaxed);
    });
    until(|| proc::segments(std::process::id()) == 1);
}

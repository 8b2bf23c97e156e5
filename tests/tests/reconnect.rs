//! One client value and servers that come and go.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, ConnectError, ConnectionEvent, Observer, Reconnect, Server};
use ipc_rpc_tests::callbacks::{DoubleClient, DoubleDispatcher, Doubler};
use ipc_rpc_tests::helper::{Helper, Place, until};
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
    // Told of the end, that is.
    until(|| matches!(patient.start().add(1, 2), Err(CallError::NotStarted { .. })));
    let error = patient.with_timeout(Duration::from_millis(20)).add(1, 2).unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
    let _server = place.serve::<&str>(SERVER, &[]);
    until(|| client.add(1, 2).is_ok());
    assert_eq!(patient.add(1, 2).unwrap(), 3);
    assert!(proud.add(1, 2).is_err());
}

#[test]
fn a_loss_is_told_once() {
    let place = Place::new("a_loss_is_told_once");
    let (mut config, told) = events();
    config.reconnect.as_mut().unwrap().patience = Duration::from_millis(20);
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    server.kill();
    let mut all = Vec::new();
    until(|| {
        assert!(client.add(1, 2).is_err());
        all.extend(told.try_iter());
        all.iter().filter(|event| *event == "given up").count() >= 3
    });
    let _server = place.serve::<&str>(SERVER, &[]);
    until(|| client.add(1, 2).is_ok());
    while all.last().is_none_or(|event| event != "restored") {
        all.push(told.recv().unwrap());
    }
    assert_eq!(all[0], "lost");
    assert!(!all[1..].contains(&String::from("lost")), "{all:?}");
}

mod changed {
    #[ipc_rpc::service]
    pub trait Calc {
        fn add(&self, a: i64, b: i64, carry: bool) -> i64;
    }

    pub struct Adder;

    impl Calc for Adder {
        fn add(&self, a: i64, b: i64, carry: bool) -> i64 {
            a + b + i64::from(carry)
        }
    }
}

#[test]
fn a_server_that_has_changed_is_not_worth_another_try() {
    let place = Place::new("a_server_that_has_changed_is_not_worth_another_try");
    let config = ClientConfig { require_all: true, ..ClientConfig::default() };
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    server.kill();
    let other = Server::builder().service(changed::CalcDispatcher::new(changed::Adder)).bind(place.socket()).unwrap();
    let handle = other.handle();
    let serving = std::thread::spawn(|| other.run());
    let error = client.add(1, 2).unwrap_err();
    let CallError::NotStarted { why: Some(why), .. } = &error else { panic!("{error:?}") };
    assert!(why.to_string().ends_with("Calc::add argument 3: nothing here, bool there"), "{why}");
    assert!(!error.is_retryable() && !error.may_have_run());
    handle.shutdown();
    serving.join().unwrap().unwrap();
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
fn to_start_a_call_is_not_to_wait() {
    let place = Place::new("to_start_a_call_is_not_to_wait");
    let (mut config, told) = events();
    // Whoever waits for a server here waits longer than the watchdog.
    config.timeout = None;
    config.reconnect.as_mut().unwrap().patience = Duration::from_secs(3600);
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = CalcClient::connect_with(place.socket(), &config).unwrap();
    server.kill();
    until(|| matches!(client.start().add(1, 2), Err(CallError::NotStarted { .. })));
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

/// What says what it runs.
#[ipc_rpc::service]
trait Notes {
    /// Says so, makes `GATE.in`, and waits for `GATE.out`.
    #[rpc(idempotent)]
    fn again(&self, id: u64, gate: &str) -> u64;
    /// The same, only once.
    fn once(&self, id: u64, gate: &str) -> u64;
    #[rpc(oneway)]
    fn note(&self, id: u64);
    /// The same, with one call back.
    #[rpc(idempotent)]
    fn ask(&self, id: u64, gate: &str, down: &DoubleClient) -> u64;
    /// As `again`.
    #[rpc(idempotent)]
    async fn later(&self, id: u64) -> u64;
}

/// Says it here.
struct Noted(mpsc::Sender<(&'static str, u64)>);

impl Noted {
    fn run(&self, name: &'static str, id: u64, gate: &str) -> u64 {
        let _ = self.0.send((name, id));
        fs::write(format!("{gate}.in"), "").unwrap();
        until(|| fs::exists(format!("{gate}.out")).unwrap());
        id
    }
}

impl Notes for Noted {
    fn again(&self, id: u64, gate: &str) -> u64 {
        self.run("again", id, gate)
    }
    fn once(&self, id: u64, gate: &str) -> u64 {
        self.run("once", id, gate)
    }
    fn note(&self, id: u64) {
        let _ = self.0.send(("note", id));
    }
    fn ask(&self, id: u64, gate: &str, down: &DoubleClient) -> u64 {
        self.run("ask", down.double(id).unwrap() / 2, gate)
    }
    async fn later(&self, id: u64) -> u64 {
        let _ = self.0.send(("later", id));
        id
    }
}

/// In a child process: serves [`Notes`] at the path, and prints what runs.
fn serve_notes(path: &str) {
    ipc_rpc_tests::helper::live_no_longer_than_the_test(|_| ());
    let (note, noted) = mpsc::channel();
    let server = Server::bind(path).unwrap();
    std::thread::spawn(move || {
        while let Ok((name, id)) = noted.recv() {
            println!("ran {name} {id}");
        }
    });
    println!("bound");
    server.serve(NotesDispatcher::new(Noted(note))).unwrap();
}

const NOTES: &str = "IPC_RPC_TEST_NOTES";

/// Not a test, but the server of the tests below in a process of its own.
#[test]
fn a_server_of_notes() {
    if let Ok(path) = std::env::var(NOTES) {
        serve_notes(&path);
    }
}

fn notes(place: &Place) -> Helper {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["a_server_of_notes", "--exact", "--nocapture"]).env(NOTES, place.socket());
    let mut server = place.run(command);
    until(|| server.line().contains("bound"));
    server
}

#[test]
fn only_what_may_run_twice_runs_twice() {
    let place = Place::new("only_what_may_run_twice_runs_twice");
    let mut server = notes(&place);
    let client = NotesClient::connect(place.socket()).unwrap();
    let gates = ["again", "once", "ask"].map(|name| place.join(name));
    let down = DoubleDispatcher::new(Doubler);
    std::thread::scope(|scope| {
        let again = scope.spawn(|| client.again(1, &gates[0]));
        let once = scope.spawn(|| client.once(2, &gates[1]));
        let ask = scope.spawn(|| client.ask(3, &gates[2], &down));
        until(|| gates.iter().all(|gate| fs::exists(format!("{gate}.in")).unwrap()));
        server.kill();
        gates.iter().for_each(|gate| {
            fs::remove_file(format!("{gate}.in")).unwrap();
            fs::write(format!("{gate}.out"), "").unwrap();
        });
        server = notes(&place);
        assert_eq!(again.join().unwrap().unwrap(), 1);
        let error = once.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
        assert_eq!(ask.join().unwrap().unwrap(), 3, "lent anew");
    });
    let ran = [server.line(), server.line()];
    assert!(ran.contains(&"ran again 1".into()) && ran.contains(&"ran ask 3".into()), "{ran:?}");
    assert_eq!(ipc_rpc::testing::client_usage(&client).callbacks, 0);
}

#[test]
fn a_future_is_made_again_and_one_way_calls_that_are_lost_are_told() {
    let place = Place::new("a_future_is_made_again_and_one_way_calls_that_are_lost_are_told");
    let mut server = notes(&place);
    let client = NotesClient::connect(place.socket()).unwrap();
    client.note(1).unwrap();
    client.flush().unwrap();
    assert_eq!(server.line(), "ran note 1");
    server.stop();
    client.note(2).unwrap();
    server.kill();
    server = notes(&place);
    assert_eq!(smol::block_on(client.later(3)).unwrap(), 3);
    assert_eq!(server.line(), "ran later 3");
    let error = client.flush().unwrap_err();
    assert!(error.to_string().ends_with("one-way calls that were sent before it may be lost"), "{error}");
    assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
    client.flush().unwrap();
    // Several of one thread wait for a server.
    server.kill();
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let executor = smol::LocalExecutor::new();
            let calls = [1, 2, 3].map(|n| executor.spawn(client.later(n)));
            smol::block_on(executor.run(async {
                let mut sum = 0;
                for call in calls {
                    sum += call.await.unwrap();
                }
                sum
            }))
        });
        std::thread::sleep(Duration::from_millis(30));
        server = notes(&place);
        assert_eq!(calls.join().unwrap(), 6);
    });
    // One that has no patience is woken without an answer.
    server.kill();
    until(|| client.start().again(0, "").is_err());
    let hasty = client.with_timeout(Duration::from_millis(20));
    let error = smol::block_on(hasty.later(1)).unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
}

//! What a server counts, as another process sees it.

use std::process::Command;
use std::time::Duration;

use ipc_rpc::intercept::{Call, Next};
use ipc_rpc::{ClientConfig, ConnectError, MethodFigures, Server, ServerInfo, Trust};
use ipc_rpc_tests::flows::FlowsClient;
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::large::LargeClient;
use ipc_rpc_tests::services::{CalcClient, WorkClient, WorkDispatcher, Worker, bytes};
use ipc_rpc_tests::system;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const LONG: Duration = Duration::from_secs(30);

fn figures(info: &ServerInfo, method: &str) -> MethodFigures {
    info.figures("Work", method).unwrap()
}

#[test]
fn every_call_is_counted_once_whoever_makes_it() {
    let place = Place::new("every_call_is_counted_once_whoever_makes_it");
    let _server = place.serve(SERVER, &["workers=4"]);
    const THREADS: u64 = 4;
    const CALLS: u64 = 5000;
    let clients: Vec<_> = (0..THREADS).map(|_| WorkClient::connect(place.socket()).unwrap()).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| {
                for n in 0..CALLS {
                    client.runs().unwrap();
                    assert_eq!(client.fail((n % 4) as i32).is_err(), n % 4 != 0);
                }
            });
        }
    });
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let (runs, fail) = (figures(&info, "runs"), figures(&info, "fail"));
    assert_eq!((runs.calls, fail.calls), (THREADS * CALLS, THREADS * CALLS));
    assert_eq!((runs.errors.iter().sum::<u64>(), fail.errors[0]), (0, THREADS * CALLS * 3 / 4));
    assert_eq!(figures(&info, "sleep").calls, 0);
    // Measured calls stand for all.
    for figures in [&runs, &fail] {
        let measured = figures.durations.count() as f64 / figures.calls as f64;
        assert!((0.5..=2.0).contains(&measured), "{measured}");
        assert!(figures.durations.quantile(0.5) <= figures.durations.quantile(0.99));
    }
    let sent = runs.sent as f64 / runs.calls as f64;
    assert!((4.0..=16.0).contains(&sent), "{sent} bytes a reply of 8");
    assert_eq!(info.state.clients.len(), THREADS as usize);
    assert!(info.state.clients.iter().all(|c| c.calls == 2 * CALLS && c.running.is_empty() && c.queued == 0));
    assert!(info.state.clients.iter().all(|c| c.pid == std::process::id() as i32));
}

#[test]
fn a_load_in_a_rhythm_is_measured_as_it_is() {
    let place = Place::new("a_load_in_a_rhythm_is_measured_as_it_is");
    let _server = place.serve(SERVER, &["workers=1"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    // Of each eight that are under way at once the first has a long reply.
    const ROUNDS: u64 = 8000;
    for _ in 0..ROUNDS {
        let calls =
            client.batch(|calls| (0..8).map(|n| calls.make(if n == 0 { 1000 } else { 8 }, 0)).collect::<Vec<_>>());
        for call in calls {
            call.unwrap().wait().unwrap();
        }
    }
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let make = figures(&info, "make");
    assert_eq!(make.calls, 8 * ROUNDS);
    // A reply has a few bytes more than what is in it. By measuring every 64th it would be 7.5 times as much, or a hundredth.
    let share = make.sent as f64 / (ROUNDS * (1008 + 7 * 16)) as f64;
    assert!((0.6..=1.6).contains(&share), "{share}");
}

#[test]
fn calls_that_come_now_and_then_are_all_measured() {
    let place = Place::new("calls_that_come_now_and_then_are_all_measured");
    let _server = place.serve(SERVER, &["workers=2"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    for n in 0..20 {
        // So that all workers sleep, or one of them waits at least.
        std::thread::sleep(Duration::from_millis(30));
        client.make(100, n).unwrap();
    }
    let make = figures(&ServerInfo::of(place.socket(), LONG).unwrap(), "make");
    assert_eq!((make.calls, make.durations.count()), (20, 20));
    assert!((2000..3000).contains(&make.sent), "{} bytes", make.sent);
}

#[test]
fn what_lies_in_files_is_counted() {
    const LEN: u64 = 2 << 20;
    let place = Place::new("what_lies_in_files_is_counted");
    let _server = place.serve(SERVER, &["workers=2", "trust=snapshot"]);
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let (work, large) =
        (WorkClient::connect_with(place.socket(), &config), LargeClient::connect_with(place.socket(), &config));
    let (work, large) = (work.unwrap(), large.unwrap());
    let bytes = bytes(LEN as usize, 3);
    for _ in 0..3 {
        // So that all of them are measured.
        std::thread::sleep(Duration::from_millis(30));
        work.mirror(&bytes).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        smol::block_on(large.place_later(&bytes)).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        smol::block_on(large.make_frame(LEN)).unwrap();
    }
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let large = |method: &str| info.figures("Large", method).unwrap();
    let exact = 3 * LEN..3 * LEN + 1000;
    let (mirror, place_later, make_frame) = (figures(&info, "mirror"), large("place_later"), large("make_frame"));
    assert!(exact.contains(&mirror.received) && exact.contains(&mirror.sent), "{mirror:?}");
    assert!(exact.contains(&place_later.received) && place_later.sent < 1000, "{place_later:?}");
    assert!(make_frame.received < 1000 && make_frame.sent >= 3 * LEN, "{make_frame:?}");
}

#[test]
fn what_goes_on_in_a_stream_is_no_call() {
    let place = Place::new("what_goes_on_in_a_stream_is_no_call");
    let _server = place.serve(SERVER, &[""; 0]);
    let client = FlowsClient::connect(place.socket()).unwrap();
    assert_eq!(client.count(50_000).unwrap().count(), 50_000);
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let [seen] = &info.state.clients[..] else { panic!("one client") };
    assert_eq!((seen.calls, info.figures("Flows", "count").unwrap().calls), (1, 1));
    // One that is open, and waits.
    let slowly = client.slowly(1000, 2).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let [seen] = &info.state.clients[..] else { panic!("one client") };
    assert!(seen.calls == 2 && seen.running.is_empty() && seen.queued == 0, "{seen:?}");
    drop(slowly);
}

#[test]
fn a_server_that_may_have_no_files_has_no_figures_for_others() {
    let place = Place::new("a_server_that_may_have_no_files_has_no_figures_for_others");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -f 0; exec \"$@\"", "sh", SERVER, &place.socket()]);
    let mut server = place.run(command);
    assert_eq!(server.line(), "bound");
    let client = WorkClient::connect(place.socket()).unwrap();
    assert_eq!(client.make(3, 7).unwrap(), [7; 3]);
    // Not even what it is can be told: that goes in a file, too.
    let error = ServerInfo::of(place.socket(), LONG).unwrap_err();
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    system::limit(server.pid(), system::FILE_SIZE, 40_000);
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    assert!(info.figures("Work", "make").is_none() && info.state.clients.len() == 1);
    client.make(3, 7).unwrap();
}

#[test]
fn failures_are_counted_by_their_kind() {
    let place = Place::new("failures_are_counted_by_their_kind");
    let _server = place.serve(SERVER, &["workers=2"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    for _ in 0..3 {
        client.panic("on purpose").unwrap_err();
    }
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let (first, second) = (client.clone(), client.clone());
        let gates = [gate.clone(), place.join("second")];
        let [one, two] = gates.clone();
        scope.spawn(move || first.pass(&one).unwrap());
        scope.spawn(move || second.pass(&two).unwrap());
        until(|| gates.iter().all(|gate| std::fs::exists(format!("{gate}.in")).unwrap()));
        // Nobody is left for it; its deadline passes where it waits.
        client.with_timeout(Duration::from_millis(20)).sleep(0).unwrap_err();
        gates.iter().for_each(|gate| std::fs::write(format!("{gate}.out"), "").unwrap());
    });
    client.runs().unwrap();
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let (panic, sleep) = (figures(&info, "panic"), figures(&info, "sleep"));
    assert_eq!((panic.calls, panic.errors[16]), (3, 3));
    assert_eq!((sleep.calls, sleep.errors[1]), (0, 1));
}

#[test]
fn a_call_that_fails_in_two_ways_is_one_error() {
    let place = Place::new("a_call_that_fails_in_two_ways_is_one_error");
    let server = Server::builder().service(WorkDispatcher::new(Worker::default())).intercept(
        |call: Call, next: Next| async move {
            match next.run(call.clone()).await {
                Ok(done) if done.failed() && call.metadata().get("other").is_some() => Err(call.denied("an error")),
                done => done,
            }
        },
    );
    let server = server.bind(place.socket()).unwrap();
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.run().unwrap());
    let client = WorkClient::connect(place.socket()).unwrap();
    let other = client.with_metadata("other", "");
    for _ in 0..3 {
        client.fail(1).unwrap_err();
        other.fail(1).unwrap_err();
        other.fail(0).unwrap();
    }
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    let errors = figures(&info, "fail").errors;
    assert_eq!((errors[0], errors.iter().sum::<u64>()), (3, 6));
    handle.shutdown();
    serving.join().unwrap();
}

#[test]
fn what_runs_is_seen_and_since_when() {
    let place = Place::new("what_runs_is_seen_and_since_when");
    let _server = place.serve(SERVER, &["workers=4"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    let gate = place.join("gate");
    std::thread::scope(|scope| {
        let (caller, name) = (client.clone(), gate.clone());
        scope.spawn(move || caller.pass(&name).unwrap());
        until(|| std::fs::exists(format!("{gate}.in")).unwrap());
        // Long enough for a tick to find it.
        std::thread::sleep(Duration::from_millis(500));
        let mut info = ServerInfo::of(place.socket(), LONG).unwrap();
        let pass = info.methods().position(|m| m == ("Work", "pass")).unwrap();
        let [running] = info.state.clients[0].running[..] else { panic!("{:?}", info.state) };
        assert_eq!(usize::from(running.method), pass);
        let ran = Duration::from_nanos(info.state.now - running.since);
        assert!(ran >= Duration::from_millis(300), "{ran:?}");
        std::fs::write(format!("{gate}.out"), "").unwrap();
        until(|| {
            info.refresh(LONG).unwrap();
            info.state.clients[0].running.is_empty()
        });
    });
}

#[test]
fn figures_are_read_from_a_server_that_is_stopped() {
    let place = Place::new("figures_are_read_from_a_server_that_is_stopped");
    let mut server = place.serve(SERVER, &["workers=2"]);
    let client = WorkClient::connect(place.socket()).unwrap();
    client.runs().unwrap();
    let mut info = ServerInfo::of(place.socket(), LONG).unwrap();
    client.runs().unwrap();
    server.stop();
    let error = info.refresh(Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert_eq!(figures(&info, "runs").calls, 2);
    server.kill();
    // The figures of one that is dead are those of its end.
    assert_eq!(figures(&info, "runs").calls, 2);
    let error = info.refresh(LONG).unwrap_err();
    assert!(matches!(error, ConnectError::NoServer { killed: true, .. }), "{error}");
}

#[test]
fn a_description_says_what_the_services_are() {
    let place = Place::new("a_description_says_what_the_services_are");
    let _server = place.serve(SERVER, &["workers=2"]);
    let calc = CalcClient::connect(place.socket());
    let info = ServerInfo::of(place.socket(), LONG).unwrap();
    assert_eq!(calc.is_ok(), info.description.service("Calc").is_some());
    let work = info.description.service("Work").unwrap();
    assert_eq!(work.docs, "Handlers that misbehave on demand.");
    assert!(work.rust(&info.description).contains("fn fail(&self, code: i32) -> Result<String, WorkError>;"));
    assert!(info.state.health.is_ready() && !info.state.stopping);
    assert!(info.state.started <= info.state.now);
    assert!(info.figures("Work", "no_such_method").is_none());
}

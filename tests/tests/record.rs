//! Calls that are recorded in a server of another process, and made again.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipc_rpc::dynamic::DynamicClient;
use ipc_rpc::intercept::Authenticate;
use ipc_rpc::record::{Pace, RecordedCall, Recorder, Recording, replay};
use ipc_rpc::{ClientConfig, ConnectError, Trust};
use ipc_rpc_tests::helper::{Helper, Place};
use ipc_rpc_tests::large::LargeClient;
use ipc_rpc_tests::services::{CalcClient, WorkClient, bytes, checksum};
use ipc_rpc_tests::system;
use serde_json::{Value, json};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const RECORDER: &str = env!("CARGO_BIN_EXE_recorder");
const PATIENCE: Duration = Duration::from_secs(20);
const LIMIT: u64 = 64 << 20;

fn started(test: &'static str, options: &[&str]) -> (Place, Helper) {
    let place = Place::new(test);
    let server = place.serve(SERVER, options);
    (place, server)
}

fn record(place: &Place, service: &str, limit: u64) -> Recorder {
    let file = File::create(place.join("calls")).unwrap();
    Recorder::start(place.socket(), service, file, limit, PATIENCE).unwrap()
}

fn recording(place: &Place) -> Recording<File> {
    Recording::read(File::open(place.join("calls")).unwrap()).unwrap()
}

/// The calls of a recording, each with its method, arguments and reply.
fn calls(place: &Place) -> Vec<(String, Value, Value)> {
    let mut recording = recording(place);
    let mut all = Vec::new();
    while let Some(call) = recording.next() {
        let call: RecordedCall = call.unwrap();
        let method = recording.method(&call).unwrap().name.clone();
        all.push((method, recording.arguments(&call).unwrap(), recording.reply(&call).unwrap()));
    }
    all
}

#[test]
fn calls_of_old_and_new_clients_are_recorded_while_somebody_does() {
    let (place, _server) = started("calls_of_old_and_new_clients_are_recorded", &[]);
    let old = WorkClient::connect(place.socket()).unwrap();
    let other = CalcClient::connect(place.socket()).unwrap();
    assert_eq!(old.checksum(b"before").unwrap(), checksum(b"before"));
    let recorder = record(&place, "Work", LIMIT);
    assert!(recorder.wait(Duration::ZERO).unwrap().is_none());
    let new = WorkClient::connect(place.socket()).unwrap();
    let sum = old.checksum(b"abc").unwrap();
    assert_eq!(new.with_metadata("who", "new").make(3, 7).unwrap(), [7; 3]);
    assert!(old.fail(0).is_ok() && old.fail(5).is_err() && new.panic("so").is_err());
    assert_eq!(other.add(1, 2).unwrap(), 3);
    let end = recorder.stop(PATIENCE).unwrap();
    assert_eq!((end.calls, end.left_out, end.reason.as_str()), (5, 0, ""));
    old.checksum(b"after").unwrap();

    let expected = [
        ("checksum", json!({"bytes": [97, 98, 99]}), json!(sum)),
        ("make", json!({"len": 3, "byte": 7}), json!([7, 7, 7])),
        ("fail", json!({"code": 0}), json!({"Ok": "well"})),
        ("fail", json!({"code": 5}), json!({"Err": {"code": 5, "reason": "it went wrong"}})),
        ("panic", json!({"text": "so"}), json!("so")),
    ];
    assert_eq!(calls(&place), expected.map(|(method, arguments, reply)| (method.to_owned(), arguments, reply)));
    let mut read = recording(&place);
    let all: Vec<RecordedCall> = read.by_ref().map(Result::unwrap).collect();
    assert_eq!(read.end(), Some(&end));
    assert_eq!(all[1].metadata, [("who".to_owned(), "new".to_owned())]);
    assert!(all.iter().all(|call| call.pid == std::process::id() as i32));
    assert!(all.windows(2).all(|two| two[0].begun + two[0].took <= two[1].begun));
    assert!(all[3].is_replied() && !all[4].is_replied());
}

#[test]
fn calls_that_futures_serve_are_recorded() {
    let (place, _server) = started("calls_that_futures_serve_are_recorded", &[]);
    let large = LargeClient::connect(place.socket()).unwrap();
    let recorder = record(&place, "Large", LIMIT);
    let (_, sum) = smol::block_on(large.place_later(&[1, 2, 3])).unwrap();
    let end = recorder.stop(PATIENCE).unwrap();
    assert_eq!((end.calls, end.left_out), (1, 0));
    let all = calls(&place);
    assert_eq!((all[0].0.as_str(), &all[0].1), ("place_later", &json!({"bytes": [1, 2, 3]})));
    assert_eq!(all[0].2[1], json!(sum));
}

#[test]
fn recorded_calls_are_made_again() {
    let (place, _server) = started("recorded_calls_are_made_again", &[]);
    let work = WorkClient::connect(place.socket()).unwrap();
    let recorder = record(&place, "Work", LIMIT);
    work.make(100, 1).unwrap();
    work.fail(3).unwrap_err();
    work.runs().unwrap();
    work.panic("so").unwrap_err();
    recorder.stop(PATIENCE).unwrap();
    let again = DynamicClient::ask(place.socket(), "Work", &ClientConfig::default()).unwrap();
    for pace in [Pace::AtOnce, Pace::AsRecorded] {
        let replayed = replay(&mut recording(&place), &again, pace).unwrap();
        assert_eq!((replayed.sent, replayed.same, replayed.left_out), (4, 3, 0), "{replayed:?}");
        assert_eq!((replayed.unlike[0].number, replayed.unlike[0].method.as_str()), (2, "runs"));
    }
    // A server without the service that was recorded.
    let calc = DynamicClient::ask(place.socket(), "Calc", &ClientConfig::default()).unwrap();
    assert_eq!(replay(&mut recording(&place), &calc, Pace::AtOnce).unwrap().left_out, 4);
}

#[test]
fn large_messages_are_recorded_in_whole() {
    for options in [&[][..], &["trust=snapshot"]] {
        let (place, _server) = started("large_messages_are_recorded_in_whole", options);
        let work = WorkClient::connect(place.socket()).unwrap();
        let recorder = record(&place, "Work", LIMIT);
        let large = bytes(3 << 20, 5);
        assert_eq!(work.mirror(&large).unwrap(), large);
        // In a loan: it lies elsewhere.
        let mut loan = work.loan::<u8>(1 << 20).unwrap();
        loan.fill(1);
        work.checksum(&loan).unwrap();
        recorder.stop(PATIENCE).unwrap();
        let mut recording = recording(&place);
        let call = recording.next().unwrap().unwrap();
        let value = json!(large);
        assert_eq!(recording.arguments(&call).unwrap(), json!({"bytes": value}));
        assert_eq!(recording.reply(&call).unwrap(), value);
        let call = recording.next().unwrap().unwrap();
        assert_eq!(recording.arguments(&call).is_err(), options.is_empty());
    }
}

#[test]
fn only_a_reply_that_lies_in_a_file_of_its_own_is_left_out() {
    let (place, _server) = started("only_a_reply_that_lies_in_a_file_of_its_own_is_left_out", &[]);
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let calc = CalcClient::connect_with(place.socket(), &config).unwrap();
    let recorder = record(&place, "Calc", LIMIT);
    // As many bytes, and as many as such a file might have, as what stands there in place of a reply.
    assert_eq!(calc.add(1 << 40, 1).unwrap(), (1 << 40) + 1);
    let end = recorder.stop(PATIENCE).unwrap();
    assert_eq!((end.calls, end.left_out), (1, 0));
    assert_eq!(calls(&place)[0].2, json!((1u64 << 40) + 1));

    let large = LargeClient::connect_with(place.socket(), &config).unwrap();
    let work = WorkClient::connect_with(place.socket(), &config).unwrap();
    let recorder = record(&place, "Work", LIMIT);
    assert_eq!(work.make(3 << 20, 7).unwrap().len(), 3 << 20);
    assert_eq!(work.make(3, 7).unwrap(), [7; 3]);
    let end = recorder.stop(PATIENCE).unwrap();
    assert_eq!((end.calls, end.left_out), (1, 1));
    let recorder = record(&place, "Large", LIMIT);
    smol::block_on(large.place_later(&[1, 2, 3])).unwrap();
    assert_eq!(recorder.stop(PATIENCE).unwrap().calls, 1);
}

#[test]
fn no_secret_is_recorded() {
    let (place, _server) = started("no_secret_is_recorded", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap().with_metadata("user", "seven");
    let recorder = record(&place, "Calc", LIMIT);
    calc.with_interceptor(Authenticate::with("swordfish")).add(1, 2).unwrap();
    recorder.stop(PATIENCE).unwrap();
    assert_eq!(recording(&place).next().unwrap().unwrap().metadata, [("user".to_owned(), "seven".to_owned())]);
    assert!(!String::from_utf8_lossy(&std::fs::read(place.join("calls")).unwrap()).contains("swordfish"));
}

#[test]
fn a_recorder_that_is_killed_is_forgotten() {
    let (place, _server) = started("a_recorder_that_is_killed_is_forgotten", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let (name, file) = (place.socket(), place.join("calls"));
    let mut recorder = place.start(RECORDER, &[&name, "Calc", &file, "1000000"]);
    assert_eq!(recorder.line(), "records");
    assert_eq!(calc.add(1, 2).unwrap(), 3);
    recorder.kill();
    let length = std::fs::metadata(&file).unwrap().len();
    for n in 0..100 {
        assert_eq!(calc.add(n, 1).unwrap(), n + 1);
    }
    let mut read = recording(&place);
    assert_eq!(read.by_ref().map(Result::unwrap).count(), 1);
    assert_eq!(read.end().map(|end| end.reason.as_str()), Some("nobody listens"));
    assert!(std::fs::metadata(&file).unwrap().len() < length + 100);
    // The next one finds a server that is as before.
    let mut next = place.start(RECORDER, &[&name, "Calc", &file, "1000000"]);
    assert_eq!(next.line(), "records");
    calc.add(5, 5).unwrap();
    next.say("stop");
    assert_eq!(next.line(), "calls 1, left out 0");
    assert_eq!(calls(&place), [("add".to_owned(), json!({"a": 5, "b": 5}), json!(10))]);
}

#[test]
fn a_server_that_is_killed_leaves_what_it_has_written() {
    let (place, mut server) = started("a_server_that_is_killed_leaves", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let recorder = record(&place, "Calc", LIMIT);
    calc.add(1, 2).unwrap();
    server.kill();
    let error = recorder.wait(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    let mut read = recording(&place);
    assert_eq!(read.by_ref().map(Result::unwrap).count(), 1);
    assert!(read.end().is_none());
}

#[test]
fn a_file_that_is_full_ends_it() {
    let (place, _server) = started("a_file_that_is_full_ends_it", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let recorder = record(&place, "Calc", 300);
    for n in 0..50 {
        calc.add(n, n).unwrap();
    }
    let end = recorder.wait(PATIENCE).unwrap().unwrap();
    assert!((1..10).contains(&end.calls) && end.reason == "the file is as long as it may be", "{end:?}");
    assert_eq!(calls(&place).len() as u64, end.calls);
    // A file that cannot be written.
    let whole = place.join("calls");
    let recorder = record(&place, "Calc", LIMIT);
    drop(recorder);
    let file = OpenOptions::new().read(true).open(&whole).unwrap();
    let refused = Recorder::start(place.socket(), "Calc", file, LIMIT, PATIENCE).unwrap_err();
    assert!(matches!(refused, ConnectError::Io { .. }));
}

#[test]
fn a_server_does_not_write_more_than_a_file_may_have() {
    let (place, server) = started("a_server_does_not_write_more_than_a_file_may_have", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    // With each of them another part of what is written last has no room.
    for most in (0..300).step_by(17) {
        let recorder = record(&place, "Calc", LIMIT);
        let length = std::fs::metadata(place.join("calls")).unwrap().len();
        recorder.stop(PATIENCE).unwrap();
        let before = system::limit(server.pid(), system::FILE_SIZE, length + most);
        let recorder = record(&place, "Calc", LIMIT);
        let end = loop {
            assert_eq!(calc.add(1, 2).unwrap(), 3);
            if let Some(end) = recorder.wait(Duration::ZERO).unwrap() {
                break end;
            }
        };
        assert_eq!(end.reason, "the file is as long as it may be");
        system::limit(server.pid(), system::FILE_SIZE, before);
    }
}

#[test]
fn nobody_moves_where_a_server_writes() {
    let (place, _server) = started("nobody_moves_where_a_server_writes", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let mut file = File::create(place.join("calls")).unwrap();
    let recorder = Recorder::start(place.socket(), "Calc", file.try_clone().unwrap(), LIMIT, PATIENCE).unwrap();
    for at in [1 << 40, 0] {
        calc.add(1, 2).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
    }
    assert_eq!(recorder.stop(PATIENCE).unwrap().calls, 2);
    assert_eq!(calls(&place).len(), 2);
    assert!(file.metadata().unwrap().len() < LIMIT);
}

#[test]
fn who_records_is_heard_whatever_else_goes_on() {
    let (place, _server) = started("who_records_is_heard_whatever_else_goes_on", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                calc.add(1, 2).unwrap();
            }
        });
        for _ in 0..20 {
            let end = record(&place, "Calc", LIMIT).stop(PATIENCE).unwrap();
            assert_eq!(end.reason, "");
        }
        over.store(true, Ordering::Relaxed);
    });
    // More connections that say nothing than a server keeps.
    let recorder = record(&place, "Calc", LIMIT);
    let path = place.socket();
    let connect = || ipc_core::socket::connect(path.as_ref(), ipc_core::clock::after(PATIENCE)).unwrap();
    let _idle: Vec<_> = (0..100).map(|_| connect()).collect();
    calc.add(1, 2).unwrap();
    let end = recorder.stop(PATIENCE).unwrap();
    assert_eq!((end.calls, end.reason.as_str()), (1, ""));
}

#[test]
fn what_cannot_be_recorded_is_refused() {
    let (place, _server) = started("what_cannot_be_recorded_is_refused", &[]);
    let start = |service: &str, file: File| match Recorder::start(place.socket(), service, file, LIMIT, PATIENCE)
        .unwrap_err()
    {
        ConnectError::Refused { reason, .. } => reason,
        other => panic!("{other}"),
    };
    let file = || File::create(place.join("calls")).unwrap();
    assert_eq!(start("Clock", file()), "it does not serve Clock");
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    assert_eq!(start("Calc", null), "calls are recorded to regular files only");
}

#[test]
fn any_file_is_a_recording_or_an_error() {
    let (place, _server) = started("any_file_is_a_recording_or_an_error", &[]);
    let calc = CalcClient::connect(place.socket()).unwrap();
    let recorder = record(&place, "Calc", LIMIT);
    calc.add(1, 2).unwrap();
    recorder.stop(PATIENCE).unwrap();
    let whole = std::fs::read(place.join("calls")).unwrap();
    let read = |bytes: &[u8]| {
        let Ok(mut recording) = Recording::read(bytes) else { return };
        while let Some(Ok(call)) = recording.next() {
            let _ = (recording.arguments(&call), recording.reply(&call));
        }
    };
    for at in (0..whole.len()).step_by(3) {
        read(&whole[..at]);
        let mut other = whole.clone();
        other[at] ^= 1 << (at % 8);
        read(&other);
    }
}

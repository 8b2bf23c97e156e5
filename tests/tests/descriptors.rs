//! Descriptors as arguments and results: between two processes, through all forms of calls, and when something goes wrong.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ipc_rpc::{CallError, DescriptorError, EncodeError, MessageErrorKind, testing};
use ipc_rpc_tests::files::{Bundle, Clerk, FilesClient, FilesDispatcher, file, text};
use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::raw::{FakeServer, Peer, overhear};
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::system;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

fn serve(place: &Place, options: &[&str]) -> (Helper, FilesClient) {
    let server = place.serve(SERVER, options);
    let client = FilesClient::connect(place.socket()).unwrap();
    (server, client)
}

fn open(pid: u32) -> usize {
    proc::descriptors(pid).len()
}

fn own() -> usize {
    open(std::process::id())
}

fn bundle(name: &str) -> Bundle {
    let many = (0..3).map(|n| file(&format!("{name} {n}")).into()).collect();
    Bundle { name: name.to_owned(), one: Some(file(name)), many }
}

fn look(bundle: Bundle, name: &str) {
    assert_eq!((bundle.name.as_str(), text(&bundle.one.unwrap())), (name, name.to_owned()));
    let texts: Vec<String> = bundle.many.into_iter().map(|fd| text(&File::from(fd))).collect();
    assert_eq!(texts, (0..3).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
}

#[test]
fn files_and_sockets_go_to_another_process_and_come_back() {
    let place = Place::new("files_and_sockets_go_to_another_process_and_come_back");
    let (_server, files) = serve(&place, &[]);
    assert_eq!(files.read(file("to be read")).unwrap(), "to be read");
    let (a, b) = (file("a"), file("b"));
    assert_eq!(files.both("both", &a, Some(&b)).unwrap(), "both: a b");
    assert_eq!(files.both("one", &a, None).unwrap(), "one: a ");
    assert_eq!(text(&a), "a", "what was passed is still here");

    let (mut here, there) = UnixStream::pair().unwrap();
    let echo = files.start().echo(there).unwrap();
    here.write_all(b"over the socket").unwrap();
    let mut answer = [0; 15];
    here.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"over the socket");
    drop(here);
    assert_eq!(echo.wait().unwrap(), 15);

    assert_eq!(text(&files.make("made there").unwrap()), "made there");
    look(files.mirror(bundle("there and back")).unwrap(), "there and back");
    let none = files.mirror(Bundle { name: String::new(), one: None, many: vec![] }).unwrap();
    assert!(none.one.is_none() && none.many.is_empty());
    assert_eq!(files.count(&bundle("not taken")).unwrap(), 4);
}

#[test]
fn every_form_of_a_call_carries_them() {
    let place = Place::new("every_form_of_a_call_carries_them");
    let (server, files) = serve(&place, &[]);
    look(files.mirror(bundle("a warm-up")).unwrap(), "a warm-up");
    let (here, there) = (own(), open(server.pid()));

    let view = files.view().mirror(bundle("in place")).unwrap();
    assert_eq!(view.name(), "in place");
    look(view.to_owned().unwrap(), "in place");
    look(view.to_owned().unwrap(), "in place");
    drop(view);
    let calls: Vec<_> = (0..20).map(|n| files.start().mirror(bundle(&n.to_string())).unwrap()).collect();
    for (n, call) in calls.into_iter().enumerate().rev() {
        look(call.wait().unwrap(), &n.to_string());
    }
    let calm = files.with_timeout(Duration::from_secs(20));
    look(calm.mirror(bundle("with a time")).unwrap(), "with a time");
    let told = files.with_metadata("who", "the test");
    look(told.mirror(bundle("with a context")).unwrap(), "with a context");
    look(pollster(files.mirror_later(bundle("later"))).unwrap(), "later");
    assert_eq!(pollster(files.read_later(0, file("a future"))).unwrap(), "a future");
    for _ in 0..50 {
        files.forget(file("nobody waits").into()).unwrap();
    }
    files.flush().unwrap();
    assert_eq!(files.forgotten().unwrap(), 50);

    until(|| own() == here && open(server.pid()) == there);
}

/// Runs a future to its end.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn ten_thousand_calls_leave_nothing_open() {
    let place = Place::new("ten_thousand_calls_leave_nothing_open");
    let (server, files) = serve(&place, &[]);
    let a = file("a");
    assert_eq!(files.both("x", &a, None).unwrap(), "x: a ");
    let (here, there) = (own(), open(server.pid()));
    for n in 0..10_000 {
        match n % 4 {
            0 => {
                drop(files.mirror(Bundle { name: String::new(), one: None, many: vec![a.try_clone().unwrap().into()] }))
            }
            1 => drop(files.several(2).unwrap()),
            2 => drop(files.view().several(1).unwrap()),
            _ => drop(files.both("x", &a, Some(&a)).unwrap()),
        }
    }
    until(|| own() == here && open(server.pid()) == there);
}

#[test]
fn calls_that_do_not_run_leave_nothing_open() {
    let place = Place::new("calls_that_do_not_run_leave_nothing_open");
    let (server, files) = serve(&place, &["workers=1"]);
    let work = WorkClient::connect(place.socket()).unwrap();
    assert_eq!(files.hold(0, file("x").into()).unwrap(), 0);
    let (here, there) = (own(), open(server.pid()));
    for round in 0..5 {
        let gate = place.join(&format!("gate{round}"));
        let blocking = work.start().pass(&gate).unwrap();
        until(|| std::fs::exists(format!("{gate}.in")).unwrap());
        // Cancelled, expired, forgotten: what comes back of them nobody reads.
        let cancelled: Vec<_> = (0..30).map(|_| files.start().mirror(bundle("cancelled")).unwrap()).collect();
        let hasty = files.with_timeout(Duration::from_millis(1));
        for _ in 0..5 {
            let error = hasty.hold(0, file("late").into()).unwrap_err();
            assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
        }
        drop(cancelled);
        std::fs::write(format!("{gate}.out"), "").unwrap();
        blocking.wait().unwrap();
        // Those that run, and are given up meanwhile.
        let running: Vec<_> = (0..30).map(|_| files.start().mirror(bundle("given up")).unwrap()).collect();
        drop(running);
        look(files.mirror(bundle("as ever")).unwrap(), "as ever");
    }
    let error = files.panic(file("x").into()).unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    until(|| {
        assert_eq!(files.hold(0, file("x").into()).unwrap(), 0);
        own() == here && open(server.pid()) == there
    });
}

#[test]
fn what_cannot_be_sent_is_told_and_the_connection_goes_on() {
    let (files, _server) = testing::pair(FilesDispatcher::new(Clerk::default())).unwrap();
    let reason = |error: CallError| match error {
        CallError::Arguments { error: EncodeError::Descriptor { reason }, .. } => reason,
        other => panic!("{other:?}"),
    };
    let many = |count| Bundle { name: String::new(), one: None, many: (0..count).map(|_| file("x").into()).collect() };
    assert_eq!(files.mirror(many(16)).unwrap().many.len(), 16);
    assert_eq!(reason(files.mirror(many(17)).unwrap_err()), DescriptorError::TooMany { limit: 16 });
    // 16 of these were sent before that was found out; they are not those of the next call.
    look(files.mirror(bundle("the next")).unwrap(), "the next");
    let error = files.several(17).unwrap_err();
    assert!(matches!(&error, CallError::Result { reason, .. } if reason.contains("at most 16")), "{error:?}");
    look(files.mirror(bundle("after that")).unwrap(), "after that");
    let error = files.stream().unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("items of streams do not"), "{error}");
}

#[test]
fn a_process_without_free_descriptors_says_so_and_goes_on() {
    let place = Place::new("a_process_without_free_descriptors_says_so_and_goes_on");
    let (server, files) = serve(&place, &[]);
    look(files.mirror(bundle("before")).unwrap(), "before");
    let now = proc::descriptors(server.pid()).len() as u64;
    // The numbers in use are not the lowest ones for sure: fill up what is left below.
    let before = system::limit(server.pid(), system::DESCRIPTORS, now + 2);
    let error = files.mirror(bundle("too many")).unwrap_err();
    assert!(matches!(&error, CallError::Rejected { reason, .. } if reason.contains("ulimit -n")), "{error:?}");
    system::limit(server.pid(), system::DESCRIPTORS, before);
    look(files.mirror(bundle("after")).unwrap(), "after");

    // Here, where replies arrive. This process has a limit of its own, as each test does.
    let taken: Vec<OwnedFd> = files.several(3).unwrap();
    let before = system::limit(std::process::id(), system::DESCRIPTORS, own() as u64);
    let error = files.several(3).unwrap_err();
    system::limit(std::process::id(), system::DESCRIPTORS, before);
    assert!(
        matches!(&error, CallError::Reply { error, .. } if error.kind() == MessageErrorKind::NoDescriptor),
        "{error:?}"
    );
    drop(taken);
    assert_eq!(files.several(3).unwrap().len(), 3);
}

#[test]
fn a_peer_that_is_killed_leaves_nothing_open() {
    let place = Place::new("a_peer_that_is_killed_leaves_nothing_open");
    let before = own();
    for _ in 0..5 {
        let (mut server, files) = serve(&place, &["workers=1"]);
        let calls: Vec<_> = (0..20).map(|_| files.start().hold(50, file("x").into()).unwrap()).collect();
        server.kill();
        for call in calls {
            let _ = call.wait();
        }
        drop((server, files));
        std::fs::remove_file(place.socket()).unwrap_or_default();
    }
    // The thread that listens, and its set, stay.
    until(|| own() <= before + 4);
    let (server, files) = serve(&place, &[]);
    assert_eq!(files.hold(0, file("x").into()).unwrap(), 0);
    drop(files);
    let settled = ipc_rpc_tests::helper::settled(&place, &server).len();
    for _ in 0..5 {
        // A client that is gone in the middle of its calls.
        let files = FilesClient::connect(place.socket()).unwrap();
        let calls: Vec<_> = (0..20).map(|_| files.start().mirror(bundle("gone")).unwrap()).collect();
        drop(files);
        drop(calls);
    }
    until(|| {
        let calc = CalcClient::connect(place.socket()).unwrap();
        assert_eq!(calc.add(1, 2).unwrap(), 3);
        drop(calc);
        open(server.pid()) <= settled
    });
}

#[test]
fn a_descriptor_that_is_closed_is_refused_before_anything_is_sent() {
    let (files, _server) = testing::pair(FilesDispatcher::new(Clerk::default())).unwrap();
    let error = files.both("closed", &system::closed_file(), None).unwrap_err();
    let closed = EncodeError::Descriptor { reason: DescriptorError::Closed };
    assert!(matches!(&error, CallError::Arguments { error, .. } if *error == closed), "{error:?}");
    assert_eq!(files.both("open", &file("a"), None).unwrap(), "open: a ");
}

/// A packet of the lane.
fn packet(kind: u32, block: u32, index: u32) -> Vec<u8> {
    [kind, block, index, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_client_that_sends_what_it_should_not_is_cut_off() {
    let place = Place::new("a_client_that_sends_what_it_should_not_is_cut_off");
    let (server, honest) = serve(&place, &[]);
    let hello = overhear(&place, |path| drop(FilesClient::connect(path)));
    let (a, b) = (file("a"), file("b"));
    let before = open(server.pid());
    let wrong: [(Vec<u8>, &[BorrowedFd<'_>]); 13] = [
        (packet(0, 0, 0), &[a.as_fd()]),
        (packet(5, 0, 0), &[a.as_fd()]),
        (packet(4, 0, 0), &[]),
        (packet(3, 0, 0), &[]),
        (packet(3, 0, 1), &[a.as_fd()]),
        (packet(1, 1 << 20, 0), &[a.as_fd()]),
        (packet(1, 0, 16), &[a.as_fd()]),
        (packet(1, 0, 1), &[a.as_fd()]),
        (packet(1, 0, 0), &[a.as_fd(), b.as_fd()]),
        (packet(1, 0, 0), &[]),
        (packet(2, 0, 0), &[a.as_fd()]),
        (vec![1], &[a.as_fd()]),
        (vec![1; 13], &[]),
    ];
    for (bytes, descriptors) in wrong {
        let peer = Peer::attach(&place.socket(), &hello);
        system::send(peer.socket.as_fd(), &bytes, descriptors).unwrap();
        peer.wait_for_the_end();
        look(honest.mirror(bundle("beside it")).unwrap(), "beside it");
    }
    until(|| open(server.pid()) == before);
}

#[test]
fn a_flood_of_descriptors_fills_neither_side() {
    const MOST: usize = 512;
    let place = Place::new("a_flood_of_descriptors_fills_neither_side");
    let (server, honest) = serve(&place, &[]);
    let hello = overhear(&place, |path| drop(FilesClient::connect(path)));
    let a = file("a");
    assert_eq!(honest.forgotten().unwrap(), 0);
    let before = open(server.pid());
    let peer = Peer::attach(&place.socket(), &hello);
    let blocks = peer.segment.geometry().blocks();
    let flood = |socket: BorrowedFd<'_>, count: usize| {
        for (block, index) in (0..blocks).flat_map(|b| (0..16).map(move |i| (b, i))) {
            while system::send(socket, &packet(1, block, index), &[a.as_fd()]).is_err() {
                std::thread::yield_now();
            }
            if block % 16 == 0 {
                // Those of the connection, and one that was received just now and will be closed.
                assert!(open(server.pid()) <= before + MOST + 3 && own() <= count + MOST + 3);
            }
        }
    };
    flood(peer.socket.as_fd(), usize::MAX / 2);
    until(|| open(server.pid()) >= before + MOST);
    look(honest.mirror(bundle("beside it")).unwrap(), "beside it");
    drop(peer);
    until(|| open(server.pid()) == before);

    // A server can no more do that to its client.
    let fake = FakeServer::listen(place.join("fake.sock"));
    let client = std::thread::scope(|scope| {
        let client = scope.spawn(|| FilesClient::connect(fake.path()));
        let (socket, _segment) = fake.welcome(15);
        let client = client.join().unwrap().unwrap();
        let count = own();
        flood(socket.as_fd(), count);
        until(|| own() >= count + MOST);
        (client, socket)
    });
    let count = own();
    drop(client);
    until(|| own() + MOST <= count);
}

#[test]
fn a_server_that_does_not_read_makes_nobody_wait_for_ever() {
    let place = Place::new("a_server_that_does_not_read_makes_nobody_wait_for_ever");
    let (server, files) = serve(&place, &[]);
    let a = file("a");
    assert_eq!(files.both("a", &a, None).unwrap(), "a: a ");
    server.stop();
    let hasty = files.with_timeout(Duration::from_millis(20));
    // The socket's buffer is full some time, if there are blocks enough before.
    let full = EncodeError::Descriptor { reason: DescriptorError::Full };
    let mut calls = Vec::new();
    let error = loop {
        match hasty.start().mirror(Bundle {
            name: String::new(),
            one: None,
            many: (0..16).map(|_| a.try_clone().unwrap().into()).collect(),
        }) {
            Ok(call) => calls.push(call),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, CallError::Arguments { error, .. } if *error == full), "{error:?}");
    let error = hasty.both("a", &a, None).unwrap_err();
    assert!(matches!(&error, CallError::Arguments { error, .. } if *error == full), "{error:?}");
    server.go_on();
    drop(calls);
    until(|| files.both("a", &a, None).is_ok_and(|text| text == "a: a "));
}

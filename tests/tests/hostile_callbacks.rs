//! Peers that do not keep to the rules about the channel back to the client.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_rpc::CallError;
use ipc_rpc_tests::callbacks::{Bar, JobsClient, ProgressDispatcher};
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::raw::{self, FakeServer, MAGIC, Peer};
use ipc_rpc_tests::{proc, system};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
/// The request was refused.
const REJECTED: u16 = 17;
/// The handler ended.
const REPLIED: u16 = 0;

struct Scene {
    place: Place,
    server: Helper,
    honest: JobsClient,
    hello: Vec<u8>,
    descriptors: Vec<String>,
}

/// A request for `Jobs::run` with one part, and for `Jobs::kept`.
const RUN: [u8; 16] = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
const RUN_METHOD: usize = 0;
const KEPT_METHOD: usize = 7;

impl Scene {
    fn set(test: &'static str) -> Self {
        let place = Place::new(test);
        let server = place.serve(SERVER, &["workers=2"]);
        let honest = JobsClient::connect(place.socket()).unwrap();
        assert_eq!(honest.run(1, &ProgressDispatcher::new(Bar::default())).unwrap(), 1);
        drop(honest);
        let descriptors = settled(&place, &server);
        let hello = raw::overhear(&place, |path| JobsClient::connect(path));
        assert_eq!(hello[raw::callable_at(&hello)], 1);
        let honest = JobsClient::connect(place.socket()).unwrap();
        Scene { place, server, honest, hello, descriptors }
    }

    fn goes_on(&self) {
        assert_eq!(self.honest.run(3, &ProgressDispatcher::new(Bar::default())).unwrap(), 3);
    }

    fn refused(&self, hello: &[u8], further: &[&OwnedFd], why: &str) {
        let segment = Segment::create(raw::geometry(hello)).unwrap();
        let all: Vec<_> = [segment.descriptor()].into_iter().chain(further.iter().map(|fd| fd.as_fd())).collect();
        let (_socket, answer) = raw::greet(&self.place.socket(), hello, &all);
        let answer = answer.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(answer[12] == 3 && text.contains(why), "{text}");
    }

    fn end(self) {
        drop(self.honest);
        let pid = self.server.pid();
        until(|| proc::segments(pid) == 0 && proc::descriptors(pid) == self.descriptors);
    }
}

#[test]
fn second_descriptors_that_are_no_end_of_a_pair() {
    let scene = Scene::set("second_descriptors_that_are_no_end_of_a_pair");
    let (a, b) = socket::pair().unwrap();
    let two = "brings two descriptors, its memory and a socket";
    scene.refused(&scene.hello, &[], two);
    scene.refused(&scene.hello, &[&a, &b], two);
    scene.refused(&scene.hello, &[&a, &b, &a, &b, &a], two);
    let mut modest = scene.hello.clone();
    let at = raw::callable_at(&modest);
    modest[at] = 0;
    scene.refused(&modest, &[&a], "exactly one descriptor");
    modest[at] = 2;
    scene.refused(&modest, &[&a], "not understood");
    let kind = "not a Unix socket for packets";
    scene.refused(&scene.hello, &[&std::fs::File::open("/dev/null").unwrap().into()], kind);
    scene.refused(&scene.hello, &[&system::memfd(4096, 0)], kind);
    let (stream, _other) = UnixStream::pair().unwrap();
    scene.refused(&scene.hello, &[&stream.into()], kind);
    scene.refused(&scene.hello, &[&UnixListener::bind(scene.place.join("other.sock")).unwrap().into()], kind);
    scene.goes_on();
    scene.end();
}

#[test]
fn clients_that_lend_and_do_not_shake_hands() {
    let scene = Scene::set("clients_that_lend_and_do_not_shake_hands");
    let path = scene.place.socket();
    let attach = || {
        let (ours, theirs) = socket::pair().unwrap();
        (Peer::attach_with(&path, &scene.hello, &[theirs.as_fd()]), ours)
    };
    // The end is closed.
    let (peer, ours) = attach();
    drop(ours);
    assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
    // The connection itself goes on.
    assert_eq!(peer.call(0, peer.numbers[KEPT_METHOD], &[]), Some(REPLIED));
    drop(peer);
    // Garbage is there before anybody asks.
    let garbage: [&[u8]; 4] = [b"x", b"ipc-rpc\0\x02\0\0\0\x00\xff\xff", b"ipc-rpc\0\x01\0\0\0", &[7; 60_000]];
    for garbage in garbage {
        let (peer, ours) = attach();
        system::send(ours.as_fd(), garbage, &[]).unwrap();
        assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
        assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
    }
    // A listening socket leads nowhere.
    let listener = socket::listen(Path::new(&scene.place.join("nowhere.sock")), 0o600).unwrap();
    let peer = Peer::attach_with(&path, &scene.hello, &[listener.as_fd()]);
    assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
    drop((listener, peer));
    std::fs::remove_file(scene.place.join("nowhere.sock")).unwrap();
    // A buffer without room must not hold the server up.
    let (ours, theirs) = socket::pair().unwrap();
    while system::send(theirs.as_fd(), &[0; 1000], &[]).is_ok() {}
    let peer = Peer::attach_with(&path, &scene.hello, &[theirs.as_fd()]);
    assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
    drop((ours, theirs, peer));
    // Silence costs this client its call, and others nothing.
    let (silent, ours) = attach();
    silent.write(0, silent.numbers[RUN_METHOD], &RUN);
    silent.set(0, 1);
    silent.push(0);
    for _ in 0..50 {
        scene.goes_on();
    }
    assert_eq!(silent.answer(0), Some(REJECTED));
    drop((silent, ours));
    scene.end();
}

#[test]
fn numbers_that_nothing_was_lent_under() {
    let scene = Scene::set("numbers_that_nothing_was_lent_under");
    // A client without a socket has no objects, whatever its requests say.
    let mut modest = scene.hello.clone();
    let at = raw::callable_at(&modest);
    modest[at] = 0;
    let peer = Peer::attach(&scene.place.socket(), &modest);
    assert_eq!(peer.call(0, peer.numbers[RUN_METHOD], &RUN), Some(REJECTED));
    // These are for clients to hear, not for servers.
    for method in 0x3f10..=0x3f1f {
        assert_eq!(peer.call(0, method, &[]), Some(REJECTED));
    }
    assert_eq!(peer.call(0, peer.numbers[KEPT_METHOD], &[]), Some(REPLIED));
    drop(peer);
    scene.goes_on();
    scene.end();
}

#[test]
fn a_server_that_says_anything_over_the_channel_back() {
    let place = Place::new("a_server_that_says_anything_over_the_channel_back");
    let server = FakeServer::listen(place.socket());
    // It would have the client write its calls down.
    let mut record = [MAGIC.as_slice(), &(u32::MAX - 2).to_le_bytes(), &[0], &8u16.to_le_bytes(), b"Progress"].concat();
    record.extend(1_000_000u64.to_le_bytes());
    let packets = [
        b"x".to_vec(),
        MAGIC.to_vec(),
        [MAGIC.as_slice(), &[9, 0, 0, 0]].concat(),
        vec![0xff; 60_000],
        record.clone(),
        Vec::new(),
    ];
    for packet in packets {
        let (bar, path) = (Arc::new(Bar::default()), place.socket());
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let object = ProgressDispatcher::from_arc(bar.clone());
                let jobs = JobsClient::connect(&path).unwrap();
                jobs.with_timeout(Duration::from_millis(200)).run(1, &object).unwrap_err()
            });
            let (socket, hello, mut descriptors) = server.accept();
            assert_eq!(descriptors.len(), 2);
            let back = descriptors.pop().unwrap();
            system::send(socket.as_fd(), &raw::welcome(&hello, 12), &[]).unwrap();
            if packet.is_empty() {
                drop(back);
            } else {
                system::send(back.as_fd(), &packet, &[back.as_fd()]).unwrap();
                let (answer, _) = raw::receive(back.as_fd()).unwrap();
                assert!(answer.starts_with(MAGIC) && answer[12] != 0, "{answer:?}");
                let is_understood = String::from_utf8_lossy(&answer).contains("are not recorded");
                assert_eq!(is_understood, packet == record && cfg!(feature = "dynamic"), "{answer:?}");
            }
            let error = client.join().unwrap();
            assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
        });
        until(|| Arc::strong_count(&bar) == 1);
    }
}

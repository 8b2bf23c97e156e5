//! Clients that do not shake hands as they should, beside honest ones that must not notice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ipc_core::segment::Segment;
use ipc_core::{clock, socket};
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::services::CalcClient;
use ipc_rpc_tests::system::{self, SEALS};
use ipc_rpc_tests::{proc, raw};

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

struct Scene {
    place: Place,
    server: Helper,
    honest: CalcClient,
    hello: Vec<u8>,
    descriptors: Vec<String>,
}

impl Scene {
    fn set(test: &'static str) -> Self {
        let place = Place::new(test);
        let server = place.serve(SERVER, &["workers=2"]);
        let descriptors = settled(&place, &server);
        let hello = raw::overhear(&place, |path| CalcClient::connect(path));
        let honest = CalcClient::connect(place.socket()).unwrap();
        Scene { place, server, honest, hello, descriptors }
    }

    /// Sends a first packet and expects to be refused with a text that contains `why`.
    fn refused(&self, hello: &[u8], descriptors: &[BorrowedFd<'_>], why: &str) {
        let (_socket, answer) = raw::greet(&self.place.socket(), hello, descriptors);
        let answer = answer.unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(answer[12] == 3 && text.contains(why), "{text}");
        self.goes_on();
    }

    fn goes_on(&self) {
        assert_eq!(self.honest.add(20, 3).unwrap(), 23);
    }

    /// Everybody has gone: the server has nothing of them any more.
    fn end(self) {
        assert_eq!(CalcClient::connect(self.place.socket()).unwrap().add(1, 1).unwrap(), 2);
        drop(self.honest);
        let pid = self.server.pid();
        until(|| proc::segments(pid) == 0 && proc::descriptors(pid) == self.descriptors);
        assert_eq!(self.place.files(), ["test.sock"]);
    }
}

#[test]
fn descriptors_that_are_not_one_honest_segment() {
    let scene = Scene::set("descriptors_that_are_not_one_honest_segment");
    let geometry = raw::geometry(&scene.hello);
    let len = geometry.len();
    let one = "a client brings exactly one descriptor";
    scene.refused(&scene.hello, &[], one);
    let segment = Segment::create(geometry).unwrap();
    let fd = segment.descriptor();
    scene.refused(&scene.hello, &[fd, fd], one);
    // More than the server makes room for: the kernel closes the surplus.
    scene.refused(&scene.hello, &[fd; 8], one);
    let kinds: [(OwnedFd, &str); 8] = [
        (system::memfd(len, 0), "seals SHRINK, GROW and SEAL"),
        (system::memfd(len, libc::F_SEAL_SHRINK), "seals SHRINK, GROW and SEAL"),
        (system::memfd(len, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW), "seals SHRINK, GROW and SEAL"),
        (system::memfd(len, SEALS | libc::F_SEAL_WRITE), "seals SHRINK, GROW and SEAL"),
        (system::memfd(len - 4096, SEALS), "the size of the memfd passed"),
        (system::memfd(len + 4096, SEALS), "the size of the memfd passed"),
        (system::memfd(0, SEALS), "the size of the memfd passed"),
        (std::fs::File::open("/dev/null").unwrap().into(), "not a writable memfd"),
    ];
    for (fd, why) in &kinds {
        scene.refused(&scene.hello, &[fd.as_fd()], why);
    }
    // A socket of its own kind.
    let (a, _b) = socket::pair().unwrap();
    scene.refused(&scene.hello, &[a.as_fd()], "not a writable memfd");
    scene.end();
}

#[test]
fn packets_that_are_no_first_packet() {
    let scene = Scene::set("packets_that_are_no_first_packet");
    let segment = Segment::create(raw::geometry(&scene.hello)).unwrap();
    let fd = [segment.descriptor()];
    let what = "the first packet is not understood";
    scene.refused(b"GET / HTTP/1.1", &[], what);
    scene.refused(&[0xff; 40_000], &fd, what);
    for cut in (1..scene.hello.len()).step_by(7).filter(|cut| *cut != 12) {
        scene.refused(&scene.hello[..cut], &fd, what);
    }
    // Numbers of a geometry that cannot be.
    let at = raw::PROBE_AT + 2 + usize::from(scene.hello[raw::PROBE_AT]);
    for (offset, number) in [(0, 0u32), (0, u32::MAX), (0, 1 << 20), (4, 1), (4, u32::MAX), (8, 1 << 31)] {
        let mut hello = scene.hello.clone();
        hello[at + offset..at + offset + 4].copy_from_slice(&number.to_le_bytes());
        scene.refused(&hello, &fd, what);
    }
    // More methods than bytes.
    let mut hello = scene.hello.clone();
    let count_at = hello.len() - (2 + "add".len() + 8) - 2;
    hello[count_at..count_at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    scene.refused(&hello, &fd, what);
    // Nothing at all: the kernel cannot tell it from a hang-up.
    assert!(raw::greet(&scene.place.socket(), b"", &[]).1.is_none());
    assert!(raw::greet(&scene.place.socket(), &vec![1; socket::MAX_PACKET + 1], &[]).1.is_none());
    scene.goes_on();
    scene.end();
}

#[test]
fn every_byte_of_the_first_packet_may_be_any_other() {
    let scene = Scene::set("every_byte_of_the_first_packet_may_be_any_other");
    let segment = Segment::create(raw::geometry(&scene.hello)).unwrap();
    for at in 0..scene.hello.len() {
        for value in [0, 0xff, scene.hello[at] ^ 1] {
            let mut hello = scene.hello.clone();
            hello[at] = value;
            // Refused, or understood as something that is just as well; never silence.
            let (_socket, answer) = raw::greet(&scene.place.socket(), &hello, &[segment.descriptor()]);
            assert!(answer.is_some(), "byte {at} as {value}");
        }
    }
    scene.goes_on();
    drop(segment);
    scene.end();
}

#[test]
fn connections_that_say_nothing() {
    let scene = Scene::set("connections_that_say_nothing");
    let path = scene.place.socket();
    let silent: Vec<OwnedFd> = (0..300)
        .map(|n| {
            let socket = socket::connect(Path::new(&path), clock::after(std::time::Duration::from_secs(60))).unwrap();
            if n % 20 == 0 {
                // Honest ones still get in, and those that are in go on.
                assert_eq!(CalcClient::connect(&path).unwrap().add(n, 1).unwrap(), n + 1);
                scene.goes_on();
            }
            socket
        })
        .collect();
    until(|| proc::sockets(scene.server.pid()) < 80);
    assert_eq!(CalcClient::connect(&path).unwrap().add(1, 1).unwrap(), 2);
    drop(silent);
    scene.end();
}

#[test]
fn connections_that_come_and_go() {
    let scene = Scene::set("connections_that_come_and_go");
    let path = scene.place.socket();
    let segment = Segment::create(raw::geometry(&scene.hello)).unwrap();
    for n in 0..200 {
        let socket = socket::connect(Path::new(&path), clock::after(std::time::Duration::from_secs(60))).unwrap();
        match n % 4 {
            0 => {}
            1 => system::send(socket.as_fd(), &scene.hello, &[segment.descriptor()]).unwrap(),
            2 => {
                // Goes on talking before it has heard the answer.
                system::send(socket.as_fd(), &scene.hello, &[segment.descriptor()]).unwrap();
                for _ in 0..10 {
                    let _ = system::send(socket.as_fd(), &scene.hello, &[segment.descriptor()]);
                }
            }
            _ => system::send(socket.as_fd(), b"hm", &[]).unwrap(),
        }
        drop(socket);
        scene.goes_on();
    }
    drop(segment);
    scene.end();
}

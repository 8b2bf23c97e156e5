//! Long messages between processes that do not trust each other: sealed, and used where they lie.

use std::os::fd::{AsFd, OwnedFd};

use ipc_core::sealed::Writing;
use ipc_rpc::{ClientConfig, Server, Trust};
use ipc_rpc_tests::files::{Clerk, FilesClient, FilesDispatcher, anonymous, file};
use ipc_rpc_tests::helper::{Helper, Place, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::raw::{Peer, overhear};
use ipc_rpc_tests::services::{CalcClient, WorkClient, bytes, checksum};
use ipc_rpc_tests::system;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
const MIB: usize = 1 << 20;

fn wary() -> ClientConfig {
    ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() }
}

fn serve(place: &Place) -> Helper {
    place.serve(SERVER, &["trust=snapshot"])
}

#[test]
fn messages_of_every_size_arrive_between_strangers() {
    let place = Place::new("messages_of_every_size_arrive_between_strangers");
    let server = serve(&place);
    let work = WorkClient::connect_with(place.socket(), &wary()).unwrap();
    let files = FilesClient::connect_with(place.socket(), &wary()).unwrap();
    let told = work.with_metadata("who", "the test");
    assert_eq!(work.mirror(b"warm").unwrap(), b"warm");
    let open = proc::descriptors(server.pid()).len();
    for len in [1, MIB - 4096, MIB - 9, MIB - 8, MIB, MIB + 1, 3 * MIB + 5, 20 * MIB] {
        let sent = bytes(len, len as u8);
        assert_eq!(work.checksum(&sent).unwrap(), checksum(&sent), "{len}");
        assert!(work.mirror(&sent).unwrap() == sent, "{len}");
        assert!(told.mirror(&sent).unwrap() == sent, "{len} and a context");
        let view = work.view().mirror(&sent).unwrap();
        let started: Vec<_> = (0..4).map(|_| work.start().mirror(&sent).unwrap()).collect();
        assert!(started.into_iter().all(|call| call.wait().unwrap() == sent), "{len}");
        assert!(view.get() == sent.as_slice(), "{len}");
        let name = "x".repeat(len);
        assert!(files.both(&name, &file("a"), Some(&file("b"))).unwrap() == format!("{name}: a b"));
        drop(work.start().mirror(&sent).unwrap()); // Given up.
    }
    assert_eq!(work.mirror(b"as ever").unwrap(), b"as ever");
    until(|| {
        assert_eq!(work.mirror(b"more").unwrap(), b"more");
        proc::descriptors(server.pid()).len() == open
    });
}

#[test]
fn a_long_message_is_not_copied_by_who_does_not_trust_its_sender() {
    const LEN: usize = 64 * MIB;
    let place = Place::new("a_long_message_is_not_copied_by_who_does_not_trust_its_sender");
    let _server = serve(&place);
    let files = FilesClient::connect_with(place.socket(), &wary()).unwrap();
    let work = WorkClient::connect_with(place.socket(), &wary()).unwrap();
    let long = bytes(LEN, 1);
    let before = files.weigh(b"little").unwrap();
    let with_it = files.weigh(&long).unwrap();
    assert!(with_it < before + LEN as u64 / 8, "{before} bytes without it, {with_it} with it");
    drop(long);
    let before = anonymous();
    let reply = work.view().make(LEN as u64, 7).unwrap();
    assert!(reply.get().iter().all(|byte| *byte == 7));
    let with_it = anonymous();
    assert!(with_it < before + LEN as u64 / 8, "{before} bytes without it, {with_it} with it");
    // It outlives its client.
    drop((work, files));
    assert_eq!(reply.get().len(), LEN);
}

/// A packet of the lane that brings a message.
fn body(block: u32) -> Vec<u8> {
    [3, block, 0, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

#[test]
fn files_that_could_change_are_refused() {
    let place = Place::new("files_that_could_change_are_refused");
    let path = place.socket();
    let server = Server::builder().trust(Trust::Snapshot).service(FilesDispatcher::new(Clerk::default()));
    let server = server.bind(&path).unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.run());
    let honest = FilesClient::connect_with(&path, &wary()).unwrap();
    let hello = overhear(&place, |path| drop(FilesClient::connect_with(path, &wary())));
    let peer = Peer::attach(&path, &hello);
    // `weigh`, whose arguments begin with those bytes.
    let number = peer.numbers[13] | 1 << 14;
    let all = |len: u64| system::memfd(len, system::SEALS);
    let wrong: Vec<(OwnedFd, u64)> = vec![
        (system::memfd(4096, 0), 4088),
        (all(4096), 4088),                                       // Not against writing.
        (Writing::new(5000).unwrap().seal(5000).unwrap(), 4999), // Another size.
        (Writing::new(5000).unwrap().seal(5000).unwrap(), 1 << 40),
        (Writing::new(5000).unwrap().seal(5000).unwrap(), 0),
        (std::io::pipe().unwrap().0.into(), 8),
        (file("of another kind").into(), 7),
        (std::fs::File::open("/dev/zero").unwrap().into(), 4096),
    ];
    let count = wrong.len() as u64;
    for (file, len) in wrong {
        system::send(peer.socket.as_fd(), &body(0), &[file.as_fd()]).unwrap();
        assert_eq!(peer.call(0, number, &len.to_le_bytes()), Some(17), "{len}");
        assert!(honest.weigh(&bytes(2 * MIB, 3)).unwrap() > 0);
    }
    assert_eq!(handle.rejected().requests, count);
    // Sealed, but no message; another stub; none that came.
    let sealed = || Writing::new(5000).unwrap().seal(5000).unwrap();
    system::send(peer.socket.as_fd(), &body(1), &[sealed().as_fd()]).unwrap();
    assert_eq!(peer.call(1, number, &[0; 16]), Some(17));
    assert_eq!(peer.call(1, number, &5000u64.to_le_bytes()), Some(17));
    let calc = CalcClient::connect(&path);
    assert!(calc.is_err(), "it is not served here");
    assert!(honest.weigh(&bytes(2 * MIB, 3)).unwrap() > 0);
    drop((peer, honest));
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

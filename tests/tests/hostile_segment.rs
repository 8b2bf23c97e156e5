//! Clients that attach as they should and then write nonsense into their memory, beside an honest client whose calls go on.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_core::layout::{INLINE, INLINE_ROOM, NOT_RUN, RELEASE, REPLIED};
use ipc_core::queue::Kind;
use ipc_core::{segment::Area, socket, word};
use ipc_rpc::ClientConfig;
use ipc_rpc_tests::helper::{Helper, Place, settled, until};
use ipc_rpc_tests::raw::{self, Peer};
use ipc_rpc_tests::services::{CalcClient, WorkClient};
use ipc_rpc_tests::zoo::{Borrowed as _, BorrowedClient, ZooClient};
use ipc_rpc_tests::{proc, system};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::os::fd::AsFd;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");
/// How the server answers a request that it finds invalid.
const REJECTED: u16 = 17;
/// How the server answers when it has no room for the reply.
const NO_MEMORY: u16 = 20;

/// A server, an honest client that calls without pause, and the first packets of others.
struct Scene {
    place: Place,
    server: Helper,
    descriptors: Vec<String>,
    calc: Vec<u8>,
    work: Vec<u8>,
}

fn small() -> ClientConfig {
    ClientConfig { blocks: 16, arguments: 1 << 16, replies: 1 << 16, ..ClientConfig::default() }
}

impl Scene {
    fn set(test: &'static str) -> Self {
        let place = Place::new(test);
        let server = place.serve(SERVER, &["workers=4"]);
        let descriptors = settled(&place, &server);
        let calc = raw::overhear(&place, |path| CalcClient::connect_with(path, &small()));
        let work = raw::overhear(&place, |path| WorkClient::connect_with(path, &small()));
        Scene { place, server, descriptors, calc, work }
    }

    fn peer(&self) -> Peer {
        Peer::attach(&self.place.socket(), &self.calc)
    }

    fn worker(&self) -> Peer {
        Peer::attach(&self.place.socket(), &self.work)
    }

    /// Runs `mischief` while an honest client calls; in the end everything of the others is gone.
    fn play(self, mischief: impl FnOnce(&Scene)) {
        let (stop, honest) = (AtomicBool::new(false), CalcClient::connect(self.place.socket()).unwrap());
        let calls = std::thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) || n < 100 {
                    assert_eq!(honest.add(n, 1).unwrap(), n + 1);
                    n += 1;
                }
                n
            });
            // Stops the honest client also when an assertion fails.
            struct Stop<'a>(&'a AtomicBool);
            impl Drop for Stop<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let end = Stop(&stop);
            mischief(&self);
            drop(end);
            calls.join().unwrap()
        });
        assert!(calls >= 100);
        drop(honest);
        let pid = self.server.pid();
        until(|| proc::segments(pid) == 0 && proc::descriptors(pid) == self.descriptors);
        assert!(!self.server.errors().contains("panicked"), "{}", self.server.errors());
        assert_eq!(CalcClient::connect(self.place.socket()).unwrap().add(1, 1).unwrap(), 2);
    }
}

/// The bytes of an honest request to `Calc::add`.
fn sum(a: i64, b: i64) -> Vec<u8> {
    [a.to_le_bytes(), b.to_le_bytes()].concat()
}

#[test]
fn a_hand_written_client_is_served() {
    Scene::set("a_hand_written_client_is_served").play(|scene| {
        let peer = scene.peer();
        for n in 0..100 {
            assert_eq!(peer.call((n % 16) as u32, peer.numbers[0], &sum(n, 1)), Some(REPLIED));
        }
        // An unknown method is refused, a release of nothing runs nothing, an expired request comes back unrun: no reason to
        // hang up.
        assert_eq!(peer.call(0, 9999, &sum(1, 1)), Some(REJECTED));
        assert_eq!(peer.call(0, RELEASE, &[]), Some(NOT_RUN));
        peer.write(1, peer.numbers[0], &sum(1, 1));
        peer.head(1).deadline.store(1, Ordering::Relaxed);
        if peer.set(1, word::REQUEST) & word::WATCHED == 0 {
            peer.push(1);
        }
        assert_eq!(peer.answer(1), Some(NOT_RUN));
        assert!(!peer.has_ended());
        // A reply in the server's memory, which holds only one of this size, and comes back with the block.
        let (peer, request) = (scene.worker(), [40_000u64.to_le_bytes(), 7u64.to_le_bytes()].concat());
        let make = peer.numbers[6];
        assert_eq!(peer.call(0, make, &request), Some(REPLIED));
        assert_eq!(peer.call(1, make, &request), Some(NO_MEMORY));
        assert_eq!(peer.call(0, RELEASE, &[]), Some(NOT_RUN));
        assert_eq!(peer.call(1, make, &request), Some(REPLIED));
        assert!(!peer.has_ended());
    });
}

#[test]
fn illegal_state_words() {
    Scene::set("illegal_state_words").play(|scene| {
        let bad = [
            3,
            3 | word::PARKED,
            word::REQUEST | word::WATCHED,
            word::REQUEST | 4,
            1 << 31,
            u32::MAX,
            word::DONE | word::PARKED,
        ];
        for value in bad {
            let peer = scene.peer();
            peer.write(0, peer.numbers[0], &sum(1, 2));
            peer.set(0, value);
            peer.push(0);
            peer.wait_for_the_end();
        }
        // A hint at a block that holds no request is only a hint.
        let peer = scene.peer();
        for value in [word::FREE, word::DONE] {
            peer.set(3, value);
            peer.push(3);
        }
        assert_eq!(peer.call(4, peer.numbers[0], &sum(1, 2)), Some(REPLIED));
        // Over a promise to watch, nothing but a request may be written.
        for value in [word::FREE, word::DONE, 3, u32::MAX] {
            let peer = scene.peer();
            loop {
                assert_eq!(peer.call(2, peer.numbers[0], &sum(1, 2)), Some(REPLIED));
                let now = peer.head(2).word.load(Ordering::Acquire);
                let promise = word::DONE | word::WATCHED;
                let word = &peer.head(2).word;
                if now == promise && word.compare_exchange(promise, value, Ordering::AcqRel, Ordering::Relaxed).is_ok()
                {
                    break;
                }
            }
            // The scanner looks, or takes the promise back before it sleeps: either way it notices.
            peer.wait_for_the_end();
        }
    });
}

#[test]
fn offsets_and_lengths_out_of_range() {
    Scene::set("offsets_and_lengths_out_of_range").play(|scene| {
        let geometry = raw::geometry(&scene.calc);
        let (arena, end) = (geometry.caller_arena_at(), geometry.callee_arena_at());
        let inline = geometry.block_at(0) + INLINE;
        let bad = [
            (inline, INLINE_ROOM + 1, INLINE_ROOM),
            (inline, 16, INLINE_ROOM + 1),
            (inline, 16, u32::MAX),
            (inline, u32::MAX, INLINE_ROOM),
            (inline + 8, 16, 100),
            (geometry.block_at(1) + INLINE, 16, INLINE_ROOM),
            (0, 16, 16),
            (u32::MAX, 16, 16),
            (u32::MAX - 8, 16, u32::MAX),
            (arena, 17, 16),
            (arena, 16, (1 << 16) + 1),
            (arena - 8, 16, 32),
            (end - 8, 16, 16),
            (end, 16, 16),
            (end + 64, 16, 16),
            (geometry.len() as u32, 16, 16),
        ];
        for (at, len, room) in bad {
            let peer = scene.peer();
            peer.write(0, peer.numbers[0], &sum(1, 2));
            peer.head(0).request_at.store(at, Ordering::Relaxed);
            peer.head(0).request_len.store(len, Ordering::Relaxed);
            peer.head(0).room.store(room, Ordering::Relaxed);
            peer.set(0, word::REQUEST);
            peer.push(0);
            peer.wait_for_the_end();
        }
        // Odd, but inside the memory it brought: read as what it says, or found invalid.
        let peer = scene.peer();
        for (at, len, room) in
            [(arena, 16, 16), (arena + 1, 16, 64), (end - 16, 16, 16), (end, 0, 0), (arena, 0, 1 << 16)]
        {
            peer.write(0, peer.numbers[0], &[]);
            peer.head(0).request_at.store(at, Ordering::Relaxed);
            peer.head(0).request_len.store(len, Ordering::Relaxed);
            peer.head(0).room.store(room, Ordering::Relaxed);
            if peer.set(0, word::REQUEST) & word::WATCHED == 0 {
                peer.push(0);
            }
            assert!(matches!(peer.answer(0), Some(REPLIED | REJECTED)), "{at} {len} {room}");
        }
    });
}

#[test]
fn nonsense_in_the_queue() {
    Scene::set("nonsense_in_the_queue").play(|scene| {
        let geometry = raw::geometry(&scene.calc);
        let block = geometry.block_at(0);
        for value in
            [u64::MAX, 1 << 63, word::cell(0, 16, 0, block), word::cell(0, 16, 9, block), word::cell(16, 16, 1, block)]
        {
            let peer = scene.peer();
            peer.segment.request_cells()[0].store(value, Ordering::Release);
            peer.ring();
            peer.wait_for_the_end();
        }
        for offset in [0, 1, block + 1, block - 256, block + 64, geometry.block_at(16), u32::MAX] {
            let peer = scene.peer();
            peer.push_offset(Kind::Request, offset);
            peer.wait_for_the_end();
        }
        let peer = scene.peer();
        peer.push_offset(Kind::Announcement, block);
        peer.wait_for_the_end();
        // The whole queue at once, each cell as it should be: so many hints, and no request.
        let peer = scene.peer();
        for n in 0..64 {
            peer.push(n % 16);
        }
        let _ = peer.call(0, peer.numbers[0], &sum(1, 2));
        // A doorbell that never stops, and packets that are no bell.
        let peer = scene.peer();
        for n in 0..20_000usize {
            socket::ring(peer.socket.as_fd());
            if n % 100 == 0 {
                let _ = system::send(peer.socket.as_fd(), &vec![7; n % 3000], &[peer.segment.descriptor()]);
            }
        }
        drop(peer);
    });
}

#[test]
fn a_block_that_is_being_served_is_offered_again() {
    Scene::set("a_block_that_is_being_served_is_offered_again").play(|scene| {
        let gate = scene.place.join("gate");
        let client = WorkClient::connect(scene.place.socket()).unwrap();
        let method = |name: &str| {
            let methods = ["runs", "pass", "sleep"];
            methods.iter().position(|m| *m == name).unwrap()
        };
        let peer = scene.worker();
        // `sleep(300)`, and while it runs the same block once more.
        peer.write(0, peer.numbers[method("sleep")], &300u64.to_le_bytes());
        peer.set(0, word::REQUEST);
        peer.push(0);
        until(|| client.runs().unwrap() == 1);
        peer.push(0);
        peer.wait_for_the_end();
        // The same with the word written anew, and with a word that says that nothing is lent.
        for (runs, value) in [(2, word::REQUEST), (3, word::FREE), (4, word::DONE | word::WATCHED), (5, u32::MAX)] {
            let peer = scene.worker();
            peer.write(0, peer.numbers[method("sleep")], &200u64.to_le_bytes());
            peer.set(0, word::REQUEST);
            peer.push(0);
            until(|| client.runs().unwrap() == runs);
            peer.set(0, value);
            peer.push(0);
            peer.wait_for_the_end();
        }
        // Workers were not lost to it: four handlers at once still run.
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..3)
                .map(|n| {
                    let (client, gate) = (&client, format!("{gate}{n}"));
                    scope.spawn(move || client.pass(&gate).unwrap())
                })
                .collect();
            until(|| (0..3).all(|n| fs::exists(format!("{gate}{n}.in")).unwrap()));
            (0..3).for_each(|n| fs::write(format!("{gate}{n}.out"), "").unwrap());
            calls.into_iter().for_each(|c| assert!(c.join().unwrap() > 0));
        });
    });
}

#[test]
fn garbage_where_an_archive_should_be() {
    Scene::set("garbage_where_an_archive_should_be").play(|scene| {
        let zoo = raw::overhear(&scene.place, |path| ZooClient::connect_with(path, &small()));
        let borrowed = raw::overhear(&scene.place, |path| BorrowedClient::connect_with(path, &small()));
        for hello in [&zoo, &borrowed] {
            let peer = Peer::attach(&scene.place.socket(), hello);
            let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
            let byte = prop_oneof![Just(0u8), Just(0xff), 0..20u8, any::<u8>()];
            let requests = (0..peer.numbers.len(), proptest::collection::vec(byte, 0..=INLINE_ROOM as usize));
            let run = runner.run(&requests, |(method, bytes)| {
                let status = peer.call(5, peer.numbers[method], &bytes);
                prop_assert!(matches!(status, Some(REPLIED | REJECTED | NO_MEMORY)), "{status:?}");
                Ok(())
            });
            run.unwrap_or_else(|error| panic!("{error}"));
            assert!(!peer.has_ended());
        }
    });
}

#[test]
fn an_honest_archive_with_some_bytes_changed() {
    Scene::set("an_honest_archive_with_some_bytes_changed").play(|scene| {
        // What an honest client writes for a recursive argument: overheard in its memory by a server that never answers.
        let server = raw::FakeServer::listen(scene.place.join("fake.sock"));
        let tree = ipc_rpc_tests::zoo::Tree { value: 1, children: vec![] };
        let tree = ipc_rpc_tests::zoo::Tree { value: 2, children: vec![tree.clone(), tree.clone(), tree] };
        let config = ClientConfig { timeout: Some(std::time::Duration::from_millis(50)), ..small() };
        let request = std::thread::scope(|scope| {
            let path = server.path().to_owned();
            scope.spawn(move || BorrowedClient::connect_with(path, &config).unwrap().depth(&tree).unwrap_err());
            let (_socket, segment) = server.welcome(11);
            let head = loop {
                let lent = (0..16).filter_map(|n| segment.block(n)).find(|h| h.word.load(Ordering::Acquire) & 3 == 1);
                if let Some(head) = lent {
                    break head;
                }
            };
            raw::get(&segment, head.request_at.load(Ordering::Relaxed), head.request_len.load(Ordering::Relaxed))
        });
        let borrowed = raw::overhear(&scene.place, |path| BorrowedClient::connect_with(path, &small()));
        let peer = Peer::attach(&scene.place.socket(), &borrowed);
        let depth = peer.numbers[8];
        assert_eq!(peer.call(0, depth, &request), Some(REPLIED));
        for at in 0..request.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, request[at] ^ 1, request[at].wrapping_sub(8)] {
                let mut changed = request.clone();
                changed[at] = value;
                let status = peer.call(0, depth, &changed);
                assert!(matches!(status, Some(REPLIED | REJECTED)), "byte {at} as {value}: {status:?}");
            }
        }
        assert_eq!(peer.call(0, depth, &request), Some(REPLIED));
        // As for `Keeper` itself.
        assert_eq!(ipc_rpc_tests::zoo::Keeper.labels(&[]), []);
    });
}

#[test]
fn any_words_at_all() {
    Scene::set("any_words_at_all").play(|scene| {
        let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
        let odd32 = || prop_oneof![Just(0), Just(u32::MAX), 0..70u32, 4096..80_000u32, any::<u32>()];
        let state = prop_oneof![Just(1u32), Just(1), Just(0x21), Just(0x81), Just(0x12), 0..256u32, any::<u32>()];
        let head = (state, any::<u16>(), odd32(), odd32(), odd32(), any::<u64>());
        let cell = (0..16u32, prop_oneof![Just(true), Just(true), any::<bool>()], odd32());
        let steps = proptest::collection::vec((0..16u32, head, cell), 1..8);
        let run = runner.run(&steps, |steps| {
            let peer = scene.peer();
            for (block, (state, method, at, len, room, deadline), (hint, honest, offset)) in steps {
                let head = peer.head(block);
                head.method.store(if state & 1 == 0 { method } else { peer.numbers[0] }, Ordering::Relaxed);
                head.request_at.store(at, Ordering::Relaxed);
                head.request_len.store(len, Ordering::Relaxed);
                head.room.store(room, Ordering::Relaxed);
                head.deadline.store(deadline, Ordering::Relaxed);
                head.word.store(state, Ordering::Release);
                if honest { peer.push(hint) } else { peer.push_offset(Kind::Request, offset) }
            }
            Ok(())
        });
        run.unwrap();
        // Nobody looks at what lies in the callee's arena but the callee.
        let peer = scene.worker();
        let at = peer.segment.geometry().callee_arena_at();
        raw::put(&peer.segment, Area::CalleeArena, at, &[0xff; 1 << 16]);
        let request = [5000u64.to_le_bytes(), [9, 0, 0, 0, 0, 0, 0, 0]].concat();
        let make = peer.numbers[6];
        assert_eq!(peer.call(0, make, &request), Some(REPLIED));
        assert_eq!(peer.call(0, make, &request), Some(REPLIED));
    });
}

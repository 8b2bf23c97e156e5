//! A client that writes anything anywhere, at any time, into the memory it shares with a server that reads snapshots.
#![allow(missing_docs)]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ipc_core::layout::INLINE_ROOM;
use ipc_core::queue::Kind;
use ipc_core::segment::{Area, Segment};
use ipc_core::{socket, word};
use ipc_rpc::{CallError, ClientConfig, Server, Trust};
use ipc_rpc_tests::helper::{Place, faithful, until};
use ipc_rpc_tests::proc;
use ipc_rpc_tests::random::Random;
use ipc_rpc_tests::raw::{FakeServer, Peer, overhear, put};
use ipc_rpc_tests::services::{Adder, CalcClient, CalcDispatcher, WorkClient, WorkDispatcher, Worker};

/// One wrong step.
fn misbehave(peer: &Peer, n: &mut Random) {
    let g = *peer.segment.geometry();
    let block = n.below(8) as u32;
    let inline = g.block_at(block) + 40;
    let places =
        [inline, inline + INLINE_ROOM, g.caller_arena_at(), g.callee_arena_at(), g.len() as u32, 64, 216, 4096];
    let head = peer.head(block);
    match n.below(16) {
        0..=3 => {
            // Bytes of a request, valid as a call if not as a message.
            let bytes: Vec<u8> =
                (0..n.below(200)).map(|_| n.any() as u8 & [0xff, 3, 0x7f][n.below(3) as usize]).collect();
            put(&peer.segment, Area::Inline(block), inline, &bytes);
            // runs, mirror, checksum, levels: what does not end soon, or ends the process, is not the framework's.
            head.method.store(peer.numbers[[0, 7, 8, 10][n.below(4) as usize]], Ordering::Relaxed);
            head.request_at.store(inline, Ordering::Relaxed);
            head.request_len.store(bytes.len() as u32, Ordering::Relaxed);
            head.room.store(INLINE_ROOM, Ordering::Relaxed);
            head.deadline.store(0, Ordering::Relaxed);
        }
        4 => head.request_at.store(n.edge(&places), Ordering::Relaxed),
        5 => head.request_len.store(n.edge(&places), Ordering::Relaxed),
        6 => head.room.store(n.edge(&places), Ordering::Relaxed),
        7 => head.deadline.store(n.any(), Ordering::Relaxed),
        8 => head.method.store(n.edge(&places) as u16 | 0x8000, Ordering::Relaxed),
        9 => drop(peer.set(block, [0, 1, 2, 0x12, 0x21, 0x41, 0x81, 0xe1][n.below(8) as usize])),
        10 if n.below(20) == 0 => drop(peer.set(block, n.edge(&places))),
        11 if n.below(20) == 0 => {
            let cells = peer.segment.request_cells();
            cells[n.below(cells.len() as u64) as usize].store(n.any(), Ordering::Relaxed);
        }
        12 if n.below(20) == 0 => peer.push_offset(Kind::Announcement, n.edge(&places)),
        13 => {
            let flags = [peer.segment.callee_flags(), peer.segment.caller_flags()][n.below(2) as usize];
            flags.core.store(n.any() as u32, Ordering::Relaxed);
            flags.woken_at.store(n.any(), Ordering::Relaxed);
            flags.asleep.store(n.below(3) as u32, Ordering::Relaxed);
        }
        _ => {
            if peer.set(block, word::REQUEST | [0, word::PARKED, word::ANNOUNCE][n.below(3) as usize]) & word::WATCHED
                == 0
            {
                peer.push(block);
            }
        }
    }
}

#[test]
fn a_server_of_snapshots_survives_every_word() {
    let place = Place::new("a_server_of_snapshots_survives_every_word");
    let work = overhear(&place, |path| WorkClient::connect_with(path, &faithful()));
    // A panic of the framework would end a worker; those of handlers are caught, and there are none with these methods.
    let panics = Arc::new(AtomicU32::new(0));
    let name = place.socket();
    let builder = Server::builder().workers(3).trust(Trust::Snapshot);
    let builder = builder.service(CalcDispatcher::new(Adder)).service(WorkDispatcher::new(Worker::default()));
    let server = builder.bind(&name).unwrap();
    let handle = server.handle();
    let seen = panics.clone();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.location().is_some_and(|l| l.file().contains("ipc-core/src") || l.file().contains("ipc-rpc/src")) {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let serving = std::thread::spawn(move || server.run());
    let honest = CalcClient::connect_with(&name, &faithful()).unwrap();
    let mut numbers = Random::new(1);
    let end = Instant::now() + Duration::from_secs(3);
    let mut closed = 0u32;
    for round in 0i64.. {
        if Instant::now() > end {
            break;
        }
        let peer = Peer::attach(&name, &work);
        for _ in 0..2000 {
            misbehave(&peer, &mut numbers);
            if peer.has_ended() {
                closed += 1;
                break;
            }
        }
        assert_eq!(honest.add(round, 1).unwrap(), round + 1);
        if numbers.below(2) == 0 {
            socket::shut_down(peer.socket.as_fd());
        }
    }
    assert!(closed > 0);
    // The honest client's segment, mapped by both sides.
    until(|| proc::segments(std::process::id()) == 2);
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    let rejected = handle.rejected();
    assert!(rejected.broken >= u64::from(closed) && rejected.requests > 0, "{closed} closed, {rejected:?}");
    assert!(rejected.last.is_some_and(|why| why.starts_with(&format!("process {} of user ", std::process::id()))));
    drop(honest);
    handle.shutdown();
    serving.join().unwrap().unwrap();
}

/// Answers the requests it finds, one way or another.
fn answer(segment: &Segment, n: &mut Random) {
    let g = *segment.geometry();
    for block in 0..g.blocks() {
        let head = segment.block(block).unwrap();
        if head.word.load(Ordering::Acquire) & word::STATE != word::REQUEST {
            continue;
        }
        let inline = g.block_at(block) + 40;
        let places =
            [inline, inline + INLINE_ROOM, g.caller_arena_at(), g.callee_arena_at(), g.len() as u32, 64, 216, 4096];
        let (mut at, mut len) = (inline, n.below(u64::from(INLINE_ROOM)) as u32);
        match n.below(8) {
            0 => (at, len) = (n.edge(&places), n.edge(&places)),
            1 => (at, len) = (g.callee_arena_at() + n.below(5000) as u32, n.below(200_000) as u32),
            2 => len = n.edge(&places),
            _ => {
                let bytes: Vec<u8> = (0..len).map(|_| n.any() as u8 & [0xff, 3, 0x7f][n.below(3) as usize]).collect();
                put(segment, Area::Inline(block), at, &bytes);
            }
        }
        head.reply_at.store(at, Ordering::Relaxed);
        head.reply_len.store(len, Ordering::Relaxed);
        head.status.store([0, 0, 0, 0, 1, 16, 17, 18, n.any() as u16][n.below(9) as usize], Ordering::Relaxed);
        segment.caller_flags().woken_at.store(n.any(), Ordering::Relaxed);
        segment.callee_flags().asleep.store(n.below(2) as u32, Ordering::Relaxed);
        if n.below(100) == 0 {
            let cells = segment.announcement_cells();
            cells[n.below(cells.len() as u64) as usize].store(n.any(), Ordering::Relaxed);
        }
        let value = match n.below(300) {
            0 => n.edge(&places),
            1 => word::REQUEST | word::CANCELLED,
            2 => word::FREE,
            3 => continue,
            _ => word::DONE | [0, word::WATCHED][n.below(2) as usize],
        };
        // No wake: the time-out of a client that sleeps ends it.
        head.word.swap(value, Ordering::AcqRel);
    }
}

#[test]
fn a_client_of_snapshots_survives_every_answer() {
    let place = Place::new("a_client_of_snapshots_survives_every_answer");
    let mut numbers = Random::new(2);
    let begin = Instant::now();
    let (mut replies, mut ended) = (0u32, 0u32);
    for round in 0.. {
        // Some seconds, and as long as it takes on a busy machine to have seen both ends of a call.
        let seen = replies > 0 && ended > 0;
        if begin.elapsed() > Duration::from_secs(if seen { 3 } else { 60 }) {
            break;
        }
        // A place of its own: clients of the round before may still look whether their server is dead.
        let server = FakeServer::listen(place.join(&format!("{round}.sock")));
        std::thread::scope(|scope| {
            let config = ClientConfig {
                timeout: Some(Duration::from_millis(5)),
                blocks: 8,
                trust: Some(Trust::Snapshot),
                reconnect: None,
                ..ClientConfig::default()
            };
            let path = server.path();
            let client = scope.spawn(move || WorkClient::connect_with(path, &config).unwrap());
            let (_socket, segment) = server.welcome(12);
            let client = client.join().unwrap();
            let calls = scope.spawn(move || {
                let mut replies = 0;
                for n in 0..400u64 {
                    replies += u32::from(client.mirror(&vec![1; n as usize]).is_ok());
                    replies +=
                        u32::from(client.view().mirror(b"some bytes").is_ok_and(|reply| reply.get().len() < 1 << 30));
                    let _ = client.nest(3).map(|nest| format!("{nest:?}"));
                    match client.fail(1) {
                        Err(CallError::Protocol { .. }) => return (replies, 1),
                        Err(error) => assert!(!error.to_string().is_empty()),
                        Ok(text) => replies += u32::from(!text.is_empty()),
                    }
                }
                (replies, 0)
            });
            while !calls.is_finished() {
                answer(&segment, &mut numbers);
            }
            let (more, end) = calls.join().unwrap();
            replies += more;
            ended += end;
        });
    }
    assert!(replies > 0 && ended > 0, "{replies} replies, {ended} ends");
    assert_eq!(proc::segments(std::process::id()) & 1, 0);
}

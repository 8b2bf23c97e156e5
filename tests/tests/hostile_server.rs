//! Servers that shake hands as they should and then answer nonsense: the client's process survives, and says what it found.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ipc_core::layout::{BlockHead, INLINE, KEPT};
use ipc_core::queue::{Kind, Producer};
use ipc_core::segment::{Area, Segment};
use ipc_core::{socket, word};
use ipc_rpc::{CallError, ClientConfig, testing};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::raw::{self, FakeServer};
use ipc_rpc_tests::zoo::{BorrowedClient, Tree};

fn small() -> ClientConfig {
    ClientConfig {
        blocks: 4,
        arguments: 1 << 16,
        replies: 1 << 16,
        timeout: None,
        reconnect: None,
        ..ClientConfig::default()
    }
}

/// One call of `depth`, which `answer` answers by hand.
fn call(
    place: &Place,
    config: &ClientConfig,
    answer: impl FnOnce(&OwnedFd, &Segment, u32, &BlockHead) + Send,
) -> Result<u32, CallError> {
    let server = FakeServer::listen(place.join("fake.sock"));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let serving = {
            let (server, ended) = (&server, &ended);
            scope.spawn(move || {
                let (socket, segment) = server.welcome(11);
                let lent = loop {
                    let is_lent = |n: &u32| segment.block(*n).unwrap().word.load(Ordering::Acquire) & 3 == 1;
                    if let Some(block) = (0..4).find(is_lent) {
                        break block;
                    }
                };
                answer(&socket, &segment, lent, segment.block(lent).unwrap());
                until(|| ended.load(Ordering::Relaxed));
            })
        };
        let client = BorrowedClient::connect_with(server.path(), config).unwrap();
        let result = client.depth(&Tree { value: 1, children: vec![] });
        ended.store(true, Ordering::Relaxed);
        serving.join().unwrap();
        result
    })
}

/// Answers with these numbers, as the callee would.
fn reply(head: &BlockHead, status: u16, at: u32, len: u32) {
    head.status.store(status, Ordering::Relaxed);
    head.reply_at.store(at, Ordering::Relaxed);
    head.reply_len.store(len, Ordering::Relaxed);
    let old = head.word.swap(word::DONE, Ordering::AcqRel);
    if old & word::PARKED != 0 {
        wake(head);
    }
}

fn wake(head: &BlockHead) {
    ipc_rpc_tests::system::wake(&head.word);
}

#[test]
fn a_hand_written_server_is_understood() {
    let place = Place::new("a_hand_written_server_is_understood");
    let depth = call(&place, &small(), |_, segment, block, head| {
        let at = segment.geometry().block_at(block) + INLINE;
        raw::put(segment, Area::Inline(block), at, &7u32.to_le_bytes());
        reply(head, 0, at, 4);
    });
    assert_eq!(depth.unwrap(), 7);
}

#[test]
fn a_server_that_dies_between_its_answer_and_the_wake() {
    let place = Place::new("a_server_that_dies_between_its_answer_and_the_wake");
    let depth = call(&place, &small(), |socket, segment, block, head| {
        until(|| head.word.load(Ordering::Relaxed) & word::PARKED != 0);
        std::thread::sleep(Duration::from_millis(50)); // Until it sleeps: nothing tells.
        let at = segment.geometry().block_at(block) + INLINE;
        raw::put(segment, Area::Inline(block), at, &7u32.to_le_bytes());
        head.status.store(0, Ordering::Relaxed);
        head.reply_at.store(at, Ordering::Relaxed);
        head.reply_len.store(4, Ordering::Relaxed);
        head.word.store(word::DONE | word::WATCHED, Ordering::Release);
        socket::shut_down(socket.as_fd());
    });
    assert_eq!(depth.unwrap(), 7);
}

#[test]
fn replies_that_lie_where_none_can_lie() {
    let place = Place::new("replies_that_lie_where_none_can_lie");
    let geometry = ipc_core::layout::Geometry::new(4, 1 << 16, 1 << 16).unwrap();
    let (mine, yours, end) = (geometry.caller_arena_at(), geometry.callee_arena_at(), geometry.len() as u32);
    for (at, len) in
        [(0, 4), (mine, 4), (yours - 4, 8), (end - 2, 4), (end, 4), (u32::MAX, 4), (yours, u32::MAX), (yours, 1 << 30)]
    {
        let error = call(&place, &small(), |_, _, _, head| reply(head, 0, at, len)).unwrap_err();
        assert!(matches!(error, CallError::Protocol { .. }), "{at} {len}: {error:?}");
        assert!(error.to_string().contains("the connection broke in Borrowed::depth: the peer left the impossible"));
        assert!(error.may_have_run() && error.is_disconnected());
    }
}

#[test]
fn illegal_state_words_from_a_server() {
    let place = Place::new("illegal_state_words_from_a_server");
    for value in [word::FREE, 3, u32::MAX, word::DONE | word::PARKED, word::REQUEST | word::WATCHED] {
        let error = call(&place, &small(), |_, _, _, head| {
            if head.word.swap(value, Ordering::AcqRel) & word::PARKED != 0 {
                wake(head);
            }
        })
        .unwrap_err();
        assert!(matches!(error, CallError::Protocol { .. }), "{value:#x}: {error:?}");
    }
}

#[test]
fn replies_that_are_no_value_of_the_type() {
    let place = Place::new("replies_that_are_no_value_of_the_type");
    for len in [0, 1, 3, 5, 7] {
        let error = call(&place, &small(), |_, segment, block, head| {
            reply(head, 0, segment.geometry().block_at(block) + INLINE, len);
        })
        .unwrap_err();
        assert!(matches!(error, CallError::Reply { .. }), "{len}: {error:?}");
        assert!(error.to_string().starts_with("the reply of Borrowed::depth is invalid: "), "{error}");
    }
    // A status that nobody knows, with a text that is no text.
    let error = call(&place, &small(), |_, segment, block, head| {
        let at = segment.geometry().block_at(block) + INLINE;
        raw::put(segment, Area::Inline(block), at, &[0xff; 30]);
        reply(head, 999, at, 30);
    })
    .unwrap_err();
    assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");
    // Texts have an end, whatever the server says.
    let config = ClientConfig { replies: 1 << 20, ..small() };
    let error = call(&place, &config, |_, segment, _, head| {
        let at = segment.geometry().callee_arena_at();
        raw::put(segment, Area::CalleeArena, at, &[b'x'; 1 << 20]);
        reply(head, 16, at, 1 << 20);
    })
    .unwrap_err();
    let CallError::Panicked { message, .. } = error else { panic!("{error:?}") };
    assert!(message.len() <= 4096);
}

#[test]
fn a_server_that_hangs_up_or_only_rings() {
    let place = Place::new("a_server_that_hangs_up_or_only_rings");
    let error = call(&place, &small(), |socket, _, _, _| socket::shut_down(socket.as_fd())).unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
    let error = call(&place, &small(), |socket, segment, block, _| {
        segment.taken(block).unwrap().store(1, Ordering::Relaxed);
        socket::shut_down(socket.as_fd());
    })
    .unwrap_err();
    assert!(matches!(error, CallError::MayHaveRun { .. }), "{error:?}");
    let config = ClientConfig { timeout: Some(Duration::from_millis(100)), ..small() };
    let error = call(&place, &config, |socket, segment, _, _| {
        (0..10_000).for_each(|_| socket::ring(socket.as_fd()));
        // Announcements of blocks that were not asked for.
        for cell in segment.announcement_cells() {
            cell.store(u64::MAX, Ordering::Release);
        }
    })
    .unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. } | CallError::Protocol { .. }), "{error:?}");
}

#[test]
fn releases_of_what_is_kept_and_of_what_is_not() {
    let place = Place::new("releases_of_what_is_kept_and_of_what_is_not");
    // How many blocks behind the answered one, and how often: only the answered one can be released, and once. Of one that
    // nobody uses any more a second one is taken for early, a third one cannot be.
    for (round, (behind, times, honest)) in
        [(0, 1, true), (1, 1, false), (0, 3, false), (77, 1, false)].into_iter().enumerate()
    {
        let server = FakeServer::listen(place.join(&format!("fake{round}.sock")));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (server, over) = (&server, &ended);
            scope.spawn(move || {
                let (socket, segment) = server.welcome(11);
                let lent = |n: &u32| segment.block(*n).unwrap().word.load(Ordering::Acquire) & 3 == 1;
                let block = loop {
                    if let Some(block) = (0..4).find(lent) {
                        break block;
                    }
                };
                let at = segment.geometry().block_at(block) + INLINE;
                raw::put(&segment, Area::Inline(block), at, &7u32.to_le_bytes());
                reply(segment.block(block).unwrap(), KEPT, at, 4);
                std::thread::sleep(Duration::from_millis(30)); // It is let go of, mostly.
                let producer = Producer::new();
                let offset = segment.geometry().block_at((block + behind) % 100);
                (0..times).for_each(|_| producer.push(segment.announcement_cells(), Kind::Release, offset));
                socket::ring(socket.as_fd());
                until(|| over.load(Ordering::Relaxed));
            });
            let client = BorrowedClient::connect_with(server.path(), &small()).unwrap();
            let depth = client.depth(&Tree { value: 1, children: vec![] });
            assert_eq!(depth.unwrap(), 7);
            if honest {
                until(|| testing::client_usage(&client).is_idle());
            } else {
                let hasty = client.with_timeout(Duration::from_millis(20));
                until(|| hasty.depth(&Tree { value: 1, children: vec![] }).is_err_and(|error| error.is_disconnected()));
            }
            ended.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn errors_of_a_handler_that_are_no_errors() {
    let place = Place::new("errors_of_a_handler_that_are_no_errors");
    let server = FakeServer::listen(place.join("fake.sock"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (_socket, segment) = server.welcome(11);
            for byte in [0u8, 1, 2, 0x80, 0xff] {
                let lent = |n: &u32| segment.block(*n).unwrap().word.load(Ordering::Acquire) & 3 == 1;
                let block = loop {
                    if let Some(block) = (0..4).find(lent) {
                        break block;
                    }
                };
                let at = segment.geometry().block_at(block) + INLINE;
                raw::put(&segment, Area::Inline(block), at, &[byte; 160]);
                reply(segment.block(block).unwrap(), 0, at, 160);
            }
        });
        let client = BorrowedClient::connect_with(server.path(), &small()).unwrap();
        let mut surprises = Vec::new();
        for _ in 0..5 {
            // Some of it is a value as it happens; what matters is that bytes are judged before they are believed.
            match client.either("x", true) {
                Ok(_) | Err(CallError::Reply { .. } | CallError::Handler(_)) => {}
                other => surprises.push(other),
            }
        }
        assert!(surprises.is_empty(), "{surprises:?}");
    });
}

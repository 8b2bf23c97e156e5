//! Calls that nobody waits for with a thread of its own: polled, detached, submitted quietly; and who waits for a block so.
#![cfg(not(loom))]

mod side;

use std::future::{Future, poll_fn};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use ipc_core::caller::{Caller, Failure, Limit, NoBlock, NotFlushed, Pending};
use ipc_core::clock;
use ipc_core::layout::Geometry;
use ipc_core::queue::{Consumer, Kind, Producer};
use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_core::turns::Drafting;
use side::{BLOCKS, ECHO, SLEEP, STALL, Side, block_on, draft, reply};

const SOON: Duration = Duration::from_secs(20);

fn lend(caller: &Arc<Caller>, method: u16, byte: u8) -> Pending<Arc<Caller>> {
    draft(caller.clone(), byte).submit(method, 1, Limit::None)
}

async fn answer(mut pending: Pending<Arc<Caller>>, limit: Limit) -> Result<Vec<u8>, Failure> {
    poll_fn(|cx| pending.poll_ready(cx, limit)).await;
    assert!(pending.is_ready());
    pending.wait(limit).map(reply)
}

fn nothing_is_left(caller: &Caller) {
    let start = std::time::Instant::now();
    while !caller.usage().is_idle() && start.elapsed() < SOON {
        std::thread::yield_now();
    }
    assert!(caller.usage().is_idle(), "{:?}", caller.usage());
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_gets_its_reply() {
    for workers in [1, 2] {
        let side = Side::start(workers);
        for n in 0..2000u32 {
            let method = if n % 100 == 0 { SLEEP } else { ECHO };
            let pending = lend(&side.caller, method, n as u8 % 8);
            assert_eq!(block_on(answer(pending, Limit::None)).unwrap(), [n as u8 % 8]);
        }
        nothing_is_left(&side.caller);
    }
}

#[test]
fn many_futures_of_many_threads() {
    let side = Side::start(2);
    std::thread::scope(|s| {
        for t in 0..4u32 {
            let caller = &side.caller;
            s.spawn(move || {
                for n in 0..1500u32 {
                    let byte = (n * 7 + t) as u8;
                    let both = async {
                        let mut all = Vec::new();
                        for b in [byte, byte ^ 1, byte ^ 2] {
                            let mut draft = Caller::draft_async(caller.clone(), Limit::None).await.unwrap();
                            side::write(&mut draft, b);
                            all.push(answer(draft.submit(ECHO, 1, Limit::None), Limit::None).await.unwrap());
                        }
                        all
                    };
                    assert_eq!(block_on(both), [[byte], [byte ^ 1], [byte ^ 2]]);
                }
            });
        }
    });
    nothing_is_left(&side.caller);
}

#[test]
fn a_polled_call_can_be_dropped_waited_for_or_detached() {
    let side = Side::start(1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let cx = Context::from_waker(&waker);
    for round in 0..60u32 {
        let mut pending = lend(&side.caller, SLEEP, 2);
        let polled = pending.poll_ready(&cx, Limit::None);
        if round % 4 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        match round % 3 {
            0 => drop(pending),
            1 => {
                assert_eq!(pending.wait(Limit::None).map(reply).unwrap(), [2]);
                assert!(polled.is_pending());
            }
            _ => pending.detach(),
        }
    }
    side.caller.flush(Limit::None).unwrap();
    nothing_is_left(&side.caller);
    assert_eq!(Arc::strong_count(&count), 2, "no waker is kept");
}

/// A waker that keeps a call of the same connection, as the task of an executor does of which nobody but wakers is left.
struct Keeps(#[allow(dead_code)] Mutex<Option<Pending<Arc<Caller>>>>);

impl Wake for Keeps {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_be_the_last_that_keeps_another_call() {
    let side = Side::start(1);
    for detach in [false, true] {
        let waker = Waker::from(Arc::new(Keeps(Mutex::new(Some(lend(&side.caller, SLEEP, 20))))));
        let mut pending = lend(&side.caller, SLEEP, 20);
        assert!(pending.poll_ready(&Context::from_waker(&waker), Limit::None).is_pending());
        drop(waker);
        if detach { pending.detach() } else { drop(pending) }
    }
    nothing_is_left(&side.caller);
}

#[test]
fn a_peer_that_announces_too_early_does_not_stop_the_clock() {
    let (ours, theirs) = socket::pair().unwrap();
    let segment = Segment::create(Geometry::new(4, 1 << 16, 1 << 16).unwrap()).unwrap();
    let peer = Segment::open(segment.descriptor().try_clone_to_owned().unwrap(), *segment.geometry()).unwrap();
    let caller = Caller::new(segment, ours).unwrap();
    let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
    let wakers = counts.clone().map(Waker::from);
    let start = clock::now();
    let limits = [200, 60].map(|ms| Limit::Until(start + ms * 1_000_000));
    let mut calls = [lend(&caller, ECHO, 1), lend(&caller, ECHO, 2)];
    for ((call, waker), limit) in calls.iter_mut().zip(&wakers).zip(limits) {
        assert!(call.poll_ready(&Context::from_waker(waker), limit).is_pending());
    }
    let woken = |n: usize, times| {
        let start = std::time::Instant::now();
        while counts[n].0.load(Ordering::SeqCst) < times && start.elapsed() < SOON {
            std::thread::yield_now();
        }
        counts[n].0.load(Ordering::SeqCst)
    };
    // The first one is announced without an answer, and its waker is gone when the clock is looked at for the second one.
    let first = Consumer::new().pop(peer.request_cells()).unwrap().unwrap().offset;
    Producer::new().push(peer.announcement_cells(), Kind::Announcement, first);
    socket::ring(theirs.as_fd());
    assert_eq!(woken(0, 1), 1);
    assert_eq!(woken(1, 1), 1);
    if calls[0].poll_ready(&Context::from_waker(&wakers[0]), limits[0]).is_pending() {
        assert_eq!(woken(0, 2), 2, "its time is over");
    }
    for (call, limit) in calls.into_iter().zip(limits) {
        assert!(matches!(call.wait(limit), Err(Failure::TimedOut)));
    }
}

#[test]
fn a_future_times_out_and_its_block_comes_home() {
    let side = Side::start(1);
    for lazy in [true, false] {
        side.release(false);
        let (start, short) = (clock::now(), Duration::from_millis(20));
        let limit = if lazy { Limit::Lazy(short) } else { Limit::Until(clock::after(short)) };
        let pending = draft(side.caller.clone(), 1).submit(STALL, 1, limit);
        // A worker that comes late refuses it.
        let end = block_on(answer(pending, limit));
        assert!(matches!(&end, Err(Failure::TimedOut)) || end.as_ref().is_ok_and(Vec::is_empty), "{end:?}");
        assert!(end.is_ok() || clock::now() - start >= clock::nanoseconds(short));
        side.release(true);
        nothing_is_left(&side.caller);
    }
}

#[test]
fn those_who_wait_for_a_block_get_one_in_turn() {
    let side = Side::start(1);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let all: Vec<_> = (0..BLOCKS).map(|n| lend(&side.caller, if n == 0 { SLEEP } else { ECHO }, 50)).collect();
    assert!(matches!(Caller::try_draft(side.caller.clone()), Err(NoBlock::Busy)));
    let (mut first, mut second) = (
        Box::pin(Caller::draft_async(side.caller.clone(), Limit::None)),
        Box::pin(Caller::draft_async(side.caller.clone(), Limit::None)),
    );
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(side.caller.usage().waiting, 2);
    let late = Caller::draft_async(side.caller.clone(), Limit::Lazy(Duration::from_millis(10)));
    assert!(matches!(block_on(late), Err(NoBlock::Busy)));
    // The blocks are given up while the one worker sleeps: none is answered yet.
    drop(all);
    let mut answers = 0;
    let start = std::time::Instant::now();
    while count.0.load(Ordering::SeqCst) < 1 && start.elapsed() < SOON {
        std::thread::yield_now();
    }
    // Woken for a block, but dropped: the wake-up is handed on.
    drop(first);
    while second.as_mut().poll(&mut cx).is_pending() {
        answers += 1;
        assert!(start.elapsed() < SOON, "{answers}");
        std::thread::yield_now();
    }
    drop(second);
    nothing_is_left(&side.caller);
}

/// Goes on with a future that waits for a block, and gives the block back, where it is woken.
struct Inline(Mutex<Option<Drafting<Arc<Caller>>>>);

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let mut waiting = self.0.lock().unwrap().take().unwrap();
        assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

#[test]
fn a_waker_that_uses_blocks_itself_does_not_mix_up_those_of_two_callers() {
    let (one, other) = (Side::start(1), Side::start(1));
    // This thread keeps a block, all others are taken, and a future waits.
    drop(lend(&one.caller, ECHO, 1).wait(Limit::None).unwrap());
    let take = || {
        let drafts: Vec<_> = (1..BLOCKS).map(|_| Caller::try_draft(one.caller.clone()).unwrap()).collect();
        let inline = Arc::new(Inline(Mutex::new(Some(Caller::draft_async(one.caller.clone(), Limit::None)))));
        let waker = Waker::from(inline.clone());
        let mut waiting = inline.0.lock().unwrap();
        assert!(Pin::new(waiting.as_mut().unwrap()).poll(&mut Context::from_waker(&waker)).is_pending());
        drafts
    };
    let drafts = std::thread::scope(|scope| scope.spawn(take).join().unwrap());
    assert_eq!(one.caller.usage().waiting, 1);
    // It is to keep a block of the other caller now. The first one's goes home, and wakes the future here.
    drop(lend(&other.caller, ECHO, 2).wait(Limit::None).unwrap());
    assert_eq!(one.caller.usage().waiting, 0);
    drop(drafts);
    for side in [one, other] {
        let all = std::iter::from_fn(|| Caller::try_draft(side.caller.clone()).ok()).take(2 * BLOCKS as usize);
        assert_eq!(all.collect::<Vec<_>>().len(), BLOCKS as usize);
        nothing_is_left(&side.caller);
    }
}

#[test]
fn a_flush_waits_for_what_was_detached() {
    let side = Side::start(1);
    for round in 0..30 {
        for n in 0..100u8 {
            draft(side.caller.clone(), n % 2).submit(if n == 50 { SLEEP } else { ECHO }, 1, Limit::None).detach();
        }
        if round % 2 == 0 {
            side.caller.flush(Limit::None).unwrap();
        } else {
            block_on(Caller::flush_async(side.caller.clone(), Limit::None)).unwrap();
        }
        assert_eq!(side.runs(), (round + 1) * 100);
    }
    lend(&side.caller, STALL, 1).detach();
    assert_eq!(side.caller.flush(Limit::Lazy(Duration::from_millis(10))), Err(NotFlushed::TimedOut));
    let flushing = Caller::flush_async(side.caller.clone(), Limit::Lazy(Duration::from_millis(10)));
    assert_eq!(block_on(flushing), Err(NotFlushed::TimedOut));
    side.release(true);
    nothing_is_left(&side.caller);
}

#[test]
fn a_quiet_batch_is_served_when_it_is_waited_for() {
    let side = Side::start(1);
    for round in 0..50u8 {
        // Long enough for the worker to fall asleep.
        std::thread::sleep(Duration::from_millis(2));
        let batch: Vec<_> =
            (0..6u8).map(|n| draft(side.caller.clone(), n + round).submit_quietly(ECHO, 1, Limit::None)).collect();
        if round % 3 == 0 {
            side.caller.notify();
        }
        for (n, pending) in batch.into_iter().enumerate() {
            let got = if round % 2 == 0 {
                pending.wait(Limit::None).map(reply)
            } else {
                block_on(answer(pending, Limit::None))
            };
            assert_eq!(got.unwrap(), [n as u8 + round]);
        }
    }
    nothing_is_left(&side.caller);
}

#[test]
fn futures_hear_of_the_end() {
    let side = Side::start(1);
    let mut all: Vec<_> = (0..BLOCKS).map(|_| lend(&side.caller, SLEEP, 200)).collect();
    let caller = side.caller.clone();
    let one = all.pop().unwrap();
    all.pop().unwrap().detach();
    std::thread::scope(|s| {
        let reply = s.spawn(move || block_on(answer(one, Limit::None)));
        let block = s.spawn(|| block_on(Caller::draft_async(caller.clone(), Limit::None)).map(drop));
        let flush = s.spawn(|| block_on(Caller::flush_async(caller.clone(), Limit::None)));
        let sleeper = s.spawn(|| Caller::draft(&*caller, Limit::None).map(drop));
        let flusher = s.spawn(|| caller.flush(Limit::None));
        std::thread::sleep(Duration::from_millis(30));
        drop(side);
        assert!(matches!(reply.join().unwrap(), Err(Failure::NotStarted)));
        assert_eq!(block.join().unwrap(), Err(NoBlock::Ended));
        assert_eq!(sleeper.join().unwrap(), Err(NoBlock::Ended));
        assert_eq!(flush.join().unwrap(), Err(NotFlushed::Ended));
        assert_eq!(flusher.join().unwrap(), Err(NotFlushed::Ended));
    });
    for pending in all {
        assert!(pending.wait(Limit::None).is_ok_and(|a| a.status() == side::STATUS) || caller.has_ended());
    }
    assert_eq!(caller.usage().waiting, 0);
}

/// A number that looks random, from one that counts.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// What one thread does to calls in all ways at once: some futures, polled or not, are dropped, waited for, detached, timed
/// out or awaited, between blocking calls, quiet ones and waits for blocks.
fn churn(caller: &Arc<Caller>, mut seed: u64, rounds: u32) {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let mut flying: Vec<(Pending<Arc<Caller>>, u8, Limit)> = Vec::new();
    let mut drafting = Box::pin(Caller::draft_async(caller.clone(), Limit::None));
    for _ in 0..rounds {
        let dice = random(&mut seed);
        let byte = (dice >> 8) as u8;
        match dice % 16 {
            0..6 => {
                if let Ok(mut draft) = Caller::try_draft(caller.clone()) {
                    side::write(&mut draft, byte % 2);
                    let method = if byte < 8 { SLEEP } else { ECHO };
                    let limit = match byte % 4 {
                        0 => Limit::Lazy(Duration::from_micros(300)),
                        1 => Limit::Until(clock::after(Duration::from_micros(300))),
                        _ => Limit::None,
                    };
                    let quietly = byte.is_multiple_of(3);
                    let pending =
                        if quietly { draft.submit_quietly(method, 1, limit) } else { draft.submit(method, 1, limit) };
                    flying.push((pending, byte % 2, limit));
                }
            }
            6 => drop(Caller::try_draft(caller.clone())),
            7..10 => {
                for (pending, _, limit) in &mut flying {
                    let _ = pending.poll_ready(&cx, *limit);
                }
            }
            10 if dice & 64 == 0 => {
                if let Poll::Ready(draft) = drafting.as_mut().poll(&mut cx) {
                    drop(draft.unwrap());
                    drafting = Box::pin(Caller::draft_async(caller.clone(), Limit::None));
                }
            }
            10 => drafting = Box::pin(Caller::draft_async(caller.clone(), Limit::None)),
            _ if flying.is_empty() => {}
            end => {
                let at = random(&mut seed) as usize % flying.len();
                let (pending, byte, limit) = flying.swap_remove(at);
                match end {
                    11 => drop(pending),
                    12 => pending.detach(),
                    13 => match pending.wait(limit) {
                        Ok(answer) => assert!(answer.status() != side::STATUS || reply(answer) == [byte]),
                        Err(failure) => assert!(matches!(failure, Failure::TimedOut), "{failure:?}"),
                    },
                    14 => match block_on(answer(pending, limit)) {
                        Ok(bytes) => assert!(bytes.is_empty() || bytes == [byte]),
                        Err(failure) => assert!(matches!(failure, Failure::TimedOut), "{failure:?}"),
                    },
                    _ => match caller.flush(Limit::Lazy(Duration::from_millis(u64::from(byte)))) {
                        Ok(()) | Err(NotFlushed::TimedOut) => {}
                        Err(ended) => panic!("{ended:?}"),
                    },
                }
            }
        }
    }
    drop((flying, drafting));
    // Another thread may be about to call one.
    let start = std::time::Instant::now();
    while Arc::strong_count(&count) != 2 && start.elapsed() < SOON {
        std::thread::yield_now();
    }
    assert_eq!(Arc::strong_count(&count), 2, "no waker is kept");
}

#[test]
fn nothing_is_left_of_calls_in_all_ways() {
    for (workers, threads) in [(1, 1), (2, 1), (1, 4), (3, 6)] {
        let side = Side::start(workers);
        std::thread::scope(|s| {
            for seed in 0..threads {
                let caller = &side.caller;
                s.spawn(move || churn(caller, seed * 77 + threads, 40_000));
            }
        });
        side.caller.flush(Limit::None).unwrap();
        nothing_is_left(&side.caller);
        // All the blocks are there; a thread that has just ended may be about to give back what it kept.
        let all: Vec<_> = (0..BLOCKS).map(|_| Caller::draft(side.caller.clone(), Limit::Lazy(SOON))).collect();
        assert!(all.iter().all(Result::is_ok));
    }
}

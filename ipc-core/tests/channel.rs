//! Caller and callee over one segment, as bytes: in one process, with the same code path as in two.
#![cfg(not(loom))]

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipc_core::callee::{Call, Greeting, Handler};
use ipc_core::caller::{Caller, Failure, Limit};
use ipc_core::layout::{Geometry, NOT_RUN, REPLIED};
use ipc_core::scanner::{Callee, Workers};
use ipc_core::segment::Segment;
use ipc_core::socket;

/// Echoes; method 1 sleeps for as many milliseconds as the first byte says first.
#[derive(Default)]
struct Echo {
    runs: AtomicU32,
}

fn geometry() -> Geometry {
    Geometry::new(8, 4 << 20, 4 << 20).unwrap()
}

impl Handler for Echo {
    type Peer = ();

    fn greet(&self, _: &[u8], mut descriptors: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<()> {
        let segment = Segment::open(descriptors.pop().unwrap(), geometry()).unwrap();
        Greeting { answer: b"welcome".to_vec(), accepted: Some((segment, ())) }
    }

    fn call(&self, (): &(), call: &mut Call<'_, ()>) -> (u16, usize) {
        self.runs.fetch_add(1, Ordering::SeqCst);
        let (data, len) = call.request();
        // SAFETY: the request lies there until the call is finished, and this peer is honest.
        let request = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec();
        if call.method() == 1 {
            std::thread::sleep(Duration::from_millis(request[0].into()));
        }
        let (mut to, room) = call.reply_buffer();
        if room < len {
            to = call.grow_reply(0, len).unwrap().0;
        }
        // SAFETY: room for `len` bytes, ours alone.
        unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), to.as_ptr(), len) };
        (16, len)
    }
}

fn start(workers: usize) -> (Arc<Caller>, Arc<Callee<Echo>>, Vec<std::thread::JoinHandle<()>>) {
    let callee =
        Arc::new(Callee::new(Echo::default(), None, Workers { base: workers, spare: 0, grow: false }).unwrap());
    let (ours, theirs) = socket::pair().unwrap();
    callee.adopt(theirs).unwrap();
    let threads = (0..workers)
        .map(|me| {
            let callee = callee.clone();
            std::thread::spawn(move || callee.work(me))
        })
        .collect();
    let segment = Segment::create(geometry()).unwrap();
    use std::os::fd::AsFd;
    socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
    assert!(socket::wait_readable(ours.as_fd(), ipc_core::clock::after(Duration::from_secs(10))).unwrap());
    assert_eq!(socket::receive(ours.as_fd()).unwrap().0, b"welcome");
    (Caller::new(segment, ours).unwrap(), callee, threads)
}

fn call(caller: &Caller, method: u16, request: &[u8], limit: Limit) -> Result<(u16, Vec<u8>), Failure> {
    let mut draft = Caller::draft(caller, Limit::None).unwrap();
    let (mut to, room) = draft.buffer();
    if room < request.len() {
        to = draft.grow(0, request.len()).unwrap().0;
    }
    // SAFETY: room for the request, ours alone.
    unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), to.as_ptr(), request.len()) };
    let answer = draft.submit(method, request.len(), limit).wait(limit)?;
    let (data, len) = answer.bytes();
    // SAFETY: the reply lies there until `answer` is dropped, and this peer is honest.
    let reply = if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec() };
    Ok((answer.status(), reply))
}

#[test]
fn echoes_of_every_size() {
    for workers in [1, 3] {
        let (caller, callee, threads) = start(workers);
        for n in 0..3000usize {
            let request: Vec<u8> = (0..n).map(|i| (i + n) as u8).collect();
            assert_eq!(call(&caller, 0, &request, Limit::None).unwrap(), (16, request));
        }
        for n in [100_000, 1 << 20, 3 << 20] {
            let request: Vec<u8> = (0..n).map(|i| (i * 7 + n) as u8).collect();
            assert_eq!(call(&caller, 0, &request, Limit::None).unwrap(), (16, request));
        }
        assert_eq!(caller.usage().memory.used, 0);
        assert_eq!(callee.handler().runs.load(Ordering::SeqCst), 3003);
        callee.stop();
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

#[test]
fn many_threads_and_sizes() {
    for workers in [1, 2, 4] {
        let (caller, callee, threads) = start(workers);
        std::thread::scope(|s| {
            for t in 0..16usize {
                let caller = &caller;
                s.spawn(move || {
                    for n in 0..2000usize {
                        let len = (n * 37 + t * 11) % 5000;
                        let request: Vec<u8> = (0..len).map(|i| (i * 3 + t + n) as u8).collect();
                        assert_eq!(call(caller, 0, &request, Limit::None).unwrap().1, request);
                    }
                });
            }
        });
        assert_eq!(callee.handler().runs.load(Ordering::SeqCst), 32_000);
        assert_eq!(caller.usage().memory.used, 0);
        callee.stop();
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}

#[test]
fn a_thread_that_sleeps_for_a_block_hears_of_those_given_up_later() {
    let (caller, callee, threads) = start(2);
    let lend = |_| {
        let draft = Caller::draft(&*caller, Limit::None).unwrap();
        // SAFETY: a block has room for one byte, ours alone.
        unsafe { draft.buffer().0.write(100) };
        draft.submit(1, 1, Limit::None)
    };
    let pending: Vec<_> = (0..geometry().blocks()).map(lend).collect();
    let (sender, receiver) = std::sync::mpsc::channel();
    let sleeper = caller.clone();
    std::thread::spawn(move || sender.send(Caller::draft(&*sleeper, Limit::None).is_ok()));
    std::thread::sleep(Duration::from_millis(50));
    drop(pending);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(30)), Ok(true));
    callee.stop();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn a_call_that_is_given_up_comes_home() {
    let (caller, callee, threads) = start(2);
    for _ in 0..20 {
        let gone = call(&caller, 1, &[30], Limit::Lazy(Duration::from_millis(2)));
        // Expired while it waited for a worker: refused unrun.
        assert!(matches!(gone, Err(Failure::TimedOut) | Ok((NOT_RUN, _))), "{gone:?}");
    }
    // 20 calls over 8 blocks: waiting for the zombies was part of it.
    for n in 0..100u8 {
        assert_eq!(call(&caller, 0, &[n], Limit::None).unwrap(), (16, vec![n]));
    }
    let late = ipc_core::clock::now();
    let refused = call(&caller, 0, &[1], Limit::Until(late));
    assert!(matches!(refused, Err(Failure::TimedOut)) || matches!(refused, Ok((NOT_RUN, _))), "{refused:?}");
    assert_ne!(REPLIED, NOT_RUN);
    callee.stop();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn an_ended_callee_is_noticed_by_all_who_wait() {
    let (caller, callee, threads) = start(2);
    std::thread::scope(|s| {
        for _ in 0..6 {
            let caller = &caller;
            s.spawn(move || call(caller, 1, &[50], Limit::None));
        }
        std::thread::sleep(Duration::from_millis(20));
        callee.stop();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let Some(callee) = Arc::into_inner(callee) else { panic!("the workers hold it no longer") };
        assert!(callee.handler().runs.load(Ordering::SeqCst) >= 2);
        drop(callee);
    });
    // The calls may have been refused before the end was heard.
    let start = std::time::Instant::now();
    while Caller::try_draft(&*caller).is_ok() && start.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    assert!(Caller::draft(&*caller, Limit::None).is_err());
}

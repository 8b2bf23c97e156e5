//! Calls that are deferred, and workers that come when others are away.
#![cfg(not(loom))]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ipc_core::callee::{Call, CallWatch, Deferred, Greeting, Handler};
use ipc_core::caller::{Caller, Failure, Limit, Pending};
use ipc_core::gap::Waiting;
use ipc_core::layout::{ABANDONED, Geometry, INLINE, NOT_RUN, STOPPING};
use ipc_core::queue::{Kind, Producer};
use ipc_core::scanner::{Callee, CalleeUsage, Workers};
use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_core::word::{self, Corrupt};

/// Echoes.
const ECHO: u16 = 0;
/// Defers, and leaves the call to the test.
const DEFER: u16 = 1;
/// Waits until the test opens the gate; said to be long.
const WAIT: u16 = 2;
/// The same, but not said to be long.
const WAIT_UNSAID: u16 = 3;
/// Watches itself, then is abandoned.
const ABANDON: u16 = 4;
/// Sleeps for a millisecond.
const NAP: u16 = 5;
/// Waits for the gate, then calls [`ECHO`] of the same callee; answers with the status of that.
const NEST: u16 = 6;
/// Defers, and says that nothing has run.
const TURN_AWAY: u16 = 7;
/// Waits until the test opens the second gate.
const WAIT_ELSEWHERE: u16 = 8;

const WELL: u16 = 16;

/// What the spares are called, too.
const WORKER: &str = "ipc-rpc worker";

fn geometry() -> Geometry {
    Geometry::new(8, 1 << 20, 1 << 20).unwrap()
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU32,
}

impl Gate {
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        let result = self.opened.wait_timeout_while(open, Duration::from_secs(60), |open| !*open).unwrap();
        assert!(*result.0, "the gate was never opened");
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

#[derive(Default)]
struct Many {
    deferred: Mutex<Vec<Deferred<u32>>>,
    watches: Mutex<Vec<CallWatch<u32>>>,
    gate: Gate,
    second: Gate,
    /// Who comes now waits at the door.
    shut: AtomicBool,
    door: Gate,
    ended: AtomicUsize,
    corrupt: AtomicUsize,
    peers: AtomicU32,
    nested: Mutex<Option<Arc<Caller>>>,
}

impl Handler for Many {
    type Peer = u32;

    fn greet(&self, _: &[u8], mut descriptors: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<u32> {
        if self.shut.load(Ordering::SeqCst) {
            self.door.wait();
        }
        let segment = Segment::open(descriptors.pop().unwrap(), geometry()).unwrap();
        let peer = self.peers.fetch_add(1, Ordering::SeqCst);
        Greeting { answer: b"welcome".to_vec(), accepted: Some((segment, peer)) }
    }

    fn call(&self, _: &u32, call: &mut Call<'_, u32>) -> (u16, usize) {
        match call.method() {
            DEFER => {
                let deferred = call.defer();
                assert_eq!((call.request().1, call.reply_buffer().1), (0, 0), "a call is spent when it is deferred");
                assert!(call.grow_reply(0, 1).is_err());
                self.watches.lock().unwrap().push(deferred.watch());
                self.deferred.lock().unwrap().push(deferred);
                return (77, 77);
            }
            WAIT | WAIT_UNSAID => self.gate.wait(),
            WAIT_ELSEWHERE => self.second.wait(),
            ABANDON => drop(call.defer()),
            TURN_AWAY => call.defer().finish(NOT_RUN, 0),
            NEST => {
                self.gate.wait();
                let caller = self.nested.lock().unwrap().clone().unwrap();
                return (end(begin(&caller, ECHO, b"")).unwrap().0, 0);
            }
            NAP => std::thread::sleep(Duration::from_millis(1)),
            _ => {}
        }
        let (from, len) = call.request();
        let (mut to, room) = call.reply_buffer();
        if room < len {
            to = call.grow_reply(0, len).unwrap().0;
        }
        // SAFETY: the request has `len` bytes, and the reply room for as many behind it or elsewhere.
        unsafe { std::ptr::copy(from.as_ptr(), to.as_ptr(), len) };
        (WELL, len)
    }

    fn is_long(&self, _: &u32, method: u16) -> bool {
        method == WAIT
    }

    fn ended(&self, _: &u32, why: Option<Corrupt>) {
        self.ended.fetch_add(1, Ordering::SeqCst);
        self.corrupt.fetch_add(usize::from(why.is_some()), Ordering::SeqCst);
    }
}

/// A callee with its base workers, which end with it.
struct Running {
    callee: Arc<Callee<Many>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Running {
    fn new(workers: Workers) -> Self {
        let mut running = Running::idle(workers);
        (0..workers.base).for_each(|_| running.start());
        running
    }

    /// Without a thread.
    fn idle(workers: Workers) -> Self {
        Running { callee: Arc::new(Callee::new(Many::default(), None, workers).unwrap()), threads: Vec::new() }
    }

    /// Starts the next worker.
    fn start(&mut self) {
        let (callee, me) = (self.callee.clone(), self.threads.len());
        let thread = std::thread::Builder::new().name(WORKER.into());
        self.threads.push(thread.spawn(move || callee.work(me)).unwrap());
    }

    fn many(&self) -> &Many {
        self.callee.handler()
    }

    fn connect(&self) -> Arc<Caller> {
        let (segment, ours) = self.shake_hands();
        Caller::new(segment, ours).unwrap()
    }

    fn shake_hands(&self) -> (Segment, OwnedFd) {
        let (ours, theirs) = socket::pair().unwrap();
        self.callee.adopt(theirs).unwrap();
        let segment = Segment::create(geometry()).unwrap();
        socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
        assert!(socket::wait_readable(ours.as_fd(), ipc_core::clock::after(Duration::from_secs(10))).unwrap());
        assert_eq!(socket::receive(ours.as_fd()).unwrap().0, b"welcome");
        (segment, ours)
    }

    fn usage(&self) -> CalleeUsage {
        self.callee.usage()
    }

    fn end(&mut self) {
        self.callee.stop();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let many = self.many();
        [&many.gate, &many.second, &many.door].into_iter().for_each(Gate::open);
        self.end();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "not so after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn begin(caller: &Arc<Caller>, method: u16, request: &[u8]) -> Pending<Arc<Caller>> {
    let mut draft = Caller::draft(caller.clone(), Limit::None).unwrap();
    let (mut to, room) = draft.buffer();
    if room < request.len() {
        to = draft.grow(0, request.len()).unwrap().0;
    }
    // SAFETY: room for the request, ours alone.
    unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), to.as_ptr(), request.len()) };
    draft.submit(method, request.len(), Limit::None)
}

fn end(pending: Pending<Arc<Caller>>) -> Result<(u16, Vec<u8>), Failure> {
    let answer = pending.wait(Limit::None)?;
    let (data, len) = answer.bytes();
    // SAFETY: the reply lies there until `answer` is dropped, and this peer is honest.
    let reply = if len == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(data.as_ptr(), len) }.to_vec() };
    Ok((answer.status(), reply))
}

fn call(caller: &Arc<Caller>, method: u16, request: &[u8]) -> (u16, Vec<u8>) {
    end(begin(caller, method, request)).unwrap()
}

/// Answers a deferred call with its request.
fn echo(mut deferred: Deferred<u32>) {
    let (from, len) = deferred.request();
    let (mut to, room) = deferred.reply_buffer();
    if room < len {
        to = deferred.grow_reply(0, len).unwrap().0;
    }
    // SAFETY: the request has `len` bytes, and the reply room for as many behind it or elsewhere.
    unsafe { std::ptr::copy(from.as_ptr(), to.as_ptr(), len) };
    deferred.finish(WELL, len);
}

const ONE: Workers = Workers { base: 1, spare: 0, grow: false };

#[test]
fn deferred_calls_are_answered_by_others_in_any_order() {
    for workers in [ONE, Workers { base: 3, ..ONE }] {
        let running = Running::new(workers);
        let caller = running.connect();
        for round in 0..200usize {
            let pending: Vec<_> = (0..8usize)
                .map(|n| {
                    let request: Vec<u8> = (0..(n * 300 + round) % 2000).map(|i| (i + n + round) as u8).collect();
                    (begin(&caller, DEFER, &request), request)
                })
                .collect();
            until("all are deferred", || running.many().deferred.lock().unwrap().len() == 8);
            assert_eq!(running.usage().busy, 8);
            let mut deferred = std::mem::take(&mut *running.many().deferred.lock().unwrap());
            deferred.rotate_left(round % 8);
            let answering = std::thread::spawn(move || deferred.into_iter().rev().for_each(echo));
            for (pending, request) in pending {
                assert_eq!(end(pending).unwrap(), (WELL, request));
            }
            answering.join().unwrap();
            assert_eq!(running.usage().busy, 0);
        }
        // The extents of the last round come home when their blocks are lent again.
        for pending in (0..8).map(|_| begin(&caller, ECHO, b"")).collect::<Vec<_>>() {
            assert_eq!(end(pending).unwrap().0, WELL);
        }
        let usage = running.usage();
        assert_eq!((usage.busy, usage.reply_extents, usage.memory.used, usage.channels), (0, 0, 0, 1), "{usage:?}");
    }
}

#[test]
fn an_abandoned_call_is_answered_so() {
    let running = Running::new(ONE);
    let caller = running.connect();
    for _ in 0..100 {
        assert_eq!(call(&caller, ABANDON, b"abc"), (ABANDONED, vec![]));
        assert_eq!(call(&caller, ECHO, b"abc").1, b"abc");
    }
    assert_eq!(running.usage().busy, 0);
}

#[test]
fn a_watch_speaks_of_its_call_only() {
    // Also when the callee says that it has not run, and does not count it.
    [WELL, NOT_RUN].into_iter().for_each(a_watch_speaks_of_a_call_only);
}

fn a_watch_speaks_of_a_call_only(status: u16) {
    let running = Running::new(ONE);
    let caller = running.connect();
    let next = |pending| {
        until("it is deferred", || running.many().deferred.lock().unwrap().len() == 1);
        (pending, running.many().deferred.lock().unwrap().pop().unwrap())
    };
    let (pending, deferred) = next(begin(&caller, DEFER, b"1"));
    let watch = deferred.watch();
    assert!(!watch.is_cancelled() && !deferred.is_cancelled() && !watch.is_gone() && watch.deadline().is_none());
    drop(pending); // Gives it up.
    assert!(watch.is_cancelled() && deferred.is_cancelled());
    deferred.finish(status, 0);
    assert!(!watch.is_cancelled(), "the call is over");
    // All blocks, so that the first one is among them.
    let again: Vec<_> = (0..8).map(|_| begin(&caller, DEFER, b"2")).collect();
    until("all are deferred", || running.many().deferred.lock().unwrap().len() == 8);
    drop(again);
    assert!(!watch.is_cancelled(), "that is another call");
    assert!(running.many().watches.lock().unwrap().iter().filter(|w| w.is_cancelled()).count() == 8);
    running.many().deferred.lock().unwrap().clear();
    drop(caller);
    until("the hang-up is heard", || watch.is_gone());
}

#[test]
fn a_callee_that_never_sleeps_keeps_nothing_of_those_who_ring_and_leave() {
    let running = Running::new(ONE);
    running.callee.wait_as(Waiting::Spin);
    for round in 0..10 {
        let (_segment, socket) = running.shake_hands();
        until("it is scanned", || running.usage().channels == 1);
        socket::ring(socket.as_fd());
        std::thread::sleep(Duration::from_millis(10)); // The ring is heard before the hang-up in some of the rounds.
        drop(socket);
        let in_use = || (running.usage().channels, running.usage().retired);
        until(&format!("{round} is gone"), || in_use() == (0, 0));
    }
}

#[test]
fn a_deferred_call_outlives_its_caller_and_its_callee() {
    let mut running = Running::new(ONE);
    let (gone, stays) = (running.connect(), running.connect());
    let lost = begin(&gone, DEFER, b"a");
    until("it is deferred", || running.many().deferred.lock().unwrap().len() == 1);
    let kept = begin(&stays, DEFER, &[5; 3000]);
    until("both are deferred", || running.many().deferred.lock().unwrap().len() == 2);
    drop((lost, gone));
    until("the first has ended", || running.many().ended.load(Ordering::SeqCst) == 1);
    // It is told of the end before the channel is swept.
    let in_use = || {
        let usage = running.usage();
        (usage.channels, usage.retired, usage.busy)
    };
    until("one is retired", || in_use() == (1, 1, 2));
    let mut deferred = std::mem::take(&mut *running.many().deferred.lock().unwrap());
    assert_eq!(deferred.iter().map(|d| d.is_gone()).collect::<Vec<_>>(), [true, false]);
    deferred.remove(0).finish(WELL, 0);
    until("it is gone", || in_use() == (1, 0, 1));
    let last = deferred.remove(0);
    running.end();
    let callee = Arc::into_inner(std::mem::replace(
        &mut running.callee,
        Arc::new(Callee::new(Many::default(), None, ONE).unwrap()),
    ));
    drop(callee.expect("nobody else holds it"));
    // The caller hears the end at once, though somebody still has its call.
    assert!(matches!(end(kept), Err(Failure::MayHaveRun)));
    assert_eq!((last.request().1, *last.peer()), (3000, 1));
    echo(last);
}

#[test]
fn an_answer_races_with_the_hang_up() {
    let running = Running::new(Workers { base: 2, ..ONE });
    for round in 0..200 {
        let caller = running.connect();
        let pending = begin(&caller, DEFER, &[round as u8; 700]);
        until("it is deferred", || running.many().deferred.lock().unwrap().len() == 1);
        let deferred = running.many().deferred.lock().unwrap().pop().unwrap();
        let answering = std::thread::spawn(move || echo(deferred));
        if round % 2 == 0 {
            drop(pending);
        } else {
            assert_eq!(end(pending).unwrap().1.len(), 700);
        }
        drop(caller);
        answering.join().unwrap();
    }
    until("all channels have ended", || running.many().ended.load(Ordering::SeqCst) == 200);
    until("all channels are gone", || {
        let CalleeUsage { channels, busy, reply_extents, memory, retired, .. } = running.usage();
        (channels, busy, reply_extents, memory.used, retired) == (0, 0, 0, 0, 0)
    });
}

#[test]
fn a_call_said_to_be_long_keeps_nobody_waiting() {
    // One worker, and as many spares as there are long calls: each finds somebody to look on.
    let running = Running::new(Workers { base: 1, spare: 4, grow: false });
    let (waiting, caller) = (running.connect(), running.connect());
    assert_eq!(running.usage().workers, 1);
    let mut pending = Vec::new();
    for n in 1..=4 {
        pending.push(begin(&waiting, WAIT, b""));
        until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == n);
        assert_eq!(call(&caller, ECHO, b"there?").1, b"there?");
        // Connections are accepted too.
        assert_eq!(call(&running.connect(), ECHO, b"new").1, b"new");
    }
    assert_eq!(running.usage().workers, 5);
    running.many().gate.open();
    until("all are answered", || running.usage().busy == 0);
    assert_eq!(call(&caller, ECHO, b"there?").1, b"there?");
    assert_eq!(running.usage().workers, 5, "spares sleep, and are used again");
}

#[test]
fn a_call_that_turns_out_to_be_long_keeps_nobody_waiting() {
    let running = Running::new(Workers { base: 2, spare: 6, grow: true });
    let (waiting, caller) = (running.connect(), running.connect());
    let mut pending = Vec::new();
    for n in 1..=7 {
        pending.push(begin(&waiting, WAIT_UNSAID, b""));
        until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == n);
        assert_eq!(call(&caller, ECHO, b"there?").1, b"there?");
    }
    assert_eq!(running.usage().workers, 8);
}

#[test]
fn nothing_is_started_where_nothing_is_long() {
    let running = Running::new(Workers { base: 1, spare: 4, grow: true });
    let caller = running.connect();
    for _ in 0..20 {
        assert_eq!(call(&caller, NAP, b"x").1, b"x");
    }
    assert_eq!(running.usage().workers, 1);
}

/// The second worker is woken for the calls behind one that has turned out to be long, and not only by the tick.
#[test]
fn long_methods_are_learned() {
    let running = Running::new(Workers { base: 2, spare: 0, grow: false });
    let (slow, caller) = (running.connect(), running.connect());
    let long = |_| {
        let pending = begin(&slow, WAIT_UNSAID, b"");
        until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == 1);
        let start = Instant::now();
        assert_eq!(call(&caller, ECHO, b"there?").1, b"there?");
        let took = start.elapsed();
        std::thread::sleep(Duration::from_millis(30));
        running.many().gate.open();
        assert_eq!(end(pending).unwrap().0, WELL);
        *running.many().gate.open.lock().unwrap() = false;
        took
    };
    let took: Vec<_> = (0..20).map(long).collect();
    // Not earlier than the tick at first, and at once when it has been learned: the best of many, for the machine is busy.
    let best = took[10..].iter().min().unwrap();
    assert!(*best < Duration::from_millis(4), "{took:?}");
}

#[test]
fn stopping_waits_for_the_handlers_and_for_nothing_else() {
    for spare in [0, 3] {
        let mut running = Running::new(Workers { base: 2, spare, grow: spare > 0 });
        let caller = running.connect();
        let waiting: Vec<_> = (0..2).map(|_| begin(&caller, WAIT, b"w")).collect();
        until("both wait", || running.many().gate.waiting.load(Ordering::SeqCst) == 2);
        running.callee.stop();
        let late = begin(&caller, ECHO, b"late");
        std::thread::sleep(Duration::from_millis(20));
        running.many().gate.open();
        running.end();
        for pending in waiting {
            assert_eq!(end(pending).unwrap(), (WELL, b"w".to_vec()));
        }
        let other = Arc::new(Callee::new(Many::default(), None, ONE).unwrap());
        let callee = std::mem::replace(&mut running.callee, other);
        drop(Arc::into_inner(callee).expect("nobody else holds it"));
        let late = end(late);
        assert!(matches!(late, Err(Failure::NotStarted) | Ok((STOPPING, _))), "{late:?}");
    }
}

#[test]
fn a_handler_that_calls_its_own_callee_does_not_hang_the_end() {
    for _ in 0..20 {
        let mut running = Running::new(Workers { base: 2, ..ONE });
        let caller = running.connect();
        *running.many().nested.lock().unwrap() = Some(running.connect());
        let pending = begin(&caller, NEST, b"");
        until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == 1);
        running.callee.stop();
        running.many().gate.open();
        assert_eq!(end(pending).unwrap().0, STOPPING, "the inner call was refused, the outer one answered");
        running.end();
        *running.many().nested.lock().unwrap() = None;
    }
}

/// A worker that has found a request looks at its sockets, because it is its turn, before it begins it: there it is held up
/// while the callee is stopped, and another worker has nothing more to do.
#[test]
fn nor_does_one_that_begins_when_the_callee_was_told_to_stop_already() {
    let mut running = Running::idle(Workers { base: 2, ..ONE });
    running.callee.wait_as(Waiting::Park); // So that only requests count.
    running.start();
    let caller = running.connect();
    *running.many().nested.lock().unwrap() = Some(running.connect());
    for _ in 0..509 {
        call(&caller, ECHO, b"");
    }
    let waits = begin(&caller, WAIT, b"");
    until("one waits", || running.many().gate.waiting.load(Ordering::SeqCst) == 1);
    running.start();
    let waits_elsewhere = begin(&caller, WAIT_ELSEWHERE, b"");
    until("both wait", || running.many().second.waiting.load(Ordering::SeqCst) == 1);
    running.many().shut.store(true, Ordering::SeqCst);
    let (ours, theirs) = socket::pair().unwrap();
    let segment = Segment::create(geometry()).unwrap();
    socket::send(ours.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
    running.callee.adopt(theirs).unwrap();
    let nest = begin(&caller, NEST, b"");
    running.many().gate.open();
    until("it is found, and held up", || running.many().door.waiting.load(Ordering::SeqCst) == 1);
    running.callee.stop();
    running.many().second.open();
    assert_eq!(end(waits_elsewhere).unwrap().0, WELL);
    std::thread::sleep(Duration::from_millis(20)); // Its worker would be gone.
    running.many().door.open();
    until("it is answered", || nest.is_ready());
    assert_eq!((end(waits).unwrap().0, end(nest).unwrap().0), (WELL, STOPPING));
    running.end();
    *running.many().nested.lock().unwrap() = None;
}

#[test]
fn what_is_turned_away_has_not_begun() {
    let running = Running::new(ONE);
    let caller = running.connect();
    for _ in 0..20 {
        assert_eq!(call(&caller, TURN_AWAY, b"x"), (NOT_RUN, vec![]));
        assert_eq!(call(&caller, ECHO, b"x").1, b"x");
    }
    // All blocks are lent, none is begun but the one that waits: after the end the counts of both sides tell.
    let first = begin(&caller, WAIT, b"");
    until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == 1);
    let others: Vec<_> = (0..7).map(|_| begin(&caller, ECHO, b"")).collect();
    // As if the callee's process were gone.
    socket::shut_down(caller.socket());
    assert!(matches!(end(first), Err(Failure::MayHaveRun)));
    for other in others {
        assert!(matches!(end(other), Err(Failure::NotStarted)));
    }
}

#[test]
fn a_second_request_in_a_deferred_block_is_caught() {
    let running = Running::new(ONE);
    for answered_first in [false, true] {
        let (segment, socket) = running.shake_hands();
        let requests = Producer::new();
        let lend = || {
            let (head, at) = (segment.block(0).unwrap(), segment.geometry().block_at(0));
            head.method.store(DEFER, Ordering::Relaxed);
            head.request_at.store(at + INLINE, Ordering::Relaxed);
            head.room.store(8, Ordering::Relaxed);
            head.word.store(word::REQUEST, Ordering::Release);
            requests.push(segment.request_cells(), Kind::Request, at);
            socket::ring(socket.as_fd());
        };
        lend();
        until("it is deferred", || running.many().deferred.lock().unwrap().len() == 1);
        let deferred = running.many().deferred.lock().unwrap().pop().unwrap();
        let before = (running.many().ended.load(Ordering::SeqCst), running.many().corrupt.load(Ordering::SeqCst));
        if !answered_first {
            lend();
            until("the peer is cut off", || running.many().corrupt.load(Ordering::SeqCst) == before.1 + 1);
            assert!(deferred.is_gone());
            deferred.finish(WELL, 8);
        } else {
            // The word is nonsense when the answer comes.
            segment.block(0).unwrap().word.store(word::FREE, Ordering::Relaxed);
            deferred.finish(WELL, 8);
            until("the peer is cut off", || running.many().corrupt.load(Ordering::SeqCst) == before.1 + 1);
        }
        assert_eq!(running.many().ended.load(Ordering::SeqCst), before.0 + 1);
        until("nothing is left", || {
            let CalleeUsage { channels, busy, retired, memory, .. } = running.usage();
            (channels, busy, retired, memory.used) == (0, 0, 0, 0)
        });
    }
    assert_eq!(call(&running.connect(), ECHO, b"others").1, b"others");
}

/// How often the workers of this process were given a core.
fn schedulings() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let workers = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|c| c.trim() == WORKER));
    let switches = |task: std::path::PathBuf| {
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        let count = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
        status.lines().filter(|l| l.contains("ctxt_switches")).filter_map(count).sum::<u64>()
    };
    workers.map(switches).sum()
}

/// Nextest gives each test a process of its own; with other tests beside it this one would count their workers too.
#[test]
fn workers_without_work_sleep_also_while_others_wait() {
    if std::env::var_os("NEXTEST").is_none() {
        return;
    }
    let running = Running::new(Workers { base: 2, spare: 4, grow: true });
    let (waiting, caller) = (running.connect(), running.connect());
    let mut pending = Vec::new();
    for n in 1..=3 {
        pending.push(begin(&waiting, if n % 2 == 0 { WAIT } else { WAIT_UNSAID }, b""));
        until("it waits", || running.many().gate.waiting.load(Ordering::SeqCst) == n);
        assert_eq!(call(&caller, ECHO, b"x").1, b"x");
    }
    let quiet = || {
        let before = schedulings();
        std::thread::sleep(Duration::from_millis(300));
        schedulings() == before
    };
    until("the workers sleep", quiet);
    running.many().gate.open();
    pending.into_iter().for_each(|pending| assert_eq!(end(pending).unwrap().0, WELL));
    until("the workers sleep again", quiet);
}

/// Everything at once, at random; nothing is left over.
#[test]
fn churn() {
    let running = Running::new(Workers { base: 2, spare: 4, grow: true });
    running.many().gate.open();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let some = std::mem::take(&mut *running.many().deferred.lock().unwrap());
                    running.many().watches.lock().unwrap().drain(..).for_each(|w| _ = (w.is_cancelled(), w.deadline()));
                    for (n, deferred) in some.into_iter().enumerate() {
                        if n % 7 == 3 {
                            drop(deferred);
                        } else {
                            echo(deferred);
                        }
                    }
                    std::thread::yield_now();
                }
            });
        }
        let callers: Vec<_> = (0..6u64)
            .map(|seed| {
                let running = &running;
                s.spawn(move || {
                    let mut random = seed * 7919 + 1;
                    let mut next = |below: u64| {
                        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        (random >> 33) % below
                    };
                    for _ in 0..20 {
                        let caller = running.connect();
                        let mut under_way = Vec::new();
                        for _ in 0..200 {
                            let method =
                                [ECHO, DEFER, WAIT, ABANDON, NAP, TURN_AWAY, WAIT_UNSAID, DEFER][next(8) as usize];
                            let most = if next(4) == 0 { 3000 } else { 100 };
                            let request = vec![seed as u8; next(most) as usize];
                            under_way.push((begin(&caller, method, &request), request));
                            if under_way.len() == 7 || next(3) == 0 {
                                let (pending, request) = under_way.swap_remove(next(under_way.len() as u64) as usize);
                                if next(4) != 0 {
                                    let (status, reply) = end(pending).unwrap();
                                    assert!(status != WELL || reply == request);
                                }
                            }
                        }
                        if next(2) == 0 {
                            under_way.into_iter().for_each(|(pending, _)| assert!(end(pending).is_ok()));
                        }
                    }
                })
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        until("nothing is left", || {
            let CalleeUsage { channels, busy, reply_extents, memory, retired, .. } = running.usage();
            (channels, busy, reply_extents, memory.used, retired) == (0, 0, 0, 0, 0)
        });
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(running.many().ended.load(Ordering::SeqCst), 120);
    assert_eq!(running.many().corrupt.load(Ordering::SeqCst), 0, "nobody broke the protocol");
}

//! A callee, and the callers of its channels.
#![allow(unsafe_code)] // Requests and replies are bytes in the memory of a block.

use std::collections::HashMap;
use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use ipc_core::callee::{Call, Deferred, Greeting, Handler};
use ipc_core::caller::{Answer, Caller, CallerUsage, Draft, Failure, Holder, Limit, NoBlock, NotFlushed};
use ipc_core::layout::{Geometry, REPLIED};
use ipc_core::scanner::{Callee, CalleeUsage, Workers};
use ipc_core::schedule;
use ipc_core::segment::Segment;
use ipc_core::socket;
use ipc_core::word;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{self, JoinHandle, Thread};

/// Answers with the number of the request plus 100.
pub const ADD: u16 = 0;
/// The same, some time later, by another thread.
pub const DEFER: u16 = 1;
/// The same, when another call has run of that number plus 1000: said to be long.
pub const WAIT: u16 = 2;

/// As [`ADD`], with a reply that does not fit into a block: the number is at its end.
pub const LARGE: u16 = 3;
const LONG: usize = 400;

/// Runs calls, and remembers which: by the numbers of the requests, which are never the same.
pub struct Adder {
    ran: Mutex<HashMap<u64, u32>>,
    deferred: Mutex<Vec<(Deferred<()>, u64)>>,
    blocks: u32,
    this: Weak<Adder>,
}

struct Handle(Arc<Adder>);

impl Handler for Handle {
    type Peer = ();

    fn greet(&self, _: &[u8], mut descriptors: Vec<OwnedFd>, _: BorrowedFd<'_>, _: usize) -> Greeting<()> {
        let segment = Segment::open(descriptors.pop().unwrap(), geometry(self.0.blocks)).unwrap();
        Greeting { answer: b"welcome".to_vec(), accepted: Some((segment, ())) }
    }

    fn call(&self, (): &(), call: &mut Call<'_, ()>) -> (u16, usize) {
        let (at, len) = call.request();
        assert_eq!(len, 8, "a request of another length");
        // SAFETY: the eight bytes of the request, ours until the answer.
        let number = unsafe { at.cast::<u64>().as_ptr().read_unaligned() };
        schedule::point();
        *self.0.ran.lock().unwrap().entry(number).or_default() += 1;
        if call.method() == WAIT {
            while !self.0.ran.lock().unwrap().contains_key(&(number + 1000)) {
                schedule::give_way();
            }
        }
        if call.method() == DEFER {
            let deferred = call.defer();
            self.0.deferred.lock().unwrap().push((deferred, number));
            let adder = self.0.clone();
            // By a thread that this one does not wait for.
            schedule::spawn_for_ever(move || adder.answer_one()).unwrap();
            return (REPLIED, 0);
        }
        let len = if call.method() == LARGE { LONG } else { 8 };
        let (mut to, room) = call.reply_buffer();
        if room < len {
            to = call.grow_reply(0, len).expect("there is memory").0;
        }
        // SAFETY: room for `len` bytes, ours until the answer.
        unsafe { to.as_ptr().wrapping_add(len - 8).cast::<u64>().write_unaligned(number + 100) };
        (REPLIED, len)
    }

    fn is_long(&self, (): &(), method: u16) -> bool {
        method == WAIT
    }
}

impl Adder {
    fn answer_one(&self) {
        for _ in 0..thread_rng().gen_range(0..40) {
            schedule::give_way();
        }
        let Some((deferred, number)) = self.deferred.lock().unwrap().pop() else { return };
        schedule::point();
        let (to, room) = deferred.reply_buffer();
        assert!(room >= 8);
        // SAFETY: room for eight bytes, ours until the answer.
        unsafe { to.cast::<u64>().as_ptr().write_unaligned(number + 100) };
        deferred.finish(REPLIED, 8);
    }

    pub fn ran(&self, number: u64) -> u32 {
        self.ran.lock().unwrap().get(&number).copied().unwrap_or(0)
    }
}

fn geometry(blocks: u32) -> Geometry {
    Geometry::new(blocks, 1 << 16, 1 << 16).unwrap()
}

pub struct Side {
    pub callers: Vec<Arc<Caller>>,
    pub adder: Arc<Adder>,
    callee: Arc<Callee<Handle>>,
    workers: Vec<JoinHandle<()>>,
}

impl Side {
    /// So many channels of so many blocks each.
    pub fn start(workers: usize, channels: usize, blocks: u32) -> Side {
        Side::start_with(Workers { base: workers, spare: 0, grow: false }, channels, blocks)
    }

    pub fn start_with(all: Workers, channels: usize, blocks: u32) -> Side {
        let adder = Arc::new_cyclic(|this| Adder {
            ran: Mutex::default(),
            deferred: Mutex::default(),
            blocks,
            this: this.clone(),
        });
        assert!(adder.this.upgrade().is_some());
        let callee = Arc::new(Callee::new(Handle(adder.clone()), None, all).unwrap());
        let ours: Vec<_> = (0..channels)
            .map(|_| {
                let (ours, theirs) = socket::pair().unwrap();
                callee.adopt(theirs).unwrap();
                ours
            })
            .collect();
        let work = |me| {
            let callee = callee.clone();
            thread::spawn(move || callee.work(me))
        };
        let workers = (0..all.base).map(work).collect();
        let callers = ours.into_iter().map(|socket| connect(socket, blocks)).collect();
        Side { callers, adder, callee, workers }
    }

    /// Ends the callee as it is.
    pub fn stop(&mut self) {
        self.callee.stop();
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
    }

    /// Ends the callee, and looks for what is left.
    pub fn end(mut self) {
        self.stop();
        for caller in &self.callers {
            // The thread that hears the bells may be bringing a block home. One that never comes is a test without end.
            let is_idle = |usage: CallerUsage| (usage.blocks_out, usage.waiting) == (0, 0);
            while !is_idle(caller.usage()) {
                schedule::give_way();
            }
        }
        let usage = self.callee.usage();
        assert_eq!(usage.busy, 0, "something is left: {usage:?}");
    }

    /// Waits until nothing is left of channels but of so many.
    pub fn forgets_all_but(&self, channels: usize) {
        let is_over = |usage: CalleeUsage| (usage.channels, usage.retired, usage.busy) == (channels, 0, 0);
        while !is_over(self.callee.usage()) {
            schedule::give_way();
        }
    }

    /// The callee is gone: the sockets are closed.
    pub fn hang_up(&mut self) {
        self.stop();
        let adder = Arc::new_cyclic(|this| Adder {
            ran: Mutex::default(),
            deferred: Mutex::default(),
            blocks: 1,
            this: this.clone(),
        });
        let none = Callee::new(Handle(adder), None, Workers { base: 1, spare: 0, grow: false }).unwrap();
        drop(std::mem::replace(&mut self.callee, Arc::new(none)));
        schedule::changed();
    }
}

fn connect(socket: OwnedFd, blocks: u32) -> Arc<Caller> {
    let segment = Segment::create(geometry(blocks)).unwrap();
    // What memory that was in use for long looks like.
    for cells in [segment.request_cells(), segment.announcement_cells()] {
        let capacity = cells.len() as u64;
        let before = word::cell(0u64.wrapping_sub(capacity), capacity, 0, 0);
        cells.iter().for_each(|cell| cell.store(before, Relaxed));
    }
    for block in 0..blocks {
        segment.taken(block).unwrap().store(u32::MAX - 2, Relaxed);
    }
    socket::send(socket.as_fd(), b"hello", Some(segment.descriptor())).unwrap();
    while socket::receive(socket.as_fd()).is_err() {
        schedule::give_way();
    }
    Caller::new(segment, socket).unwrap()
}

pub fn write<C: Holder>(draft: &Draft<C>, number: u64) {
    // SAFETY: a block has room for eight bytes, which are ours.
    unsafe { draft.buffer().0.cast::<u64>().as_ptr().write_unaligned(number) };
}

fn check<C: Holder>(answer: &Answer<C>, number: u64) {
    let (at, len) = answer.bytes();
    assert!(answer.status() == REPLIED && (len == 8 || len == LONG), "no reply: {} with {len} bytes", answer.status());
    // SAFETY: the reply lies there as long as `answer` lives.
    let reply = unsafe { at.as_ptr().wrapping_add(len - 8).cast::<u64>().read_unaligned() };
    assert_eq!(reply, number + 100, "a reply to another call");
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a thread that waits.
    Waits,
    /// The same, submitted quietly.
    Quietly,
    /// By a future.
    Polls,
    /// Nobody waits for it, until all are waited for.
    Detached,
    /// Given up at once.
    GivenUp,
    /// Given up after a while.
    Timed,
}

pub const WAYS: [Way; 6] = [Way::Waits, Way::Quietly, Way::Polls, Way::Detached, Way::GivenUp, Way::Timed];

/// What is known of a call when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Ran,
    NotRun,
    Nothing,
}

/// Makes one call of number `number`. `Err`: the channel has ended.
pub fn call(caller: &Arc<Caller>, way: Way, method: u16, number: u64) -> Result<Known, Known> {
    let draft = match way {
        Way::Polls => block_on(Caller::draft_async(caller.clone(), Limit::None)),
        _ => Caller::draft(caller.clone(), Limit::None),
    };
    let draft = match draft {
        Ok(draft) => draft,
        Err(NoBlock::Ended) => return Err(Known::NotRun),
        Err(why) => panic!("no block, without a limit: {why:?}"),
    };
    write(&draft, number);
    let limit = match way {
        Way::Timed => Limit::Until(ipc_core::clock::now() + thread_rng().gen_range(0..200_000)),
        _ => Limit::None,
    };
    let mut pending = match way {
        Way::Quietly => draft.submit_quietly(method, 8, limit),
        _ => draft.submit(method, 8, limit),
    };
    match way {
        Way::GivenUp => {
            drop(pending);
            return Ok(Known::Nothing);
        }
        Way::Detached => {
            pending.detach();
            return match caller.flush(Limit::None) {
                Ok(()) => Ok(Known::Nothing),
                Err(NotFlushed::Ended) => Err(Known::Nothing),
                Err(why) => panic!("not flushed, without a limit: {why:?}"),
            };
        }
        Way::Polls => block_on(std::future::poll_fn(|cx| pending.poll_ready(cx, limit))),
        Way::Waits | Way::Quietly | Way::Timed => {}
    }
    match pending.wait(limit) {
        Ok(answer) if answer.status() == REPLIED => {
            check(&answer, number);
            Ok(Known::Ran)
        }
        // Too late, or the callee is stopping.
        Ok(_) => Ok(Known::NotRun),
        Err(Failure::TimedOut) if way == Way::Timed => Ok(Known::Nothing),
        Err(Failure::NotStarted) => Err(Known::NotRun),
        Err(Failure::MayHaveRun) => Err(Known::Nothing),
        Err(why) => panic!("{why:?}"),
    }
}

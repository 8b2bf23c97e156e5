//! A service that waits at a gate, fails and panics on demand, its untyped client, and an executor of a few lines.
#![allow(dead_code)]
// Each test binary uses a part of this file.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ipc_rpc::__private::{Dispatch, Incoming, Pair, Refused, Replied, ServiceDesc, Stub};
use ipc_rpc::service;
use ipc_rpc::testing::{self, PairServer};

#[service]
pub trait Jobs {
    fn add(&self, a: u64, b: u64) -> u64;
    /// Returns when the gate is open.
    fn pass(&self, n: u64) -> u64;
    fn halve(&self, n: u64) -> Result<u64, String>;
    fn panic(&self) -> u64;
    fn mirror(&self, bytes: &[u8]) -> Vec<u8>;
    /// Counts.
    fn note(&self, n: u64);
    /// How many were noted, and their sum.
    fn noted(&self) -> (u64, u64);
    fn sleep(&self, milliseconds: u64) -> u64;
}

pub const ADD: u16 = 0;
pub const PASS: u16 = 1;
pub const HALVE: u16 = 2;
pub const PANIC: u16 = 3;
pub const MIRROR: u16 = 4;
pub const NOTE: u16 = 5;
pub const NOTED: u16 = 6;
pub const SLEEP: u16 = 7;

/// What `pass` waits at.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    moved: Condvar,
    pub entered: AtomicU64,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.moved.notify_all();
    }

    pub fn close(&self) {
        *self.open.lock().unwrap() = false;
    }

    fn pass(&self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        drop(self.moved.wait_while(open, |open| !*open).unwrap());
    }
}

#[derive(Default)]
pub struct Desk {
    pub gate: Arc<Gate>,
    noted: AtomicU64,
    sum: AtomicU64,
}

impl Jobs for Desk {
    fn add(&self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    fn pass(&self, n: u64) -> u64 {
        self.gate.pass();
        n
    }
    fn halve(&self, n: u64) -> Result<u64, String> {
        if n.is_multiple_of(2) { Ok(n / 2) } else { Err(format!("{n} is odd")) }
    }
    fn panic(&self) -> u64 {
        std::panic::resume_unwind(Box::new("as asked"))
    }
    fn mirror(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
    fn note(&self, n: u64) {
        self.noted.fetch_add(1, Ordering::SeqCst);
        self.sum.fetch_add(n, Ordering::SeqCst);
    }
    fn noted(&self) -> (u64, u64) {
        (self.noted.load(Ordering::SeqCst), self.sum.load(Ordering::SeqCst))
    }
    fn sleep(&self, milliseconds: u64) -> u64 {
        thread::sleep(Duration::from_millis(milliseconds));
        milliseconds
    }
}

/// The dispatcher of [`Jobs`], with the untyped client.
pub struct Bare(pub JobsDispatcher<Desk>);

impl Dispatch for Bare {
    fn service(&self) -> &'static ServiceDesc {
        self.0.service()
    }
    fn dispatch(&self, method: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
        self.0.dispatch(method, call)
    }
}

impl Pair for Bare {
    type Client = Stub;
    fn client(stub: Stub) -> Stub {
        stub
    }
}

pub fn jobs() -> (Stub, Arc<Gate>, PairServer) {
    let desk = Desk::default();
    let gate = desk.gate.clone();
    let (stub, server) = testing::pair(Bare(JobsDispatcher::new(desk))).expect("a pair");
    (stub, gate, server)
}

/// Waits for something that happens soon.
pub fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_micros(200));
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, which parks meanwhile.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls a future once, with a waker that does nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

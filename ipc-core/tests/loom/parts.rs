//! What the models are put together from: payload that loom checks for races, the kernel's futex and doorbell, a block.
#![allow(unsafe_code)] // Payload is plain memory handed between threads: loom's cell gives raw pointers to it.

use core::task::Waker;
use ipc_core::handover;
use ipc_core::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, spin_hint};
use ipc_core::word::Lent;
use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex};
use std::task::Wake;

/// Memory that belongs to one side at a time.
#[derive(Debug)]
pub struct Plain<T>(UnsafeCell<T>);

// SAFETY: loom stops the execution at the first access that is not ordered with another one, before the pointer is used.
unsafe impl<T: Send> Sync for Plain<T> {}

impl<T> Plain<T> {
    pub fn new(value: T) -> Self {
        Plain(UnsafeCell::new(value))
    }

    pub fn change<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: loom has checked that this access is ordered after all others, and keeps others out until `f` returns.
        self.0.with_mut(|p| f(unsafe { &mut *p }))
    }

    pub fn write(&self, value: T) {
        self.change(|v| *v = value);
    }
}

impl<T: Copy> Plain<T> {
    pub fn read(&self) -> T {
        // SAFETY: loom has checked that this read is ordered after all writes.
        self.0.with(|p| unsafe { *p })
    }
}

/// The futex of one word: the kernel's comparison and the sleep are one step against a wake.
#[derive(Debug)]
pub struct Futex {
    lock: Mutex<()>,
    woken: Condvar,
}

impl Futex {
    pub fn new() -> Self {
        Futex { lock: Mutex::new(()), woken: Condvar::new() }
    }

    pub fn wait(&self, word: &AtomicU32, expected: u32) {
        let held = self.lock.lock().unwrap();
        if word.load(Relaxed) == expected {
            drop(self.woken.wait(held).unwrap());
        }
    }

    pub fn wake(&self) {
        drop(self.lock.lock().unwrap());
        self.woken.notify_one();
    }
}

/// A doorbell: a socket with room for one ring, whose reader is told once of each that comes, as long as it is there.
#[derive(Debug)]
pub struct Bell {
    state: Mutex<Rung>,
    ring: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    /// Not read yet.
    there: bool,
    /// Nobody was told of it yet.
    news: bool,
    /// Nobody sleeps any more.
    over: bool,
}

impl Bell {
    pub fn new() -> Self {
        Bell { state: Mutex::new(Rung::default()), ring: Condvar::new() }
    }

    /// One that finds no room is lost.
    pub fn ring(&self) {
        let mut rung = self.state.lock().unwrap();
        if !rung.there {
            (rung.there, rung.news) = (true, true);
            self.ring.notify_all();
        }
    }

    /// Sleeps until it has been rung, and leaves the ring there.
    pub fn hear(&self) {
        let mut rung = self.state.lock().unwrap();
        while !(rung.there && rung.news || rung.over) {
            rung = self.ring.wait(rung).unwrap();
        }
        rung.news = false;
    }

    /// Sleeps until it has been rung, and empties it.
    pub fn wait(&self) {
        self.hear();
        self.empty();
    }

    /// Ends every sleep.
    pub fn stop(&self) {
        self.state.lock().unwrap().over = true;
        self.ring.notify_all();
    }

    pub fn empty(&self) {
        self.state.lock().unwrap().there = false;
    }
}

/// What waits to be told so many times: a task, by its waker, or a thread.
#[derive(Debug)]
pub struct Told {
    times: Mutex<u32>,
    more: Condvar,
}

impl Told {
    pub fn new() -> Self {
        Told { times: Mutex::new(0), more: Condvar::new() }
    }

    pub fn waker() -> (Waker, std::sync::Arc<Told>) {
        let told = std::sync::Arc::new(Told::new());
        (Waker::from(told.clone()), told)
    }

    pub fn tell(&self) {
        *self.times.lock().unwrap() += 1;
        self.more.notify_all();
    }

    pub fn wait(&self) {
        let mut times = self.times.lock().unwrap();
        while *times == 0 {
            times = self.more.wait(times).unwrap();
        }
        *times -= 1;
    }
}

impl Wake for Told {
    fn wake(self: std::sync::Arc<Self>) {
        self.tell();
    }
}

/// A block whose request is a number and whose reply is that number plus 100.
#[derive(Debug)]
pub struct Block {
    pub word: AtomicU32,
    pub taken: AtomicU32,
    request: Plain<u32>,
    reply: Plain<u32>,
}

impl Block {
    /// A block whose word holds `word`.
    pub fn new(word: u32) -> Self {
        Block { word: AtomicU32::new(word), taken: AtomicU32::new(0), request: Plain::new(0), reply: Plain::new(0) }
    }

    /// Caller: writes a request, as before C1.
    pub fn write(&self, request: u32) {
        self.taken.store(0, Relaxed);
        self.request.write(request);
    }

    /// Caller: reads the reply, after C4.
    pub fn check(&self, request: u32) {
        assert_eq!(self.reply.read(), request + 100, "wrong reply");
    }

    /// Caller: looks until it is answered.
    pub fn spin(&self) {
        while handover::look(&self.word).unwrap() != Lent::Done {
            spin_hint();
        }
    }

    /// Callee: takes the request, runs it, writes the reply; between S1 and S2.
    pub fn serve(&self) {
        assert_eq!(self.taken.load(Relaxed), 0, "taken twice");
        handover::take(&self.taken, 1);
        let request = self.request.read();
        self.reply.write(request + 100);
    }
}

/// Cells of a queue that has never been written.
pub fn cells(n: usize) -> Vec<AtomicU64> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

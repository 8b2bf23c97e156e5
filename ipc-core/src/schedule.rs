//! The machine as [shuttle](https://docs.rs/shuttle) schedules it: what the rest of the crate runs on under `cfg(shuttle)`.
//!
//! Shuttle runs all threads of a test in one, and decides at each point named here which one goes on. Memory, descriptors,
//! sockets and epoll are the kernel's own, in one process; whatever would wait in the kernel waits here: a futex, an
//! epoll set, a moment. Time is a number that goes up when somebody looks at it, and a timer may fire at any time. Atomics
//! are atomics, with a point before each operation; all of them are sequentially consistent, so orderings are loom's part.
//!
//! A test can have operations done wrongly ([`Fault`]), to see that somebody notices.
//!
//! # Safety
//! A write to a timer's descriptor, and stores that a test has put off: only tests are built with this file.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use shuttle::thread::Thread;

/// An operation that is about to be done.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Where in the code: the name of its file.
    pub file: &'static str,
    /// What the code there calls.
    pub name: &'static str,
    /// What is to be written, or added; 0 for what writes nothing.
    pub value: u64,
}

/// How an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// As it is meant.
    None,
    /// Not at all; who asked for it believes that it was done.
    Skipped,
    /// Some time later, when the thread has done other things: only for stores.
    Late,
}

type Judge = fn(Operation) -> Fault;
/// Operations of its thread by which a late store is done.
const LATE: u32 = 6;
/// Of so many looks of a thread that waits for a moment one finds that it has come.
const PATIENCE: u64 = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For a word at an offset of a file.
    Futex(u64, usize),
    /// For anything that makes a descriptor ready.
    Descriptors,
}

struct Sleeper {
    waits: Waits,
    thread: Thread,
    woken: Rc<Cell<bool>>,
}

/// A store that is put off: whose, for how many of its operations, and what to do then.
type Late = (usize, u32, Box<dyn FnOnce()>);

struct Machine {
    run: u32,
    judge: Judge,
    now: u64,
    random: u64,
    sleepers: Vec<Sleeper>,
    /// Mapped files: first address, length, number.
    maps: Vec<(usize, usize, u64)>,
    timers: Vec<i32>,
    late: Vec<Late>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = const {
        RefCell::new(Machine {
            run: 0, judge: |_| Fault::None, now: 1, random: 1,
            sleepers: Vec::new(), maps: Vec::new(), timers: Vec::new(), late: Vec::new(),
        })
    };
}

fn with<T>(f: impl FnOnce(&mut Machine) -> T) -> T {
    MACHINE.with(|machine| f(&mut machine.borrow_mut()))
}

/// A new execution begins, with a machine on which nothing has happened.
pub fn begin(judge: Judge) {
    use shuttle::rand::Rng;
    let random = shuttle::rand::thread_rng().r#gen::<u64>() | 1;
    with(|m| {
        *m = Machine {
            run: m.run + 1,
            judge,
            now: 1,
            random,
            sleepers: vec![],
            maps: vec![],
            timers: vec![],
            late: vec![],
        }
    });
}

/// A number that tells this execution from all others, as that of a process does.
pub fn process() -> u32 {
    with(|m| m.run)
}

fn dice(m: &mut Machine) -> u64 {
    m.random = m.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    m.random >> 33
}

fn me() -> usize {
    shuttle::thread::current().id().into()
}

/// Another thread may go on here.
pub fn point() {
    shuttle::thread::sleep(Duration::ZERO);
    let me = me();
    let due = with(|m| {
        for late in m.late.iter_mut().filter(|late| late.0 == me) {
            late.1 = late.1.saturating_sub(1);
        }
        m.late.extract_if(.., |late| late.0 == me && late.1 == 0).collect::<Vec<_>>()
    });
    due.into_iter().for_each(|(_, _, store)| store());
}

/// Another thread had better go on.
pub fn give_way() {
    shuttle::thread::yield_now();
}

fn judge(file: &'static str, name: &'static str, value: u64) -> Fault {
    let file = file.rsplit('/').next().unwrap_or(file);
    with(|m| m.judge)(Operation { file, name, value })
}

/// Nanoseconds. Mostly little time has passed since the last look, sometimes much.
pub fn now() -> u64 {
    with(|m| {
        m.now += if dice(m).is_multiple_of(4) { 30_000 } else { 300 };
        m.now
    })
}

/// One of two cores, plus one.
pub fn core() -> u32 {
    with(|m| 1 + (dice(m) % 2) as u32)
}

/// Sleeps for a while.
pub fn pause(time: Duration) {
    with(|m| m.now += time.as_nanos() as u64);
    give_way();
}

fn sleep(waits: Waits, until: Option<u64>) {
    // What a thread has stored is seen before it sleeps, however late.
    let me = me();
    let left = with(|m| m.late.extract_if(.., |late| late.0 == me).collect::<Vec<_>>());
    left.into_iter().for_each(|(_, _, store)| store());
    let woken = Rc::new(Cell::new(false));
    let sleeper = Sleeper { waits, thread: shuttle::thread::current(), woken: woken.clone() };
    with(|m| m.sleepers.push(sleeper));
    while !woken.get() {
        // A timer that may wake somebody is armed: this thread may be the one.
        let moment = until.or_else(|| (waits == Waits::Descriptors && with(|m| !m.timers.is_empty())).then_some(0));
        let Some(until) = moment else {
            shuttle::thread::park();
            continue;
        };
        if with(|m| dice(m).is_multiple_of(PATIENCE)) {
            with(|m| {
                m.now = m.now.max(until);
                m.sleepers.retain(|sleeper| !Rc::ptr_eq(&sleeper.woken, &woken));
            });
            if waits == Waits::Descriptors {
                fire();
            }
            return;
        }
        give_way();
    }
}

fn wake(waits: Waits, most: usize) {
    let woken: Vec<_> = with(|m| {
        let mut left = most;
        let mut is_woken = |sleeper: &mut Sleeper| {
            let woken = sleeper.waits == waits && left > 0;
            left -= usize::from(woken);
            woken
        };
        m.sleepers.extract_if(.., |sleeper| is_woken(sleeper)).collect()
    });
    for sleeper in woken {
        sleeper.woken.set(true);
        sleeper.thread.unpark();
    }
}

/// A file is mapped: a word of it is the same word wherever else it is mapped.
pub fn mapped(at: usize, len: usize, number: u64) {
    with(|m| m.maps.push((at, len, number)));
}

fn word(address: usize) -> Waits {
    let found = with(|m| m.maps.iter().rev().find(|(at, len, _)| (*at..at + len).contains(&address)).copied());
    found.map_or(Waits::Futex(0, address), |(at, _, number)| Waits::Futex(number, address - at))
}

/// `futex` with FUTEX_WAIT.
pub fn futex_wait(at: &AtomicU32, value: u32, until: Option<u64>) {
    point();
    let compares = judge("futex.rs", "wait", u64::from(value)) == Fault::None;
    if !compares || at.0.load(Ordering::SeqCst) == value {
        sleep(word(std::ptr::from_ref(at).addr()), until);
    }
}

/// `futex` with FUTEX_WAKE.
pub fn futex_wake(at: &AtomicU32) {
    point();
    if judge("futex.rs", "wake", 0) == Fault::None {
        wake(word(std::ptr::from_ref(at).addr()), 1);
    }
}

/// Is a packet to be sent?
pub fn sends(len: usize) -> bool {
    point();
    judge("socket.rs", "send", len as u64) == Fault::None
}

/// Some descriptor may be ready that was not.
pub fn changed() {
    wake(Waits::Descriptors, usize::MAX);
    point();
}

/// Waits until some descriptor may be ready, or until a moment.
pub fn wait_for_descriptors(until: Option<u64>) {
    sleep(Waits::Descriptors, until);
}

/// A timer is armed, or not any more.
pub fn arm(timer: BorrowedFd<'_>, armed: bool) {
    let timer = timer.as_raw_fd();
    with(|m| {
        m.timers.retain(|t| *t != timer);
        m.timers.extend(armed.then_some(timer));
    });
    changed();
}

/// Lets all armed timers fire.
fn fire() {
    for timer in with(|m| m.timers.clone()) {
        let one = 1u64;
        // SAFETY: eight bytes of a local. A descriptor that was closed meanwhile is an error.
        unsafe { libc::write(timer, (&raw const one).cast(), 8) };
    }
    wake(Waits::Descriptors, usize::MAX);
}

/// Starts a thread that nobody waits for: the execution ends without it.
///
/// # Errors
/// None.
pub fn spawn_for_ever(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    drop(shuttle::future::spawn(async move { work() }));
    Ok(())
}

pub use core::sync::atomic::Ordering;

/// Nothing: see the head of this file.
pub fn fence(_: Ordering) {}

macro_rules! atomic {
    ($name:ident, $value:ty, |$v:ident| $shown:expr) => {
        /// As its namesake in `core`, with a point before each operation.
        #[repr(transparent)]
        #[derive(Default)]
        pub struct $name(core::sync::atomic::$name);

        #[allow(missing_docs)]
        impl $name {
            pub const fn new(value: $value) -> Self {
                $name(core::sync::atomic::$name::new(value))
            }

            /// What comes of an operation that would write `$v`: it is done, or what it would have found is given.
            #[track_caller]
            fn write(&self, name: &'static str, $v: $value, done: impl FnOnce() -> $value) -> $value {
                point();
                match judge(Location::caller().file(), name, $shown) {
                    Fault::None => done(),
                    _ => self.0.load(Ordering::SeqCst),
                }
            }

            #[track_caller]
            pub fn load(&self, _: Ordering) -> $value {
                point();
                self.0.load(Ordering::SeqCst)
            }

            #[track_caller]
            pub fn store(&self, $v: $value, _: Ordering) {
                point();
                match judge(Location::caller().file(), "store", $shown) {
                    Fault::None => self.0.store($v, Ordering::SeqCst),
                    Fault::Skipped => {}
                    Fault::Late => {
                        let at = std::ptr::from_ref(&self.0).addr();
                        let place = std::ptr::with_exposed_provenance::<core::sync::atomic::$name>(at);
                        std::ptr::from_ref(&self.0).expose_provenance();
                        // SAFETY: only tests of faults do this, with words that outlive the few operations in between.
                        let store = Box::new(move || unsafe { &*place }.store($v, Ordering::SeqCst));
                        let me = me();
                        with(|m| m.late.push((me, LATE, store)));
                    }
                }
            }

            #[track_caller]
            pub fn swap(&self, value: $value, _: Ordering) -> $value {
                self.write("swap", value, || self.0.swap(value, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                old: $value,
                $v: $value,
                _: Ordering,
                _: Ordering,
            ) -> Result<$value, $value> {
                point();
                match judge(Location::caller().file(), "compare_exchange", $shown) {
                    Fault::None => self.0.compare_exchange(old, $v, Ordering::SeqCst, Ordering::SeqCst),
                    _ => match self.0.load(Ordering::SeqCst) {
                        now if now == old => Ok(old),
                        now => Err(now),
                    },
                }
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                old: $value,
                $v: $value,
                a: Ordering,
                b: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(old, $v, a, b)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value, |v| v.into());

        #[allow(missing_docs)]
        impl $name {
            #[track_caller]
            pub fn fetch_add(&self, more: $value, _: Ordering) -> $value {
                self.write("fetch_add", more, || self.0.fetch_add(more, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn fetch_sub(&self, less: $value, _: Ordering) -> $value {
                self.write("fetch_sub", less, || self.0.fetch_sub(less, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn fetch_or(&self, bits: $value, _: Ordering) -> $value {
                self.write("fetch_or", bits, || self.0.fetch_or(bits, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn fetch_and(&self, bits: $value, _: Ordering) -> $value {
                self.write("fetch_and", bits, || self.0.fetch_and(bits, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn fetch_min(&self, other: $value, _: Ordering) -> $value {
                self.write("fetch_min", other, || self.0.fetch_min(other, Ordering::SeqCst))
            }

            #[track_caller]
            pub fn fetch_update(
                &self,
                _: Ordering,
                _: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                point();
                self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
            }
        }
    };
}

number!(AtomicU8, u8);
number!(AtomicU16, u16);
number!(AtomicU32, u32);
number!(AtomicU64, u64);
atomic!(AtomicBool, bool, |v| u64::from(v));

/// As its namesake in `core`, with a point before each operation.
#[repr(transparent)]
#[derive(Debug)]
pub struct AtomicPtr<T>(core::sync::atomic::AtomicPtr<T>);

#[allow(missing_docs)]
impl<T> AtomicPtr<T> {
    pub const fn new(value: *mut T) -> Self {
        AtomicPtr(core::sync::atomic::AtomicPtr::new(value))
    }

    pub fn load(&self, _: Ordering) -> *mut T {
        point();
        self.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn store(&self, value: *mut T, _: Ordering) {
        point();
        if judge(Location::caller().file(), "store", value.addr() as u64) == Fault::None {
            self.0.store(value, Ordering::SeqCst);
        }
    }

    pub fn compare_exchange(&self, old: *mut T, new: *mut T, _: Ordering, _: Ordering) -> Result<*mut T, *mut T> {
        point();
        self.0.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

//! SIGTERM and SIGINT: the servers of this process end in order.
//!
//! What interrupts a thread anywhere may do next to nothing there: it notes in a word that it was, and wakes a thread that
//! sleeps on the word as long as a server serves. That one shuts the servers down. A worker could hear it instead if all of
//! them were never busy at once.
//!
//! The first signal puts the defaults back, so a second one kills. A handler of the program's is never replaced; if it comes
//! later than ours and calls the one before it, as such libraries do, ours hears of the signal too and changes nothing.
//!
//! # Safety
//! System calls: what signals do. The handler loads and stores atomics and makes system calls that POSIX allows there
//! (`getpid`, `sigaction`, `raise`, and `futex`, which is what its `sem_post` is); none of them fails, so `errno` stays.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::{mem, process, ptr, thread};

use ipc_core::futex;

use crate::executor::lock;
use crate::server::Control;

const SIGNALS: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGINT];

/// What the thread sleeps on: 0, nothing has happened.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// A signal has come.
const TOLD: u32 = 1;
/// A server has left.
const LEFT: u32 = 2;
/// The process whose servers are meant: a forked child has a copy of all this, and no thread.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static WATCH: Mutex<Watch> = Mutex::new(Watch { process: 0, servers: Vec::new(), has_thread: false });

struct Watch {
    /// Whose process the rest is about.
    process: u32,
    servers: Vec<Arc<Control>>,
    has_thread: bool,
}

/// A server that is shut down by signals, as long as this value is there.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Control>);

impl Watched {
    /// Has the next signal shut the server down.
    ///
    /// # Errors
    /// The system's: there cannot be another thread.
    pub(crate) fn new(server: &Arc<Control>) -> io::Result<Self> {
        let mut watch = lock(&WATCH);
        if watch.process != process::id() {
            // A forked child: the servers of its parent are none of its own.
            *watch = Watch { process: process::id(), servers: Vec::new(), has_thread: false };
        }
        if !watch.has_thread {
            NEWS.store(0, Ordering::SeqCst);
            thread::Builder::new().name("ipc-rpc signals".into()).spawn(listen)?;
            watch.has_thread = true;
        }
        watch.servers.push(server.clone());
        PROCESS.store(process::id(), Ordering::SeqCst);
        for signal in SIGNALS {
            if disposition(signal) == Some(libc::SIG_DFL) {
                dispose(signal, handler());
            }
        }
        Ok(Watched(server.clone()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watch = lock(&WATCH);
        if watch.process != process::id() {
            return;
        }
        if let Some(place) = watch.servers.iter().position(|server| Arc::ptr_eq(server, &self.0)) {
            watch.servers.swap_remove(place);
        }
        if watch.servers.is_empty() {
            PROCESS.store(0, Ordering::SeqCst);
            for signal in SIGNALS {
                restore(signal);
            }
            tell(LEFT);
        }
    }
}

/// Shuts the servers down when a signal has come, until there are none.
fn listen() {
    loop {
        futex::wait(&NEWS, 0, None);
        let news = NEWS.swap(0, Ordering::SeqCst);
        let servers = {
            let mut watch = lock(&WATCH);
            if watch.servers.is_empty() {
                watch.has_thread = false;
                return;
            }
            watch.servers.clone()
        };
        if news & TOLD != 0 {
            servers.iter().for_each(|server| server.shutdown());
        }
    }
}

fn tell(news: u32) {
    NEWS.fetch_or(news, Ordering::SeqCst);
    futex::wake(&NEWS);
}

extern "C" fn heard(signal: libc::c_int) {
    let mine = PROCESS.load(Ordering::SeqCst) == process::id();
    // Each of them, so that any second one kills.
    let restored = SIGNALS.map(|each| restore(each) && each == signal);
    if mine {
        tell(TOLD);
    } else if restored.contains(&true) {
        // A forked child has no server of its own. As soon as this returns, the signal does what it would have done.
        // SAFETY: plain arguments.
        unsafe { libc::raise(signal) };
    }
}

fn handler() -> libc::sighandler_t {
    heard as extern "C" fn(libc::c_int) as usize
}

/// Puts the default back in place of our handler. `false`: it is not there.
fn restore(signal: libc::c_int) -> bool {
    let ours = disposition(signal) == Some(handler());
    if ours {
        dispose(signal, libc::SIG_DFL);
    }
    ours
}

/// What `signal` does now.
fn disposition(signal: libc::c_int) -> Option<libc::sighandler_t> {
    // SAFETY: all-zero bytes are a valid `sigaction`, a plain C structure.
    let mut now: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null pointer says that nothing is to be changed; `now` is a valid place for the result.
    let known = unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) } == 0;
    known.then_some(now.sa_sigaction)
}

fn dispose(signal: libc::c_int, action: libc::sighandler_t) {
    // SAFETY: all-zero bytes are a valid `sigaction`, a plain C structure; its mask is empty.
    let mut new: libc::sigaction = unsafe { mem::zeroed() };
    new.sa_sigaction = action;
    // What a thread waits for goes on; a thread with a small stack may have another one for signals.
    new.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `new` is valid for the call; the action is a default, or a handler that is safe in any thread at any time.
    unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) };
}

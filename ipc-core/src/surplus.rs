//! The one thread of a process that gives back memory which arenas have not needed for a while.
//!
//! There is only such a thread while some arena has more than it keeps: the arena that frees so much starts it, and it ends
//! when nothing is left to do. So an idle process makes no system calls. Until then each arena is looked at once in its
//! [`Memory::idle`](crate::memory::Memory::idle), a little at a time, so that nobody waits long for the arena.
//!
//! A forked child has no such thread, and leaves the arenas of its parent alone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::arena::Arena;

#[derive(Debug)]
struct Watched {
    /// When each is to be looked at.
    arenas: Vec<(Instant, Weak<Arena>)>,
    /// The process in which a thread does so; 0: there is none.
    process: u32,
}

static WATCHED: Mutex<Watched> = Mutex::new(Watched { arenas: Vec::new(), process: 0 });
static SOONER: Condvar = Condvar::new();

fn watched() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `arena` has more than it keeps: looks at it after `time`, until it has not.
pub(crate) fn watch(arena: Weak<Arena>, time: Duration) {
    // Shuttle has all threads under its control, and time stands still there.
    if cfg!(shuttle) {
        return;
    }
    // Beyond the end of time: never.
    let Some(at) = Instant::now().checked_add(time) else { return };
    let mut watched = watched();
    let process = std::process::id();
    if watched.process != process {
        if watched.process != 0 {
            // Those that a forked child has inherited are its parent's.
            watched.arenas.clear();
        }
        let thread = thread::Builder::new().name("ipc-rpc memory".into());
        // Without a thread they stay committed until the next arena tries.
        watched.process = if thread.spawn(run).is_ok() { process } else { 0 };
    }
    watched.arenas.push((at, arena));
    SOONER.notify_one();
}

fn run() {
    let mut watched = watched();
    while let Some(next) = watched.arenas.iter().map(|(at, _)| *at).min() {
        let now = Instant::now();
        if next > now {
            watched = SOONER.wait_timeout(watched, next - now).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        let due: Vec<_> = watched.arenas.extract_if(.., |(at, _)| *at <= now).collect();
        drop(watched);
        for (_, arena) in due {
            let again = arena.upgrade().and_then(|arena| arena.give_back());
            if let Some(at) = again.and_then(|time| Instant::now().checked_add(time)) {
                self::watched().arenas.push((at, arena));
            }
        }
        watched = self::watched();
    }
    watched.process = 0;
}

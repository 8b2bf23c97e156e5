//! The one thread of a process that listens for its callers: hang-ups and doorbells of all their channels.
//!
//! A thread that spins or sleeps on a block hears no socket. This one hears them all, and does nothing else: it sleeps in
//! the kernel until a peer dies or rings. It is started with the first connection and lives as long as the process.
//!
//! A forked child has no such thread, but shares the epoll set of its parent. It starts a set and a thread of its own with
//! its first connection, and never touches the parent's: to remove an inherited socket there would make the parent deaf.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::caller::Caller;
use crate::poll::Poll;
use crate::socket::{self, Drained};

struct Bells {
    poll: Poll,
    /// By their numbers in `poll`.
    callers: Mutex<HashMap<u64, Weak<Caller>>>,
    /// The process in which the thread runs.
    process: u32,
}

static BELLS: Mutex<Option<Arc<Bells>>> = Mutex::new(None);

/// What listens in this process, if anything does yet.
fn listening(started: &Option<Arc<Bells>>) -> Option<Arc<Bells>> {
    started.as_ref().filter(|bells| bells.process == std::process::id()).cloned()
}

fn start() -> io::Result<Arc<Bells>> {
    let mut started = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bells) = listening(&started) {
        return Ok(bells);
    }
    let bells = Arc::new(Bells { poll: Poll::new()?, callers: Mutex::default(), process: std::process::id() });
    let runs = bells.clone();
    std::thread::Builder::new().name("ipc-rpc bells".into()).spawn(move || runs.run())?;
    *started = Some(bells.clone());
    Ok(bells)
}

/// Listens for `caller` from now on.
pub(crate) fn listen(caller: &Arc<Caller>) -> io::Result<()> {
    let bells = start()?;
    bells.callers().insert(caller.number(), Arc::downgrade(caller));
    bells.poll.add(caller.socket(), caller.number())
}

/// `caller` is being dropped.
pub(crate) fn forget(caller: &Caller) {
    let bells = listening(&BELLS.lock().unwrap_or_else(PoisonError::into_inner));
    // A caller that a forked child has inherited is not in the child's set.
    if let Some(bells) = bells.filter(|bells| bells.callers().remove(&caller.number()).is_some()) {
        bells.poll.remove(caller.socket());
    }
}

impl Bells {
    fn callers(&self) -> MutexGuard<'_, HashMap<u64, Weak<Caller>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            self.poll.wait(None, |ready| {
                // The lock is released before the caller may be dropped here, by its last reference.
                let caller = self.callers().get(&ready.id).and_then(Weak::upgrade);
                let Some(caller) = caller else { return };
                match socket::drain(caller.socket()) {
                    Drained::HungUp => caller.hung_up(),
                    Drained::Quiet if ready.hung_up => caller.hung_up(),
                    Drained::Quiet => caller.rung(),
                    Drained::More => {
                        caller.rung();
                        let _ = self.poll.again(caller.socket(), ready.id);
                    }
                }
            });
        }
    }
}

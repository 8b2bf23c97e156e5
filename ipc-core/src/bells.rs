//! The one thread of a process that listens for its callers: hang-ups and doorbells of all their channels.
//!
//! A thread that spins or sleeps on a block hears no socket. This one hears them all, and does nothing else: it sleeps in
//! the kernel until a peer dies or rings. It is started with the first connection and lives as long as the process.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::caller::Caller;
use crate::poll::Poll;
use crate::socket::{self, Drained};

struct Bells {
    poll: Poll,
    /// By the address of the caller, which is its number in `poll`.
    callers: Mutex<HashMap<u64, Weak<Caller>>>,
}

static BELLS: Mutex<Option<Arc<Bells>>> = Mutex::new(None);

fn number(caller: &Caller) -> u64 {
    std::ptr::from_ref(caller).addr() as u64
}

fn start() -> io::Result<Arc<Bells>> {
    let mut started = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bells) = &*started {
        return Ok(bells.clone());
    }
    let bells = Arc::new(Bells { poll: Poll::new()?, callers: Mutex::default() });
    let listening = bells.clone();
    std::thread::Builder::new().name("ipc-rpc bells".into()).spawn(move || listening.run())?;
    *started = Some(bells.clone());
    Ok(bells)
}

/// Listens for `caller` from now on.
pub(crate) fn listen(caller: &Arc<Caller>) -> io::Result<()> {
    let bells = start()?;
    bells.callers().insert(number(caller), Arc::downgrade(caller));
    bells.poll.add(caller.socket(), number(caller))
}

/// `caller` is being dropped.
pub(crate) fn forget(caller: &Caller) {
    let started = BELLS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(bells) = started {
        bells.poll.remove(caller.socket());
        bells.callers().remove(&number(caller));
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

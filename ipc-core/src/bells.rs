//! The one thread of a process that listens for its callers: hang-ups and doorbells of all their channels, and the
//! clock of their futures.
//!
//! A thread that spins or sleeps on a block hears no socket. This one hears them all, and does nothing else: it sleeps in
//! the kernel until a peer dies or rings, or the earliest deadline of a future has come. It is started with the first connection and lives as long as the process.
//!
//! A forked child has no such thread, but shares the epoll set of its parent. It starts a set and a thread of its own with
//! its first connection, and never touches the parent's: to remove an inherited socket there would make the parent deaf.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError, Weak};

use crate::alarm::Alarm;
use crate::announcements::NEVER;
use crate::caller::Caller;
use crate::clock;
use crate::poll::{Poll, Signal};
use crate::socket::Drained;
use crate::sync::{Mutex, MutexGuard, process, spawn_for_ever};

/// The number of `kick` in `poll`; those of callers begin with 1.
const KICK: u64 = 0;

#[derive(Debug)]
pub(crate) struct Bells {
    poll: Poll,
    /// Sleeps until then.
    alarm: Alarm,
    /// It has to ring earlier than the thread knows.
    kick: Signal,
    /// By their numbers in `poll`.
    callers: Mutex<HashMap<u64, Weak<Caller>>>,
    /// The process in which the thread runs.
    process: u32,
}

static BELLS: Mutex<Option<Arc<Bells>>> = Mutex::new(None);

/// What listens in this process, if anything does yet.
fn listening(started: &Option<Arc<Bells>>) -> Option<Arc<Bells>> {
    started.as_ref().filter(|bells| bells.process == process()).cloned()
}

/// What listens in this process; starts it if nothing does yet.
pub(crate) fn start() -> io::Result<Arc<Bells>> {
    let mut started = BELLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bells) = listening(&started) {
        return Ok(bells);
    }
    let bells = Arc::new(Bells {
        poll: Poll::new()?,
        alarm: Alarm::new(),
        kick: Signal::new()?,
        callers: Mutex::default(),
        process: process(),
    });
    bells.poll.add(bells.kick.as_fd(), KICK)?;
    let runs = bells.clone();
    spawn_for_ever(move || runs.run())?;
    *started = Some(bells.clone());
    Ok(bells)
}

impl Bells {
    /// Listens for `caller` from now on.
    pub(crate) fn listen(&self, caller: &Arc<Caller>) -> io::Result<()> {
        self.callers().insert(caller.number(), Arc::downgrade(caller));
        self.poll.add(caller.socket(), caller.number())
    }

    /// `caller` is being dropped.
    pub(crate) fn forget(&self, caller: &Caller) {
        // A caller that a forked child has inherited is its parent's affair.
        if self.process == process() && self.callers().remove(&caller.number()).is_some() {
            self.poll.remove(caller.socket());
        }
    }

    /// A future of some caller gives up at `deadline`.
    pub(crate) fn wake_by(&self, deadline: u64) {
        if self.alarm.set(deadline) {
            self.kick.raise();
        }
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<u64, Weak<Caller>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds until the alarm, rounded up.
    fn left(&self) -> Option<u32> {
        match self.alarm.at() {
            NEVER => None,
            at => Some(u32::try_from(at.saturating_sub(clock::now()).div_ceil(1_000_000)).unwrap_or(u32::MAX)),
        }
    }

    fn look_at_the_clock(&self) {
        let at = self.alarm.at();
        if at == NEVER || !self.alarm.ring(clock::now()) {
            return;
        }
        let callers: Vec<_> = self.callers().values().filter_map(Weak::upgrade).collect();
        for caller in callers {
            self.alarm.set(caller.alarm(clock::now()));
        }
    }

    fn run(&self) {
        loop {
            self.poll.wait(self.left(), |ready| {
                // The lock is released before the caller may be dropped here, by its last reference.
                let caller = self.callers().get(&ready.id).and_then(Weak::upgrade);
                let Some(caller) = caller else { return };
                match caller.empty_socket() {
                    Drained::Broken(why) => caller.condemn(why),
                    Drained::HungUp => caller.hung_up(),
                    Drained::Quiet if ready.hung_up => caller.hung_up(),
                    Drained::Quiet => caller.rung(),
                    Drained::More => {
                        caller.rung();
                        let _ = self.poll.again(caller.socket(), ready.id);
                    }
                }
            });
            self.look_at_the_clock();
        }
    }
}

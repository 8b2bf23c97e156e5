//! Who waits for a change of a stream's state: threads on its condition, tasks by their wakers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};

use crate::executor::wake_quietly;

/// Kept under the lock of the state, woken without it.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Threads sleep that nobody has woken yet.
    threads: bool,
    tasks: Vec<Waker>,
}

impl Waiting {
    /// Wakes this task at the next change. Gives the waker to be dropped without the lock.
    pub(crate) fn register(&mut self, waker: Waker) -> Option<Waker> {
        if self.tasks.iter().any(|w| w.will_wake(&waker)) {
            return Some(waker);
        }
        self.tasks.push(waker);
        None
    }

    /// A thread is about to sleep until the next change.
    pub(crate) fn sleeps(&mut self) {
        self.threads = true;
    }

    /// Takes those that are to be woken.
    #[inline]
    pub(crate) fn take(&mut self) -> Waiting {
        std::mem::take(self)
    }

    /// Wakes them; the lock is not held.
    #[inline]
    pub(crate) fn wake(self, changed: &Condvar) {
        if self.threads {
            changed.notify_all();
        }
        self.tasks.into_iter().for_each(wake_quietly);
    }
}

/// Several tasks behind one waker, for what remembers only the last one that asked.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Vec<Waker>>);

impl Tasks {
    /// Wakes this task too.
    pub(crate) fn add(&self, waker: &Waker) {
        let waker = waker.clone();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tasks.iter().any(|w| w.will_wake(&waker));
        if !known {
            tasks.push(waker);
        }
    }
}

impl Wake for Tasks {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.into_iter().for_each(wake_quietly);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Counts(AtomicUsize, bool);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            if self.1 {
                std::panic::resume_unwind(Box::new("a bad waker"));
            }
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_else_from_being_woken() {
        let all = [true, false].map(|panics| Arc::new(Counts(AtomicUsize::new(0), panics)));
        let (mut waiting, tasks) = (Waiting::default(), Arc::new(Tasks::default()));
        for counts in &all {
            assert!(waiting.register(Waker::from(counts.clone())).is_none());
            tasks.add(&Waker::from(counts.clone()));
        }
        waiting.take().wake(&Condvar::new());
        Waker::from(tasks).wake();
        assert_eq!(all.map(|counts| counts.0.load(Ordering::SeqCst)), [2, 2]);
    }
}

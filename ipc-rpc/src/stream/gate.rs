//! One after the other, threads and tasks.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ipc_core::caller::Limit;
use ipc_core::clock;

use crate::waiting::Waiting;

/// Lets one in at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken: bool,
    waiting: Waiting,
}

/// Whoever has it is in.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Gate);

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits to be let in; `None`: the limit has passed.
    pub(crate) fn enter(&self, limit: Limit) -> Option<Turn<'_>> {
        let mut state = self.lock();
        while state.taken {
            let left = match limit {
                Limit::Until(deadline) => deadline.saturating_sub(clock::now()),
                _ => u64::MAX,
            };
            if left == 0 {
                return None;
            }
            state.waiting.sleeps();
            let wait = self.free.wait_timeout(state, Duration::from_nanos(left));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.taken = true;
        Some(Turn(self))
    }

    /// Is let in once nobody else is.
    pub(crate) fn poll_enter(&self, cx: &mut Context<'_>) -> Poll<Turn<'_>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        if !state.taken {
            state.taken = true;
            drop(state);
            return Poll::Ready(Turn(self));
        }
        let old = state.waiting.register(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.taken = false;
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake(&self.0.free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nobody_waits_for_ever() {
        let (gate, inside) = (Gate::default(), Mutex::new(0));
        let turn = gate.enter(Limit::None).unwrap();
        assert!(gate.enter(Limit::Until(clock::after(Duration::from_millis(5)))).is_none());
        assert!(gate.poll_enter(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        drop(turn);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (gate, inside) = (&gate, &inside);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let turn = if n % 2 == 0 {
                            gate.enter(Limit::None).unwrap()
                        } else {
                            smol::block_on(std::future::poll_fn(|cx| gate.poll_enter(cx)))
                        };
                        let mut inside = inside.try_lock().expect("nobody else is in");
                        *inside += 1;
                        drop(inside);
                        drop(turn);
                    }
                });
            }
        });
        assert_eq!(inside.into_inner().unwrap(), 1600);
    }
}

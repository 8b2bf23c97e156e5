//! Runs futures that are ready to go on: the queue of those that were woken, and threads for it.
//!
//! # Algorithm
//! A task is in one of five phases, under a lock of its own. A wake-up puts an idle task into the queue, and marks one that
//! is being polled, so that it goes back to the end of the queue afterwards: no wake-up is lost, and a task that wakes itself
//! does not keep others waiting. Whoever takes a task out of the queue takes its future out of the task, polls it with no lock
//! held, and puts it back. Futures are dropped with no lock held as well.
//!
//! Threads are started when there is work that no idle thread can take, up to a limit. A pool without threads is polled by
//! somebody else: [`Pool::poll`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

/// A future as [`ServerBuilder::spawn_with`](crate::ServerBuilder::spawn_with) gets it: one handler at work.
///
/// ```
/// let future: ipc_rpc::BoxFuture<'static> = Box::pin(async {});
/// # drop(future);
/// ```
pub type BoxFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Locks without minding a panic of another holder: nothing here is left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes somebody whose waker is a user's: one that panics must not end the thread that has others to wake.
pub(crate) fn wake_quietly(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        std::mem::forget(payload);
    }
}

/// Drops what may be a user's and may panic.
pub(crate) fn drop_quietly<T>(value: T) {
    // A payload whose own drop panics is not worth more than being leaked.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload);
    }
}

/// Tasks that are to be polled, and who polls them.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Mutex<Queue>,
    /// There is a task, or the pool is closed.
    work: Condvar,
    /// Threads there may be; 0: [`Pool::poll`] is called instead.
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    tasks: VecDeque<Arc<Task>>,
    /// Threads that have not ended, and those of them that wait for work.
    alive: usize,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    /// Whoever calls [`Pool::poll`] waits for work.
    poller: Option<Waker>,
    closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its future waits to be woken.
    Idle,
    /// In the queue.
    Queued,
    /// Somebody polls it.
    Polled,
    /// Somebody polls it, and it was woken meanwhile.
    Woken,
    /// It has no future any more.
    Done,
}

struct State {
    phase: Phase,
    future: Option<BoxFuture<'static>>,
}

/// A future on its way through a pool.
pub(crate) struct Task {
    pool: Arc<Pool>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("phase", &lock(&self.state).phase).finish_non_exhaustive()
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let idle = {
            let mut state = lock(&self.state);
            match state.phase {
                Phase::Idle => {
                    state.phase = Phase::Queued;
                    true
                }
                Phase::Polled => {
                    state.phase = Phase::Woken;
                    false
                }
                Phase::Queued | Phase::Woken | Phase::Done => false,
            }
        };
        if idle {
            let pool = self.pool.clone();
            pool.push(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Most wake-ups of a task that is queued already end here, without touching its count.
        let phase = lock(&self.state).phase;
        if matches!(phase, Phase::Idle | Phase::Polled) {
            self.clone().wake();
        }
    }
}

impl Task {
    /// Polls it once. It is in the phase `Queued`, or new, and not in the queue.
    fn run(self: Arc<Self>) {
        let future = {
            let mut state = lock(&self.state);
            state.phase = Phase::Polled;
            state.future.take()
        };
        let Some(mut future) = future else { return };
        let waker = Waker::from(self.clone());
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        drop(waker);
        match polled {
            Ok(Poll::Pending) => {
                let again = {
                    let mut state = lock(&self.state);
                    state.future = Some(future);
                    let again = state.phase == Phase::Woken;
                    state.phase = if again { Phase::Queued } else { Phase::Idle };
                    again
                };
                if again {
                    let pool = self.pool.clone();
                    pool.push(self);
                }
            }
            ended => {
                lock(&self.state).phase = Phase::Done;
                drop_quietly(future);
                if let Err(payload) = ended {
                    std::mem::forget(payload);
                }
            }
        }
    }

    /// Drops its future unpolled.
    fn discard(&self) {
        let future = {
            let mut state = lock(&self.state);
            state.phase = Phase::Done;
            state.future.take()
        };
        drop_quietly(future);
    }
}

impl Pool {
    /// A pool of up to `limit` threads; with 0 it is polled by [`Pool::poll`].
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Pool { queue: Mutex::default(), work: Condvar::new(), limit })
    }

    fn task(self: &Arc<Self>, future: BoxFuture<'static>) -> Arc<Task> {
        let state = State { phase: Phase::Queued, future: Some(future) };
        Arc::new(Task { pool: self.clone(), state: Mutex::new(state) })
    }

    /// Polls `future` here and now, and later when it is woken.
    pub(crate) fn run(self: &Arc<Self>, future: BoxFuture<'static>) {
        self.task(future).run();
    }

    /// Has `future` polled elsewhere, soon.
    pub(crate) fn spawn(self: &Arc<Self>, future: BoxFuture<'static>) {
        let task = self.task(future);
        self.push(task);
    }

    /// Puts a task at the end of the queue and sees to it that somebody looks there.
    fn push(self: &Arc<Self>, task: Arc<Task>) {
        let poller = {
            let mut queue = lock(&self.queue);
            if queue.closed && queue.alive == 0 {
                drop(queue);
                return task.discard();
            }
            queue.tasks.push_back(task);
            if queue.idle > 0 {
                self.work.notify_one();
            }
            // Those that are idle may have been called already, for a task before this one.
            if queue.tasks.len() > queue.idle && queue.alive < self.limit && !queue.closed {
                self.start(&mut queue);
            }
            queue.poller.take()
        };
        if let Some(poller) = poller {
            poller.wake();
        }
    }

    /// One more thread. Without it the tasks wait for those there are; if there are none, for the next attempt.
    #[cold]
    fn start(self: &Arc<Self>, queue: &mut Queue) {
        let pool = self.clone();
        let builder = std::thread::Builder::new().name("ipc-rpc task".into());
        if let Ok(thread) = builder.spawn(move || pool.work()) {
            queue.alive += 1;
            queue.threads.push(thread);
        }
    }

    fn work(&self) {
        while let Some((task, closed)) = self.next() {
            if closed { task.discard() } else { task.run() }
        }
    }

    /// Waits for a task, and says whether the pool is closed; `None`: it is, and empty, and this thread is none of it any more.
    fn next(&self) -> Option<(Arc<Task>, bool)> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                return Some((task, queue.closed));
            }
            if queue.closed {
                queue.alive -= 1;
                return None;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    /// For a pool without threads: polls tasks that were woken, some at a time. Its waker is woken when there are more.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) {
        // So many that the one who polls gets to do something else now and then.
        for _ in 0..64 {
            let task = {
                let mut queue = lock(&self.queue);
                let Some(task) = queue.tasks.pop_front() else {
                    if !queue.poller.as_ref().is_some_and(|poller| poller.will_wake(cx.waker())) {
                        let old = queue.poller.replace(cx.waker().clone());
                        drop(queue);
                        drop(old);
                    }
                    return;
                };
                task
            };
            task.run();
        }
        cx.waker().wake_by_ref();
    }

    /// Wakes whoever polls a pool without threads.
    pub(crate) fn wake_poller(&self) {
        let poller = lock(&self.queue).poller.take();
        if let Some(poller) = poller {
            poller.wake();
        }
    }

    /// Drops what is queued and what is woken from now on, unpolled, and waits for the threads to end if `wait`.
    pub(crate) fn close(&self, wait: bool) {
        let threads = {
            let mut queue = lock(&self.queue);
            queue.closed = true;
            self.work.notify_all();
            std::mem::take(&mut queue.threads)
        };
        for thread in threads {
            // Unless the last user of a server is one of its handlers.
            if wait && thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        // Without threads, or if one could not be started.
        loop {
            let task = lock(&self.queue).tasks.pop_front();
            let Some(task) = task else { break };
            task.discard();
        }
    }

    /// Threads that have not ended.
    pub(crate) fn threads(&self) -> usize {
        lock(&self.queue).alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    /// Something that a task waits for, with the waker of the last poll.
    #[derive(Default)]
    struct Tokens {
        count: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }

    impl Tokens {
        fn give(&self) {
            self.count.fetch_add(1, Ordering::SeqCst);
            let waker = lock(&self.waker).clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }

        async fn wait(&self, wanted: usize) {
            poll_fn(|cx| {
                *lock(&self.waker) = Some(cx.waker().clone());
                if self.count.load(Ordering::SeqCst) >= wanted { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    fn until(done: impl Fn() -> bool) {
        while !done() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn no_wake_up_is_lost() {
        let pool = Pool::new(3);
        let tokens: Vec<_> = (0..16).map(|_| Arc::<Tokens>::default()).collect();
        let (ended, ends) = mpsc::channel();
        for (n, tokens) in tokens.iter().cloned().enumerate() {
            let ended = ended.clone();
            let future = Box::pin(async move {
                for wanted in 1..=2000 {
                    tokens.wait(wanted).await;
                }
                ended.send(n).unwrap();
            });
            if n % 2 == 0 { pool.run(future) } else { pool.spawn(future) }
        }
        std::thread::scope(|scope| {
            for part in 0..4 {
                let tokens = &tokens;
                scope.spawn(move || {
                    for _ in 0..500 {
                        for tokens in tokens.iter().cycle().skip(part).take(tokens.len()) {
                            tokens.give();
                        }
                    }
                });
            }
        });
        for _ in &tokens {
            ends.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        pool.close(true);
        assert_eq!(pool.threads(), 0);
        // Their tasks are over: nothing of them is left but what the last wakers keep.
        for tokens in tokens {
            tokens.give();
            *lock(&tokens.waker) = None;
            assert_eq!(Arc::strong_count(&tokens), 1);
        }
    }

    #[test]
    fn a_pool_without_threads_is_polled_and_wakes_who_polls_it() {
        let pool = Pool::new(0);
        let (woken, wakes) = mpsc::channel();
        struct Tell(mpsc::Sender<()>);
        impl Wake for Tell {
            fn wake(self: Arc<Self>) {
                self.0.send(()).unwrap();
            }
        }
        let waker = Waker::from(Arc::new(Tell(woken)));
        let tokens = Arc::<Tokens>::default();
        let (done, waited) = (Arc::<AtomicUsize>::default(), tokens.clone());
        let count = done.clone();
        pool.spawn(Box::pin(async move {
            waited.wait(1).await;
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let poll = || pool.poll(&mut Context::from_waker(&waker));
        poll();
        assert!(wakes.try_recv().is_err(), "nothing is to be done");
        tokens.give();
        wakes.recv_timeout(Duration::from_secs(60)).unwrap();
        poll();
        assert_eq!(done.load(Ordering::SeqCst), 1);
        // More than are polled at a time, of which each wakes itself once.
        for _ in 0..100 {
            let (count, mut gave) = (done.clone(), false);
            pool.spawn(Box::pin(poll_fn(move |cx| {
                if std::mem::replace(&mut gave, true) {
                    count.fetch_add(1, Ordering::SeqCst);
                    return Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })));
        }
        while done.load(Ordering::SeqCst) < 101 {
            wakes.recv_timeout(Duration::from_secs(60)).unwrap();
            poll();
        }
        pool.close(true);
    }

    struct OnDrop(Arc<AtomicUsize>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_closed_pool_drops_what_is_woken() {
        for threads in [0, 2] {
            let pool = Pool::new(threads);
            let (dropped, tokens) = (Arc::<AtomicUsize>::default(), Arc::<Tokens>::default());
            let (guard, waited) = (OnDrop(dropped.clone()), tokens.clone());
            pool.run(Box::pin(async move {
                let _guard = guard;
                waited.wait(1).await;
                unreachable!("polled after the end");
            }));
            // One that never ends by itself.
            let guard = OnDrop(dropped.clone());
            pool.spawn(Box::pin(poll_fn(move |cx| {
                let _guard = &guard;
                cx.waker().wake_by_ref();
                Poll::Pending
            })));
            pool.close(true);
            assert_eq!(dropped.load(Ordering::SeqCst), 1);
            tokens.give();
            assert_eq!(dropped.load(Ordering::SeqCst), 2);
            let guard = OnDrop(dropped.clone());
            pool.spawn(Box::pin(async move { drop(guard) }));
            assert_eq!(dropped.load(Ordering::SeqCst), 3);
        }
    }

    #[test]
    fn panics_end_their_task_and_nothing_else() {
        let pool = Pool::new(1);
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("dropped"));
            }
        }
        for _ in 0..3 {
            let bad = Bad;
            pool.spawn(Box::pin(poll_fn(move |_| {
                let _bad = &bad;
                std::panic::resume_unwind(Box::new("polled"))
            })));
        }
        let done = Arc::<AtomicUsize>::default();
        let count = done.clone();
        pool.spawn(Box::pin(async move {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        until(|| done.load(Ordering::SeqCst) == 1);
        assert_eq!(pool.threads(), 1);
        pool.close(true);
    }

    #[test]
    fn a_leaked_waker_keeps_no_future() {
        let pool = Pool::new(1);
        let (dropped, tokens) = (Arc::<AtomicUsize>::default(), Arc::<Tokens>::default());
        let (guard, waited) = (OnDrop(dropped.clone()), tokens.clone());
        pool.run(Box::pin(async move {
            let _guard = guard;
            poll_fn(|cx| {
                std::mem::forget(cx.waker().clone());
                Poll::Ready(())
            })
            .await;
            waited.wait(1).await;
        }));
        tokens.give();
        until(|| dropped.load(Ordering::SeqCst) == 1);
        pool.close(true);
    }
}

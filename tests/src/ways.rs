//! One service and one suite of assertions, in two forms made of the same text: blocking and async.
//!
//! [`blocking`] and [`asynchronous`] have the same trait, once with `fn` and once with `async fn`, its implementation, and
//! `all`, which calls everything and compares. Which processes, runtimes and executors it runs over is the caller's affair.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_rpc::{CallError, Message, Pending, Streaming};

/// What a handler knows of its caller.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Process number.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// What was said under `tenant`.
    pub tenant: Option<String>,
    /// The trace.
    pub trace: Option<String>,
    /// Whether there is a deadline.
    pub limited: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the two forms do differently, blocking.
mod block {
    use super::*;

    pub fn nap() {
        std::thread::sleep(Duration::from_millis(1));
    }

    pub fn collect<T: Message>(items: Streaming<T>) -> Result<Vec<T>, CallError> {
        items.collect()
    }

    pub fn next<T: Message>(items: &mut Streaming<T>) -> Option<Result<T, CallError>> {
        items.next()
    }

    pub fn settle<T: Message, E: Message>(call: Pending<T, E>) -> Result<T, CallError<E>> {
        call.wait()
    }

    pub fn settle_plain<T: Message>(call: Pending<T>) -> Result<T, CallError> {
        call.wait()
    }
}

/// What the two forms do differently, async.
mod wait {
    use super::*;

    pub async fn nap() {
        let time = Duration::from_millis(1);
        // A handler that runs inside of tokio can use it; the others have a timer that needs no runtime.
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::sleep(time).await;
        } else {
            smol::Timer::after(time).await;
        }
    }

    pub async fn collect<T: Message>(mut items: Streaming<T>) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        while let Some(item) = items.next_async().await {
            all.push(item?);
        }
        Ok(all)
    }

    pub async fn next<T: Message>(items: &mut Streaming<T>) -> Option<Result<T, CallError>> {
        items.next_async().await
    }

    pub async fn settle<T: Message, E: Message>(call: Pending<T, E>) -> Result<T, CallError<E>> {
        call.await
    }

    pub async fn settle_plain<T: Message>(call: Pending<T>) -> Result<T, CallError> {
        call.await
    }
}

macro_rules! ways {
    ($(#[$doc:meta])* $form:ident, $help:ident, $flush:ident, [$($async:tt)?], [$($wait:tt)*]) => {
        $(#[$doc])*
        pub mod $form {
            use std::sync::Mutex;
            use std::sync::atomic::{AtomicU64, Ordering};
            use std::time::Duration;

            use ipc_rpc::{CallError, Context, Streaming, TraceId, service};

            use super::{Who, lock};
            use super::$help::{collect, nap, next, settle, settle_plain};
            use crate::services::{WorkError, bytes};

            /// Runs in the client's process.
            #[service]
            pub trait Listener {
                /// Told a number; gives another one.
                $($async)? fn heard(&self, ctx: &Context, number: u64) -> u64;
            }

            /// One of everything.
            #[service]
            pub trait Ways {
                /// The sum.
                $($async)? fn add(&self, a: i64, b: i64) -> i64;
                /// The same, after a short while.
                $($async)? fn add_later(&self, a: i64, b: i64) -> i64;
                /// The same list.
                $($async)? fn mirror(&self, bytes: &[u8]) -> Vec<u8>;
                /// Fails unless `code` is 0.
                $($async)? fn fail(&self, code: i32) -> Result<String, WorkError>;
                /// Panics.
                $($async)? fn panic(&self, text: &str) -> u64;
                /// Who calls.
                $($async)? fn who(&self, ctx: &Context) -> Who;
                /// Returns when nobody waits for it any more.
                $($async)? fn outlast(&self, ctx: &Context) -> u64;
                /// How many of these have ended.
                $($async)? fn outlasted(&self) -> u64;
                /// Adds to the notes.
                #[rpc(oneway)]
                $($async)? fn note(&self, number: u64);
                /// The sum of the notes.
                $($async)? fn notes(&self) -> u64;
                /// A stream of numbers.
                $($async)? fn count(&self, to: u64) -> Streaming<u64>;
                /// A stream, or an error.
                $($async)? fn count_or_fail(&self, to: u64) -> Result<Streaming<u64>, WorkError>;
                /// A stream that fails after so many items.
                $($async)? fn count_then_fail(&self, to: u64) -> Streaming<u64>;
                /// The sum of a stream.
                $($async)? fn sum(&self, numbers: Streaming<u64>) -> u64;
                /// The sum of the first so many, or all.
                $($async)? fn sum_some(&self, most: u64, numbers: Streaming<u64>) -> Result<u64, WorkError>;
                /// Twice each of a stream.
                $($async)? fn double(&self, numbers: Streaming<u64>) -> Streaming<u64>;
                /// Tells the listener every number below; gives the sum of what it says.
                $($async)? fn tell(&self, to: u64, listener: &ListenerClient) -> u64;
                /// Keeps the listener.
                $($async)? fn keep(&self, listener: &ListenerClient);
                /// Tells the one kept.
                $($async)? fn tell_kept(&self, number: u64) -> u64;
                /// Keeps it no longer.
                $($async)? fn forget(&self);
            }

            /// Serves [`Ways`].
            #[derive(Debug, Default)]
            pub struct Keeper {
                notes: AtomicU64,
                outlasted: AtomicU64,
                kept: Mutex<Option<ListenerClient>>,
            }

            impl Ways for Keeper {
                $($async)? fn add(&self, a: i64, b: i64) -> i64 {
                    a.wrapping_add(b)
                }
                $($async)? fn add_later(&self, a: i64, b: i64) -> i64 {
                    nap() $($wait)*;
                    a.wrapping_add(b)
                }
                $($async)? fn mirror(&self, bytes: &[u8]) -> Vec<u8> {
                    bytes.to_vec()
                }
                $($async)? fn fail(&self, code: i32) -> Result<String, WorkError> {
                    nap() $($wait)*;
                    if code == 0 { Ok("well".into()) } else { Err(WorkError { code, reason: "it went wrong".into() }) }
                }
                $($async)? fn panic(&self, text: &str) -> u64 {
                    nap() $($wait)*;
                    panic!("{text}");
                }
                $($async)? fn who(&self, ctx: &Context) -> Who {
                    Who {
                        pid: ctx.peer().pid,
                        uid: ctx.peer().uid,
                        tenant: ctx.metadata().get("tenant").map(str::to_owned),
                        trace: ctx.trace_id().map(|trace| trace.to_string()),
                        limited: ctx.remaining().is_some(),
                    }
                }
                $($async)? fn outlast(&self, ctx: &Context) -> u64 {
                    // Also if the future is dropped instead of being polled again.
                    struct Ended<'a>(&'a AtomicU64);
                    impl Drop for Ended<'_> {
                        fn drop(&mut self) {
                            self.0.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    let _ended = Ended(&self.outlasted);
                    while !ctx.is_cancelled() {
                        nap() $($wait)*;
                    }
                    1
                }
                $($async)? fn outlasted(&self) -> u64 {
                    self.outlasted.load(Ordering::Relaxed)
                }
                $($async)? fn note(&self, number: u64) {
                    self.notes.fetch_add(number, Ordering::Relaxed);
                }
                $($async)? fn notes(&self) -> u64 {
                    self.notes.load(Ordering::Relaxed)
                }
                $($async)? fn count(&self, to: u64) -> Streaming<u64> {
                    Streaming::from_iter(0..to)
                }
                $($async)? fn count_or_fail(&self, to: u64) -> Result<Streaming<u64>, WorkError> {
                    if to > 0 {
                        Ok(Streaming::from_iter(0..to))
                    } else {
                        Err(WorkError { code: 5, reason: "nothing to count".into() })
                    }
                }
                $($async)? fn count_then_fail(&self, to: u64) -> Streaming<u64> {
                    let (sink, items) = Streaming::channel();
                    // The reader may not be there yet: whoever sends must not be the one who returns the stream.
                    std::thread::spawn(move || {
                        if (0..to).all(|number| sink.send(&number).is_ok()) {
                            sink.fail("no more fingers");
                        }
                    });
                    items
                }
                #[allow(unused_mut)]
                $($async)? fn sum(&self, mut numbers: Streaming<u64>) -> u64 {
                    let mut sum = 0;
                    while let Some(number) = next(&mut numbers) $($wait)* {
                        sum += number.unwrap_or(1 << 32);
                    }
                    sum
                }
                #[allow(unused_mut)]
                $($async)? fn sum_some(&self, most: u64, mut numbers: Streaming<u64>) -> Result<u64, WorkError> {
                    let mut sum = 0;
                    for _ in 0..most {
                        match next(&mut numbers) $($wait)* {
                            Some(Ok(number)) => sum += number,
                            Some(Err(error)) => return Err(WorkError { code: 6, reason: error.to_string() }),
                            None => break,
                        }
                    }
                    Ok(sum)
                }
                $($async)? fn double(&self, numbers: Streaming<u64>) -> Streaming<u64> {
                    Streaming::from_iter(numbers.map_while(|number| number.ok().map(|number| 2 * number)))
                }
                $($async)? fn tell(&self, to: u64, listener: &ListenerClient) -> u64 {
                    let mut sum = 0;
                    for number in 0..to {
                        sum += listener.heard(number) $($wait)* .unwrap_or(1 << 32);
                    }
                    sum
                }
                $($async)? fn keep(&self, listener: &ListenerClient) {
                    *lock(&self.kept) = Some(listener.clone());
                }
                $($async)? fn tell_kept(&self, number: u64) -> u64 {
                    let kept = lock(&self.kept).clone();
                    match kept {
                        Some(listener) => listener.heard(number) $($wait)* .unwrap_or(1 << 32),
                        None => 0,
                    }
                }
                $($async)? fn forget(&self) {
                    *lock(&self.kept) = None;
                }
            }

            /// Answers the server out of the client's process; calls the server itself to do so.
            struct Ear {
                server: WaysClient,
                tenants: Mutex<Vec<Option<String>>>,
            }

            impl Listener for std::sync::Arc<Ear> {
                $($async)? fn heard(&self, ctx: &Context, number: u64) -> u64 {
                    lock(&self.tenants).push(ctx.metadata().get("tenant").map(str::to_owned));
                    self.server.add(number as i64, 1) $($wait)* .map_or(1 << 32, |sum| sum as u64)
                }
            }

            /// Calls everything in every way, and compares.
            ///
            /// # Panics
            /// Something is not as it should be.
            pub $($async)? fn all(client: &WaysClient) {
                plain(client) $($wait)*;
                pending(client) $($wait)*;
                contexts(client) $($wait)*;
                one_way(client) $($wait)*;
                streams(client) $($wait)*;
                callbacks(client) $($wait)*;
                // Whatever went before, it is as good as new.
                assert_eq!(client.add(2, 3) $($wait)* .unwrap(), 5);
            }

            $($async)? fn plain(client: &WaysClient) {
                for n in 0..100 {
                    assert_eq!(client.add(n, 1) $($wait)* .unwrap(), n + 1);
                }
                assert_eq!(client.add_later(2, 3) $($wait)* .unwrap(), 5);
                for len in [0, 1, 200, 300, 70_000, 1 << 20] {
                    let list = bytes(len, 3);
                    assert_eq!(client.mirror(&list) $($wait)* .unwrap(), list);
                    let reply = client.view().mirror(&list) $($wait)* .unwrap();
                    assert_eq!(reply.get(), list.as_slice());
                }
                assert_eq!(client.fail(0) $($wait)* .unwrap(), "well");
                match client.fail(7) $($wait)* {
                    Err(CallError::Handler(error)) => assert_eq!((error.code, error.reason.as_str()), (7, "it went wrong")),
                    other => panic!("{other:?}"),
                }
                match client.panic("no text too long") $($wait)* {
                    Err(CallError::Panicked { message, .. }) => assert_eq!(&*message, "no text too long"),
                    other => panic!("{other:?}"),
                }
            }

            $($async)? fn pending(client: &WaysClient) {
                let start = client.start();
                // More than one, settled in another order.
                let mut calls: Vec<_> = (0..40).map(|n| (n, start.add_later(n, n).unwrap())).collect();
                calls.reverse();
                for (n, call) in calls {
                    assert_eq!(settle_plain(call) $($wait)* .unwrap(), 2 * n);
                }
                // Half of them are given up.
                let mut calls: Vec<_> = (0..40).map(|n| (n, start.add_later(n, 1).unwrap())).collect();
                calls.retain(|(n, _)| n % 2 == 0);
                for (n, call) in calls {
                    assert_eq!(settle_plain(call) $($wait)* .unwrap(), n + 1);
                }
                let (good, bad) = (start.fail(0).unwrap(), start.fail(1).unwrap());
                assert!(matches!(settle(bad) $($wait)*, Err(CallError::Handler(error)) if error.code == 1));
                assert_eq!(settle(good) $($wait)* .unwrap(), "well");
                let calls = client.batch(|calls| (0..30).map(|n| calls.add(n, 5)).collect::<Result<Vec<_>, _>>()).unwrap();
                for (n, mut call) in (0..).zip(calls) {
                    match call.try_wait() {
                        Some(sum) => assert_eq!(sum.unwrap(), n + 5),
                        None => assert_eq!(settle_plain(call) $($wait)* .unwrap(), n + 5),
                    }
                }
                let panicking = start.panic("again").unwrap();
                assert!(matches!(settle_plain(panicking) $($wait)*, Err(CallError::Panicked { .. })));
            }

            $($async)? fn contexts(client: &WaysClient) {
                let who = client.who() $($wait)* .unwrap();
                assert_eq!((who.pid, who.tenant, who.trace), (std::process::id() as i32, None, None));
                let who = client.with_timeout(Duration::from_secs(60)).who() $($wait)* .unwrap();
                assert!(who.limited);
                let trace = TraceId::random();
                let told = client.with_metadata("tenant", "blue").with_trace(trace);
                let who = told.who() $($wait)* .unwrap();
                assert_eq!((who.tenant, who.trace), (Some("blue".into()), Some(trace.to_string())));
                // The arguments are where they were.
                assert_eq!(told.add(2, 3) $($wait)* .unwrap(), 5);
                let list = bytes(70_000, 5);
                assert_eq!(told.mirror(&list) $($wait)* .unwrap(), list);

                // A running handler learns that its caller has given it up, in each way to do so.
                let before = client.outlasted() $($wait)* .unwrap();
                let late = client.with_timeout(Duration::from_millis(20)).outlast() $($wait)*;
                // The handler knows its deadline: its answer may come just before the caller gives up.
                assert!(matches!(late, Ok(1) | Err(CallError::TimedOut { .. })), "{late:?}");
                let dropped = client.start().outlast().unwrap();
                nap() $($wait)*;
                drop(dropped);
                let batch = client.batch(|calls| [calls.outlast().unwrap(), calls.outlast().unwrap()]);
                drop(batch);
                // The ones in a batch may have been given up before they began.
                while client.outlasted() $($wait)* .unwrap() == before {
                    nap() $($wait)*;
                }
                // Given up before it was sent: it runs neither now nor later.
                let none = client.with_timeout(Duration::ZERO).add(1, 1) $($wait)*;
                assert!(matches!(none, Err(CallError::TimedOut { .. } | CallError::Busy { .. })), "{none:?}");
            }

            $($async)? fn one_way(client: &WaysClient) {
                let before = client.notes() $($wait)* .unwrap();
                for n in 0..500 {
                    client.note(n) $($wait)* .unwrap();
                }
                client.$flush() $($wait)* .unwrap();
                assert_eq!(client.notes() $($wait)* .unwrap() - before, 499 * 500 / 2);
            }

            $($async)? fn streams(client: &WaysClient) {
                let all: Vec<u64> = (0..2000).collect();
                assert_eq!(collect(client.count(2000) $($wait)* .unwrap()) $($wait)* .unwrap(), all);
                assert_eq!(collect(client.count(0) $($wait)* .unwrap()) $($wait)* .unwrap(), [0u64; 0]);
                assert_eq!(collect(client.count_or_fail(3) $($wait)* .unwrap()) $($wait)* .unwrap(), [0, 1, 2]);
                match client.count_or_fail(0) $($wait)* {
                    Err(CallError::Handler(error)) => assert_eq!(error.code, 5),
                    other => panic!("{:?}", other.map(|_| "a stream")),
                }
                let mut failing = client.count_then_fail(3) $($wait)* .unwrap();
                for n in 0..3 {
                    assert_eq!(next(&mut failing) $($wait)* .unwrap().unwrap(), n);
                }
                let error = next(&mut failing) $($wait)* .unwrap().unwrap_err();
                assert!(error.to_string().contains("no more fingers"), "{error}");
                assert!(next(&mut failing) $($wait)* .is_none());
                // One that nobody reads to the end: there is none.
                let mut endless = client.count(u64::MAX) $($wait)* .unwrap();
                for n in 0..10 {
                    assert_eq!(next(&mut endless) $($wait)* .unwrap().unwrap(), n);
                }
                drop(endless);

                assert_eq!(client.sum(Streaming::from_iter(0..2000)) $($wait)* .unwrap(), 1999 * 2000 / 2);
                assert_eq!(client.sum(Streaming::from_iter(0..0)) $($wait)* .unwrap(), 0);
                // The reader stops before the end.
                assert_eq!(client.sum_some(3, Streaming::from_iter(0..)) $($wait)* .unwrap(), 3);
                // The writer fails.
                let (sink, items) = Streaming::channel();
                let writer = std::thread::spawn(move || {
                    sink.send(&1).unwrap();
                    sink.send(&2).unwrap();
                    sink.fail("out of ink");
                });
                match client.sum_some(10, items) $($wait)* {
                    Err(CallError::Handler(error)) => assert!(error.reason.contains("out of ink"), "{error}"),
                    other => panic!("{other:?}"),
                }
                writer.join().unwrap();
                // Both ways at once.
                let doubled = client.double(Streaming::from_iter(0..1000)) $($wait)* .unwrap();
                let expected: Vec<u64> = (0..1000).map(|n| 2 * n).collect();
                assert_eq!(collect(doubled) $($wait)* .unwrap(), expected);
            }

            $($async)? fn callbacks(client: &WaysClient) {
                let ear = std::sync::Arc::new(Ear { server: client.clone(), tenants: Mutex::default() });
                let listener = ListenerDispatcher::new(ear.clone());
                // The listener calls the server while the server waits for it.
                assert_eq!(client.tell(50, &listener) $($wait)* .unwrap(), 50 * 51 / 2);
                // What a call carries goes on to the calls that are made for it.
                lock(&ear.tenants).clear();
                let told = client.with_metadata("tenant", "green");
                assert_eq!(told.tell(2, &listener) $($wait)* .unwrap(), 1 + 2);
                assert_eq!(*lock(&ear.tenants), [Some("green".to_owned()), Some("green".to_owned())]);
                // Kept beyond the call.
                client.keep(&listener) $($wait)* .unwrap();
                for n in 0..10 {
                    assert_eq!(client.tell_kept(n) $($wait)* .unwrap(), n + 1);
                }
                client.forget() $($wait)* .unwrap();
                assert_eq!(client.tell_kept(1) $($wait)* .unwrap(), 0);
                drop(listener);
                // The client lets go of the object once the server has.
                while std::sync::Arc::strong_count(&ear) > 1 {
                    nap() $($wait)*;
                }
            }
        }
    };
}

ways!(
    /// Everything with `fn`.
    blocking, block, flush, [], []
);
ways!(
    /// Everything with `async fn`.
    asynchronous, wait, flush_async, [async], [.await]
);

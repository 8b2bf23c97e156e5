//! Interceptors on both sides: what they see of every kind of call, and what they can do about it.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use ipc_rpc::intercept::{Authenticate, Call, Done, Intercepted, Interceptor, Next, RateLimit, Retry};
use ipc_rpc::testing::PairServer;
use ipc_rpc::{CallError, ClientConfig, Context, Server, ServerBuilder, Streaming, TraceId, Trust, service, testing};
use ipc_rpc_tests::helper::until;
use ipc_rpc_tests::watchdog::Watchdog;

/// Methods of every kind.
#[service]
pub trait Kinds {
    /// Half of an even number.
    fn half(&self, n: u32) -> Result<u32, String>;
    /// The same from a future.
    async fn half_later(&self, n: u32) -> Result<u32, String>;
    /// What the handler is told.
    fn told(&self, ctx: &Context) -> (Vec<String>, String);
    /// The same from a future.
    async fn told_later(&self, ctx: &Context) -> (Vec<String>, String);
    /// Counts.
    #[rpc(oneway)]
    fn note(&self, n: u32);
    /// Panics.
    fn panic(&self);
    /// The same from a future.
    async fn panic_later(&self);
    /// Ends when it is given up.
    async fn forever(&self);
    /// Numbers below `n`, unless there are none.
    fn below(&self, n: u32) -> Result<Streaming<u32>, String>;
    /// The sum.
    fn sum(&self, numbers: Streaming<u32>) -> u32;
    /// The sum, waited for without a thread.
    async fn sum_later(&self, numbers: Streaming<u32>) -> u32;
    /// Twice each.
    fn twice(&self, numbers: Streaming<u32>) -> Streaming<u32>;
    /// How often the handler of a call with this number was begun; fails the first time.
    #[rpc(idempotent)]
    fn count(&self) -> u32;
}

#[derive(Default)]
struct All {
    noted: AtomicU32,
    counted: AtomicU32,
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

fn half(n: u32) -> Result<u32, String> {
    if n.is_multiple_of(2) { Ok(n / 2) } else { Err(format!("{n} is odd")) }
}

fn told(ctx: &Context) -> (Vec<String>, String) {
    let metadata = ctx.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
    (metadata, ctx.trace_id().map(|id| id.to_string()).unwrap_or_default())
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Kinds for All {
    fn half(&self, n: u32) -> Result<u32, String> {
        half(n)
    }
    async fn half_later(&self, n: u32) -> Result<u32, String> {
        half(n)
    }
    fn told(&self, ctx: &Context) -> (Vec<String>, String) {
        told(ctx)
    }
    async fn told_later(&self, ctx: &Context) -> (Vec<String>, String) {
        told(ctx)
    }
    fn note(&self, n: u32) {
        self.noted.fetch_add(n, Ordering::SeqCst);
    }
    fn panic(&self) {
        panic!("no");
    }
    async fn panic_later(&self) {
        panic!("no");
    }
    async fn forever(&self) {
        let _counted = Counted(self.dropped.clone());
        self.begun.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
    fn below(&self, n: u32) -> Result<Streaming<u32>, String> {
        if n == 0 { Err("none".into()) } else { Ok(Streaming::from_iter(0..n)) }
    }
    fn sum(&self, numbers: Streaming<u32>) -> u32 {
        numbers.map_while(Result::ok).sum()
    }
    async fn sum_later(&self, mut numbers: Streaming<u32>) -> u32 {
        let mut sum = 0;
        while let Some(Ok(n)) = numbers.next_async().await {
            sum += n;
        }
        sum
    }
    fn twice(&self, numbers: Streaming<u32>) -> Streaming<u32> {
        Streaming::from_iter(numbers.map_while(Result::ok).map(|n| 2 * n))
    }
    fn count(&self) -> u32 {
        self.counted.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Notes what goes through.
#[derive(Clone, Default)]
struct Log {
    name: &'static str,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn new(name: &'static str) -> Self {
        Log { name, lines: Arc::default() }
    }

    fn add(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

fn shown(end: &Result<Done, CallError>) -> &'static str {
    match end {
        Ok(done) if done.failed() => "failed",
        Ok(_) => "done",
        Err(CallError::Denied { .. }) => "denied",
        Err(CallError::Panicked { .. }) => "panicked",
        Err(CallError::Limited { .. }) => "limited",
        Err(CallError::Rejected { .. }) => "rejected",
        Err(_) => "error",
    }
}

impl Interceptor for Log {
    fn call(&self, call: Call, next: Next) -> Intercepted {
        let log = self.clone();
        Box::pin(async move {
            let method = call.method().method;
            let side = if call.peer().is_some() { "server" } else { "client" };
            log.add(format!("{} {side} {method}", log.name));
            let end = next.run(call).await;
            log.add(format!("{} {method} {}", log.name, shown(&end)));
            end
        })
    }
}

fn pair(server: ServerBuilder) -> (KindsClient, PairServer) {
    testing::pair_with(server, KindsDispatcher::new(All::default()), &ClientConfig::default()).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    smol::block_on(future)
}

/// Every kind of call, each with what its interceptors are to be told in the end.
fn every_call(kinds: &KindsClient) -> Vec<(&'static str, &'static str)> {
    assert_eq!(kinds.half(4).unwrap(), 2);
    assert!(matches!(kinds.half(5), Err(CallError::Handler(_))));
    assert_eq!(kinds.view().half(8).unwrap().get(), 4);
    assert!(matches!(kinds.view().half(9), Err(CallError::Handler(_))));
    assert_eq!(kinds.start().half(6).unwrap().wait().unwrap(), 3);
    assert!(matches!(kinds.start().half(7).unwrap().wait(), Err(CallError::Handler(_))));
    assert_eq!(block_on(kinds.half_later(4)).unwrap(), 2);
    assert!(matches!(block_on(kinds.half_later(5)), Err(CallError::Handler(_))));
    assert_eq!(block_on(kinds.view().half_later(4)).unwrap().get(), 2);
    assert_eq!(block_on(kinds.start().half_later(6).unwrap()).unwrap(), 3);
    kinds.note(1).unwrap();
    kinds.flush().unwrap();
    assert!(matches!(kinds.panic(), Err(CallError::Panicked { .. })));
    assert!(matches!(block_on(kinds.panic_later()), Err(CallError::Panicked { .. })));
    assert_eq!(kinds.below(3).unwrap().collect::<Result<Vec<_>, _>>().unwrap(), [0, 1, 2]);
    assert!(matches!(kinds.below(0), Err(CallError::Handler(_))));
    assert_eq!(kinds.sum(Streaming::from_iter(1..=4)).unwrap(), 10);
    assert_eq!(block_on(kinds.sum_later(Streaming::from_iter(1..=4))).unwrap(), 10);
    let twice = kinds.twice(Streaming::from_iter(1..=3)).unwrap();
    assert_eq!(twice.collect::<Result<Vec<_>, _>>().unwrap(), [2, 4, 6]);
    vec![
        ("half", "done"),
        ("half", "failed"),
        ("half", "done"),
        ("half", "failed"),
        ("half", "done"),
        ("half", "failed"),
        ("half_later", "done"),
        ("half_later", "failed"),
        ("half_later", "done"),
        ("half_later", "done"),
        ("note", "done"),
        ("panic", "panicked"),
        ("panic_later", "panicked"),
        ("below", "done"),
        ("below", "failed"),
        ("sum", "done"),
        ("sum_later", "done"),
        ("twice", "done"),
    ]
}

#[test]
fn every_kind_of_call_goes_through_the_interceptors_of_both_sides_in_order() {
    let _watchdog = Watchdog::start("every_kind_of_call_goes_through_the_interceptors_of_both_sides_in_order");
    for trust in [Trust::InPlace, Trust::Snapshot] {
        let (outer, inner) = (Log::new("outer"), Log::new("inner"));
        let inner = Log { lines: outer.lines.clone(), ..inner };
        let (kinds, _server) = pair(Server::builder().trust(trust).intercept(outer.clone()).intercept(inner.clone()));
        let calls = every_call(&kinds);
        let expected = |side: &str| -> Vec<String> {
            let lines = calls.iter().map(|(method, end)| {
                [
                    format!("outer {side} {method}"),
                    format!("inner {side} {method}"),
                    format!("inner {method} {end}"),
                    format!("outer {method} {end}"),
                ]
            });
            lines.flatten().collect()
        };
        assert_eq!(outer.take(), expected("server"));

        let (kinds, _server) = pair(Server::builder().trust(trust));
        let kinds = kinds.with_interceptor(outer.clone()).with_interceptor(inner);
        every_call(&kinds);
        assert_eq!(outer.take(), expected("client"));
    }
}

#[test]
fn what_they_put_into_a_call_reaches_the_handler() {
    let _watchdog = Watchdog::start("what_they_put_into_a_call_reaches_the_handler");
    let server = Server::builder().intercept(|mut call: Call, next: Next| async move {
        assert_eq!(call.peer().map(|peer| peer.pid as u32), Some(std::process::id()));
        assert!(call.request_len().is_some());
        call.set("seen", call.metadata().get("from").unwrap_or("nobody").to_owned());
        call.set_trace_id(call.trace_id().unwrap_or(TraceId::from(7)));
        next.run(call).await
    });
    let (kinds, _server) = pair(server);
    let seven = TraceId::from(7).to_string();
    let nobody = (vec!["seen=nobody".to_owned()], seven.clone());
    assert_eq!(kinds.told().unwrap(), nobody);
    assert_eq!(block_on(kinds.told_later()).unwrap(), nobody);

    let from = kinds.with_metadata("also", "x").with_interceptor(|mut call: Call, next: Next| async move {
        assert_eq!((call.peer(), call.request_len(), call.metadata().get("also")), (None, None, Some("x")));
        call.set("from", "Ada");
        call.set_trace_id(TraceId::from(9));
        next.run(call).await
    });
    let ada = (["also=x", "from=Ada", "seen=Ada"].map(str::to_owned).to_vec(), TraceId::from(9).to_string());
    assert_eq!(from.told().unwrap(), ada);
    assert_eq!(from.start().told().unwrap().wait().unwrap(), ada);
    assert_eq!(block_on(from.told_later()).unwrap(), ada);
    assert_eq!(kinds.told().unwrap(), nobody, "the client that it was made of is as it was");
}

#[test]
fn a_call_that_is_denied_does_not_run() {
    let _watchdog = Watchdog::start("a_call_that_is_denied_does_not_run");
    let (kinds, _server) = pair(Server::builder().intercept(|call: Call, next: Next| async move {
        match call.metadata().get("deny") {
            Some(reason) => Err(call.denied(reason)),
            None => next.run(call).await,
        }
    }));
    let denied = kinds.with_metadata("deny", "not today");
    let is_denied = |error: &CallError| {
        matches!(error, CallError::Denied { reason, .. } if &**reason == "not today") && !error.may_have_run()
    };
    assert!(denied.count().is_err_and(|error| is_denied(&error)));
    assert!(denied.start().count().unwrap().wait().is_err_and(|error| is_denied(&error)));
    assert!(block_on(denied.forever()).is_err_and(|error| is_denied(&error)));
    assert!(denied.twice(Streaming::from_iter(1..3)).is_err_and(|error| is_denied(&error)));
    denied.note(1).unwrap();
    denied.flush().unwrap();
    assert_eq!(kinds.count().unwrap(), 1, "it has not run before");

    let refused = kinds.with_interceptor(|call: Call, _: Next| async move { Err(call.denied("not today")) });
    assert!(refused.count().is_err_and(|error| is_denied(&error)));
    assert!(refused.start().count().is_err_and(|error| is_denied(&error)));
    assert!(block_on(refused.forever()).is_err_and(|error| is_denied(&error)));
    assert!(refused.note(1).is_err_and(|error| is_denied(&error)));
    assert!(refused.sum(Streaming::from_iter(1..3)).is_err_and(|error| is_denied(&error)));
    assert_eq!(kinds.count().unwrap(), 2);
}

#[test]
fn calls_that_were_limited_are_made_again() {
    let _watchdog = Watchdog::start("calls_that_were_limited_are_made_again");
    let (kinds, _server) = pair(Server::builder().intercept(RateLimit::new(500.0, 1)));
    let log = Log::new("");
    let persistent = kinds.with_interceptor(Retry { attempts: 100, ..Retry::default() }).with_interceptor(log.clone());
    for n in 1..=5 {
        assert_eq!(persistent.count().unwrap(), n);
        assert_eq!(block_on(persistent.half_later(2 * n)).unwrap(), n);
    }
    let lines = log.take();
    assert!(lines.iter().any(|line| line == " count limited"), "{lines:?}");
    // Of a call that has to be over before it could be made again the first error is told.
    let (kinds, _server) = pair(Server::builder().intercept(RateLimit::new(0.01, 1)));
    let retrying = kinds.with_interceptor(Retry::default()).with_timeout(Duration::from_secs(5));
    assert_eq!(retrying.count().unwrap(), 1);
    assert!(matches!(retrying.count(), Err(CallError::Limited { after, .. }) if after > Duration::from_secs(50)));
}

#[test]
fn what_cannot_be_made_again_ends_as_it_did() {
    let _watchdog = Watchdog::start("what_cannot_be_made_again_ends_as_it_did");
    let (limits, twice) = (RateLimit::new(0.01, 1), |call: Call, next: Next| async move {
        assert!(!call.is_repeatable());
        let first = next.run(call.clone()).await;
        let second = next.run(call).await;
        assert_eq!(shown(&first), shown(&second));
        second
    });
    let (kinds, _server) = pair(Server::builder().intercept(limits).intercept(twice));
    let kinds = kinds.with_interceptor(|call: Call, next: Next| async move {
        let _first = next.run(call.clone()).await;
        if call.is_repeatable() { Err(call.denied("it was not asked for")) } else { next.run(call).await }
    });
    assert_eq!(kinds.start().count().unwrap().wait().unwrap(), 1);
    assert!(matches!(kinds.start().count().unwrap().wait(), Err(CallError::Limited { .. })));
    assert!(matches!(kinds.sum(Streaming::from_iter(1..3)), Err(CallError::Limited { .. })));
    assert!(matches!(block_on(kinds.sum_later(Streaming::from_iter(1..3))), Err(CallError::Limited { .. })));
}

#[test]
fn only_who_knows_the_secret_is_served() {
    let _watchdog = Watchdog::start("only_who_knows_the_secret_is_served");
    let (kinds, _server) = pair(Server::builder().intercept(Authenticate::with("swordfish")));
    let wrong = kinds.with_interceptor(Authenticate::with("swordfisH"));
    let right = kinds.with_interceptor(Authenticate::with("swordfish"));
    assert!(matches!(kinds.told(), Err(CallError::Denied { .. })));
    assert!(matches!(wrong.told(), Err(CallError::Denied { .. })));
    assert_eq!(right.told().unwrap().0, [""; 0]);
    assert_eq!(block_on(right.told_later()).unwrap().0, [""; 0]);
}

/// Ends a call as soon as `begun` is so much.
async fn impatient(call: Call, next: Next, begun: Arc<AtomicUsize>, enough: usize) -> Result<Done, CallError> {
    let method = call.method();
    let mut run = Box::pin(next.run(call));
    std::future::poll_fn(move |cx| {
        if begun.load(Ordering::SeqCst) == enough {
            return Poll::Ready(Err(CallError::Denied { method, reason: "no patience".into() }));
        }
        cx.waker().wake_by_ref();
        run.as_mut().poll(cx)
    })
    .await
}

#[test]
fn an_interceptor_that_gives_up_cancels_the_call() {
    let _watchdog = Watchdog::start("an_interceptor_that_gives_up_cancels_the_call");
    let all = All::default();
    let (begun, dropped) = (all.begun.clone(), all.dropped.clone());
    let also = begun.clone();
    let server = Server::builder().intercept(move |call: Call, next: Next| {
        let begun = also.clone();
        async move {
            let is_impatient = call.metadata().get("impatient").is_some();
            if is_impatient { impatient(call, next, begun, 1).await } else { next.run(call).await }
        }
    });
    let (kinds, _server) = testing::pair_with(server, KindsDispatcher::new(all), &ClientConfig::default()).unwrap();
    let error = block_on(kinds.with_metadata("impatient", "").forever()).unwrap_err();
    assert!(matches!(&error, CallError::Result { reason, .. } if reason.contains("no patience")), "{error}");
    assert!(error.may_have_run());
    until(|| dropped.load(Ordering::SeqCst) == 1);
    let error = block_on(
        kinds.with_interceptor(move |call: Call, next: Next| impatient(call, next, begun.clone(), 2)).forever(),
    )
    .unwrap_err();
    assert!(matches!(&error, CallError::Result { reason, .. } if reason.contains("no patience")), "{error}");
    until(|| dropped.load(Ordering::SeqCst) == 2);
    assert_eq!(kinds.count().unwrap(), 1);
}

#[test]
fn a_call_that_has_run_is_not_said_not_to_have() {
    let _watchdog = Watchdog::start("a_call_that_has_run_is_not_said_not_to_have");
    let (kinds, _server) = pair(Server::builder());
    // Its reply is there, and something else does not come.
    let stuck = kinds.with_timeout(Duration::from_millis(50)).with_interceptor(|call: Call, next: Next| async move {
        let _done = next.run(call).await;
        std::future::pending().await
    });
    let late = |error: CallError| matches!(error, CallError::TimedOut { may_have_run: true, .. });
    assert!(late(stuck.count().unwrap_err()));
    assert!(late(block_on(stuck.told_later()).unwrap_err()));
    assert!(late(stuck.start().count().unwrap().wait().unwrap_err()));
    assert!(late(block_on(stuck.start().count().unwrap()).unwrap_err()));
    // It is not wanted.
    let choosy = kinds.with_interceptor(|call: Call, next: Next| async move {
        let _done = next.run(call.clone()).await;
        Err(call.denied("it is not what was asked for"))
    });
    let unwanted = |error: CallError| matches!(error, CallError::Result { reason, .. } if reason.contains("asked for"));
    assert!(unwanted(choosy.count().unwrap_err()));
    assert!(unwanted(block_on(choosy.told_later()).unwrap_err()));
    assert!(unwanted(choosy.start().count().unwrap().wait().unwrap_err()));
    assert_eq!(kinds.count().unwrap(), 6);
    // The last of several times says only of itself that it has not run.
    let (kinds, _server) = pair(Server::builder().intercept(|call: Call, next: Next| async move {
        let done = next.run(call.clone()).await;
        if done.is_ok() { Err(CallError::MayHaveRun { method: call.method() }) } else { done }
    }));
    let twice = kinds.with_interceptor(|call: Call, next: Next| async move {
        let first = next.run(call.clone()).await;
        assert!(first.unwrap_err().may_have_run());
        Err(CallError::Limited { method: call.method(), after: Duration::ZERO })
    });
    assert!(twice.count().unwrap_err().may_have_run());
    assert!(block_on(twice.told_later()).unwrap_err().may_have_run());
}

#[test]
fn who_gives_a_call_up_ends_its_interceptors() {
    let _watchdog = Watchdog::start("who_gives_a_call_up_ends_its_interceptors");
    let all = All::default();
    let begun = all.begun.clone();
    let counter = |ended: &Arc<AtomicUsize>| {
        let ended = ended.clone();
        move |call: Call, next: Next| {
            let counted = Counted(ended.clone());
            async move {
                let _counted = counted;
                next.run(call).await
            }
        }
    };
    let (here, there) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let server = Server::builder().intercept(counter(&there));
    let (kinds, _server) = testing::pair_with(server, KindsDispatcher::new(all), &ClientConfig::default()).unwrap();
    let kinds = kinds.with_interceptor(counter(&here));
    let pending = kinds.start().forever().unwrap();
    until(|| begun.load(Ordering::SeqCst) == 1);
    drop(pending);
    assert_eq!(here.load(Ordering::SeqCst), 1);
    until(|| there.load(Ordering::SeqCst) == 1);
    let soon = kinds.with_timeout(Duration::from_millis(5));
    assert!(matches!(block_on(soon.forever()), Err(CallError::TimedOut { .. })));
    assert_eq!(here.load(Ordering::SeqCst), 2);
    until(|| there.load(Ordering::SeqCst) == begun.load(Ordering::SeqCst));
}

#[test]
fn a_panic_of_an_interceptor_fails_its_call_and_nothing_else() {
    let _watchdog = Watchdog::start("a_panic_of_an_interceptor_fails_its_call_and_nothing_else");
    let (kinds, _server) = pair(Server::builder().intercept(|call: Call, next: Next| async move {
        assert!(call.metadata().get("before").is_none(), "before");
        let after = call.metadata().get("after").is_some();
        let done = next.run(call).await;
        assert!(!after, "after");
        done
    }));
    for key in ["before", "after"] {
        let panics = kinds.with_metadata(key, "");
        let said = |error: CallError| matches!(error, CallError::Panicked { message, .. } if message.contains(key));
        assert!(panics.count().is_err_and(said));
        assert!(block_on(panics.told_later()).is_err_and(said));
    }
    assert_eq!(kinds.count().unwrap(), 2);
    assert_eq!(kinds.told().unwrap().0, [""; 0]);
}

#[test]
fn a_handler_runs_within_a_scope() {
    let _watchdog = Watchdog::start("a_handler_runs_within_a_scope");
    let log = Log::new("");
    let scoped = {
        let log = log.clone();
        move |mut call: Call, next: Next| {
            for name in ["a", "b"] {
                let log = log.clone();
                call.within(move |run| {
                    log.add(format!("{name} in"));
                    run();
                    log.add(format!("{name} out"));
                });
            }
            async move { next.run(call).await }
        }
    };
    let (kinds, _server) = pair(Server::builder().intercept(scoped.clone()));
    kinds.count().unwrap();
    assert_eq!(log.take(), ["a in", "b in", "b out", "a out"]);
    block_on(kinds.told_later()).unwrap();
    assert_eq!(log.take(), ["a in", "b in", "b out", "a out"]);
    let (kinds, _server) = pair(Server::builder());
    let kinds = kinds.with_interceptor(scoped);
    kinds.start().count().unwrap().wait().unwrap();
    assert_eq!(log.take(), ["a in", "b in", "b out", "a out"]);
    // One that runs nothing.
    let lazy = kinds.with_interceptor(|mut call: Call, next: Next| async move {
        call.within(|_| ());
        next.run(call).await
    });
    assert!(matches!(lazy.count(), Err(CallError::Denied { .. })));
    assert!(matches!(block_on(lazy.told_later()), Err(CallError::Denied { .. })));
}

#[test]
fn a_call_may_be_made_by_another_thread_than_its_interceptor() {
    let _watchdog = Watchdog::start("a_call_may_be_made_by_another_thread_than_its_interceptor");
    let elsewhere = |call: Call, next: Next| async move {
        let (tell, told) = smol::channel::bounded(1);
        std::thread::spawn(move || tell.send_blocking(block_on(next.run(call))).unwrap());
        told.recv().await.unwrap()
    };
    let (kinds, _server) = pair(Server::builder().workers(1).intercept(elsewhere));
    for kinds in [kinds.clone(), kinds.with_interceptor(elsewhere)] {
        let before = kinds.count().unwrap();
        assert_eq!(kinds.count().unwrap(), before + 1);
        assert_eq!(block_on(kinds.half_later(8)).unwrap(), 4);
    }
}

#[test]
fn a_pause_keeps_no_thread_of_a_call_that_nobody_waits_for() {
    let _watchdog = Watchdog::start("a_pause_keeps_no_thread_of_a_call_that_nobody_waits_for");
    let slow = |call: Call, next: Next| async move {
        if call.metadata().get("slow").is_some() {
            next.pause(Duration::from_secs(1000)).await;
        }
        next.run(call).await
    };
    let (kinds, server) = pair(Server::builder().workers(1).intercept(slow));
    let slow = kinds.with_metadata("slow", "");
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for _ in 0..500 {
        until(|| match slow.start().forever() {
            Ok(pending) => {
                drop(pending);
                true
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                false
            }
        });
    }
    assert!(threads() < before + 20, "{} and {before}", threads());
    // Around a handler that is not a future, until its time is over, it is given up, or the server ends.
    let soon = slow.with_timeout(Duration::from_millis(20));
    assert!(matches!(soon.count(), Err(CallError::TimedOut { .. })));
    assert_eq!(kinds.count().unwrap(), 1);
    drop(slow.start().count().unwrap());
    assert_eq!(kinds.count().unwrap(), 2);
    let waiting = slow.start().count().unwrap();
    until(|| !server.usage().is_idle());
    drop(server);
    assert!(!waiting.wait().unwrap_err().may_have_run());
}

#[test]
fn pending_calls_are_looked_at_as_ever() {
    let _watchdog = Watchdog::start("pending_calls_are_looked_at_as_ever");
    let log = Log::new("");
    let (kinds, _server) = pair(Server::builder());
    let kinds = kinds.with_interceptor(log.clone());
    let mut pending = kinds.start().half(8).unwrap();
    until(|| pending.is_ready());
    assert_eq!(pending.try_wait().unwrap().unwrap(), 4);
    assert_eq!(log.take(), [" client half", " half done"]);
    let calls = kinds.batch(|kinds| (0..4).map(|n| kinds.half(2 * n).unwrap()).collect::<Vec<_>>());
    assert_eq!(ipc_rpc::join_all(calls).unwrap(), [0, 1, 2, 3]);
    assert_eq!(log.take().len(), 8);
}

#[test]
fn an_interceptor_may_wait_for_something_else() {
    let _watchdog = Watchdog::start("an_interceptor_may_wait_for_something_else");
    let later = |call: Call, next: Next| async move {
        let (tell, told) = smol::channel::bounded(1);
        let thread = std::thread::spawn(move || tell.send_blocking(()).unwrap());
        told.recv().await.unwrap();
        thread.join().unwrap();
        next.pause(Duration::from_millis(1)).await;
        next.run(call).await
    };
    let (kinds, _server) = pair(Server::builder().intercept(later));
    assert_eq!(kinds.count().unwrap(), 1);
    assert_eq!(block_on(kinds.half_later(8)).unwrap(), 4);
    let kinds = kinds.with_interceptor(later);
    assert_eq!(kinds.count().unwrap(), 2);
    assert_eq!(block_on(kinds.half_later(8)).unwrap(), 4);
    let never = kinds.with_interceptor(|_: Call, _: Next| std::future::pending());
    assert!(matches!(never.start().count(), Err(CallError::Denied { .. })), "to start a call is not to wait");
    // Nobody waits longer than the call may take.
    let never =
        kinds.with_interceptor(|_: Call, _: Next| std::future::pending()).with_timeout(Duration::from_millis(5));
    assert!(matches!(never.count(), Err(CallError::TimedOut { may_have_run: false, .. })));
    assert!(matches!(block_on(never.told_later()), Err(CallError::TimedOut { may_have_run: false, .. })));
}

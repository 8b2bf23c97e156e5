//! What a handler knows of its call, and what the calls it makes inherit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, ClientConfig, Context, Metadata, Server, TraceId, Trust, service, testing};
use ipc_rpc_tests::helper::until;
use ipc_rpc_tests::watchdog::Watchdog;

/// Tells what it is told.
#[service]
pub trait Inner {
    /// What is left of the time, in milliseconds, metadata and trace.
    fn told(&self, ctx: &Context) -> (Option<u64>, Vec<String>, String);
    /// The same from a future.
    async fn told_later(&self, ctx: &Context) -> (Option<u64>, Vec<String>, String);
    /// Returns when its caller has given up.
    fn until_cancelled(&self, ctx: &Context) -> bool;
    /// A text of so many bytes and the current context's metadata, without asking for a context.
    fn plain(&self, bytes: u64) -> (String, Vec<String>);
    /// Arguments on both sides of the context.
    fn peer(&self, ctx: &Context, before: u32, after: u32) -> (u32, u32, i32, u32);
}

#[derive(Default)]
struct Deep {
    cancelled: AtomicUsize,
}

fn tell(ctx: &Context) -> (Option<u64>, Vec<String>, String) {
    let metadata = ctx.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let trace = ctx.trace_id().map(|id| id.to_string()).unwrap_or_default();
    (ctx.remaining().map(|left| left.as_millis() as u64), metadata, trace)
}

impl Inner for Deep {
    fn told(&self, ctx: &Context) -> (Option<u64>, Vec<String>, String) {
        tell(ctx)
    }
    async fn told_later(&self, ctx: &Context) -> (Option<u64>, Vec<String>, String) {
        tell(ctx)
    }
    fn until_cancelled(&self, ctx: &Context) -> bool {
        until(|| ctx.is_cancelled());
        self.cancelled.fetch_add(1, Ordering::SeqCst);
        ctx.is_cancelled()
    }
    fn plain(&self, bytes: u64) -> (String, Vec<String>) {
        let current = Context::current().expect("a handler has a context");
        ("x".repeat(bytes as usize), tell(&current).1)
    }
    /// Arguments on both sides of the context.
    fn peer(&self, ctx: &Context, before: u32, after: u32) -> (u32, u32, i32, u32) {
        (before, after, ctx.peer().pid, ctx.peer().uid)
    }
}

/// Calls [`Inner`].
#[service]
pub trait Outer {
    /// Asks the inner service, without naming a context.
    fn pass_on(&self) -> Result<(Option<u64>, Vec<String>, String), String>;
    /// The same from a future, after a while.
    async fn pass_on_later(&self) -> Result<(Option<u64>, Vec<String>, String), String>;
    /// From a thread of its own, in the handler's scope.
    fn on_a_thread(&self, ctx: &Context) -> Result<(Option<u64>, Vec<String>, String), String>;
    /// Sleeps, then asks.
    fn late(&self, milliseconds: u64) -> Result<u64, String>;
}

struct Middle(InnerClient);

impl Outer for Middle {
    fn pass_on(&self) -> Result<(Option<u64>, Vec<String>, String), String> {
        self.0.told().map_err(|e| e.to_string())
    }
    async fn pass_on_later(&self) -> Result<(Option<u64>, Vec<String>, String), String> {
        self.0.told_later().await.map_err(|e| e.to_string())
    }
    fn on_a_thread(&self, ctx: &Context) -> Result<(Option<u64>, Vec<String>, String), String> {
        let told = thread::scope(|scope| scope.spawn(|| ctx.scope(|| self.0.told())).join().unwrap());
        told.map_err(|e| e.to_string())
    }
    fn late(&self, milliseconds: u64) -> Result<u64, String> {
        thread::sleep(Duration::from_millis(milliseconds));
        match self.0.told() {
            Err(CallError::TimedOut { may_have_run: false, .. }) => Err("no time left".to_owned()),
            Err(other) => Err(other.to_string()),
            Ok(_) => Ok(milliseconds),
        }
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn metadata_and_trace_arrive_at_every_level_of_trust() {
    let _watchdog = Watchdog::start("metadata_and_trace_arrive_at_every_level_of_trust");
    for trust in [Trust::InPlace, Trust::Snapshot] {
        let builder = Server::builder().trust(trust);
        let (client, _server) =
            testing::pair_with(builder, InnerDispatcher::new(Deep::default()), &ClientConfig::default()).unwrap();
        assert!(client.told().unwrap().1.is_empty());
        let said = client.with_metadata("tenant", "blue").with_metadata("a", "").with_trace(TRACE.parse().unwrap());
        for told in [said.told().unwrap(), futures(said.told_later()).unwrap()] {
            assert_eq!(told.1, ["a=", "tenant=blue"]);
            assert_eq!(told.2, TRACE);
        }
        // A handler that does not ask for a context has one all the same.
        for bytes in [0, 1, 7, 500, 70_000] {
            let (text, metadata) = said.plain(bytes).unwrap();
            assert_eq!((text.len() as u64, metadata.len()), (bytes, 2));
        }
        // Much of it, beside arguments of any length.
        let mut much = Metadata::default();
        let mut client_of_much = client.clone();
        for n in 0..100 {
            much.insert(format!("key {n}"), "v".repeat(n));
            client_of_much = client_of_much.with_metadata(format!("key {n}"), "v".repeat(n));
        }
        assert_eq!(client_of_much.told().unwrap().1.len(), much.len());
        let (before, after, pid, uid) = said.peer(7, 8).unwrap();
        assert_eq!((before, after, pid), (7, 8, std::process::id() as i32));
        assert_eq!(uid, Context::default().peer().uid);
    }
}

/// The smallest executor.
fn futures<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

fn nested() -> (OuterClient, (testing::PairServer, testing::PairServer)) {
    let (inner, inner_server) = testing::pair(InnerDispatcher::new(Deep::default())).unwrap();
    let (outer, outer_server) = testing::pair(OuterDispatcher::new(Middle(inner))).unwrap();
    (outer, (outer_server, inner_server))
}

#[test]
fn nested_calls_inherit_deadline_metadata_and_trace() {
    let _watchdog = Watchdog::start("nested_calls_inherit_deadline_metadata_and_trace");
    let (outer, _servers) = nested();
    let trace: TraceId = TRACE.parse().unwrap();
    let said = outer.with_timeout(Duration::from_secs(60)).with_metadata("tenant", "blue").with_trace(trace);
    for told in [said.pass_on().unwrap(), futures(said.pass_on_later()).unwrap(), said.on_a_thread().unwrap()] {
        let left = told.0.expect("the outer call's time");
        // The inner client's own limit is shorter.
        assert!(left <= 30_000, "{left}");
        assert_eq!(told.1, ["tenant=blue"]);
        assert_eq!(told.2, TRACE);
    }
    let short = outer.with_timeout(Duration::from_secs(5));
    for told in [short.pass_on().unwrap(), futures(short.pass_on_later()).unwrap(), short.on_a_thread().unwrap()] {
        assert!(told.0.is_some_and(|left| left <= 5000), "{told:?}");
        assert_eq!((told.1.len(), told.2.len()), (0, 0));
    }
}

#[test]
fn a_nested_call_is_not_begun_when_the_time_is_over() {
    let _watchdog = Watchdog::start("a_nested_call_is_not_begun_when_the_time_is_over");
    let (outer, servers) = nested();
    assert_eq!(outer.with_timeout(Duration::from_secs(60)).late(1).unwrap(), 1);
    let begun = Instant::now();
    assert!(matches!(
        outer.with_timeout(Duration::from_millis(20)).late(200),
        Err(CallError::TimedOut { may_have_run: true, .. })
    ));
    assert!(begun.elapsed() < Duration::from_secs(20));
    until(|| servers.0.usage().busy == 0);
}

#[test]
fn a_handler_sees_that_its_caller_has_given_up() {
    let _watchdog = Watchdog::start("a_handler_sees_that_its_caller_has_given_up");
    let service = Arc::new(Deep::default());
    let (client, server) = testing::pair(InnerDispatcher::from_arc(service.clone())).unwrap();
    // By its deadline.
    // It may see that before its caller does, and is heard then.
    let result = client.with_timeout(Duration::from_millis(30)).until_cancelled();
    assert!(matches!(result, Ok(true) | Err(CallError::TimedOut { .. })), "{result:?}");
    until(|| service.cancelled.load(Ordering::SeqCst) == 1);
    // By dropping the pending call.
    let pending = client.start().until_cancelled().unwrap();
    until(|| server.usage().busy == 1);
    assert_eq!(service.cancelled.load(Ordering::SeqCst), 1);
    drop(pending);
    until(|| service.cancelled.load(Ordering::SeqCst) == 2);
    // By going away.
    let other = server.connect(&InnerDispatcher::from_arc(service.clone()), &ClientConfig::default()).unwrap();
    let pending = other.start().until_cancelled().unwrap();
    until(|| server.usage().busy == 1);
    drop((pending, other));
    until(|| service.cancelled.load(Ordering::SeqCst) == 3);
    until(|| server.usage().busy == 0);
    assert_eq!(client.plain(0).unwrap().1.len(), 0);
}

#[test]
fn a_context_that_outlives_its_call_says_nothing_about_the_next() {
    let _watchdog = Watchdog::start("a_context_that_outlives_its_call_says_nothing_about_the_next");

    #[service]
    pub trait Keeps {
        fn keep(&self, ctx: &Context);
        fn wait(&self, ctx: &Context) -> bool;
    }
    struct Keeper(std::sync::Mutex<Vec<Context>>);
    impl Keeps for Keeper {
        fn keep(&self, ctx: &Context) {
            self.0.lock().unwrap().push(ctx.clone());
        }
        fn wait(&self, ctx: &Context) -> bool {
            until(|| ctx.is_cancelled());
            self.0.lock().unwrap().iter().any(|kept| kept.is_cancelled() || kept.deadline().is_some())
        }
    }
    let service = Arc::new(Keeper(Default::default()));
    let (client, server) = testing::pair(KeepsDispatcher::from_arc(service.clone())).unwrap();
    client.keep().unwrap();
    // The same block again, with a deadline, and given up.
    assert!(!matches!(client.with_timeout(Duration::from_millis(20)).wait(), Ok(true)));
    until(|| server.usage().busy == 0);
    let kept = service.0.lock().unwrap().pop().unwrap();
    assert!(!kept.is_cancelled() && kept.deadline().is_none());
    drop((client, server));
    assert_eq!(kept.remaining(), None);
}

#[test]
fn a_context_that_is_none_is_refused() {
    use ipc_core::caller::{Caller, Limit};
    use ipc_rpc::Handle;

    let _watchdog = Watchdog::start("a_context_that_is_none_is_refused");
    for trust in [Trust::InPlace, Trust::Snapshot] {
        let (client, server) = testing::pair_with(
            Server::builder().trust(trust),
            InnerDispatcher::new(Deep::default()),
            &ClientConfig::default(),
        )
        .unwrap();
        let caller: Arc<Caller> = client.stub().caller();
        let (mut refused, mut seed) = (0, 1u64);
        for round in 0..4000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            let mut draft = Caller::draft(&*caller, Limit::None).unwrap();
            let (data, room) = draft.buffer();
            let len = (seed >> 40) as usize % (room.min(96) + 1);
            for at in 0..len {
                let byte = if round % 3 == 0 { 0 } else { (seed >> (at % 56)) as u8 };
                // SAFETY: `len` is at most the draft's room.
                let to = unsafe { data.as_ptr().add(at) };
                // SAFETY: the draft's own byte, which nobody else touches before it is submitted.
                unsafe { to.write(byte) };
            }
            // Words and padding that fit now and then.
            let extra = match round % 4 {
                0 => (seed >> 20) as u16,
                1 => (len as u16 / 8) << 4,
                2 => 2 << 4 | (seed >> 20) as u16 & 15,
                _ => 0,
            };
            draft.address((seed >> 3) as u16, extra);
            // Those that neither wait nor make much of little, and some that are none.
            let method = (1 << 15) | [0, 1, 4, 5, 99][(seed >> 8) as usize % 5];
            let answer = draft.submit(method, len, Limit::None).wait(Limit::None).unwrap();
            refused += u32::from(answer.status() != 0);
        }
        assert!(refused > 1000, "{refused}");
        assert_eq!(client.with_metadata("a", "b").plain(1).unwrap().1, ["a=b"]);
        until(|| server.usage().busy == 0);
    }
}

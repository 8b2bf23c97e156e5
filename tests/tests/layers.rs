//! Interceptors that other crates' layers, spans and counters are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_rpc::intercept::{Counts, Done, RateLimit, Spans, Tower, TowerCall};
use ipc_rpc::{CallError, ClientConfig, Server, service, testing};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::watchdog::Watchdog;
use tower::ServiceBuilder;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Something to call.
#[service]
pub trait Work {
    /// Half of an even number.
    fn half(&self, n: u32) -> Result<u32, String>;
    /// The most that have run at once; each takes a millisecond.
    async fn busy(&self) -> u32;
    /// Never ends.
    async fn forever(&self);
    /// Counts.
    fn count(&self) -> u32;
}

#[derive(Default)]
struct Worker {
    running: AtomicU32,
    most: AtomicU32,
    counted: AtomicU32,
}

impl Work for Worker {
    fn half(&self, n: u32) -> Result<u32, String> {
        tracing::info!(n, "halving");
        if n.is_multiple_of(2) { Ok(n / 2) } else { Err("odd".into()) }
    }
    async fn busy(&self) -> u32 {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        tracing::info!("busy");
        self.running.fetch_sub(1, Ordering::SeqCst);
        self.most.load(Ordering::SeqCst)
    }
    async fn forever(&self) {
        std::future::pending::<()>().await;
    }
    fn count(&self) -> u32 {
        self.counted.fetch_add(1, Ordering::SeqCst) + 1
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn pair(builder: ipc_rpc::ServerBuilder, runtime: &tokio::runtime::Runtime) -> (WorkClient, testing::PairServer) {
    let handle = runtime.handle().clone();
    let builder = builder.spawn_with(move |future| drop(handle.spawn(future)));
    testing::pair_with(builder, WorkDispatcher::new(Worker::default()), &ClientConfig::default()).unwrap()
}

/// The most that run at once, of many that are called at once.
async fn most(work: &WorkClient) -> u32 {
    let calls: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let work = work.clone();
                async move { work.busy().await }
            })
        })
        .collect();
    let mut most = 0;
    for call in calls {
        most = most.max(call.await.unwrap().unwrap());
    }
    most
}

#[test]
fn a_concurrency_limit_of_tower_holds_on_both_sides() {
    let _watchdog = Watchdog::start("a_concurrency_limit_of_tower_holds_on_both_sides");
    let runtime = runtime();
    let (work, _server) = pair(Server::builder(), &runtime);
    let limited = work.with_interceptor(Tower::new(ConcurrencyLimitLayer::new(3)));
    assert!(runtime.block_on(most(&limited)) <= 3);
    assert_eq!(limited.count().unwrap(), 1);
    let (work, _server) = pair(Server::builder().intercept(Tower::new(ConcurrencyLimitLayer::new(3))), &runtime);
    assert!(runtime.block_on(most(&work)) <= 3);
    assert_eq!(work.count().unwrap(), 1);
}

#[test]
fn a_time_out_of_tower_ends_the_call() {
    let _watchdog = Watchdog::start("a_time_out_of_tower_ends_the_call");
    let runtime = runtime();
    let soon = || Tower::new(TimeoutLayer::new(Duration::from_millis(20)));
    let (work, _server) = pair(Server::builder(), &runtime);
    let client = runtime.block_on(work.with_interceptor(soon()).forever()).unwrap_err();
    let (work, _server) = pair(Server::builder().intercept(soon()), &runtime);
    let there = runtime.block_on(work.forever()).unwrap_err();
    for error in [client, there] {
        assert!(matches!(&error, CallError::Result { reason, .. } if reason.contains("timed out")), "{error}");
        assert!(error.may_have_run());
    }
}

#[test]
fn a_rate_limit_of_tower_in_a_buffer_lets_calls_wait() {
    let _watchdog = Watchdog::start("a_rate_limit_of_tower_in_a_buffer_lets_calls_wait");
    let runtime = runtime();
    let _entered = runtime.enter();
    let (work, _server) = pair(Server::builder(), &runtime);
    let limit = ServiceBuilder::new().buffer(32).rate_limit(2, Duration::from_millis(10)).into_inner();
    let limited = work.with_interceptor(Tower::new(limit));
    for n in 1..=6 {
        assert_eq!(limited.count().unwrap(), n);
    }
    assert!(runtime.block_on(most(&limited)) >= 1);
}

/// Makes calls again that were limited.
#[derive(Clone)]
struct Again(u32);

impl<E: fmt::Debug + AsLimited> Policy<TowerCall, Done, E> for Again {
    type Future = Ready<()>;
    fn retry(&mut self, _: &mut TowerCall, result: &mut Result<Done, E>) -> Option<Self::Future> {
        let again = result.as_ref().is_err_and(AsLimited::is_limited) && self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        again.then(|| std::future::ready(()))
    }
    fn clone_request(&mut self, call: &TowerCall) -> Option<TowerCall> {
        call.call.is_repeatable().then(|| call.clone())
    }
}

trait AsLimited {
    fn is_limited(&self) -> bool;
}

impl AsLimited for CallError {
    fn is_limited(&self) -> bool {
        matches!(self, CallError::Limited { .. })
    }
}

#[test]
fn a_retry_of_tower_makes_calls_again() {
    let _watchdog = Watchdog::start("a_retry_of_tower_makes_calls_again");
    let runtime = runtime();
    let (work, _server) = pair(Server::builder().intercept(RateLimit::new(200.0, 1)), &runtime);
    assert_eq!(work.count().unwrap(), 1);
    let error = work.with_interceptor(Tower::new(RetryLayer::new(Again(0)))).count().unwrap_err();
    assert!(matches!(error, CallError::Limited { .. }));
    let persistent = work.with_interceptor(Tower::new(RetryLayer::new(Again(u32::MAX))));
    assert_eq!(persistent.count().unwrap(), 2);
    assert_eq!(runtime.block_on(persistent.busy()).unwrap(), 1);
}

type Fields = BTreeMap<String, String>;

/// Keeps the spans that have ended, with their fields, and the events with the kind of the span that they are in.
#[derive(Clone, Default)]
struct Collect {
    spans: Arc<Mutex<Vec<Fields>>>,
    events: Arc<Mutex<Vec<String>>>,
}

struct Write<'a>(&'a mut Fields);

impl Visit for Write<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Collect {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Write(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }
    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Write(extensions.get_mut::<Fields>().unwrap()));
    }
    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        if let Some(span) = context.event_span(event)
            && let Some(fields) = span.extensions().get::<Fields>()
            && let Some(kind) = fields.get("otel.kind")
        {
            self.events.lock().unwrap().push(kind.clone());
        }
    }
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let fields = context.span(&id).and_then(|span| span.extensions_mut().remove::<Fields>());
        self.spans.lock().unwrap().extend(fields);
    }
}

#[test]
fn a_span_of_each_side_is_around_each_call() {
    let _watchdog = Watchdog::start("a_span_of_each_side_is_around_each_call");
    let collect = Collect::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(collect.clone())).unwrap();
    let runtime = runtime();
    let there = Spans::default().extract(|span, call| {
        span.record("rpc.trace", call.metadata().get("traceparent"));
    });
    let (work, _server) = pair(Server::builder().intercept(there), &runtime);
    let here = Spans::default().inject(|_, call| call.set("traceparent", "00-7-9-01"));
    let work = work.with_interceptor(here);
    let take = || {
        until(|| collect.spans.lock().unwrap().len() == 2);
        let mut spans = std::mem::take(&mut *collect.spans.lock().unwrap());
        spans.sort_by_key(|fields| fields["otel.kind"].clone());
        (spans, std::mem::take(&mut *collect.events.lock().unwrap()))
    };
    assert_eq!(work.half(4).unwrap(), 2);
    let (spans, events) = take();
    for (fields, kind) in spans.iter().zip(["client", "server"]) {
        assert_eq!(fields["otel.kind"], kind);
        assert_eq!(fields["otel.name"], "Work::half");
        assert_eq!(
            (&*fields["rpc.system"], &*fields["rpc.service"], &*fields["rpc.method"]),
            ("ipc-rpc", "Work", "half")
        );
        assert!(!fields.contains_key("otel.status_code"));
    }
    assert_eq!(spans[1]["rpc.trace"], "00-7-9-01");
    assert_eq!(spans[1]["network.peer.pid"], std::process::id().to_string());
    assert_eq!(events, ["server"]);
    assert!(matches!(work.half(5), Err(CallError::Handler(_))));
    let (spans, _) = take();
    assert!(spans.iter().all(|fields| fields["otel.status_code"] == "ERROR" && fields["error.type"] == "Handler"));
    // An `async` handler is in its span after it has waited, too.
    assert_eq!(runtime.block_on(work.busy()).unwrap(), 1);
    assert_eq!(take().1, ["server"]);
}

#[test]
fn figures_of_both_sides_are_published() {
    let _watchdog = Watchdog::start("figures_of_both_sides_are_published");
    let figures = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
    let place = Place::new("figures_of_both_sides_are_published");
    let server = Server::bind(place.socket()).unwrap();
    let handle = server.handle();
    let serving = std::thread::spawn(|| server.serve(WorkDispatcher::new(Worker::default())));
    let work = WorkClient::connect(place.socket()).unwrap().with_interceptor(Counts);
    for n in 0..10 {
        let half = work.half(n);
        assert_eq!(half.is_ok(), n % 2 == 0);
    }
    let reporter = handle.report_metrics(Duration::from_millis(5)).unwrap();
    let has = |line: &str| until(|| figures.render().lines().any(|l| l == line));
    has(r#"rpc_client_calls_total{service="Work",method="half",outcome="Ok"} 5"#);
    has(r#"rpc_client_calls_total{service="Work",method="half",outcome="Handler"} 5"#);
    has(r#"rpc_client_in_flight{service="Work",method="half"} 0"#);
    has(r#"rpc_server_calls_total{service="Work",method="half"} 10"#);
    has(r#"rpc_server_errors_total{service="Work",method="half",kind="Handler"} 5"#);
    has("rpc_server_clients 1");
    // Of many calls some are measured.
    for _ in 0..1000 {
        work.half(2).unwrap();
    }
    until(|| figures.render().contains(r#"rpc_server_duration_seconds{service="Work",method="half",quantile="0.5"}"#));
    work.count().unwrap();
    has(r#"rpc_server_calls_total{service="Work",method="count"} 1"#);
    drop(reporter);
    handle.shutdown();
    serving.join().unwrap().unwrap();
}

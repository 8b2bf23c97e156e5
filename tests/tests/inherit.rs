//! What calls say about their origin, and what calls made in a handler inherit.
#![allow(missing_docs)]

#[path = "support/jobs.rs"]
#[allow(unused)]
mod jobs;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipc_rpc::testing::{PairServer, pair};
use ipc_rpc::{CallError, Context, EncodeError, TraceId, service};
use ipc_rpc_tests::watchdog::Watchdog;

use jobs::{block_on, until};

/// What a handler was told: metadata, trace, remaining milliseconds.
type Told = (Vec<(String, String)>, Option<String>, Option<u64>);

fn told(ctx: &Context) -> Told {
    let metadata = ctx.metadata().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let remaining = ctx.remaining().map(|left| left.as_millis() as u64);
    (metadata, ctx.trace_id().map(|trace| trace.to_string()), remaining)
}

#[service]
pub trait Back {
    fn told(&self, ctx: &Context) -> Told;
    fn echo(&self, bytes: &[u8], ctx: &Context) -> (Vec<u8>, Told);
    async fn told_async(&self, ctx: &Context) -> Told;
    #[rpc(oneway)]
    fn note(&self, ctx: &Context);
    fn noted(&self) -> Vec<Told>;
    /// Notes, and returns when nobody waits for it any more.
    #[rpc(blocking)]
    fn outlast(&self, ctx: &Context);
}

#[derive(Default)]
struct BackDesk {
    noted: Mutex<Vec<Told>>,
}

impl Back for BackDesk {
    fn told(&self, ctx: &Context) -> Told {
        told(ctx)
    }
    fn echo(&self, bytes: &[u8], ctx: &Context) -> (Vec<u8>, Told) {
        (bytes.to_vec(), told(ctx))
    }
    async fn told_async(&self, ctx: &Context) -> Told {
        told(ctx)
    }
    fn note(&self, ctx: &Context) {
        self.noted.lock().unwrap().push(told(ctx));
    }
    fn noted(&self) -> Vec<Told> {
        self.noted.lock().unwrap().clone()
    }
    fn outlast(&self, ctx: &Context) {
        self.note(ctx);
        until("nobody waits", || ctx.is_cancelled());
    }
}

#[service]
pub trait Front {
    /// Asks the other service in many ways.
    fn ask(&self, ctx: &Context) -> Vec<Told>;
    async fn ask_async(&self, ctx: &Context) -> Vec<Told>;
    /// Calls a method there that returns when its time is over.
    fn wait_for_ever(&self);
    /// Waits until the call is cancelled, then calls the other service.
    #[rpc(blocking)]
    fn too_late(&self, ctx: &Context);
}

struct FrontDesk {
    back: BackClient,
    outcome: Arc<Mutex<Vec<String>>>,
    runs: Arc<AtomicBool>,
}

impl Front for FrontDesk {
    fn ask(&self, ctx: &Context) -> Vec<Told> {
        let blocking = self.back.told().unwrap();
        let pending = self.back.start().told().unwrap().wait().unwrap();
        let batch = self.back.batch(|back| back.told().unwrap()).wait().unwrap();
        let more = self.back.with_metadata("hop", "2").told().unwrap();
        self.back.note().unwrap();
        self.back.flush().unwrap();
        let oneway = self.back.noted().unwrap().pop().unwrap();
        let (elsewhere, detached) = thread::scope(|scope| {
            let given = || self.back.with_context(ctx).told().unwrap();
            let scoped = || ctx.scope(|| self.back.told().unwrap());
            let detached = || self.back.told().unwrap();
            assert_eq!(scope.spawn(given).join().unwrap().0, scope.spawn(scoped).join().unwrap().0);
            (scope.spawn(given).join().unwrap(), scope.spawn(detached).join().unwrap())
        });
        let background = Context::default().scope(|| self.back.told().unwrap());
        assert_eq!((background.0, background.1), (detached.0.clone(), detached.1.clone()));
        vec![blocking, pending, batch, oneway, elsewhere, more, detached]
    }
    async fn ask_async(&self, _: &Context) -> Vec<Told> {
        vec![self.back.told_async().await.unwrap(), self.back.told().unwrap()]
    }
    fn wait_for_ever(&self) {
        let outcome = self.back.outlast();
        assert!(matches!(outcome, Ok(()) | Err(CallError::TimedOut { .. })), "{outcome:?}");
    }
    fn too_late(&self, ctx: &Context) {
        self.runs.store(true, Ordering::SeqCst);
        until("the call is cancelled", || ctx.is_cancelled());
        let mut outcome = self.outcome.lock().unwrap();
        outcome.push(format!("{:?}", self.back.told().unwrap_err()));
        outcome.push(format!("{:?}", self.back.start().told().unwrap_err()));
        outcome.push(format!("{:?}", self.back.note().unwrap_err()));
        outcome.push(format!("{:?}", block_on(self.back.told_async()).unwrap_err()));
        outcome.push(format!("{:?}", Context::default().scope(|| self.back.told()).map(|_| ())));
    }
}

struct Both {
    front: FrontClient,
    back: BackClient,
    outcome: Arc<Mutex<Vec<String>>>,
    runs: Arc<AtomicBool>,
    _servers: (PairServer, PairServer),
}

fn both() -> Both {
    let (back, back_server) = pair(BackDispatcher::new(BackDesk::default())).unwrap();
    let (outcome, runs) = (Arc::default(), Arc::default());
    let desk = FrontDesk { back: back.clone(), outcome: Arc::clone(&outcome), runs: Arc::clone(&runs) };
    let (front, front_server) = pair(FrontDispatcher::new(desk)).unwrap();
    Both { front, back, outcome, runs, _servers: (front_server, back_server) }
}

fn entries(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn metadata_and_trace_arrive_behind_arguments_of_any_length() {
    let _watchdog = Watchdog::start("any length");
    let (back, _server) = pair(BackDispatcher::new(BackDesk::default())).unwrap();
    let trace = TraceId::random();
    for len in (0..300).chain([1000, 5000, 100_000]) {
        let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
        for size in [0, 1, 7, 8, 9, 100, 3000] {
            let value = "v".repeat(size);
            let client = back.with_metadata("key", &*value).with_trace(trace).with_metadata("a", "b");
            let (echo, (metadata, traced, _)) = client.echo(&bytes).unwrap();
            assert!(echo == bytes, "{len} and {size}");
            assert_eq!(metadata, entries(&[("a", "b"), ("key", &value)]));
            assert_eq!(traced, Some(trace.to_string()));
        }
    }
    // A plain call of the same client says nothing.
    assert_eq!(back.told().unwrap().0, []);
    assert_eq!(back.with_trace(trace).told().unwrap().1, Some(trace.to_string()));
}

#[test]
fn the_last_entry_of_a_key_counts() {
    let (back, _server) = pair(BackDispatcher::new(BackDesk::default())).unwrap();
    let first = back.with_metadata("key", "first");
    assert_eq!(first.with_metadata("key", "second").told().unwrap().0, entries(&[("key", "second")]));
    assert_eq!(first.told().unwrap().0, entries(&[("key", "first")]));
}

#[test]
fn a_context_can_be_too_large() {
    let (back, _server) = pair(BackDispatcher::new(BackDesk::default())).unwrap();
    back.with_metadata("key", "v".repeat(32_000)).told().unwrap();
    let error = back.with_metadata("key", "v".repeat(33_000)).told().unwrap_err();
    match error {
        CallError::Arguments { error: EncodeError::TooLarge { limit }, .. } => assert_eq!(limit, 32_760),
        other => panic!("{other:?}"),
    }
    back.told().unwrap();
}

#[test]
fn calls_in_a_handler_inherit() {
    let _watchdog = Watchdog::start("inheritance");
    let both = both();
    let trace = TraceId::random();
    let front = both.front.with_metadata("tenant", "7").with_trace(trace).with_timeout(Duration::from_secs(20));
    let mut told = front.ask().unwrap();
    told.extend(block_on(front.ask_async()).unwrap());
    for (n, (metadata, traced, remaining)) in told.iter().enumerate() {
        match n {
            6 => {
                assert_eq!((metadata.len(), traced), (0, &None));
                assert!(remaining.is_none_or(|left| left > 20_000), "{remaining:?}");
                continue;
            }
            5 => assert_eq!(metadata, &entries(&[("hop", "2"), ("tenant", "7")])),
            _ => assert_eq!(metadata, &entries(&[("tenant", "7")])),
        }
        assert_eq!(traced, &Some(trace.to_string()), "{n}");
        assert!(remaining.is_some_and(|left| left > 5_000 && left <= 20_000), "{n}: {remaining:?}");
    }
    // The shorter time counts, whosever it is. All end at the same moment, and any may be heard of first.
    let before = both.back.noted().unwrap().len();
    let hasty = both.front.with_timeout(Duration::from_millis(300));
    let outcome = hasty.wait_for_ever();
    assert!(matches!(outcome, Ok(()) | Err(CallError::TimedOut { .. })), "{outcome:?}");
    if let Some((_, _, remaining)) = both.back.noted().unwrap().get(before) {
        assert!(remaining.is_some_and(|left| left <= 300), "{remaining:?}");
    } // Else the time was over before the inner call began.
    both.back.told().unwrap();
}

#[test]
fn calls_in_a_handler_whose_call_is_over_are_not_sent() {
    let _watchdog = Watchdog::start("too late");
    let both = both();
    for (round, error) in ["Cancelled", "TimedOut"].iter().enumerate() {
        both.runs.store(false, Ordering::SeqCst);
        if round == 0 {
            let call = both.front.start().too_late().unwrap();
            until("the handler runs", || both.runs.load(Ordering::SeqCst));
            drop(call);
        } else {
            let hasty = both.front.with_timeout(Duration::from_millis(50));
            assert!(matches!(hasty.too_late(), Err(CallError::TimedOut { .. })));
        }
        until("the handler ends", || both.outcome.lock().unwrap().len() == 5);
        let outcome = std::mem::take(&mut *both.outcome.lock().unwrap());
        for text in &outcome[..4] {
            assert!(text.starts_with(error), "{outcome:?}");
        }
        assert_eq!(outcome[4], "Ok(())");
    }
}

//! How much a server takes on, and that nothing is left of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ipc_rpc::{CallError, ClientConfig, Context, Limits, Server, Sink, Streaming, join_all, service, testing};
use ipc_rpc_tests::helper::until;
use ipc_rpc_tests::watchdog::Watchdog;
use tokio::sync::Notify;

/// Handlers of all kinds that wait for a gate.
#[service]
pub trait Gates {
    /// Waits in a future.
    async fn pass(&self, ctx: &Context, number: u64) -> u64;
    /// Counts, and does not wait.
    async fn quick(&self) -> u64;
    /// Waits in a worker.
    fn block(&self, number: u64) -> u64;
    /// One-way, waits in a future.
    #[rpc(oneway)]
    async fn note(&self, number: u64);
    /// Numbers until nobody reads them.
    fn numbers(&self) -> Streaming<u64>;
    /// The sum of what comes.
    fn sum(&self, numbers: Streaming<u64>) -> u64;
}

#[derive(Default)]
struct Keeper {
    open: AtomicBool,
    opened: Notify,
    noted: AtomicUsize,
    inside: AtomicUsize,
}

struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Keeper {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    async fn wait(&self) {
        let _inside = Inside::new(&self.inside);
        let mut opened = std::pin::pin!(self.opened.notified());
        opened.as_mut().enable();
        if !self.open.load(Ordering::SeqCst) {
            opened.await;
        }
    }
}

impl Gates for Keeper {
    async fn pass(&self, _ctx: &Context, number: u64) -> u64 {
        self.wait().await;
        number
    }
    async fn quick(&self) -> u64 {
        7
    }
    fn block(&self, number: u64) -> u64 {
        let _inside = Inside::new(&self.inside);
        until(|| self.open.load(Ordering::SeqCst));
        number
    }
    async fn note(&self, _number: u64) {
        self.wait().await;
        self.noted.fetch_add(1, Ordering::SeqCst);
    }
    fn numbers(&self) -> Streaming<u64> {
        let (sink, numbers): (Sink<u64>, _) = Streaming::channel();
        thread::spawn(move || (0..).take_while(|n| sink.send(n).is_ok()).count());
        numbers
    }
    fn sum(&self, numbers: Streaming<u64>) -> u64 {
        numbers.map_while(Result::ok).sum()
    }
}

fn gates(limits: Limits) -> (GatesClient, testing::PairServer, Arc<Keeper>) {
    let keeper = Arc::<Keeper>::default();
    let builder = Server::builder().limits(limits);
    let dispatcher = GatesDispatcher::from_arc(keeper.clone());
    let (client, server) = testing::pair_with(builder, dispatcher, &ClientConfig::default()).unwrap();
    (client, server, keeper)
}

fn quick(client: &GatesClient) -> Result<u64, CallError> {
    client.start().quick()?.wait()
}

fn nothing_is_left(client: &GatesClient, server: &testing::PairServer) {
    until(|| server.usage().is_idle());
    until(|| {
        // The next call finds what has come home.
        let _ = quick(client);
        testing::client_usage(client).is_idle()
    });
    until(|| server.usage().is_idle());
}

#[test]
fn a_client_gets_so_many_calls_and_others_theirs() {
    let _watchdog = Watchdog::start("a_client_gets_so_many_calls_and_others_theirs");
    let (client, server, keeper) = gates(Limits { calls: 8, all_calls: 12, ..Limits::default() });
    let other = server.connect(&GatesDispatcher::from_arc(keeper.clone()), &ClientConfig::default()).unwrap();
    let first: Vec<_> = (0..8).map(|n| client.start().pass(n).unwrap()).collect();
    until(|| keeper.inside.load(Ordering::SeqCst) == 8);
    let error = quick(&client).unwrap_err();
    let CallError::Busy { .. } = &error else { panic!("{error:?}") };
    assert!(!error.may_have_run() && !error.is_disconnected());
    let second: Vec<_> = (0..4).map(|n| other.start().pass(n).unwrap()).collect();
    until(|| keeper.inside.load(Ordering::SeqCst) == 12);
    assert!(matches!(quick(&other), Err(CallError::Busy { .. })));
    // Other methods are not counted.
    assert_eq!(client.sum(Streaming::from_iter([1, 2, 3])).unwrap(), 6);
    // A call that is given up makes room, when its future is gone.
    let mut first = first.into_iter();
    drop(first.next());
    until(|| quick(&client).is_ok());
    keeper.open();
    assert_eq!(join_all(first).unwrap(), (1..8).collect::<Vec<_>>());
    assert_eq!(join_all(second).unwrap(), (0..4).collect::<Vec<_>>());
    drop(other);
    nothing_is_left(&client, &server);
}

#[test]
fn a_caller_that_got_its_answer_is_never_busy() {
    let _watchdog = Watchdog::start("a_caller_that_got_its_answer_is_never_busy");
    let (client, server, keeper) = gates(Limits { calls: 2, all_calls: 2, ..Limits::default() });
    keeper.open();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..3000).for_each(|n| assert_eq!(client.pass_blocking(n), n)));
        }
    });
    nothing_is_left(&client, &server);
}

trait Blocking {
    fn pass_blocking(&self, number: u64) -> u64;
}

impl Blocking for GatesClient {
    fn pass_blocking(&self, number: u64) -> u64 {
        self.start().pass(number).unwrap().wait().unwrap()
    }
}

#[test]
fn one_way_calls_are_counted_and_dropped_beyond_the_limit() {
    let _watchdog = Watchdog::start("one_way_calls_are_counted_and_dropped_beyond_the_limit");
    let (client, server, keeper) = gates(Limits { calls: 5, ..Limits::default() });
    for n in 0..20 {
        // With `start`, the request alone is sent.
        let _ = futures(client.note(n));
    }
    until(|| keeper.inside.load(Ordering::SeqCst) == 5);
    keeper.open();
    until(|| server.usage().tasks == 0);
    let noted = keeper.noted.load(Ordering::SeqCst);
    assert!((5..=20).contains(&noted), "{noted}");
    nothing_is_left(&client, &server);
}

#[test]
fn a_server_that_ends_leaves_nobody_waiting() {
    let _watchdog = Watchdog::start("a_server_that_ends_leaves_nobody_waiting");
    for round in 0..5 {
        let (client, server, keeper) = gates(Limits::default());
        let passing: Vec<_> = (0..4).map(|n| client.start().pass(n).unwrap()).collect();
        let mut numbers = client.numbers().unwrap();
        assert_eq!(numbers.next().unwrap().unwrap(), 0);
        let (sink, input) = Streaming::channel();
        thread::scope(|scope| {
            let summing = scope.spawn(|| client.sum(input));
            let blocking = scope.spawn(|| client.block(9));
            sink.send(&1).unwrap();
            until(|| keeper.inside.load(Ordering::SeqCst) == 5);
            let opener = scope.spawn(|| {
                thread::sleep(Duration::from_millis(20 * round));
                keeper.open.store(true, Ordering::SeqCst);
            });
            drop(server);
            opener.join().unwrap();
            // Handlers in workers are never cut off; futures are, and streams.
            assert!(matches!(blocking.join().unwrap(), Ok(9)));
            for call in passing {
                assert!(matches!(call.wait(), Err(CallError::Abandoned { .. }) | Ok(_)));
            }
            assert!(numbers.by_ref().any(|n| n.is_err()), "the stream ends with an error");
            // Its handler read what had come, and that no more would; or it had not begun.
            let sum = summing.join().unwrap();
            let ended = matches!(sum, Ok(0 | 1) | Err(CallError::Stream { .. } | CallError::NotStarted { .. }));
            assert!(ended, "{sum:?}");
        });
        assert_eq!(keeper.inside.load(Ordering::SeqCst), 0);
    }
}

/// The smallest executor.
fn futures<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn nothing_is_left_of_calls_that_end_in_every_way() {
    let _watchdog = Watchdog::start("nothing_is_left_of_calls_that_end_in_every_way");
    let (client, server, keeper) = gates(Limits { calls: 64, ..Limits::default() });
    keeper.open();
    let mut seed = 12345u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut pending = Vec::new();
    for n in 0..20_000 {
        match random(8) {
            0 => drop(client.start().pass(n).unwrap()),
            1 => pending.push(client.start().pass(n).unwrap()),
            2 => drop(client.with_timeout(Duration::from_micros(random(50))).start().pass(n)),
            3 if pending.len() > 20 => drop(pending.swap_remove(random(20) as usize)),
            4 => drop(futures(async {
                tokio::select! {
                    biased;
                    reply = client.pass(n) => reply.ok(),
                    () = std::future::ready(()) => None,
                }
            })),
            5 => assert_eq!(client.block(n).unwrap(), n),
            6 if n % 50 == 0 => assert_eq!(client.numbers().unwrap().nth(3).unwrap().unwrap(), 3),
            _ => assert_eq!(client.start().quick().unwrap().wait().unwrap(), 7),
        }
        if pending.len() > 40 {
            let calls = std::mem::take(&mut pending);
            join_all(calls).unwrap();
        }
    }
    drop(pending);
    nothing_is_left(&client, &server);
}

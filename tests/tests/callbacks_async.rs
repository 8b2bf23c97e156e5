//! Callbacks with futures on both sides, and what is left over of callbacks of all kinds.
#![allow(missing_docs)] // Services of these tests alone.

use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ipc_core::socket;
use ipc_rpc::{CallError, Server, ServerBuilder, service, testing};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::raw::{self, Peer};
use ipc_rpc_tests::watchdog::Watchdog;

#[service]
pub trait Listener {
    async fn hear(&self, n: u64) -> u64;
    fn hear_at_once(&self, n: u64) -> u64;
    #[rpc(oneway)]
    async fn overhear(&self, n: u64);
    /// Never ends by itself.
    async fn ponder(&self);
    fn fail(&self);
}

#[service]
pub trait Radio {
    async fn play(&self, count: u64, to: &ListenerClient) -> Result<u64, String>;
    async fn mumble(&self, count: u64, to: &ListenerClient);
    async fn subscribe(&self, to: &ListenerClient);
    async fn broadcast(&self, n: u64) -> u64;
    async fn unsubscribe(&self);
    async fn wait_for(&self, to: &ListenerClient);
    /// Keeps a handle, and waits.
    async fn subscribe_and_wait(&self, to: &ListenerClient);
    fn play_blocking(&self, count: u64, to: &ListenerClient) -> Result<u64, String>;
    fn let_fail(&self, to: &ListenerClient);
}

#[derive(Default)]
struct Ear {
    heard: AtomicU64,
}

impl Listener for Ear {
    async fn hear(&self, n: u64) -> u64 {
        smol::Timer::after(Duration::from_micros(50)).await;
        self.heard.fetch_add(n, Ordering::SeqCst) + n
    }
    fn hear_at_once(&self, n: u64) -> u64 {
        self.heard.fetch_add(n, Ordering::SeqCst) + n
    }
    async fn overhear(&self, n: u64) {
        smol::Timer::after(Duration::from_micros(50)).await;
        self.heard.fetch_add(n, Ordering::SeqCst);
    }
    async fn ponder(&self) {
        std::future::pending().await
    }
    fn fail(&self) {
        panic!("deaf");
    }
}

#[derive(Default)]
struct Mast {
    listeners: Mutex<Vec<ListenerClient>>,
}

impl Radio for Mast {
    async fn play(&self, count: u64, to: &ListenerClient) -> Result<u64, String> {
        let mut last = 0;
        for n in 1..=count {
            last = to.hear(n).await.map_err(|error| error.to_string())?;
        }
        Ok(last)
    }
    async fn mumble(&self, count: u64, to: &ListenerClient) {
        for n in 1..=count {
            to.overhear(n).await.unwrap();
        }
    }
    async fn subscribe(&self, to: &ListenerClient) {
        self.listeners.lock().unwrap().push(to.clone());
    }
    async fn broadcast(&self, n: u64) -> u64 {
        let all = self.listeners.lock().unwrap().clone();
        let mut done = 0;
        for listener in all {
            done += u64::from(listener.hear(n).await.is_ok());
        }
        done
    }
    async fn unsubscribe(&self) {
        let all = std::mem::take(&mut *self.listeners.lock().unwrap());
        drop(all);
    }
    async fn wait_for(&self, to: &ListenerClient) {
        let _ = to.ponder().await;
    }
    async fn subscribe_and_wait(&self, to: &ListenerClient) {
        self.subscribe(to).await;
        std::future::pending().await
    }
    fn play_blocking(&self, count: u64, to: &ListenerClient) -> Result<u64, String> {
        (1..=count).try_fold(0, |_, n| to.hear_at_once(n).map_err(|error| error.to_string()))
    }
    fn let_fail(&self, to: &ListenerClient) {
        assert!(matches!(to.fail(), Err(CallError::Panicked { .. })));
        to.fail().unwrap();
    }
}

fn pair() -> (RadioClient, testing::PairServer) {
    let builder = ServerBuilder::default().workers(1);
    testing::pair_with(builder, RadioDispatcher::new(Mast::default()), &Default::default()).unwrap()
}

fn ear() -> (Arc<Ear>, ListenerDispatcher<Ear>) {
    let ear = Arc::new(Ear::default());
    (ear.clone(), ListenerDispatcher::from_arc(ear))
}

/// Nothing is left over but what both sides keep for the next call.
fn settled(client: &RadioClient, server: &testing::PairServer) {
    until(|| server.usage().is_idle() && testing::client_usage(client).is_idle());
}

async fn listens(client: &RadioClient) {
    let (ear, object) = ear();
    for round in 1..=20 {
        assert_eq!(client.play(10, &object).await.unwrap(), round * 55);
        // The thread that has polled the last `hear` may not have let go of the object yet.
        until(|| Arc::strong_count(&ear) == 2);
    }
    client.mumble(10, &object).await.unwrap();
    assert_eq!(ear.heard.load(Ordering::SeqCst), 21 * 55);
    client.subscribe(&object).await.unwrap();
    client.subscribe(&object).await.unwrap();
    assert_eq!(client.broadcast(7).await.unwrap(), 2);
    assert_eq!(ear.heard.load(Ordering::SeqCst), 21 * 55 + 14);
    client.unsubscribe().await.unwrap();
    until(|| Arc::strong_count(&ear) == 2);
}

#[test]
fn futures_call_back_on_any_executor() {
    let _watchdog = Watchdog::start("futures_call_back_on_any_executor");
    let (client, server) = pair();
    smol::block_on(listens(&client));
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    one.block_on(listens(&client));
    let many = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    many.block_on(async {
        let all: Vec<_> = (0..1)
            .map(|_| {
                tokio::spawn({
                    let client = client.clone();
                    async move { listens(&client).await }
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
    });
    settled(&client, &server);
}

#[test]
fn a_future_that_is_dropped_takes_its_object_back() {
    let _watchdog = Watchdog::start("a_future_that_is_dropped_takes_its_object_back");
    let (client, server) = pair();
    let (ear, object) = ear();
    let mut cx = Context::from_waker(Waker::noop());
    for round in 0..200u64 {
        let mut call = Box::pin(client.wait_for(&object));
        for _ in 0..round % 5 {
            assert!(matches!(call.as_mut().poll(&mut cx), Poll::Pending));
            std::thread::sleep(Duration::from_micros(round * 10));
        }
        drop(call);
        let mut call = pin!(client.subscribe_and_wait(&object));
        assert!(matches!(call.as_mut().poll(&mut cx), Poll::Pending));
    }
    settled_but_for_handles(&client);
    smol::block_on(client.unsubscribe()).unwrap();
    settled(&client, &server);
    // A future of the object that nobody waits for ends when it is looked at.
    until(|| Arc::strong_count(&ear) == 2);
    // In time to be kept: the server's handle lives on without the call.
    let error =
        smol::block_on(client.with_timeout(Duration::from_millis(100)).subscribe_and_wait(&object)).unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    smol::block_on(client.unsubscribe()).unwrap();
    settled(&client, &server);
    // A future of the object that nobody waits for ends when it is looked at.
    until(|| Arc::strong_count(&ear) == 2);
}

/// All calls have ended.
fn settled_but_for_handles(client: &RadioClient) {
    until(|| {
        let usage = testing::client_usage(client);
        (usage.blocks, usage.waiting, usage.zombies) == (0, 0, 0)
    });
}

#[test]
fn panics_and_time_limits_of_callbacks_leave_nothing() {
    let _watchdog = Watchdog::start("panics_and_time_limits_of_callbacks_leave_nothing");
    let (client, server) = pair();
    let (ear, object) = ear();
    for round in 0..50 {
        match smol::block_on(async { client.let_fail(&object) }) {
            Err(CallError::Panicked { message, .. }) => assert!(message.contains("deaf"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(client.play_blocking(3, &object).unwrap() % 6, 0);
        let hurried = client.with_timeout(Duration::from_micros(50 * round));
        let result = hurried.play_blocking(100, &object);
        assert!(matches!(result, Ok(_) | Err(CallError::TimedOut { .. } | CallError::Handler(_))), "{result:?}");
        until(|| Arc::strong_count(&ear) == 2);
        ear.heard.store(0, Ordering::SeqCst);
        settled(&client, &server);
        ear.heard.store(0, Ordering::SeqCst);
    }
    settled(&client, &server);
}

#[test]
fn many_threads_lend_keep_and_drop_at_random() {
    let _watchdog = Watchdog::start("many_threads_lend_keep_and_drop_at_random");
    let (client, server) = pair();
    let ears: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let client = client.clone();
                scope.spawn(move || {
                    let (ear, object) = ear();
                    let mut random = thread * 7919 + 1;
                    let mut cx = Context::from_waker(Waker::noop());
                    for _ in 0..1000 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let short = client.with_timeout(Duration::from_micros(random >> 40 & 0x3ff));
                        match random >> 33 & 7 {
                            0 => drop(client.play_blocking(2, &object)),
                            1 => drop(smol::block_on(client.play(2, &object))),
                            2 => drop(smol::block_on(client.subscribe(&object))),
                            3 => drop(smol::block_on(short.subscribe(&object))),
                            4 => drop(short.play_blocking(20, &object)),
                            5 => drop(pin!(client.wait_for(&object)).poll(&mut cx)),
                            6 => drop(smol::block_on(client.unsubscribe())),
                            _ => drop(smol::block_on(short.mumble(3, &object))),
                        }
                    }
                    ear
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    smol::block_on(client.unsubscribe()).unwrap();
    settled(&client, &server);
    until(|| ears.iter().all(|ear| Arc::strong_count(ear) == 1));
}

#[test]
fn a_client_that_keeps_silent_holds_up_nobody_else() {
    let place = Place::new("a_client_that_keeps_silent_holds_up_nobody_else");
    let server = Server::builder().service(RadioDispatcher::new(Mast::default())).bind(place.socket()).unwrap();
    let handle = server.handle();
    let hello = raw::overhear(&place, |path| RadioClient::connect(path));
    std::thread::scope(|scope| {
        scope.spawn(|| server.run().unwrap());
        let client = RadioClient::connect(place.socket()).unwrap();
        let (ear, object) = ear();
        smol::block_on(client.play(1, &object)).unwrap();
        // More than there are threads for futures.
        let silent: Vec<_> = (0..2 + std::thread::available_parallelism().map_or(2, usize::from))
            .map(|_| {
                let (ours, theirs) = socket::pair().unwrap();
                let peer = Peer::attach_with(&place.socket(), &hello, &[theirs.as_fd()]);
                // `Radio::play` with one step.
                peer.write(0, peer.numbers[0], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
                peer.set(0, 1);
                peer.push(0);
                (peer, ours)
            })
            .collect();
        until(|| handle.usage().tasks == silent.len());
        for _ in 0..20 {
            smol::block_on(client.play(3, &object)).unwrap();
        }
        assert_eq!(handle.usage().tasks, silent.len(), "they are waited for");
        drop(silent);
        until(|| handle.usage().tasks == 0);
        drop((client, ear));
        handle.shutdown();
    });
}

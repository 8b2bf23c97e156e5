//! Clients that connect again: what their users do meanwhile, and what else may be in the way.

use std::fs;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ipc_core::{clock, socket};
use ipc_rpc::intercept::{Call, Next};
use ipc_rpc::{CallError, ClientConfig, ConnectionEvent, Observer, Reconnect, Server, ServerHandle, Streaming};
use ipc_rpc_tests::callbacks::{DoubleClient, DoubleDispatcher, Doubler};
use ipc_rpc_tests::helper::{Place, until};
use ipc_rpc_tests::raw::FakeServer;
use ipc_rpc_tests::system;

#[ipc_rpc::service]
trait Sum {
    #[rpc(idempotent)]
    fn add(&self, a: u64, b: u64) -> u64;
    async fn later(&self, a: u64) -> u64;
}

struct Adder;

impl Sum for Adder {
    fn add(&self, a: u64, b: u64) -> u64 {
        a + b
    }
    async fn later(&self, a: u64) -> u64 {
        a
    }
}

fn config(reconnect: Reconnect) -> ClientConfig {
    ClientConfig { reconnect: Some(reconnect), timeout: None, ..ClientConfig::default() }
}

#[test]
fn who_is_told_may_call() {
    let place = Place::new("who_is_told_may_call");
    let client = Arc::new(OnceLock::<SumClient>::new());
    let (tell, told) = mpsc::channel();
    let calls = client.clone();
    let observer = Observer::new(move |event| {
        let client = calls.get().unwrap();
        let result = match event {
            ConnectionEvent::Failed { .. } => smol::block_on(client.later(7)),
            _ => client.add(3, 4),
        };
        let _ = tell.send(result.map_err(|error| matches!(error, CallError::NotStarted { .. })));
    });
    let reconnect = Reconnect { patience: Duration::MAX, observer: Some(observer), ..Reconnect::default() };
    let (handle, serving) = serve(&place, sum);
    client.set(SumClient::connect_with(place.socket(), &config(reconnect)).unwrap()).unwrap();
    handle.shutdown();
    serving.join().unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| client.get().unwrap().add(1, 2));
        assert_eq!(told.recv().unwrap(), Err(true), "lost");
        assert_eq!(told.recv().unwrap(), Err(true), "not yet");
        let (handle, serving) = serve(&place, sum);
        assert_eq!(call.join().unwrap().unwrap(), 3);
        while told.recv().unwrap() != Ok(7) {}
        handle.shutdown();
        serving.join().unwrap();
    });
}

struct Heard(mpsc::Sender<()>);

impl Wake for Heard {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

/// Polls it when it has been woken and not otherwise, as executors may.
fn when_woken<F: Future>(future: F) -> F::Output {
    let (tell, told) = mpsc::channel();
    let waker = Waker::from(Arc::new(Heard(tell)));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        told.recv().unwrap();
    }
}

#[test]
fn a_full_backlog_keeps_no_future_from_the_end_of_its_time() {
    let place = Place::new("a_full_backlog_keeps_no_future_from_the_end_of_its_time");
    let (handle, serving) = serve(&place, sum);
    let config = ClientConfig {
        connect_timeout: Duration::from_secs(1000),
        ..config(Reconnect { patience: Duration::from_secs(1000), ..Reconnect::default() })
    };
    let client = SumClient::connect_with(place.socket(), &config).unwrap();
    handle.shutdown();
    serving.join().unwrap();
    let path = place.path().join("test.sock");
    let full = socket::listen(&path, 0o600).unwrap();
    system::listen_to(full.as_fd(), 0);
    let mut waiting = Vec::new();
    while let Ok(socket) = socket::connect(&path, clock::now()) {
        waiting.push(socket);
    }
    // Told of the end, that is.
    until(|| matches!(client.start().later(1), Err(CallError::NotStarted { .. })));
    let hasty = client.with_timeout(Duration::from_millis(500));
    let error = when_woken(hasty.later(1)).unwrap_err();
    assert!(matches!(error, CallError::NotStarted { .. }), "{error:?}");
}

#[ipc_rpc::service]
trait Notes {
    #[rpc(oneway)]
    async fn note(&self, id: u64);
    fn noted(&self) -> Vec<u64>;
    fn wait(&self, gate: &str);
}

#[derive(Default)]
struct Book(Mutex<Vec<u64>>);

impl Notes for Book {
    async fn note(&self, id: u64) {
        self.0.lock().unwrap().push(id);
    }
    fn noted(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
    fn wait(&self, gate: &str) {
        fs::write(format!("{gate}.in"), "").unwrap();
        until(|| fs::exists(gate).unwrap());
    }
}

fn book(server: Server) {
    server.serve(NotesDispatcher::new(Book::default())).unwrap();
}

#[test]
fn a_one_way_call_that_has_waited_goes_to_the_next_server() {
    let place = Place::new("a_one_way_call_that_has_waited_goes_to_the_next_server");
    let (_old, serving) = serve(&place, book);
    let config = ClientConfig { blocks: 2, ..config(Reconnect::default()) };
    let client = NotesClient::connect_with(place.socket(), &config).unwrap();
    let gates = ["a", "b"].map(|name| place.join(name));
    let [first, second] = gates.each_ref().map(|gate| {
        let call = client.start().wait(gate).unwrap();
        until(|| fs::exists(format!("{gate}.in")).unwrap());
        call
    });
    let mut note = pin!(client.note(7));
    assert!(note.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "no block");
    let server = Server::builder().service(NotesDispatcher::new(Book::default())).take_over().bind(place.socket());
    let server = server.unwrap();
    let new = server.handle();
    let next = std::thread::spawn(move || server.run().unwrap());
    fs::write(&gates[0], "").unwrap();
    first.wait().unwrap();
    // The old server works on the second call, and the client has forgotten the connection but for that.
    assert!(client.noted().unwrap().is_empty());
    std::thread::sleep(Duration::from_millis(50));
    smol::block_on(note).unwrap();
    client.flush().unwrap();
    assert_eq!(client.noted().unwrap(), [7]);
    fs::write(&gates[1], "").unwrap();
    second.wait().unwrap();
    serving.join().unwrap();
    new.shutdown();
    next.join().unwrap();
}

#[ipc_rpc::service]
trait Hurry {
    /// How far from the first look at the clock.
    fn end(&self, context: &ipc_rpc::Context) -> Duration;
}

struct Hurried;

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Hurry for Hurried {
    fn end(&self, context: &ipc_rpc::Context) -> Duration {
        context.deadline().unwrap() - *BASE
    }
}

#[test]
fn a_call_that_is_made_again_has_no_more_time() {
    let place = Place::new("a_call_that_is_made_again_has_no_more_time");
    let _ = *BASE;
    let fake = FakeServer::listen(place.socket());
    let limit = Duration::from_secs(60);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let client = HurryClient::connect(place.socket()).unwrap();
            client.with_metadata("in a", "hurry").with_timeout(limit).end()
        });
        let (socket, segment) = fake.welcome(1);
        until(|| (0..256).any(|block| segment.block(block).unwrap().word.load(Ordering::Relaxed) != 0));
        let latest = BASE.elapsed() + limit;
        drop(fake);
        let (handle, serving) = serve(&place, |server| server.serve(HurryDispatcher::new(Hurried)).unwrap());
        drop(socket);
        let end = call.join().unwrap().unwrap();
        assert!(end <= latest, "it began before {latest:?} and may take until {end:?}");
        handle.shutdown();
        serving.join().unwrap();
    });
}

#[test]
fn a_call_that_may_have_run_is_not_said_not_to_have_when_the_next_server_refuses_it() {
    let place = Place::new("a_call_that_may_have_run_is_not_said_not_to_have");
    let fake = FakeServer::listen(place.socket());
    std::thread::scope(|scope| {
        let call = scope.spawn(|| SumClient::connect(place.socket()).unwrap().add(1, 2));
        let (socket, segment) = fake.welcome(2);
        let asked = || (0..256).find(|block| segment.block(*block).unwrap().word.load(Ordering::Relaxed) != 0);
        until(|| asked().is_some());
        // It is begun.
        segment.taken(asked().unwrap()).unwrap().fetch_add(1, Ordering::Relaxed);
        drop(fake);
        let denies = |call: Call, _: Next| async move { Err(call.denied("not today")) };
        let server =
            Server::builder().service(SumDispatcher::new(Adder)).intercept(denies).bind(place.socket()).unwrap();
        let handle = server.handle();
        let serving = scope.spawn(|| server.run().unwrap());
        drop(socket);
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::MayHaveRun { .. }), "{error}");
        handle.shutdown();
        serving.join().unwrap();
    });
}

#[ipc_rpc::service]
trait Gather {
    fn gather(&self, items: Streaming<u64>, down: &DoubleClient) -> u64;
    async fn gather_later(&self, items: Streaming<u64>, down: &DoubleClient) -> Result<u64, String>;
    fn feed(&self, items: Streaming<u64>) -> u64;
}

struct Gatherer;

impl Gather for Gatherer {
    fn gather(&self, items: Streaming<u64>, down: &DoubleClient) -> u64 {
        down.double(self.feed(items)).unwrap()
    }
    async fn gather_later(&self, mut items: Streaming<u64>, down: &DoubleClient) -> Result<u64, String> {
        let mut sum = 0;
        while let Some(item) = items.next_async().await {
            sum += item.map_err(|error| error.to_string())?;
        }
        down.double(sum).map_err(|error| error.to_string())
    }
    fn feed(&self, items: Streaming<u64>) -> u64 {
        items.map(Result::unwrap).sum()
    }
}

#[test]
fn inputs_with_and_without_callbacks_go_to_the_next_server() {
    let place = Place::new("inputs_with_and_without_callbacks_go_to_the_next_server");
    let (mut handle, mut serving) = serve(&place, gather);
    let clients = [(); 3].map(|()| GatherClient::connect(place.socket()).unwrap());
    let down = DoubleDispatcher::new(Doubler);
    let items = || Streaming::from_iter([1, 2, 3]);
    for _ in 0..2 {
        assert_eq!(clients[0].gather(items(), &down).unwrap(), 12);
        assert_eq!(smol::block_on(clients[1].gather_later(items(), &down)).unwrap(), 12);
        assert_eq!(clients[2].feed(items()).unwrap(), 6);
        handle.shutdown();
        serving.join().unwrap();
        (handle, serving) = serve(&place, gather);
        // Told of the end, that is.
        until(|| clients[0].gather(items(), &down).is_ok());
        until(|| smol::block_on(clients[1].gather_later(items(), &down)).is_ok());
        until(|| clients[2].feed(items()).is_ok());
    }
    handle.shutdown();
    serving.join().unwrap();
}

fn serve(place: &Place, run: fn(Server)) -> (ServerHandle, std::thread::JoinHandle<()>) {
    let server = Server::bind(place.socket()).unwrap();
    let handle = server.handle();
    (handle, std::thread::spawn(move || run(server)))
}

fn sum(server: Server) {
    server.serve(SumDispatcher::new(Adder)).unwrap();
}

fn gather(server: Server) {
    server.serve(GatherDispatcher::new(Gatherer)).unwrap();
}

//! Handlers that are futures: where they run, how they end, what is left of them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::__private::{
    Admitted, Dispatch, Incoming, Message, MethodDesc, Pair, ParamDesc, Refused, Replied, ServiceDesc, Stub, owned,
};
use ipc_rpc::{CallError, ClientConfig, Context, Limits, Server, testing};
use ipc_rpc_tests::helper::until;
use ipc_rpc_tests::watchdog::Watchdog;

/// A service whose one method does what its argument says, written without the macro.
struct Scripted(Arc<Script>);

#[derive(Default)]
struct Script {
    /// Futures that have begun and are not dropped.
    alive: AtomicUsize,
    polls: AtomicUsize,
    open: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Script {
    fn open_gate(&self) {
        self.open.store(true, Ordering::SeqCst);
        for waker in std::mem::take(&mut *self.wakers.lock().unwrap()) {
            waker.wake();
        }
    }

    async fn gate(&self) {
        poll_fn(|cx| {
            if self.open.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            self.wakers.lock().unwrap().push(cx.waker().clone());
            if self.open.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

struct Alive(Arc<Script>);

impl Alive {
    fn new(script: &Arc<Script>) -> Self {
        script.alive.fetch_add(1, Ordering::SeqCst);
        Alive(script.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Gives way once, and wakes itself.
async fn give_way() {
    let mut gave = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

static SERVICE: ServiceDesc = ServiceDesc {
    name: "Scripted",
    docs: "",
    methods: &[MethodDesc {
        name: "run",
        docs: "",
        params: &[ParamDesc { name: "what", desc: <String as Message>::desc }],
        result: <String as Message>::desc,
        oneway: false,
        idempotent: false,
        asynchronous: false,
        long: false,
    }],
    callbacks: &[],
    fingerprints: None,
};

async fn run(script: Arc<Script>, what: &str, ctx: Context) -> String {
    let _alive = Alive::new(&script);
    match what {
        "ready" => "ready".to_owned(),
        "thread" => thread::current().name().unwrap_or_default().to_owned(),
        "gate" => {
            script.gate().await;
            thread::current().name().unwrap_or_default().to_owned()
        }
        "ways" => {
            for _ in 0..1000 {
                give_way().await;
            }
            "given".to_owned()
        }
        "spin" => loop {
            script.polls.fetch_add(1, Ordering::SeqCst);
            give_way().await;
        },
        "panic" => panic!("a panic on purpose"),
        "late panic" => {
            give_way().await;
            panic!("a panic of {what}")
        }
        "never" => {
            std::future::pending::<()>().await;
            unreachable!()
        }
        "leak" => {
            poll_fn(|cx| {
                std::mem::forget(cx.waker().clone());
                script.polls.fetch_add(1, Ordering::SeqCst);
                Poll::<()>::Pending
            })
            .await;
            unreachable!()
        }
        "long reply" => "x".repeat(100_000),
        "current" => {
            give_way().await;
            let current = Context::current().is_some_and(|c| c.peer() == ctx.peer());
            format!("{current} {}", ctx.peer().pid)
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            "slept".to_owned()
        }
        "two threads" => {
            // Woken by another thread while it is polled, again and again.
            let (flag, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Waker>)));
            let (flag_too, waker_too) = (flag.clone(), waker.clone());
            let other = thread::spawn(move || {
                for n in 1..=2000 {
                    flag_too.store(n, Ordering::SeqCst);
                    if let Some(waker) = &*waker_too.lock().unwrap() {
                        waker.wake_by_ref();
                    }
                }
            });
            poll_fn(|cx| {
                *waker.lock().unwrap() = Some(cx.waker().clone());
                if flag.load(Ordering::SeqCst) == 2000 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            other.join().unwrap();
            "woken".to_owned()
        }
        other => other.to_owned(),
    }
}

impl Dispatch for Scripted {
    fn service(&self) -> &'static ServiceDesc {
        &SERVICE
    }

    fn dispatch(&self, _method: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
        let script = self.0.clone();
        Incoming::run(call, move |call| async move {
            let result = async {
                let args = Admitted::args::<(String,)>(&call)?;
                let what = owned::<String>(&args.0)?;
                let value = run(script, &what, call.context()).await;
                Admitted::reply::<String>(&call, &value)
            }
            .await;
            Admitted::finish(call, result);
        })
    }
}

struct Client(Stub);

impl Client {
    fn run(&self, what: &str) -> Result<String, CallError> {
        self.0.call::<(String,), String>(0, &(what,))
    }

    fn within(&self, milliseconds: u64) -> Client {
        Client(self.0.with_timeout(Duration::from_millis(milliseconds)))
    }
}

impl Pair for Scripted {
    type Client = Client;
    fn client(stub: Stub) -> Client {
        Client(stub)
    }
}

fn pair() -> (Client, testing::PairServer, Arc<Script>) {
    let script = Arc::<Script>::default();
    let (client, server) = testing::pair(Scripted(script.clone())).unwrap();
    (client, server, script)
}

fn nothing_is_left(script: &Script, server: &testing::PairServer) {
    until(|| script.alive.load(Ordering::SeqCst) == 0);
    until(|| server.usage().busy == 0);
    assert_eq!(server.usage().tasks, 0);
}

#[test]
fn futures_end_at_once_or_later_on_any_thread() {
    let _watchdog = Watchdog::start("futures_end_at_once_or_later_on_any_thread");
    let (client, server, script) = pair();
    assert_eq!(client.run("ready").unwrap(), "ready");
    assert!(client.run("thread").unwrap().starts_with("ipc-rpc worker"));
    assert_eq!(client.run("ways").unwrap(), "given");
    assert_eq!(client.run("long reply").unwrap().len(), 100_000);
    for _ in 0..20 {
        assert_eq!(client.run("two threads").unwrap(), "woken");
    }
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| client.run("gate").unwrap())).collect();
        until(|| server.usage().tasks == 4);
        assert_eq!(client.run("ready").unwrap(), "ready");
        script.open_gate();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), "ipc-rpc task");
        }
    });
    nothing_is_left(&script, &server);
}

#[test]
fn a_context_is_current_wherever_its_future_is_polled() {
    let _watchdog = Watchdog::start("a_context_is_current_wherever_its_future_is_polled");
    let (client, _server, _script) = pair();
    assert_eq!(client.run("current").unwrap(), format!("true {}", std::process::id()));
}

#[test]
fn a_panic_is_answered_with_its_text() {
    let _watchdog = Watchdog::start("a_panic_is_answered_with_its_text");
    let (client, server, script) = pair();
    for (what, text) in [("panic", "a panic on purpose"), ("late panic", "a panic of late panic")] {
        match client.run(what) {
            Err(CallError::Panicked { message, .. }) => assert_eq!(&*message, text),
            other => panic!("{other:?}"),
        }
    }
    nothing_is_left(&script, &server);
}

#[test]
fn a_task_that_wakes_itself_lets_others_run() {
    let _watchdog = Watchdog::start("a_task_that_wakes_itself_lets_others_run");
    let (client, server, script) = pair();
    thread::scope(|scope| {
        let spinners: Vec<_> = (0..8).map(|_| scope.spawn(|| client.within(300).run("spin"))).collect();
        until(|| script.polls.load(Ordering::SeqCst) > 1000);
        for _ in 0..20 {
            assert_eq!(client.run("ways").unwrap(), "given");
        }
        for spinner in spinners {
            assert!(matches!(spinner.join().unwrap(), Err(CallError::TimedOut { .. })));
        }
    });
    // Given up by their callers, they end at their next poll.
    nothing_is_left(&script, &server);
}

#[test]
fn what_nobody_waits_for_is_dropped_though_nothing_wakes_it() {
    let _watchdog = Watchdog::start("what_nobody_waits_for_is_dropped_though_nothing_wakes_it");
    let (client, server, script) = pair();
    let begun = Instant::now();
    assert!(matches!(client.within(30).run("never"), Err(CallError::TimedOut { may_have_run: true, .. })));
    nothing_is_left(&script, &server);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_leaked_waker_keeps_nothing() {
    let _watchdog = Watchdog::start("a_leaked_waker_keeps_nothing");
    let (client, server, script) = pair();
    for _ in 0..3 {
        assert!(matches!(client.within(20).run("leak"), Err(CallError::TimedOut { .. })));
    }
    nothing_is_left(&script, &server);
    // Looking at a call polls nothing of a user's.
    assert!(script.polls.load(Ordering::SeqCst) <= 3);
}

#[test]
fn a_server_that_is_dropped_answers_its_callers() {
    let _watchdog = Watchdog::start("a_server_that_is_dropped_answers_its_callers");
    let (client, server, script) = pair();
    let waiting = thread::spawn(move || client.run("never"));
    until(|| script.alive.load(Ordering::SeqCst) == 1);
    drop(server);
    assert!(matches!(waiting.join().unwrap(), Err(CallError::Abandoned { .. })));
    until(|| script.alive.load(Ordering::SeqCst) == 0);
}

const NAME: &str = "IPC_RPC_TEST_SERVER";

#[test]
#[ignore = "a client for another test"]
fn client_that_waits() {
    let name = std::env::var(NAME).unwrap();
    let client = Client(Stub::connect(&SERVICE, &name, &ClientConfig::default()).unwrap());
    thread::scope(|scope| {
        for what in ["never", "gate", "spin", "leak"] {
            let client = &client;
            scope.spawn(move || client.run(what));
        }
    });
}

/// A client in a process of its own, with four calls under way, killed on drop.
struct Victim(std::process::Child);

impl Victim {
    fn start(name: &str) -> Self {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "client_that_waits"]).env(NAME, name);
        Victim(command.stdout(std::process::Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn futures_of_a_client_that_is_killed_are_dropped() {
    let _watchdog = Watchdog::start("futures_of_a_client_that_is_killed_are_dropped");
    let (_folder, name) = socket("killed.sock");
    let script = Arc::<Script>::default();
    let server = Server::builder().service(Scripted(script.clone())).bind(&name).unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let client = Client(Stub::connect(&SERVICE, &name, &ClientConfig::default()).unwrap());
    for _ in 0..3 {
        let victim = Victim::start(&name);
        until(|| handle.usage().tasks == 4);
        drop(victim);
        until(|| script.alive.load(Ordering::SeqCst) == 0);
        assert_eq!(client.run("ready").unwrap(), "ready");
        until(|| handle.usage().clients == 1 && handle.usage().retired == 0);
        assert_eq!((handle.usage().busy, handle.usage().tasks), (0, 0));
    }
    handle.shutdown();
    serving.join().unwrap().unwrap();
}

#[test]
fn futures_of_a_killed_client_are_dropped_in_a_runtime_of_the_users() {
    let _watchdog = Watchdog::start("futures_of_a_killed_client_are_dropped_in_a_runtime_of_the_users");
    let (_folder, name) = socket("killed.sock");
    let script = Arc::<Script>::default();
    let server = Server::bind(&name).unwrap();
    let handle = server.handle();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let serving = runtime.spawn(server.serve_async(Scripted(script.clone())));
    let victim = Victim::start(&name);
    until(|| handle.usage().tasks == 4);
    drop(victim);
    until(|| script.alive.load(Ordering::SeqCst) == 0 && handle.usage().clients == 0);
    handle.shutdown();
    runtime.block_on(serving).unwrap().unwrap();
}

#[test]
fn too_many_calls_are_busy_and_the_next_ones_are_not() {
    let _watchdog = Watchdog::start("too_many_calls_are_busy_and_the_next_ones_are_not");
    let script = Arc::<Script>::default();
    let limits = Limits { calls: 3, all_calls: 5, ..Limits::default() };
    let builder = Server::builder().limits(limits);
    let dispatcher = Scripted(script.clone());
    let (client, server) = testing::pair_with(builder, dispatcher, &ClientConfig::default()).unwrap();
    let other = server.connect(&Scripted(script.clone()), &ClientConfig::default()).unwrap();
    thread::scope(|scope| {
        let mut waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| client.run("gate"))).collect();
        until(|| server.usage().tasks == 3);
        let error = client.run("ready").unwrap_err();
        assert!(matches!(error, CallError::Busy { .. }) && !error.may_have_run(), "{error:?}");
        waiting.extend((0..2).map(|_| scope.spawn(|| other.run("gate"))));
        until(|| server.usage().tasks == 5);
        assert!(matches!(other.run("ready"), Err(CallError::Busy { .. })));
        script.open_gate();
        for thread in waiting {
            thread.join().unwrap().unwrap();
        }
    });
    for _ in 0..1000 {
        assert_eq!(client.run("ready").unwrap(), "ready");
    }
    nothing_is_left(&script, &server);
}

#[test]
fn futures_run_in_a_runtime_of_the_users() {
    let _watchdog = Watchdog::start("futures_run_in_a_runtime_of_the_users");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let script = Arc::<Script>::default();
    let builder = Server::builder().spawn_with(move |future| drop(handle.spawn(future)));
    let (client, server) = testing::pair_with(builder, Scripted(script.clone()), &ClientConfig::default()).unwrap();
    assert_eq!(client.run("sleep").unwrap(), "slept");
    assert!(client.run("thread").unwrap().starts_with("tokio"));
    assert!(matches!(client.run("late panic"), Err(CallError::Panicked { .. })));
    assert!(matches!(client.within(30).run("never"), Err(CallError::TimedOut { .. })));
    nothing_is_left(&script, &server);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run("never"));
        until(|| server.usage().tasks == 1);
        // A runtime that ends drops its futures.
        drop(runtime);
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Abandoned { .. })));
    });
    nothing_is_left(&script, &server);
}

#[test]
fn a_runtime_that_takes_nothing_is_told_to_the_caller() {
    let _watchdog = Watchdog::start("a_runtime_that_takes_nothing_is_told_to_the_caller");
    let script = Arc::<Script>::default();
    // As `tokio::spawn` does outside of its runtime.
    let builder = Server::builder().spawn_with(|_| panic!("there is no reactor running"));
    let (client, server) = testing::pair_with(builder, Scripted(script.clone()), &ClientConfig::default()).unwrap();
    for _ in 0..3 {
        let error = client.run("ready").unwrap_err();
        assert!(matches!(error, CallError::Busy { .. }) && !error.may_have_run(), "{error:?}");
    }
    nothing_is_left(&script, &server);
}

fn socket(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name).display().to_string();
    (folder, path)
}

#[test]
fn a_server_in_a_future_uses_the_runtime_it_runs_in() {
    let _watchdog = Watchdog::start("a_server_in_a_future_uses_the_runtime_it_runs_in");
    let (_folder, name) = socket("a.sock");
    let script = Arc::<Script>::default();
    let server = Server::bind(&name).unwrap();
    let handle = server.handle();
    let serving = server.serve_async(Scripted(script.clone()));
    let clients = thread::spawn({
        let script = script.clone();
        move || {
            let client = Client(Stub::connect(&SERVICE, &name, &ClientConfig::default()).unwrap());
            let begun = Instant::now();
            thread::scope(|scope| {
                let sleepers: Vec<_> = (0..50).map(|_| scope.spawn(|| client.run("sleep").unwrap())).collect();
                for sleeper in sleepers {
                    assert_eq!(sleeper.join().unwrap(), "slept");
                }
            });
            assert!(begun.elapsed() < Duration::from_secs(10), "they sleep at the same time");
            assert_eq!(client.run("ways").unwrap(), "given");
            assert!(matches!(client.run("late panic"), Err(CallError::Panicked { .. })));
            assert!(matches!(client.within(30).run("never"), Err(CallError::TimedOut { .. })));
            until(|| handle.usage().busy == 0);
            thread::scope(|scope| {
                let slow = scope.spawn(|| client.run("gate"));
                let never = scope.spawn(|| client.run("never"));
                until(|| handle.usage().tasks == 2);
                handle.shutdown();
                // Those that can end within the grace do.
                thread::sleep(Duration::from_millis(50));
                script.open_gate();
                assert!(slow.join().unwrap().is_ok());
                assert!(matches!(never.join().unwrap(), Err(CallError::Abandoned { .. })));
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serving).unwrap();
    clients.join().unwrap();
    assert_eq!(script.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn dropping_the_future_ends_the_server() {
    let _watchdog = Watchdog::start("dropping_the_future_ends_the_server");
    let (_folder, name) = socket("b.sock");
    let script = Arc::<Script>::default();
    let server = Server::bind(&name).unwrap();
    let handle = server.handle();
    let mut serving = Box::pin(server.serve_async(Scripted(script.clone())));
    let waiting = thread::spawn({
        let name = name.clone();
        move || Client(Stub::connect(&SERVICE, &name, &ClientConfig::default()).unwrap()).run("never")
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = async {
            while script.alive.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = &mut serving => panic!("it serves"),
            () = begun => {}
        }
    });
    drop(serving);
    assert!(matches!(waiting.join().unwrap(), Err(CallError::Abandoned { .. })));
    assert_eq!(script.alive.load(Ordering::SeqCst), 0);
    assert_eq!(handle.usage(), Default::default());
    assert!(Server::bind(&name).is_ok());
}

#[test]
fn a_server_that_ends_answers_what_is_under_way() {
    let _watchdog = Watchdog::start("a_server_that_ends_answers_what_is_under_way");
    let (_folder, name) = socket("c.sock");
    let script = Arc::<Script>::default();
    let server =
        Server::builder().grace(Duration::from_millis(300)).service(Scripted(script.clone())).bind(&name).unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let client = Client(Stub::connect(&SERVICE, &name, &ClientConfig::default()).unwrap());
    thread::scope(|scope| {
        let spins: Vec<_> = (0..4).map(|_| scope.spawn(|| client.run("spin"))).collect();
        let slow = scope.spawn(|| client.run("gate"));
        until(|| handle.usage().tasks == 5);
        handle.shutdown();
        thread::sleep(Duration::from_millis(50));
        script.open_gate();
        assert!(slow.join().unwrap().is_ok());
        for spin in spins {
            assert!(matches!(spin.join().unwrap(), Err(CallError::Abandoned { .. })));
        }
    });
    serving.join().unwrap().unwrap();
    assert_eq!(script.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_future_is_dropped_before_it_is_polled_for_nobody() {
    let _watchdog = Watchdog::start("a_future_is_dropped_before_it_is_polled_for_nobody");
    // Nobody polls: the futures are collected here.
    let futures = Arc::new(Mutex::new(Vec::new()));
    let kept = futures.clone();
    let script = Arc::<Script>::default();
    let builder = Server::builder().spawn_with(move |future| kept.lock().unwrap().push(future));
    let (client, server) = testing::pair_with(builder, Scripted(script.clone()), &ClientConfig::default()).unwrap();
    assert!(matches!(client.within(20).run("ready"), Err(CallError::TimedOut { .. })));
    let mut future = futures.lock().unwrap().pop().unwrap();
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(pin!(&mut future).poll(&mut cx).is_ready());
    assert_eq!(server.usage().tasks, 0);
    assert_eq!(script.alive.load(Ordering::SeqCst), 0);
    // Polled once more, and dropped: nothing happens.
    assert!(pin!(&mut future).poll(&mut cx).is_ready());
    drop(future);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run("ready"));
        until(|| server.usage().tasks == 1);
        futures.lock().unwrap().clear();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::Busy { .. }) && !error.may_have_run(), "{error:?}");
        assert_eq!(script.alive.load(Ordering::SeqCst), 0);
        // One that the server has to wait for, when it ends before that was polled.
        let waiting = scope.spawn(|| client.run("ready"));
        until(|| server.usage().tasks == 1);
        drop(server);
        futures.lock().unwrap().clear();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(error, CallError::NotStarted { .. } | CallError::MayHaveRun { .. }), "{error:?}");
    });
}

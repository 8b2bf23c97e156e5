//! A client's process: threads that call in every way, write down what comes of it, and connect anew when the server is dead.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipc_core::clock;
use ipc_rpc::{CallError, ClientConfig, Reconnect, Streaming, testing};
use ipc_rpc_tests::helper;
use ipc_rpc_tests::proc;
use ipc_rpc_tests::random::Random;
use smol::future;

use crate::journal::{Form, How, Journal, Record};
use crate::service::{ChaosClient, Listener, ListenerDispatcher, add, answer, echoed, how, item, list};

/// Threads of a client, two of which share a connection.
const THREADS: usize = 4;
const CONNECTIONS: usize = 2;
/// Far longer than anything takes to come to rest.
const PATIENCE: Duration = Duration::from_secs(15);

/// The object that the server calls back.
#[derive(Debug)]
struct Ear(Arc<Journal>);

impl Listener for Ear {
    fn heard(&self, id: u64, list: &[u8]) -> Vec<u8> {
        self.0.ran(id, Form::Called);
        echoed(id, list)
    }
    async fn heard_later(&self, id: u64) -> u64 {
        self.0.ran(id, Form::Called);
        answer(id)
    }
    fn noted(&self, id: u64) {
        self.0.ran(id, Form::Kept);
    }
}

/// A client, and which process it is connected to.
#[derive(Clone)]
struct Connected {
    client: ChaosClient,
    peer: u32,
}

/// A connection that is made anew when its server is dead.
#[derive(Default)]
struct Link(Mutex<Option<Connected>>);

impl Link {
    fn lock(&self) -> MutexGuard<'_, Option<Connected>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; one to another process than `dead`, unless it `lasts`.
    fn get(&self, socket: &str, dead: Option<u32>, lasts: bool) -> Connected {
        let mut connected = self.lock();
        loop {
            match &*connected {
                Some(connected) if lasts || Some(connected.peer) != dead => return connected.clone(),
                _ => *connected = connect(socket, lasts).filter(|connected| lasts || Some(connected.peer) != dead),
            }
            if connected.is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// A client that connects again by itself, if it `lasts`; then it is not known which process it calls.
fn connect(socket: &str, lasts: bool) -> Option<Connected> {
    let reconnect = lasts.then(|| Reconnect { patience: Duration::from_secs(600), ..Reconnect::default() });
    let config = ClientConfig { blocks: 64, timeout: None, reconnect, ..ClientConfig::default() };
    let client = ChaosClient::connect_with(socket, &config).ok()?;
    let peer = if lasts { 0 } else { client.number().ok()? };
    Some(Connected { client, peer })
}

/// What the threads and the commands of the parent share.
struct Threads {
    socket: String,
    journal: Arc<Journal>,
    links: [Link; CONNECTIONS],
    /// Clients survive their servers: in every second process.
    lasts: bool,
    resting: AtomicBool,
    at_rest: AtomicUsize,
    /// What each thread does, and since when, for a look at one that hangs.
    doing: [(AtomicU64, AtomicU64); THREADS],
}

/// Calls until it is killed or told to rest.
pub fn call(socket: &str, journal: Arc<Journal>, seed: u64) -> ExitCode {
    let shared = Arc::new(Threads {
        socket: socket.to_owned(),
        lasts: journal.number.is_multiple_of(2),
        journal,
        links: Default::default(),
        resting: AtomicBool::new(false),
        at_rest: AtomicUsize::new(0),
        doing: Default::default(),
    });
    let told = shared.clone();
    helper::live_no_longer_than_the_test(move |command| match command {
        "rest" => println!("{}", told.rest().err().unwrap_or("rests".into())),
        _ => println!("{}", told.disconnect().err().unwrap_or("disconnected".into())),
    });
    for thread in 0..THREADS {
        let shared = shared.clone();
        let seed = seed.wrapping_mul(THREADS as u64).wrapping_add(thread as u64);
        std::thread::spawn(move || {
            let listener = ListenerDispatcher::new(Ear(shared.journal.clone()));
            let connected = shared.links[thread % CONNECTIONS].get(&shared.socket, None, shared.lasts);
            let random = Random::new(seed);
            let mut worker = Worker { shared, thread, random, connected, listener, records: Vec::new() };
            while !worker.shared.resting.load(Ordering::Acquire) {
                worker.operate();
            }
            // Its listener and its connection go first.
            let shared = worker.shared.clone();
            drop(worker);
            shared.at_rest.fetch_add(1, Ordering::AcqRel);
        });
    }
    loop {
        std::thread::park();
    }
}

/// Waits until something holds; else says what is.
fn wait(mut rested: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let until = clock::after(PATIENCE);
    loop {
        match rested() {
            Ok(()) => return Ok(()),
            Err(what) if clock::now() > until => return Err(what),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

impl Threads {
    /// Lets the threads end what they do, and looks for what is left over while the connections are open.
    fn rest(&self) -> Result<(), String> {
        self.resting.store(true, Ordering::Release);
        wait(|| {
            let doing = |(form, since): &(AtomicU64, AtomicU64)| {
                let since = clock::now().saturating_sub(since.load(Ordering::Relaxed)) / 1_000_000;
                format!("operation {} for {since} ms", form.load(Ordering::Relaxed))
            };
            let all: Vec<_> = self.doing.iter().map(doing).collect();
            let rest = self.at_rest.load(Ordering::Acquire) == THREADS;
            rest.then_some(()).ok_or_else(|| format!("a call hangs: {all:?}"))
        })?;
        for link in &self.links {
            let Some(Connected { client, peer }) = link.lock().clone() else { continue };
            if let Err(error) = client.forget() {
                if matches!(error, CallError::NotStarted { .. } | CallError::MayHaveRun { .. }) {
                    *link.lock() = None; // That server is dead.
                    continue;
                }
                return Err(format!("process {peer}: {error}"));
            }
            wait(|| {
                let usage = testing::client_usage(&client);
                usage.is_idle().then_some(()).ok_or_else(|| format!("left over: {usage:?}"))
            })?;
        }
        // Those of the connections, and of the channels back, to the present server.
        wait(|| match proc::segments(std::process::id()) {
            left if left <= 2 * CONNECTIONS => Ok(()),
            left => Err(format!("left over: {left} segments")),
        })
    }

    /// Gives the connections up; then no memory may be left.
    fn disconnect(&self) -> Result<(), String> {
        self.links.iter().for_each(|link| *link.lock() = None);
        wait(|| match proc::segments(std::process::id()) {
            0 => Ok(()),
            left => Err(format!("left over: {left} segments")),
        })
    }
}

/// A call that was made.
#[derive(Clone, Copy)]
struct Call {
    id: u64,
    began: u64,
    form: Form,
}

struct Worker {
    shared: Arc<Threads>,
    thread: usize,
    random: Random,
    connected: Connected,
    listener: ListenerDispatcher<Ear>,
    records: Vec<Record>,
}

impl Worker {
    /// One operation, and its records.
    fn operate(&mut self) {
        let kind = self.random.below(100);
        let (form, since) = &self.shared.doing[self.thread];
        form.store(kind, Ordering::Relaxed);
        since.store(clock::now(), Ordering::Relaxed);
        match kind {
            0..25 => self.blocking(),
            25..33 => self.large(),
            33..45 => self.pending(),
            45..51 => self.batch(),
            51..65 => self.asynchronous(),
            65..73 => self.one_way(),
            73..80 => self.output(),
            80..86 => self.input(),
            86..90 => self.both(),
            90..98 => self.callback(),
            _ => self.connection(),
        }
        let dead = self.records.iter().any(|record| record.how.is_death() && record.peer == self.connected.peer);
        self.shared.journal.write(&self.records);
        self.records.clear();
        if dead {
            let link = &self.shared.links[self.thread % CONNECTIONS];
            self.connected = link.get(&self.shared.socket, Some(self.connected.peer), self.shared.lasts);
        }
    }

    fn begin(&self, form: Form) -> Call {
        Call { id: self.shared.journal.id(), began: clock::now(), form }
    }

    fn end(&mut self, call: Call, how: How) {
        let Call { id, began, form } = call;
        self.records.push(Record { id, began, ended: clock::now(), peer: self.connected.peer, form, how });
    }

    /// A client that at times gives up soon.
    fn hurried(&mut self) -> ChaosClient {
        let client = self.connected.client.clone();
        let limit = Duration::from_micros(self.random.below(1500));
        if self.random.chance(6) { client.with_timeout(limit) } else { client }
    }

    /// Mostly none.
    fn micros(&mut self) -> u32 {
        if self.random.chance(5) { self.random.below(2000) as u32 } else { 0 }
    }

    /// Mostly short.
    fn len(&mut self) -> u32 {
        let limit = if self.random.chance(4) { 5000 } else { 100 };
        self.random.below(limit) as u32
    }

    fn blocking(&mut self) {
        for _ in 0..=self.random.below(20) {
            let again = self.random.chance(4);
            let call = self.begin(if again { Form::Idempotent } else { Form::Blocking });
            let (client, micros) = (self.hurried(), self.micros());
            let result = if again { client.touch_again(call.id, micros) } else { client.touch(call.id, micros) };
            let how = how(&result, |got| *got == answer(call.id));
            self.end(call, how);
            if how.is_death() {
                return;
            }
        }
    }

    fn large(&mut self) {
        let limit = if self.random.chance(4) { 400_000 } else { 20_000 };
        let len = 1000 + self.random.below(limit) as u32;
        let (client, call) = (self.hurried(), self.begin(Form::Large));
        let sent = list(call.id, len);
        if self.random.chance(4) {
            let how = how(&client.hold(call.id, &sent), |got| *got == answer(call.id));
            return self.end(call, how);
        }
        if self.random.chance(3) {
            // The reply is held while others are made, and when the server is dead.
            let reply = client.view().echo(call.id, &sent);
            if reply.is_ok() {
                self.blocking();
            }
            let how = how(&reply, |reply| reply.get() == sent.as_slice());
            return self.end(call, how);
        }
        let how = how(&client.echo(call.id, &sent), |got| *got == sent);
        self.end(call, how);
    }

    fn pending(&mut self) {
        let start = self.hurried().start();
        let mut calls = Vec::new();
        for _ in 0..=self.random.below(12) {
            let (call, micros) = (self.begin(Form::Pending), self.micros());
            match start.touch(call.id, micros) {
                Ok(pending) => calls.push((call, pending)),
                Err(error) => self.end(call, how::<u64, _>(&Err(error), |_| true)),
            }
        }
        for (call, mut pending) in calls {
            let result = match self.random.below(8) {
                0 => None,
                1 => pending.try_wait(),
                2 => smol::block_on(future::poll_once(pending)),
                3 => Some(smol::block_on(pending)),
                _ => Some(pending.wait()),
            };
            let how = result.map_or(How::Dropped, |result| how(&result, |got| *got == answer(call.id)));
            self.end(call, how);
        }
    }

    fn batch(&mut self) {
        let (client, size) = (self.connected.client.clone(), self.random.below(24));
        let open: Vec<_> = (0..size).map(|_| self.begin(Form::Batch)).collect();
        let sent: Vec<_> = client.batch(|calls| open.iter().map(|call| calls.touch(call.id, 0)).collect());
        for (call, sent) in open.into_iter().zip(sent) {
            let how = how(&sent.and_then(|pending| pending.wait()), |got| *got == answer(call.id));
            self.end(call, how);
        }
    }

    fn asynchronous(&mut self) {
        let client = self.hurried();
        let open: Vec<_> = (0..=self.random.below(4)).map(|_| (self.begin(Form::Async), self.micros())).collect();
        let limit = Duration::from_micros(self.random.below(1500));
        let gives_up = self.random.chance(5);
        let results: Vec<_> = {
            let tasks: Vec<_> = open
                .iter()
                .map(|&(call, micros)| {
                    let client = client.clone();
                    smol::spawn(async move {
                        let result = async { Some(client.touch_later(call.id, micros).await) };
                        let given_up = async {
                            if !gives_up {
                                future::pending::<()>().await;
                            }
                            smol::Timer::after(limit).await;
                            None
                        };
                        let result = future::or(result, given_up).await;
                        result.map_or(How::Dropped, |result| how(&result, |got| *got == answer(call.id)))
                    })
                })
                .collect();
            tasks.into_iter().map(smol::block_on).collect()
        };
        for ((call, _), how) in open.into_iter().zip(results) {
            self.end(call, how);
        }
    }

    fn one_way(&mut self) {
        let client = self.connected.client.clone();
        let later = self.random.chance(3);
        let mut sent = Vec::new();
        for _ in 0..=self.random.below(10) {
            let (call, micros) = (self.begin(Form::OneWay), self.micros());
            let result = if later { smol::block_on(client.note_later(call.id, micros)) } else { client.note(call.id) };
            match result {
                Ok(()) => sent.push(call),
                Err(error) => self.end(call, how::<(), _>(&Err(error), |()| true)),
            }
        }
        let call = self.begin(Form::OneWay);
        let flushed = if self.random.chance(4) {
            Ok(())
        } else {
            client.flush().map(|()| sent.drain(..).for_each(|call| self.end(call, How::Flushed)))
        };
        if let Err(error) = flushed {
            self.end(call, how::<(), _>(&Err(error), |()| true));
        }
        for call in sent {
            self.end(call, How::Sent);
        }
    }

    /// Reads a stream of so many items.
    fn read(&mut self, call: Call, mut items: Streaming<Vec<u8>>, count: u32, len: u32) -> How {
        let (later, stops) = (self.random.chance(2), self.random.chance(5));
        let most = if stops { self.random.below(u64::from(count) + 1) as u32 } else { u32::MAX };
        for number in 0..most {
            match if later { smol::block_on(items.next_async()) } else { items.next() } {
                Some(Ok(got)) if number < count && got == item(call.id, number, len) => {}
                Some(Ok(_)) => {
                    eprintln!("item {number} of {count} is another one");
                    return How::Wrong;
                }
                Some(Err(error)) => return how::<(), _>(&Err(error), |()| true),
                None if number == count => return How::Replied,
                None => {
                    eprintln!("{number} of {count} items came");
                    return How::Wrong;
                }
            }
        }
        How::Dropped
    }

    fn output(&mut self) {
        let client = self.connected.client.clone();
        let (call, count, len) = (self.begin(Form::Output), self.random.below(120) as u32, self.len());
        let items =
            if self.random.chance(2) { client.items(call.id, count, len) } else { client.sent(call.id, count, len) };
        let how = match items {
            Ok(items) => self.read(call, items, count, len),
            Err(error) => how::<(), _>(&Err(error), |()| true),
        };
        self.end(call, how);
    }

    /// Something to send.
    fn items(&mut self, id: u64, count: u32, len: u32) -> Streaming<Vec<u8>> {
        let items = (0..count).map(move |number| item(id, number, len));
        if self.random.chance(2) {
            return Streaming::from_iter(items);
        }
        let (sink, lists) = Streaming::channel();
        std::thread::spawn(move || {
            for item in items {
                if sink.send(&item).is_err() {
                    return;
                }
            }
        });
        lists
    }

    fn input(&mut self) {
        let client = self.connected.client.clone();
        let (call, count, len) = (self.begin(Form::Input), self.random.below(120) as u32, self.len());
        let items = self.items(call.id, count, len);
        let result = if self.random.chance(2) {
            client.sum(call.id, items)
        } else {
            smol::block_on(client.sum_later(call.id, items))
        };
        let sum = (0..count).fold(call.id, |sum, number| add(sum, &item(call.id, number, len)));
        let how = how(&result, |got| *got == sum);
        self.end(call, how);
    }

    fn both(&mut self) {
        let client = self.connected.client.clone();
        let (call, count, len) = (self.begin(Form::Both), self.random.below(80) as u32, self.len());
        let items = self.items(call.id, count, len);
        let how = match client.both(call.id, items) {
            Ok(items) => self.read(call, items, count, len),
            Err(error) => how::<(), _>(&Err(error), |()| true),
        };
        self.end(call, how);
    }

    fn callback(&mut self) {
        let client = self.connected.client.clone();
        let (call, from, count) = (self.begin(Form::Callback), self.shared.journal.number, self.random.below(6) as u32);
        let how = match self.random.below(4) {
            0 => how(&smol::block_on(client.tell_later(call.id, from, count, &self.listener)), |got| *got == count),
            1 => how(&client.keep(call.id, from, &self.listener), |()| true),
            _ => how(&client.tell(call.id, from, count, &self.listener), |got| *got == count),
        };
        self.end(call, how);
    }

    /// A connection of its own that ends in the middle of everything.
    fn connection(&mut self) {
        let Some(Connected { client, peer }) = connect(&self.shared.socket, false) else { return };
        let start = client.start();
        let mut calls = Vec::new();
        for _ in 0..self.random.below(8) {
            let call = self.begin(Form::Connection);
            calls.push(start.touch(call.id, 300));
            let Call { id, began, form } = call;
            self.records.push(Record { id, began, ended: clock::now(), peer, form, how: How::Dropped });
        }
        let items = self.random.chance(2).then(|| client.items(self.shared.journal.id(), u32::MAX, 10));
        if self.random.chance(2) {
            drop((client, start, calls, items));
        } else {
            drop((items, calls, start, client));
        }
    }
}

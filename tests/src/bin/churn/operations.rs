//! One thread of the client: picks operations at random, makes them, and compares what comes of them.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipc_rpc::{CallError, Streaming};
use ipc_rpc_tests::random::Random;
use smol::future::{self, FutureExt};

use crate::service::{ChurnClient, End, Listener, ListenerDispatcher, PANIC, list};

/// What an operation was, and what came of it.
pub struct Outcome {
    pub form: &'static str,
    pub what: &'static str,
}

/// What this program draws, besides plain numbers.
trait Draw {
    /// Mostly short, at times longer than a block, seldom long.
    fn len(&mut self) -> u64;
    /// Mostly none.
    fn micros(&mut self) -> u64;
    fn end(&mut self) -> End;
    fn short_time(&mut self) -> Duration;
}

impl Draw for Random {
    fn len(&mut self) -> u64 {
        match self.below(20) {
            0 => self.below(100_000),
            1..4 => self.below(3000),
            _ => self.below(150),
        }
    }

    fn micros(&mut self) -> u64 {
        if self.chance(4) { self.below(400) } else { 0 }
    }

    fn end(&mut self) -> End {
        match self.below(12) {
            0 => End::Panic,
            1 => End::Fail,
            2 => End::Early,
            _ => End::Well,
        }
    }

    fn short_time(&mut self) -> Duration {
        Duration::from_micros(self.below(600))
    }
}

/// The listener of this thread.
#[derive(Default)]
struct Ear {
    noted: AtomicU64,
}

fn answer(number: u64, end: End) -> u64 {
    assert!(end != End::Panic, "{PANIC}");
    2 * number
}

impl Listener for Arc<Ear> {
    fn heard(&self, number: u64, end: End) -> u64 {
        if end == End::Early {
            std::thread::sleep(Duration::from_micros(300));
        }
        answer(number, end)
    }
    async fn heard_later(&self, number: u64, end: End) -> u64 {
        if end == End::Early {
            smol::Timer::after(Duration::from_micros(300)).await;
        }
        answer(number, end)
    }
    fn noted(&self, number: u64) {
        self.noted.fetch_add(number, Ordering::Relaxed);
    }
}

/// What came of a call: how it ended, or a mistake of the framework's, which ends the program.
fn ended<T, E: Debug>(result: Result<T, CallError<E>>, right: impl FnOnce(T)) -> &'static str {
    match result {
        Ok(value) => {
            right(value);
            "right"
        }
        Err(CallError::Handler(_)) => "failed by the handler",
        Err(CallError::Panicked { message, .. }) => {
            assert_eq!(&*message, PANIC);
            "panicked in the handler"
        }
        Err(CallError::TimedOut { .. }) => "out of time",
        Err(CallError::Cancelled { .. }) => "cancelled",
        Err(CallError::Abandoned { .. }) => "given up by the server",
        Err(CallError::Busy { .. }) => "busy",
        Err(CallError::Stream { .. }) => "stream failed",
        // Nothing else can happen between two processes that both live.
        Err(other) => panic!("{other:?}"),
    }
}

/// Ends the program with what a thread of it found wrong; panics that belong to the game are caught where they are made.
fn check(right: bool, what: impl FnOnce() -> String) {
    assert!(right, "{}", what());
}

pub struct Worker {
    client: ChurnClient,
    socket: String,
    random: Random,
    ear: Arc<Ear>,
    listener: ListenerDispatcher<Arc<Ear>>,
}

impl Worker {
    pub fn new(client: ChurnClient, socket: String, seed: u64) -> Self {
        let ear = Arc::new(Ear::default());
        let listener = ListenerDispatcher::new(ear.clone());
        Worker { client, socket, random: Random::new(seed), ear, listener }
    }

    /// One operation.
    pub fn operate(&mut self) -> Outcome {
        let (form, what) = match self.random.below(100) {
            0..7 => ("blocking", self.blocking()),
            7..15 => ("kept", self.kept()),
            15..30 => ("pending", self.pending()),
            30..45 => ("async", self.asynchronous()),
            45..55 => ("one-way", self.one_way()),
            55..63 => ("batch", self.batch()),
            63..75 => ("stream out", self.stream_out()),
            75..85 => ("stream in", self.stream_in()),
            85..90 => ("stream both", self.stream_both()),
            90..99 => ("callback", self.callback()),
            _ => ("connection", self.connection()),
        };
        Outcome { form, what }
    }

    /// A client that at times gives up soon.
    fn hurried(&mut self) -> ChurnClient {
        let client = self.client.clone();
        if self.random.chance(5) { client.with_timeout(self.random.short_time()) } else { client }
    }

    fn list(&mut self) -> Vec<u8> {
        list(self.random.any(), self.random.len())
    }

    fn blocking(&mut self) -> &'static str {
        let (client, sent, micros, end) = (self.hurried(), self.list(), self.random.micros(), self.random.end());
        if self.random.chance(4) {
            let reply = client.view().echo(&sent, micros, end);
            // Held while another call is made.
            let other = client.echo(&sent, 0, End::Well);
            ended(other, |got| check(got == sent, || "another list came back".into()));
            return ended(reply, |reply| check(reply.get() == sent.as_slice(), || "another list came back".into()));
        }
        ended(client.echo(&sent, micros, end), |got| check(got == sent, || "another list came back".into()))
    }

    fn kept(&mut self) -> &'static str {
        let (client, sent, micros, end) = (self.hurried(), self.list(), self.random.micros(), self.random.end());
        let right = |len| check(len == sent.len() as u64, || "another list was held".into());
        match self.random.below(3) {
            0 => ended(client.hold(&sent, micros, end), right),
            1 => {
                let call = future::poll_once(client.hold_later(&sent, micros, end));
                match self.random.chance(2) {
                    true => ended(smol::block_on(client.hold_later(&sent, micros, end)), right),
                    false => smol::block_on(call).map_or("dropped", |result| ended(result, right)),
                }
            }
            _ => ended(client.hold_quietly(&sent), |()| {}),
        }
    }

    fn pending(&mut self) -> &'static str {
        let (client, sent, micros, end) =
            (self.hurried().start(), self.list(), self.random.micros(), self.random.end());
        let mut call = match client.echo(&sent, micros, end) {
            Ok(call) => call,
            Err(error) => return ended::<(), _>(Err(error), |()| {}),
        };
        match self.random.below(5) {
            0 => {
                drop(call);
                "dropped"
            }
            1 => {
                // This side panics while the call is under way.
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _held = call;
                    panic!("{PANIC}");
                }));
                check(panicked.is_err(), || "no panic".into());
                "panicked in the caller"
            }
            2 => loop {
                if let Some(result) = call.try_wait() {
                    return ended(result, |got| check(got == sent, || "another list came back".into()));
                }
                if self.random.chance(2000) {
                    return "dropped after trying";
                }
                std::hint::spin_loop();
            },
            3 => {
                // Polled, then dropped or waited for in the blocking way.
                if let Some(result) = smol::block_on(future::poll_once(&mut call)) {
                    return ended(result, |got| check(got == sent, || "another list came back".into()));
                }
                if self.random.chance(2) {
                    return "dropped after a poll";
                }
                ended(call.wait(), |got| check(got == sent, || "another list came back".into()))
            }
            _ => ended(call.wait(), |got| check(got == sent, || "another list came back".into())),
        }
    }

    fn asynchronous(&mut self) -> &'static str {
        let (client, sent, micros, end) = (self.hurried(), self.list(), self.random.micros(), self.random.end());
        let right = |got: Vec<u8>| check(got == sent, || "another list came back".into());
        match self.random.below(6) {
            0 => {
                // Dropped before the first poll, or after one.
                let call = client.echo_later(&sent, micros, end);
                if self.random.chance(4) {
                    drop(call);
                    return "never polled";
                }
                match smol::block_on(future::poll_once(call)) {
                    Some(result) => ended(result, right),
                    None => "dropped after a poll",
                }
            }
            1 => {
                // A handler that would go on for ever.
                let limit = self.random.short_time();
                let given_up = async {
                    smol::Timer::after(limit).await;
                    None
                };
                match smol::block_on(future::or(async { Some(client.never().await) }, given_up)) {
                    Some(result) => ended(result, |_| {}),
                    None => "cancelled by the caller",
                }
            }
            2 => {
                let limit = self.random.short_time();
                let given_up = async {
                    smol::Timer::after(limit).await;
                    None
                };
                match smol::block_on(future::or(async { Some(client.echo_later(&sent, micros, end).await) }, given_up))
                {
                    Some(result) => ended(result, right),
                    None => "cancelled by the caller",
                }
            }
            3 => {
                // Several at once, of which the first one decides.
                let one = client.echo_later(&sent, micros, end);
                let two = client.echo_later(&sent, micros / 2, End::Well);
                ended(smol::block_on(one.or(two)), right)
            }
            _ => ended(smol::block_on(client.echo_later(&sent, micros, end)), right),
        }
    }

    fn one_way(&mut self) -> &'static str {
        let (client, sent, micros, end) = (self.hurried(), self.list(), self.random.micros(), self.random.end());
        match self.random.below(5) {
            0 => ended(smol::block_on(client.note_later(&sent, micros, end)), |()| {}),
            1 => match smol::block_on(future::poll_once(client.note_later(&sent, micros, end))) {
                Some(result) => ended(result, |()| {}),
                None => "dropped after a poll",
            },
            2 => {
                for _ in 0..20 {
                    let _ = client.note(&sent[..8], end);
                }
                ended(client.flush(), |()| {})
            }
            _ => ended(client.note(&sent, end), |()| {}),
        }
    }

    fn batch(&mut self) -> &'static str {
        let (client, sent, end) = (self.hurried(), self.list(), self.random.end());
        let (size, fate) = (self.random.below(40), self.random.below(4));
        if fate == 0 {
            // The batch is not finished: this side panics in the middle of it.
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                client.batch(|calls| {
                    let _held: Vec<_> = (0..size).map(|_| calls.echo(&sent, 0, end)).collect();
                    panic!("{PANIC}");
                })
            }));
            check(panicked.is_err(), || "no panic".into());
            return "panicked in the caller";
        }
        let calls = client.batch(|calls| (0..size).map(|_| calls.echo(&sent, 0, end)).collect::<Result<Vec<_>, _>>());
        let calls = match calls {
            Ok(calls) => calls,
            Err(error) => return ended::<(), _>(Err(error), |()| {}),
        };
        match fate {
            1 => "dropped",
            2 => ended(ipc_rpc::join_all(calls), |all| {
                check(all.iter().all(|got| *got == sent), || "other lists".into())
            }),
            _ => {
                let (mut kept, mut last) = (Vec::new(), "right");
                for call in calls {
                    if self.random.chance(3) {
                        kept.push(call);
                    } else {
                        last = ended(call.wait(), |got| check(got == sent, || "another list came back".into()));
                    }
                }
                last
            }
        }
    }

    /// Reads a stream of numbered lists: all of it, or so many items.
    fn read(&mut self, mut lists: Streaming<Vec<u8>>, len: u64, count: u64, end: End) -> &'static str {
        let most = if self.random.chance(3) { self.random.below(count + 1) } else { u64::MAX };
        let later = self.random.chance(2);
        for number in 0..most {
            let item = if later { smol::block_on(lists.next_async()) } else { lists.next() };
            match item {
                Some(Ok(item)) => check(item == list(number, len), || format!("item {number} is another one")),
                Some(Err(error)) => {
                    let text = error.to_string();
                    let how = ended::<(), _>(Err(error), |()| {});
                    let intended = end != End::Well || how != "stream failed";
                    check(intended, || format!("item {number} of {count} failed for no reason: {text}"));
                    return how;
                }
                None => {
                    let all = number == count || end != End::Well && number <= count / 2;
                    check(all, || format!("{number} of {count} items came, {end:?}"));
                    return "right";
                }
            }
        }
        if self.random.chance(4) {
            // Polled for one more, and dropped while that is on its way.
            let _ = smol::block_on(future::poll_once(lists.next_async()));
        }
        "dropped half-way"
    }

    fn stream_out(&mut self) -> &'static str {
        let (count, len) = (self.random.below(60), self.random.len());
        let (client, end) = (self.client.clone(), self.random.end());
        let lists = match self.random.below(4) {
            0 => client.sent(count, len, end),
            1 => match smol::block_on(client.sent_later(count, len, end)) {
                Ok(lists) => Ok(lists),
                Err(error) => return ended::<(), _>(Err(error), |()| {}),
            },
            2 => match self.hurried().lists(count, len, end) {
                Ok(lists) => Ok(lists),
                Err(error) => return ended::<(), _>(Err(error), |()| {}),
            },
            _ => match client.lists(count, len, end) {
                Ok(lists) => Ok(lists),
                Err(error) => return ended::<(), _>(Err(error), |()| {}),
            },
        };
        match lists {
            Ok(lists) if self.random.chance(12) => {
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _held = lists;
                    panic!("{PANIC}");
                }));
                check(panicked.is_err(), || "no panic".into());
                "panicked in the caller"
            }
            Ok(lists) => self.read(lists, len, count, end),
            Err(error) => ended::<(), _>(Err(error), |()| {}),
        }
    }

    /// Something to send: what is to come of it, and the items.
    fn items(&mut self, count: u64, len: u64) -> (End, Streaming<Vec<u8>>) {
        let end = self.random.end();
        let items = (0..count).map(move |number| list(number, len));
        if self.random.chance(2) {
            let half = count / 2;
            return match end {
                End::Panic => {
                    let items = items.inspect(move |item| assert!(item[..8] != half.to_le_bytes(), "{PANIC}"));
                    (end, Streaming::from_iter(items))
                }
                _ => (End::Well, Streaming::from_iter(items)),
            };
        }
        let (sink, lists) = Streaming::channel();
        std::thread::spawn(move || {
            for (number, item) in (0..).zip(items) {
                if number == count / 2 {
                    match end {
                        End::Well => {}
                        End::Early => return,
                        End::Fail => return sink.fail("it was to fail"),
                        End::Panic => panic!("{PANIC}"),
                    }
                }
                if sink.send(&item).is_err() {
                    return;
                }
            }
        });
        (end, lists)
    }

    fn stream_in(&mut self) -> &'static str {
        let (count, len) = (self.random.below(60), self.random.len());
        let most = if self.random.chance(3) { self.random.below(count + 1) } else { u64::MAX };
        let (client, server_end) = (self.hurried(), self.random.end());
        let (end, lists) = self.items(count, len);
        let right = |bytes: u64| {
            let whole = count.min(most) * (8 + len);
            let well = bytes == whole || end != End::Well && bytes < whole;
            check(well, || format!("{bytes} of {whole} bytes arrived, {end:?}"));
        };
        let fate = self.random.below(3);
        let limit = self.random.short_time();
        let called = catch_unwind(AssertUnwindSafe(|| match fate {
            0 => ended(client.take(most, server_end, lists), right),
            1 => ended(smol::block_on(client.take_later(most, server_end, lists)), right),
            _ => {
                let given_up = async {
                    smol::Timer::after(limit).await;
                    None
                };
                let call = async { Some(client.take_later(most, server_end, lists).await) };
                match smol::block_on(future::or(call, given_up)) {
                    Some(result) => ended(result, right),
                    None => "cancelled by the caller",
                }
            }
        }));
        settle(called)
    }

    fn stream_both(&mut self) -> &'static str {
        let (count, len) = (self.random.below(60), self.random.len());
        let most = if self.random.chance(3) { self.random.below(count + 1) } else { u64::MAX };
        let server_end = self.random.end();
        let (end, lists) = self.items(count, len);
        let client = self.hurried();
        let called = catch_unwind(AssertUnwindSafe(|| match client.both(most, server_end, lists) {
            Ok(lists) => {
                let failing = if most < count { server_end } else { End::Well };
                let whole = end == End::Well && failing == End::Well;
                let whole = if whole { End::Well } else { End::Fail };
                self.read_some(lists, len, count.min(most), whole)
            }
            Err(error) => ended::<(), _>(Err(error), |()| {}),
        }));
        settle(called)
    }

    /// As [`Worker::read`], for a stream that may end anywhere unless all is well.
    fn read_some(&mut self, lists: Streaming<Vec<u8>>, len: u64, count: u64, end: End) -> &'static str {
        let most = if self.random.chance(3) { self.random.below(count + 1) } else { u64::MAX };
        let mut read = 0;
        for (number, item) in (0..most).zip(lists) {
            match item {
                Ok(item) => check(item == list(number, len), || format!("item {number} is another one")),
                Err(error) => {
                    let text = error.to_string();
                    let how = ended::<(), _>(Err(error), |()| {});
                    let intended = end != End::Well || how != "stream failed";
                    check(intended, || format!("item {number} of {count} failed for no reason: {text}"));
                    return how;
                }
            }
            read += 1;
        }
        if read == most {
            return "dropped half-way";
        }
        check(read == count || end != End::Well, || format!("{read} of {count} items came back"));
        "right"
    }

    fn callback(&mut self) -> &'static str {
        let (client, count) = (self.hurried(), 1 + self.random.below(6));
        let (last, end) = (self.random.end(), self.random.end());
        let right = |sum: u64| check(sum == count * (count - 1), || format!("{sum} for {count} numbers"));
        match self.random.below(6) {
            0 => ended(smol::block_on(client.tell_later(count, last, end, &self.listener)), right),
            1 => {
                let limit = self.random.short_time();
                let given_up = async {
                    smol::Timer::after(limit).await;
                    None
                };
                let call = async { Some(client.tell_later(count, last, end, &self.listener).await) };
                match smol::block_on(future::or(call, given_up)) {
                    Some(result) => ended(result, right),
                    None => "cancelled by the caller",
                }
            }
            2 => ended(client.keep(&self.listener), |()| {}),
            3 => {
                // An object that is gone as soon as the call is over.
                let listener = ListenerDispatcher::new(self.ear.clone());
                ended(client.tell(count, last, end, &listener), right)
            }
            _ => ended(client.tell(count, last, end, &self.listener), right),
        }
    }

    /// A connection of its own, which ends in the middle of everything.
    fn connection(&mut self) -> &'static str {
        let client = ChurnClient::connect(&self.socket).expect("a server");
        let sent = self.list();
        let start = client.start();
        let calls: Vec<_> = (0..self.random.below(10)).map(|_| start.echo(&sent, 100, End::Well)).collect();
        let lists = if self.random.chance(2) { client.lists(u64::MAX, 10, End::Well).ok() } else { None };
        let mut kept = None;
        if self.random.chance(2) {
            let _ = client.keep(&self.listener);
        }
        if self.random.chance(2) {
            let mut never = Box::pin(async move { client.never().await });
            let polled = smol::block_on(future::poll_once(&mut never));
            check(polled.is_none(), || "a handler that never returns has".into());
            kept = Some(never);
        } else {
            drop(client);
        }
        if self.random.chance(2) {
            drop(kept.take());
            drop(lists);
            drop(calls);
        } else {
            drop(calls);
            drop(lists);
            drop(kept);
        }
        "closed in the middle"
    }
}

/// What came of a call whose items may panic in this very thread.
fn settle(called: std::thread::Result<&'static str>) -> &'static str {
    match called {
        Ok(what) => what,
        Err(panic) => {
            let intended = panic.downcast_ref::<&str>() == Some(&PANIC)
                || panic.downcast_ref::<String>().is_some_and(|text| text == PANIC);
            if !intended {
                std::panic::resume_unwind(panic);
            }
            "panicked in the caller"
        }
    }
}

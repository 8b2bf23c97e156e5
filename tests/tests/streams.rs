//! Streams: order, ends, errors, cancel and death, each way, with few blocks and many.

use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, ClientConfig, Limits, Message, Server, Streaming, Trust, service, testing};
use ipc_rpc_tests::flows::{FlowsClient, FlowsDispatcher, Source, send_all};
use ipc_rpc_tests::helper::{Place, faithful, settled, until};
use ipc_rpc_tests::proc;

const SERVER: &str = env!("CARGO_BIN_EXE_test_server");

fn all(stream: Streaming<u64>) -> Vec<u64> {
    stream.collect::<Result<_, _>>().unwrap()
}

/// Everything that a client can do with streams, quickly.
fn everything(client: &FlowsClient, to: u64) {
    let numbers: Vec<_> = (0..to).collect();
    assert_eq!(all(client.count(to).unwrap()), numbers);
    assert_eq!(all(client.ticks(to).unwrap()), numbers);
    assert_eq!(client.sum(Streaming::from_iter(0..to)).unwrap(), numbers.iter().sum::<u64>());
    let (sink, stream) = Streaming::channel();
    let writer = thread::spawn(move || send_all(&sink, to));
    assert_eq!(client.sum(stream).unwrap(), numbers.iter().sum::<u64>());
    writer.join().unwrap();
    let doubled = all(client.double(Streaming::from_iter(0..to)).unwrap());
    assert_eq!(doubled, numbers.iter().map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(smol::block_on(everything_async(client, to)), ());
    assert_eq!(client.ping().unwrap(), 7);
}

async fn everything_async(client: &FlowsClient, to: u64) {
    let mut stream = client.later(to).await.unwrap();
    for n in 0..to {
        assert_eq!(stream.next_async().await.unwrap().unwrap(), n);
    }
    assert!(stream.next_async().await.is_none());
    assert_eq!(client.total(Streaming::from_iter(0..to)).await.unwrap(), (0..to).sum::<u64>());
    let (sink, numbers) = Streaming::channel();
    let write = async move {
        for n in 0..to {
            sink.send_async(&n).await.unwrap();
        }
    };
    let (total, ()) = smol::future::zip(client.total(numbers), write).await;
    assert_eq!(total.unwrap(), (0..to).sum::<u64>());
    let mut doubled = client.double_later(Streaming::from_iter(0..to)).await.unwrap();
    for n in 0..to {
        assert_eq!(doubled.next_async().await.unwrap().unwrap(), 2 * n);
    }
    assert!(doubled.next_async().await.is_none());
}

#[test]
fn items_arrive_in_order() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    [0, 1, 2, 3, 100, 10_000].into_iter().for_each(|to| everything(&client, to));
}

/// Both have 16 bits.
#[test]
fn numbers_of_items_and_of_streams_go_round() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let many = 70_000;
    assert!(all(client.count(many).unwrap()).into_iter().eq(0..many));
    assert_eq!(client.sum(Streaming::from_iter(0..many)).unwrap(), (0..many).sum::<u64>());
    // One that stays open keeps its number.
    let mut stays = client.count(2).unwrap();
    assert_eq!(stays.next().unwrap().unwrap(), 0);
    for _ in 0..many {
        assert_eq!(all(client.count(1).unwrap()), [0]);
    }
    assert_eq!(stays.next().unwrap().unwrap(), 1);
    assert!(stays.next().is_none());
}

#[test]
fn two_blocks_are_enough() {
    for blocks in [2, 3, 4, 9] {
        let config = ClientConfig { blocks, ..ClientConfig::default() };
        let source = FlowsDispatcher::new(Source::default());
        let (client, _server) = testing::pair_with(Server::builder(), source, &config).unwrap();
        [0, 1, 5, 300].into_iter().for_each(|to| everything(&client, to));
        // Streams that take turns.
        let mut streams: Vec<_> =
            (0..20).map(|n| if n % 2 == 0 { client.count(100) } else { client.ticks(100) }).collect();
        for n in 0..100 {
            for stream in &mut streams {
                assert_eq!(stream.as_mut().unwrap().next().unwrap().unwrap(), n);
            }
            assert_eq!(client.ping().unwrap(), 7);
        }
    }
}

#[test]
fn inputs_of_many_threads_share_two_blocks() {
    let config = ClientConfig { blocks: 2, timeout: None, ..ClientConfig::default() };
    let source = FlowsDispatcher::new(Source::default());
    let (client, _server) = testing::pair_with(Server::builder(), source, &config).unwrap();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for to in 0..20 {
                    assert_eq!(client.sum(Streaming::from_iter(0..to)).unwrap(), (0..to).sum::<u64>());
                }
            });
        }
    });
}

#[test]
fn one_worker_is_enough() {
    let source = FlowsDispatcher::new(Source::default());
    let (client, _server) = testing::pair_with(Server::builder().workers(1), source, &ClientConfig::default()).unwrap();
    [0, 1, 2, 3, 100, 2000].into_iter().for_each(|to| everything(&client, to));
}

#[test]
fn snapshots() {
    let config = ClientConfig { trust: Some(Trust::Snapshot), ..ClientConfig::default() };
    let source = FlowsDispatcher::new(Source::default());
    let builder = Server::builder().trust(Trust::Snapshot);
    let (client, _server) = testing::pair_with(builder, source, &config).unwrap();
    [0, 1, 100].into_iter().for_each(|to| everything(&client, to));
}

fn reason(item: Option<Result<u64, CallError>>) -> String {
    match item {
        Some(Err(CallError::Stream { reason, .. })) => reason.into(),
        Some(Err(CallError::Panicked { message, .. })) => format!("panic: {message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_reach_the_reader() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    for after in [0, 1, 3, 100] {
        for (what, expected) in [
            (client.fails(after).unwrap(), "that is enough"),
            (client.panics(after).unwrap(), "panic: no more"),
            (client.drops(after).unwrap(), "the thread that wrote it panicked"),
        ] {
            let mut stream = what;
            for n in 0..after {
                assert_eq!(stream.next().unwrap().unwrap(), n);
            }
            assert_eq!(reason(stream.next()), expected);
            assert!(stream.next().is_none());
        }
    }
    match client.refuses("no".into()) {
        Err(CallError::Handler(text)) => assert_eq!(text, "no"),
        other => panic!("{other:?}"),
    }
    assert_eq!(all(client.refuses(String::new()).unwrap()), [1]);
}

#[test]
fn errors_reach_the_handler() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let failing = || Streaming::try_from_iter([Ok(1), Err("broken"), Ok(2)]);
    let judged = [client.judge(failing()), smol::block_on(client.total(failing()))];
    for result in judged {
        match result {
            Err(CallError::Handler(text)) => assert!(text.ends_with("broken"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    let mut doubled = client.double(failing()).unwrap();
    assert_eq!(doubled.next().unwrap().unwrap(), 2);
    assert!(reason(doubled.next()).ends_with("broken"));
    // The iterator of the client panics: in the caller's thread, or in the one that sends.
    let panics = || Streaming::from_iter((0..).inspect(|n| assert!(*n < 3, "on purpose")));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.judge(panics())));
    assert!(caught.is_err());
    until(|| client.stopped().unwrap() == 4);
    let mut doubled = client.double(panics()).unwrap().skip(3);
    assert!(reason(doubled.next()).contains("on purpose"));
    // A sink that is dropped by a panic.
    let (sink, numbers) = Streaming::channel();
    let writer = thread::spawn(move || {
        send_all(&sink, 5);
        panic!("on purpose");
    });
    match client.judge(numbers) {
        Err(CallError::Handler(text)) => assert!(text.ends_with("the thread that wrote it panicked"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(writer.join().is_err());
}

#[test]
fn a_handler_that_stops_reading_stops_the_writer() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    assert_eq!(client.first(Streaming::from_iter(5..)).unwrap(), Some(5));
    assert_eq!(client.first(Streaming::from_iter([])).unwrap(), None);
    let (sink, numbers) = Streaming::channel();
    let writer = thread::spawn(move || send_all(&sink, u64::MAX));
    assert_eq!(client.first(numbers).unwrap(), Some(0));
    writer.join().unwrap();
    for after in [0, 1, 50] {
        match client.chokes(Streaming::from_iter(0..), after) {
            Err(CallError::Panicked { message, .. }) => assert_eq!(&*message, "choked"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_reader_that_stops_ends_the_writer() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let mut before = 0;
    for read in [0, 1, 5, 100] {
        let input = || Streaming::from_iter(0..);
        let streams = [
            client.count(u64::MAX).unwrap(),
            client.ticks(u64::MAX).unwrap(),
            client.stays(200).unwrap(),
            client.double(input()).unwrap(),
            smol::block_on(client.double_later(input())).unwrap(),
        ];
        before += streams.len() as u64;
        for mut stream in streams {
            assert_eq!(stream.by_ref().take(read).count(), read);
        }
        until(|| client.stopped().unwrap() == before);
    }
}

#[test]
fn a_deadline_ends_the_stream() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let started = Instant::now();
    let hasty = client.with_timeout(Duration::from_millis(500));
    let mut stream = hasty.stays(3).unwrap().skip(3);
    assert!(matches!(stream.next(), Some(Err(CallError::TimedOut { .. }))));
    assert!(stream.next().is_none());
    let mut stream = smol::block_on(hasty.later(3)).unwrap();
    smol::block_on(async {
        for n in 0..3 {
            assert_eq!(stream.next_async().await.unwrap().unwrap(), n);
        }
        assert!(stream.next_async().await.is_none());
    });
    let (sink, numbers) = Streaming::channel();
    send_first(&sink);
    assert!(matches!(hasty.judge(numbers), Err(CallError::TimedOut { .. })));
    let (sink2, numbers) = Streaming::channel();
    send_first(&sink2);
    assert!(matches!(smol::block_on(hasty.total(numbers)), Err(CallError::TimedOut { .. })));
    assert!(sink.send(&1).is_err() && sink2.send(&1).is_err());
    assert!(started.elapsed() < Duration::from_secs(20));
    // `stays`, `later`, `judge` and `total` have ended.
    until(|| client.stopped().unwrap() == 4);
}

fn send_first(sink: &ipc_rpc::Sink<u64>) {
    assert!(matches!(sink.try_send(&1), Err(ipc_rpc::NotSent::Full)), "nobody reads yet");
}

#[test]
fn a_slow_iterator_holds_nobody_up() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let slow = client.slowly(30, 10).unwrap();
    let reader = thread::spawn(move || all(slow));
    let mut longest = Duration::ZERO;
    while !reader.is_finished() {
        let started = Instant::now();
        assert_eq!(client.ping().unwrap(), 7);
        longest = longest.max(started.elapsed());
    }
    assert_eq!(reader.join().unwrap(), (0..10).collect::<Vec<_>>());
    assert!(longest < Duration::from_millis(200), "{longest:?}");
}

#[test]
fn large_items() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    for size in [60, 1000, 65_536, 5_000_000] {
        for (n, blob) in client.blobs(20, size).unwrap().enumerate() {
            assert_eq!(blob.unwrap(), vec![n as u8; size as usize]);
        }
        let blobs = Streaming::from_iter((0..20).map(move |n| vec![n as u8; size as usize]));
        assert_eq!(client.weigh(blobs, 0).unwrap(), size * 190);
    }
}

#[test]
fn an_item_that_does_not_fit_ends_its_stream() {
    let config = ClientConfig { arguments: 1 << 20, replies: 1 << 20, ..ClientConfig::default() };
    let source = FlowsDispatcher::new(Source::default());
    let (client, _server) = testing::pair_with(Server::builder(), source, &config).unwrap();
    let item = client.blobs(1, 4 << 20).unwrap().next();
    assert!(matches!(item, Some(Err(CallError::NoMemory { server: true, .. }))), "{item:?}");
    let blobs = Streaming::from_iter([vec![1; 10], vec![1; 4 << 20]]);
    assert_eq!(client.weigh(blobs, 0).unwrap(), 10);
    assert_eq!(client.ping().unwrap(), 7);
}

#[test]
fn shutting_down_ends_handlers_that_read() {
    let (client, server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let (sink, numbers) = Streaming::channel();
    let reader = thread::spawn(move || client.sum(numbers));
    sink.send(&1).unwrap();
    drop(server);
    assert!(reader.join().unwrap().is_err() || sink.is_closed());
}

#[test]
fn threads_of_streams_are_limited() {
    let limits = |streams| Server::builder().limits(Limits { streams, ..Limits::default() });
    let pair = |streams| {
        let source = FlowsDispatcher::new(Source::default());
        testing::pair_with(limits(streams), source, &ClientConfig::default()).unwrap()
    };
    let (client, server) = pair(2);
    let open = || client.double(Streaming::from_iter(0..));
    let (mut first, second) = (open().unwrap(), open().unwrap());
    let error = open().unwrap_err();
    assert!(matches!(error, CallError::Busy { server: true, .. }) && !error.may_have_run(), "{error}");
    assert!(error.to_string().contains("as many as `Limits::streams` allows"), "{error}");
    // Others do not need a thread, or can do without.
    assert_eq!(all(client.count(100).unwrap()), (0..100).collect::<Vec<_>>());
    assert_eq!(all(client.ticks(100).unwrap()), (0..100).collect::<Vec<_>>());
    assert_eq!(client.sum(Streaming::from_iter(0..100)).unwrap(), 4950);
    assert_eq!(first.next().unwrap().unwrap(), 0);
    drop(first);
    until(|| open().is_ok());
    drop(second);
    until(|| server.usage().is_idle());
    let (client, _server) = pair(0);
    assert_eq!(all(client.slowly(3, 10).unwrap()), (0..10).collect::<Vec<_>>());
    assert!(matches!(client.double(Streaming::from_iter(0..)), Err(CallError::Busy { .. })));
}

#[test]
fn a_time_limit_holds_behind_another_call_that_takes_two_blocks() {
    let place = Place::new("a_time_limit_holds_behind_another_call_that_takes_two_blocks");
    let config = ClientConfig { blocks: 2, timeout: None, ..ClientConfig::default() };
    let source = FlowsDispatcher::new(Source::default());
    let (client, _server) = testing::pair_with(Server::builder(), source, &config).unwrap();
    let held = [client.view().ping().unwrap(), client.view().ping().unwrap()];
    let mut patient = pin!(client.total(Streaming::from_iter(0..3)));
    assert!(patient.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let hasty = client.with_timeout(Duration::from_millis(20));
    let error = smol::block_on(hasty.total(Streaming::from_iter(0..3))).unwrap_err();
    assert!(matches!(error, CallError::Busy { server: false, .. }), "{error}");
    drop(held);
    assert_eq!(smol::block_on(patient).unwrap(), 3);
    drop(place);
}

/// Panics when it is dropped in a server, if it is 3.
#[derive(Message)]
struct Glass {
    n: u32,
}

impl Drop for Glass {
    fn drop(&mut self) {
        let server = thread::current().name().is_some_and(|name| name.starts_with("ipc-rpc"));
        assert!(!server || self.n != 3 || thread::panicking(), "broken glass");
    }
}

#[service]
trait Brittle {
    fn glasses(&self, slowly: bool) -> Streaming<Glass>;
}

struct Shelf;

impl Brittle for Shelf {
    fn glasses(&self, slowly: bool) -> Streaming<Glass> {
        Streaming::from_iter((0..10).map(move |n| {
            thread::sleep(Duration::from_millis(if slowly { 10 } else { 0 }));
            Glass { n }
        }))
    }
}

#[test]
fn an_item_that_panics_when_it_is_dropped_ends_its_stream() {
    let (client, server) = testing::pair(BrittleDispatcher::new(Shelf)).unwrap();
    for slowly in [false, true] {
        let mut glasses = client.glasses(slowly).unwrap();
        assert_eq!(glasses.by_ref().take(3).map(|glass| glass.unwrap().n).collect::<Vec<_>>(), [0, 1, 2]);
        match glasses.next() {
            Some(Err(CallError::Panicked { message, .. })) => assert_eq!(&*message, "broken glass"),
            other => panic!("{:?}", other.map(|glass| glass.map(|glass| glass.n))),
        }
        assert!(glasses.next().is_none());
        until(|| server.usage().is_idle());
    }
}

#[test]
fn shutting_down_is_one_error_for_all_readers() {
    let place = Place::new("shutting_down_is_one_error_for_all_readers");
    let rounds = if cfg!(debug_assertions) { 20 } else { 50 };
    for round in 0..rounds {
        let server = Server::bind(place.socket()).unwrap();
        let handle = server.handle();
        let serving = thread::spawn(move || server.serve(FlowsDispatcher::new(Source::default())));
        let client = FlowsClient::connect_with(place.socket(), &faithful()).unwrap();
        let streams = [
            client.count(u64::MAX).unwrap(),
            client.ticks(u64::MAX).unwrap(),
            client.slowly(1, u64::MAX).unwrap(),
            client.stays(3).unwrap(),
            client.double(Streaming::from_iter(0..)).unwrap(),
        ];
        let (begun, beginning) = mpsc::channel();
        thread::scope(|scope| {
            let ends = streams.map(|mut stream| {
                let begun = begun.clone();
                scope.spawn(move || {
                    stream.next().unwrap().unwrap();
                    begun.send(()).unwrap();
                    stream.find(Result::is_err).unwrap().unwrap_err()
                })
            });
            // Opened all the time, until that fails.
            let opens = scope.spawn(|| {
                loop {
                    if let Err(error) = client.count(1).map(|stream| stream.last()) {
                        return error;
                    }
                }
            });
            (0..5).for_each(|_| beginning.recv().unwrap());
            thread::sleep(Duration::from_micros(round * 100));
            handle.shutdown();
            for end in ends {
                let error = end.join().unwrap();
                assert!(matches!(error, CallError::MayHaveRun { .. }), "{error}");
                assert!(error.is_disconnected() && error.may_have_run());
            }
            let error = opens.join().unwrap();
            assert!(matches!(error, CallError::NotStarted { .. } | CallError::MayHaveRun { .. }), "{error}");
        });
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn the_reason_of_an_input_is_told_once() {
    let (client, _server) = testing::pair(FlowsDispatcher::new(Source::default())).unwrap();
    let failing = Streaming::try_from_iter([Ok(1), Err("broken")]);
    let error = client.double(failing).unwrap().last().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the stream of Flows::double failed: broken");
}

#[test]
fn a_million_items_between_processes() {
    let place = Place::new("a_million_items_between_processes");
    let _server = place.serve::<&str>(SERVER, &[]);
    let client = FlowsClient::connect(place.socket()).unwrap();
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let report = |what: &str, since: Instant| println!("{what}: {:?} for {count} items", since.elapsed());
    let since = Instant::now();
    assert_eq!(client.count(count).unwrap().zip(0..).filter(|(a, b)| a.as_ref().unwrap() == b).count() as u64, count);
    report("iterator", since);
    let since = Instant::now();
    assert_eq!(client.ticks(count).unwrap().zip(0..).filter(|(a, b)| a.as_ref().unwrap() == b).count() as u64, count);
    report("sink", since);
    let since = Instant::now();
    assert_eq!(client.sum(Streaming::from_iter(0..count)).unwrap(), count * (count - 1) / 2);
    report("input", since);
    let since = Instant::now();
    let total = smol::block_on(client.total(Streaming::from_iter(0..count)));
    assert_eq!(total.unwrap(), count * (count - 1) / 2);
    report("input, async", since);
    let since = Instant::now();
    smol::block_on(async {
        let mut stream = client.later(count).await.unwrap();
        for n in 0..count {
            assert_eq!(stream.next_async().await.unwrap().unwrap(), n);
        }
    });
    report("sink, async", since);
    let since = Instant::now();
    let doubled = client.double(Streaming::from_iter(0..count)).unwrap().zip(0..);
    assert_eq!(doubled.filter(|(a, b)| *a.as_ref().unwrap() == 2 * b).count() as u64, count);
    report("both ways", since);
}

#[test]
fn a_slow_reader_keeps_memory_flat() {
    let place = Place::new("a_slow_reader_keeps_memory_flat");
    let server = place.serve::<&str>(SERVER, &[]);
    let client = FlowsClient::connect(place.socket()).unwrap();
    let count = if cfg!(debug_assertions) { 1000 } else { 10_000 };
    let pids = [std::process::id(), server.pid()];
    let memory = || pids.map(proc::memory).iter().map(|(own, shared)| own + shared).sum::<u64>();
    let mut most = 0;
    let mut before = 0;
    for (n, blob) in client.blobs(count, 65_536).unwrap().enumerate() {
        assert_eq!(blob.unwrap(), vec![n as u8; 65_536]);
        thread::sleep(Duration::from_micros(200)); // ten times what it takes to make one
        match n {
            50 => before = memory(),
            n if n % 100 == 99 => most = most.max(memory()),
            _ => {}
        }
    }
    assert!(most < before + (8 << 20), "{before} bytes before, {most} at most");
    let blobs = Streaming::from_iter((0..count).map(|n| vec![n as u8; 65_536]));
    let before = memory();
    let watch = thread::scope(|scope| {
        let weight = scope.spawn(|| client.weigh(blobs, 200));
        let mut most = 0;
        while !weight.is_finished() {
            most = most.max(memory());
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(weight.join().unwrap().unwrap(), (0..count).map(|n| (n % 256) * 65_536).sum::<u64>());
        most
    });
    assert!(watch < before + (8 << 20), "{before} bytes before, {watch} at most");
}

#[test]
fn the_death_of_the_server_ends_streams() {
    let place = Place::new("the_death_of_the_server_ends_streams");
    let mut server = place.serve::<&str>(SERVER, &[]);
    let client = FlowsClient::connect_with(place.socket(), &faithful()).unwrap();
    let mut streams =
        [client.stays(3).unwrap(), client.stays(10).unwrap(), client.double(Streaming::from_iter(0..)).unwrap()];
    for stream in &mut streams {
        assert_eq!(stream.next().unwrap().unwrap(), 0);
    }
    let (sink, numbers) = Streaming::channel();
    thread::scope(|scope| {
        let sum = scope.spawn(|| client.sum(numbers));
        sink.send(&1).unwrap();
        let [first, second, third] = &mut streams;
        let waits = scope.spawn(move || first.by_ref().last());
        let waits_too = scope.spawn(move || {
            smol::block_on(async {
                let mut last = None;
                while let Some(item) = second.next_async().await {
                    last = Some(item);
                }
                last
            })
        });
        thread::sleep(Duration::from_millis(50));
        server.kill();
        assert!(matches!(sum.join().unwrap(), Err(CallError::MayHaveRun { .. })));
        assert!(matches!(waits.join().unwrap(), Some(Err(CallError::MayHaveRun { .. }))));
        assert!(matches!(waits_too.join().unwrap(), Some(Err(CallError::MayHaveRun { .. }))));
        assert!(matches!(third.last(), Some(Err(CallError::MayHaveRun { .. }))));
    });
    until(|| sink.send(&2).is_err());
    assert!(client.count(1).is_err());
    assert!(client.sum(Streaming::from_iter([])).is_err());
}

#[test]
fn the_death_of_a_client_ends_streams() {
    let place = Place::new("the_death_of_a_client_ends_streams");
    let server = place.serve::<&str>(SERVER, &[]);
    let descriptors = settled(&place, &server);
    let threads = proc::threads(server.pid()).len();
    for _ in 0..5 {
        let client = FlowsClient::connect(place.socket()).unwrap();
        let mut held = [client.stays(3).unwrap(), client.count(u64::MAX).unwrap(), client.ticks(u64::MAX).unwrap()];
        assert_eq!(held.each_mut().map(|s| s.next().unwrap().unwrap()), [0; 3]);
        let mut doubled = client.double(Streaming::from_iter(0..)).unwrap();
        assert_eq!(doubled.next().unwrap().unwrap(), 0);
        drop(doubled);
        let (sink, numbers) = Streaming::channel();
        let also = client.clone();
        // Long enough to begin on a busy machine: one that does not is none of the writers that end.
        let call = thread::spawn(move || also.with_timeout(Duration::from_millis(400)).judge(numbers));
        while sink.send(&1).is_ok() {}
        assert!(call.join().unwrap().is_err());
    }
    until(|| proc::segments(server.pid()) == 0 && proc::descriptors(server.pid()) == descriptors);
    let client = FlowsClient::connect(place.socket()).unwrap();
    until(|| client.stopped().unwrap() == 5 * 5);
    until(|| proc::threads(server.pid()).len() <= threads + 4);
}

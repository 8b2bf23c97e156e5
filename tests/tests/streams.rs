//! Streams: order, ends, errors, cancel and death, each way, with few blocks and many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, Sink, Streaming, service, testing};

#[service]
trait Streams {
    fn count(&self, to: u64) -> Streaming<u64>;
    fn ticks(&self, to: u64) -> Streaming<u64>;
    fn blobs(&self, number: u64, size: u64) -> Streaming<Vec<u8>>;
    fn fails(&self, after: u64) -> Streaming<u64>;
    fn panics(&self, after: u64) -> Streaming<u64>;
    fn refuses(&self, text: String) -> Result<Streaming<u64>, String>;
    fn sum(&self, numbers: Streaming<u64>) -> u64;
    fn first(&self, numbers: Streaming<u64>) -> Option<u64>;
    fn judge(&self, numbers: Streaming<u64>) -> Result<u64, String>;
    fn double(&self, numbers: Streaming<u64>) -> Streaming<u64>;
    fn ping(&self) -> u64;
}

#[derive(Default)]
struct Impl {
    stopped: Arc<AtomicU64>,
}

struct OnDrop(Arc<AtomicU64>);
impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Streams for Impl {
    fn count(&self, to: u64) -> Streaming<u64> {
        let guard = OnDrop(self.stopped.clone());
        Streaming::from_iter((0..to).inspect(move |_| {
            let _ = &guard;
        }))
    }
    fn ticks(&self, to: u64) -> Streaming<u64> {
        let (sink, stream) = Streaming::channel();
        let guard = OnDrop(self.stopped.clone());
        thread::spawn(move || {
            let _guard = guard;
            send_all(&sink, to);
        });
        stream
    }
    fn blobs(&self, number: u64, size: u64) -> Streaming<Vec<u8>> {
        Streaming::from_iter((0..number).map(move |n| vec![n as u8; size as usize]))
    }
    fn fails(&self, after: u64) -> Streaming<u64> {
        Streaming::try_from_iter((0..).map(move |n| if n < after { Ok(n) } else { Err("that is enough") }))
    }
    fn panics(&self, after: u64) -> Streaming<u64> {
        Streaming::from_iter((0..).inspect(move |n| assert!(*n < after, "no more")))
    }
    fn refuses(&self, text: String) -> Result<Streaming<u64>, String> {
        if text.is_empty() { Ok(Streaming::from_iter([1])) } else { Err(text) }
    }
    fn sum(&self, numbers: Streaming<u64>) -> u64 {
        numbers.map(|n| n.unwrap_or(1 << 60)).fold(0, u64::wrapping_add)
    }
    fn first(&self, mut numbers: Streaming<u64>) -> Option<u64> {
        numbers.next().and_then(Result::ok)
    }
    fn judge(&self, numbers: Streaming<u64>) -> Result<u64, String> {
        numbers.sum::<Result<u64, _>>().map_err(|error| error.to_string())
    }
    fn double(&self, numbers: Streaming<u64>) -> Streaming<u64> {
        Streaming::try_from_iter(numbers.map(|n| n.map(|n| 2 * n)))
    }
    fn ping(&self) -> u64 {
        7
    }
}

fn send_all(sink: &Sink<u64>, to: u64) {
    for n in 0..to {
        if sink.send(&n).is_err() {
            return;
        }
    }
}

fn all(stream: Streaming<u64>) -> Vec<u64> {
    stream.collect::<Result<_, _>>().unwrap()
}

#[test]
fn items_of_an_iterator_arrive_in_order() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    for to in [0, 1, 2, 3, 100, 10_000] {
        assert_eq!(all(client.count(to).unwrap()), (0..to).collect::<Vec<_>>());
    }
    assert_eq!(client.ping().unwrap(), 7);
}

#[test]
fn items_of_a_sink_arrive_in_order() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    for to in [0, 1, 2, 3, 100, 10_000] {
        assert_eq!(all(client.ticks(to).unwrap()), (0..to).collect::<Vec<_>>());
    }
}

#[test]
fn items_of_a_client_arrive_in_order() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    for to in [0, 1, 2, 3, 100, 10_000] {
        assert_eq!(client.sum(Streaming::from_iter(0..to)).unwrap(), (0..to).sum::<u64>());
    }
    let (sink, numbers) = Streaming::channel();
    let writer = thread::spawn(move || send_all(&sink, 1000));
    assert_eq!(client.sum(numbers).unwrap(), 499_500);
    writer.join().unwrap();
}

#[test]
fn both_ways() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    for to in [0, 1, 5, 10_000] {
        let doubled = all(client.double(Streaming::from_iter(0..to)).unwrap());
        assert_eq!(doubled, (0..to).map(|n| 2 * n).collect::<Vec<_>>());
    }
}

#[test]
fn errors_reach_the_reader() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    let mut stream = client.fails(3).unwrap();
    for n in 0..3 {
        assert_eq!(stream.next().unwrap().unwrap(), n);
    }
    match stream.next() {
        Some(Err(CallError::Stream { reason, .. })) => assert_eq!(&*reason, "that is enough"),
        other => panic!("{other:?}"),
    }
    assert!(stream.next().is_none());
    let mut stream = client.panics(2).unwrap().skip(2);
    match stream.next() {
        Some(Err(CallError::Panicked { message, .. })) => assert_eq!(&*message, "no more"),
        other => panic!("{other:?}"),
    }
    match client.refuses("no".into()) {
        Err(CallError::Handler(text)) => assert_eq!(text, "no"),
        other => panic!("{other:?}"),
    }
    assert_eq!(all(client.refuses(String::new()).unwrap()), [1]);
    let failing = Streaming::try_from_iter([Ok(1), Err("broken"), Ok(2)]);
    match client.judge(failing) {
        Err(CallError::Handler(text)) => assert!(text.ends_with("broken"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_handler_that_stops_reading_stops_the_writer() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    assert_eq!(client.first(Streaming::from_iter(5..)).unwrap(), Some(5));
    let (sink, numbers) = Streaming::channel();
    let writer = thread::spawn(move || send_all(&sink, u64::MAX));
    assert_eq!(client.first(numbers).unwrap(), Some(0));
    writer.join().unwrap();
}

#[test]
fn a_reader_that_stops_ends_the_writer() {
    let service = Impl::default();
    let stopped = service.stopped.clone();
    let (client, _server) = testing::pair(StreamsDispatcher::new(service)).unwrap();
    for (n, read) in [0, 1, 5, 100].into_iter().enumerate() {
        let mut streams = [client.count(u64::MAX).unwrap(), client.ticks(u64::MAX).unwrap()];
        for stream in &mut streams {
            assert_eq!(stream.take(read).count(), read);
        }
        drop(streams);
        wait_until(|| stopped.load(Ordering::SeqCst) == 2 * (n as u64 + 1));
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "in vain");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn large_items() {
    let (client, _server) = testing::pair(StreamsDispatcher::new(Impl::default())).unwrap();
    for size in [60, 1000, 65_536, 5_000_000] {
        for (n, blob) in client.blobs(20, size).unwrap().enumerate() {
            assert_eq!(blob.unwrap(), vec![n as u8; size as usize]);
        }
    }
}

//! A service of streams: quick and slow ones, small and large ones, and such as end badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ipc_rpc::{Sink, Streaming, service};

/// Methods with streams in each direction.
#[service]
pub trait Flows {
    /// Numbers of an iterator.
    fn count(&self, to: u64) -> Streaming<u64>;
    /// Numbers of a sink that a thread has.
    fn ticks(&self, to: u64) -> Streaming<u64>;
    /// As `ticks`, from an `async` method.
    async fn later(&self, to: u64) -> Streaming<u64>;
    /// A number for each so many milliseconds, by an iterator that sleeps.
    fn slowly(&self, milliseconds: u64, to: u64) -> Streaming<u64>;
    /// Items of so many bytes.
    fn blobs(&self, number: u64, size: u64) -> Streaming<Vec<u8>>;
    /// An error after so many numbers.
    fn fails(&self, after: u64) -> Streaming<u64>;
    /// A panic of the iterator after so many numbers.
    fn panics(&self, after: u64) -> Streaming<u64>;
    /// A panic of the thread that has the sink, after so many numbers.
    fn drops(&self, after: u64) -> Streaming<u64>;
    /// A sink that is kept until the server ends, after so many numbers.
    fn stays(&self, after: u64) -> Streaming<u64>;
    /// A stream, or the error `text`.
    fn refuses(&self, text: String) -> Result<Streaming<u64>, String>;
    /// The sum.
    fn sum(&self, numbers: Streaming<u64>) -> u64;
    /// The sum, by an `async` method.
    async fn total(&self, numbers: Streaming<u64>) -> Result<u64, String>;
    /// The first number; the others are not read.
    fn first(&self, numbers: Streaming<u64>) -> Option<u64>;
    /// The sum, or the text of the stream's error.
    fn judge(&self, numbers: Streaming<u64>) -> Result<u64, String>;
    /// A panic after so many numbers.
    fn chokes(&self, numbers: Streaming<u64>, after: u64) -> u64;
    /// All bytes, added up, with a rest after each item.
    fn weigh(&self, blobs: Streaming<Vec<u8>>, rest_micros: u64) -> u64;
    /// Each number twice as large.
    fn double(&self, numbers: Streaming<u64>) -> Streaming<u64>;
    /// The same, by an `async` method.
    async fn double_later(&self, numbers: Streaming<u64>) -> Streaming<u64>;
    /// Writers that have ended, in whatever way.
    fn stopped(&self) -> u64;
    /// 7.
    fn ping(&self) -> u64;
}

/// Serves [`Flows`].
#[derive(Debug, Default)]
pub struct Source {
    stopped: Arc<AtomicU64>,
}

struct OnDrop(Arc<AtomicU64>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Source {
    fn guard(&self) -> OnDrop {
        OnDrop(self.stopped.clone())
    }
}

impl Flows for Source {
    fn count(&self, to: u64) -> Streaming<u64> {
        let guard = self.guard();
        Streaming::from_iter((0..to).inspect(move |_| {
            let _ = &guard;
        }))
    }
    fn ticks(&self, to: u64) -> Streaming<u64> {
        let (sink, stream) = Streaming::channel();
        let guard = self.guard();
        thread::spawn(move || {
            let _guard = guard;
            send_all(&sink, to);
        });
        stream
    }
    async fn later(&self, to: u64) -> Streaming<u64> {
        self.ticks(to)
    }
    fn slowly(&self, milliseconds: u64, to: u64) -> Streaming<u64> {
        let guard = self.guard();
        Streaming::from_iter((0..to).inspect(move |_| {
            let _ = &guard;
            thread::sleep(Duration::from_millis(milliseconds));
        }))
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
    fn drops(&self, after: u64) -> Streaming<u64> {
        let (sink, stream) = Streaming::channel();
        thread::spawn(move || {
            send_all(&sink, after);
            panic!("on purpose");
        });
        stream
    }
    fn stays(&self, after: u64) -> Streaming<u64> {
        let (sink, stream) = Streaming::channel();
        let guard = self.guard();
        thread::spawn(move || {
            send_all(&sink, after);
            while !sink.is_closed() {
                thread::sleep(Duration::from_millis(1));
            }
            drop(guard);
        });
        stream
    }
    fn refuses(&self, text: String) -> Result<Streaming<u64>, String> {
        if text.is_empty() { Ok(Streaming::from_iter([1])) } else { Err(text) }
    }
    fn sum(&self, numbers: Streaming<u64>) -> u64 {
        numbers.map(|n| n.unwrap_or(1 << 60)).fold(0, u64::wrapping_add)
    }
    async fn total(&self, mut numbers: Streaming<u64>) -> Result<u64, String> {
        let _guard = self.guard();
        let mut total = 0u64;
        while let Some(number) = numbers.next_async().await {
            total = total.wrapping_add(number.map_err(|error| error.to_string())?);
        }
        Ok(total)
    }
    fn first(&self, mut numbers: Streaming<u64>) -> Option<u64> {
        numbers.next().and_then(Result::ok)
    }
    fn judge(&self, numbers: Streaming<u64>) -> Result<u64, String> {
        let _guard = self.guard();
        numbers.sum::<Result<u64, _>>().map_err(|error| error.to_string())
    }
    fn chokes(&self, numbers: Streaming<u64>, after: u64) -> u64 {
        numbers.take(after as usize).count();
        panic!("choked")
    }
    fn weigh(&self, blobs: Streaming<Vec<u8>>, rest_micros: u64) -> u64 {
        let weigh = |blob: Vec<u8>| blob.iter().map(|b| u64::from(*b)).sum::<u64>();
        let rest = |_: &u64| {
            if rest_micros > 0 {
                thread::sleep(Duration::from_micros(rest_micros))
            }
        };
        blobs.map(|blob| blob.map_or(0, weigh)).inspect(rest).sum()
    }
    fn double(&self, numbers: Streaming<u64>) -> Streaming<u64> {
        let guard = self.guard();
        Streaming::try_from_iter(numbers.map(move |n| {
            let _ = &guard;
            n.map(|n| 2 * n)
        }))
    }
    async fn double_later(&self, numbers: Streaming<u64>) -> Streaming<u64> {
        self.double(numbers)
    }
    fn stopped(&self) -> u64 {
        self.stopped.load(Ordering::SeqCst)
    }
    fn ping(&self) -> u64 {
        7
    }
}

/// Sends the numbers below `to`, until nobody reads them any more.
pub fn send_all(sink: &Sink<u64>, to: u64) {
    for n in 0..to {
        if sink.send(&n).is_err() {
            return;
        }
    }
}

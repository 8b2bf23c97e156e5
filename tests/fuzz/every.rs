//! Services with parameters of every kind. Their handlers look at all they get, twice: what is checked must not change.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll, Waker};
use std::time::Duration;

use ipc_rpc::{Archived, Context, Streaming, service};

use crate::{Colour, Shape, Tree, Zoo};

/// Arguments of every kind.
#[service]
pub trait Every {
    /// Numbers and the like.
    fn plain(&self, a: u8, b: i64, c: f64, d: bool, e: char, f: Duration, g: (u16, Colour)) -> String;
    /// Slices and text, where they lie.
    fn borrowed(&self, text: &str, bytes: &[u8], samples: &[f32], wide: &[u128]) -> String;
    /// Options of both kinds.
    fn options(&self, a: Option<&str>, b: Option<&[u16]>, c: Option<Shape>) -> Option<String>;
    /// A message where it lies.
    fn archived(&self, zoo: &Archived<Zoo>, tree: &Archived<Tree>) -> String;
    /// A message as a value, and back.
    fn owned(&self, zoo: Zoo) -> Zoo;
    /// Values by reference.
    fn referred(&self, names: &[String], shapes: &Vec<Shape>) -> Result<Vec<String>, Shape>;
    /// With what the caller says besides.
    fn context(&self, a: u8, ctx: &Context, b: Option<Box<Tree>>) -> Vec<(String, String)>;
    /// Nobody waits for it.
    #[rpc(oneway)]
    fn note(&self, text: &str);
    /// By a future that borrows.
    async fn later(&self, text: &str, samples: &[f32], shape: &Archived<Shape>) -> String;
    /// By a future that is not ready at once.
    async fn slowly(&self, ctx: &Context, text: String) -> Result<String, String>;
}

/// Streams in both directions.
#[service]
pub trait Streams {
    /// An iterator's.
    fn list(&self, count: u8) -> Streaming<String>;
    /// A sink's.
    fn sent(&self, count: u8, fails: bool) -> Result<Streaming<Vec<u8>>, String>;
    /// Read by a future.
    async fn sum(&self, most: u8, shapes: Streaming<Shape>) -> Result<u64, String>;
    /// Both at once.
    async fn both(&self, names: Streaming<String>) -> Streaming<String>;
}

/// An object of a client's.
#[service]
pub trait Ear {
    /// A text.
    fn heard(&self, number: u8) -> String;
    /// Parts of all kinds.
    fn zoo(&self) -> Result<Zoo, Shape>;
    /// Nobody waits for it.
    #[rpc(oneway)]
    fn noted(&self, text: &str);
}

/// Calls objects of its client, by futures that end when the client does.
#[service]
pub trait Asks {
    /// So many times.
    async fn ask(&self, count: u8, ear: &EarClient) -> Result<u64, String>;
    /// Goes on when the call has ended.
    async fn keep(&self, count: u8, ear: &EarClient);
}

/// Serves all of them.
#[derive(Debug, Clone)]
pub struct Looks;

/// As text, if that is the same twice.
fn look(what: impl Debug) -> String {
    let text = format!("{what:?}");
    assert!(format!("{what:?}") == text, "it changes while it is read: {text}");
    text
}

impl Every for Looks {
    fn plain(&self, a: u8, b: i64, c: f64, d: bool, e: char, f: Duration, g: (u16, Colour)) -> String {
        look((a, b, c, d, e, f, g))
    }
    fn borrowed(&self, text: &str, bytes: &[u8], samples: &[f32], wide: &[u128]) -> String {
        assert!(std::str::from_utf8(text.as_bytes()).is_ok());
        look((text, bytes, samples, wide))
    }
    fn options(&self, a: Option<&str>, b: Option<&[u16]>, c: Option<Shape>) -> Option<String> {
        a.map(|a| look((a, b, c)))
    }
    fn archived(&self, zoo: &Archived<Zoo>, tree: &Archived<Tree>) -> String {
        look(zoo) + &look(tree)
    }
    fn owned(&self, zoo: Zoo) -> Zoo {
        look(&zoo);
        zoo
    }
    fn referred(&self, names: &[String], shapes: &Vec<Shape>) -> Result<Vec<String>, Shape> {
        look((names, shapes));
        shapes.last().map_or_else(|| Ok(names.to_vec()), |shape| Err(shape.clone()))
    }
    fn context(&self, a: u8, ctx: &Context, b: Option<Box<Tree>>) -> Vec<(String, String)> {
        look((a, b, ctx.trace_id(), ctx.is_cancelled()));
        ctx.metadata().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
    fn note(&self, text: &str) {
        look(text);
    }
    async fn later(&self, text: &str, samples: &[f32], shape: &Archived<Shape>) -> String {
        look((text, samples, shape))
    }
    async fn slowly(&self, ctx: &Context, text: String) -> Result<String, String> {
        for _ in 0..text.len() % 4 {
            Later(false).await;
        }
        if ctx.is_cancelled() { Err(text) } else { Ok(look(text)) }
    }
}

impl Streams for Looks {
    fn list(&self, count: u8) -> Streaming<String> {
        Streaming::from_iter((0..count).map(|n| "item".repeat(usize::from(n))))
    }
    fn sent(&self, count: u8, fails: bool) -> Result<Streaming<Vec<u8>>, String> {
        if count == 255 {
            return Err("too many".into());
        }
        let (sink, items) = Streaming::channel();
        spawn(Box::pin(async move {
            for n in 0..count {
                if sink.send_async(&vec![n; usize::from(n)]).await.is_err() {
                    return;
                }
            }
            if fails {
                sink.fail("as it was told");
            }
        }));
        Ok(items)
    }
    async fn sum(&self, most: u8, mut shapes: Streaming<Shape>) -> Result<u64, String> {
        let mut sum = 0;
        for _ in 0..most {
            match shapes.next_async().await {
                Some(Ok(shape)) => sum += look(shape).len() as u64,
                Some(Err(error)) => return Err(error.to_string()),
                None => break,
            }
        }
        Ok(sum)
    }
    async fn both(&self, mut names: Streaming<String>) -> Streaming<String> {
        let (sink, out) = Streaming::channel();
        spawn(Box::pin(async move {
            while let Some(item) = names.next_async().await {
                match item {
                    Ok(name) if sink.send_async(&name).await.is_ok() => {}
                    Ok(_) => return,
                    Err(error) => return sink.fail(error),
                }
            }
        }));
        out
    }
}

async fn ask(count: u8, ear: &EarClient) -> Result<u64, String> {
    let text = |error: &dyn Debug| format!("{error:?}");
    let mut sum = 0;
    for n in 0..count {
        let heard = ear.start().heard(n).map_err(|error| text(&error))?.await;
        sum += look(heard).len() as u64;
        ear.noted("a text that lies out of line").map_err(|error| text(&error))?;
        let zoo = ear.start().zoo().map_err(|error| text(&error))?.await;
        sum += look(zoo).len() as u64;
    }
    Ok(sum)
}

impl Asks for Looks {
    async fn ask(&self, count: u8, ear: &EarClient) -> Result<u64, String> {
        ask(count, ear).await
    }
    async fn keep(&self, count: u8, ear: &EarClient) {
        let ear = ear.clone();
        spawn(Box::pin(async move { drop(ask(count, &ear).await) }));
    }
}

/// Ready when it is asked for the second time.
struct Later(bool);

impl Future for Later {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// Everything that is polled: there is one thread, so that the same input does the same.
    static JOBS: RefCell<Vec<Job>> = const { RefCell::new(Vec::new()) };
}

/// Polls this future from now on.
pub fn spawn(job: Job) {
    JOBS.with_borrow_mut(|jobs| jobs.push(job));
}

/// How many futures there are.
pub fn jobs() -> usize {
    JOBS.with_borrow(Vec::len)
}

/// Polls each future once.
pub fn poll() {
    let jobs = JOBS.take();
    let mut task = Task::from_waker(Waker::noop());
    let left: Vec<Job> =
        jobs.into_iter().filter_map(|mut job| job.as_mut().poll(&mut task).is_pending().then_some(job)).collect();
    JOBS.with_borrow_mut(|jobs| drop(jobs.splice(0..0, left)));
}

//! Every form of method, with an implementation and with calls in every mode.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};

use ipc_rpc::{CallError, Context, Kept, Message, Pending, Reply, Streaming, mode, service, testing};

#[derive(Message, Debug, Clone, PartialEq)]
struct Line {
    text: String,
}

#[service]
trait Progress {
    fn done(&self, share: f32);
    async fn done_later(&self, share: f32);
}

#[service]
trait Forms {
    async fn nothing(&self);
    async fn value(&self, a: u32, b: String, line: Line) -> Vec<u8>;
    async fn borrowed(&self, a: &u64, b: &[String], c: &[f32], d: &str, e: &ipc_rpc::Archived<Line>) -> Line;
    async fn opt(&self, a: Option<&u64>, b: Option<&[String]>, c: Option<&str>, d: Option<&ipc_rpc::Archived<Line>>);
    async fn fallible(&self, a: u8) -> Result<Line, String>;
    async fn context(&self, a: u8, ctx: &Context, b: u8) -> Result<u8, Line>;
    fn blocking_context(&self, ctx: &ipc_rpc::Context) -> bool;
    #[rpc(blocking)]
    fn long(&self) -> u8;
    #[rpc(oneway)]
    fn oneway(&self, line: &Line);
    #[rpc(oneway, name = "posted")]
    async fn oneway_later(&self, ctx: &Context, line: &Line) -> ();
    fn open(&self, a: u8) -> Streaming<Line>;
    fn open_fallible(&self) -> Result<Streaming<Line>, String>;
    async fn open_later(&self, a: &str) -> Streaming<Line>;
    async fn open_fallible_later(&self) -> Result<Streaming<Line>, String>;
    fn feed(&self, lines: Streaming<Line>, a: u8) -> Line;
    fn feed_fallible(&self, a: u8, lines: Streaming<Line>) -> Result<Line, String>;
    async fn feed_later(&self, lines: Streaming<Line>) -> Line;
    async fn feed_fallible_later(&self, lines: Streaming<Line>) -> Result<Line, String>;
    fn exchange(&self, lines: Streaming<Line>) -> Streaming<u8>;
    fn exchange_fallible(&self, lines: Streaming<Line>) -> Result<Streaming<u8>, String>;
    async fn exchange_later(&self, lines: Streaming<Line>) -> Streaming<u8>;
    async fn exchange_fallible_later(&self, lines: Streaming<Line>) -> Result<Streaming<u8>, String>;
    fn call_back(&self, path: &str, progress: &ProgressClient) -> u8;
    fn call_back_fallible(&self, progress: &ProgressClient, path: &str) -> Result<u8, String>;
    async fn call_back_later(&self, progress: &ProgressClient, ctx: &Context, other: &ProgressClient) -> u8;
    async fn call_back_fallible_later(&self, progress: &ProgressClient) -> Result<u8, String>;
    fn kept(&self, a: ipc_rpc::Kept<Vec<Line>>, ctx: &Context, b: Kept<String>, c: Kept<Line>) -> Streaming<Line>;
    async fn kept_later(&self, a: Kept<u8>, progress: &ProgressClient, lines: Streaming<Line>) -> Result<u8, String>;
    #[rpc(oneway)]
    fn kept_oneway(&self, a: Kept<Vec<u8>>);
    async fn with_body(&self, a: &str) -> Result<usize64, String> {
        if a.is_empty() {
            return Err("empty".to_owned());
        }
        self.nothing().await;
        let a: u64 = a.parse().map_err(|_| "not a number".to_owned())?;
        Ok(a)
    }
}

#[allow(non_camel_case_types)]
type usize64 = u64;

struct Server;

impl Forms for Server {
    fn kept(&self, a: ipc_rpc::Kept<Vec<Line>>, _ctx: &Context, b: Kept<String>, c: Kept<Line>) -> Streaming<Line> {
        let mut number = 0;
        Streaming::from_iter(std::iter::from_fn(move || {
            number += 1;
            let line = a.get().get(number - 1)?;
            Some(Line { text: format!("{} {} {}", line.text(), b.get(), c.text()) })
        }))
    }
    async fn kept_later(&self, a: Kept<u8>, progress: &ProgressClient, mut lines: Streaming<Line>) -> Result<u8, String> {
        progress.done_later(0.5).await.map_err(|error| error.to_string())?;
        let mut sum = a.get();
        while lines.next_async().await.is_some() {
            sum += 1;
        }
        Ok(sum)
    }
    fn kept_oneway(&self, a: Kept<Vec<u8>>) {
        assert_eq!(a.get(), [1, 2]);
    }
    async fn nothing(&self) {}
    async fn value(&self, a: u32, b: String, line: Line) -> Vec<u8> {
        [&a.to_le_bytes()[..], b.as_bytes(), line.text.as_bytes()].concat()
    }
    async fn borrowed(&self, a: &u64, b: &[String], c: &[f32], d: &str, e: &ipc_rpc::Archived<Line>) -> Line {
        Line { text: format!("{a} {b:?} {c:?} {d} {}", e.text()) }
    }
    async fn opt(&self, a: Option<&u64>, b: Option<&[String]>, c: Option<&str>, d: Option<&ipc_rpc::Archived<Line>>) {
        assert_eq!((a, b, c), (None, Some(&["b".to_owned()][..]), Some("c")));
        assert_eq!(d.unwrap().text(), "line");
    }
    async fn fallible(&self, a: u8) -> Result<Line, String> {
        if a == 0 { Err("zero".to_owned()) } else { Ok(line()) }
    }
    fn context(&self, a: u8, ctx: &Context, b: u8) -> impl Future<Output = Result<u8, Line>> + Send {
        let gone = ctx.is_cancelled();
        async move { if gone { Err(line()) } else { Ok(a + b) } }
    }
    fn blocking_context(&self, ctx: &Context) -> bool {
        ctx.metadata().get("key") == Some("value")
    }
    fn long(&self) -> u8 {
        1
    }
    fn oneway(&self, line: &Line) {
        assert_eq!(line.text, "line");
    }
    async fn oneway_later(&self, ctx: &Context, line: &Line) {
        assert_eq!((ctx.is_cancelled(), &*line.text), (false, "line"));
    }
    fn open(&self, a: u8) -> Streaming<Line> {
        Streaming::from_iter((0..a).map(|_| line()))
    }
    fn open_fallible(&self) -> Result<Streaming<Line>, String> {
        Err("nothing".to_owned())
    }
    async fn open_later(&self, a: &str) -> Streaming<Line> {
        self.open(a.len() as u8)
    }
    async fn open_fallible_later(&self) -> Result<Streaming<Line>, String> {
        Ok(self.open(1))
    }
    fn feed(&self, lines: Streaming<Line>, a: u8) -> Line {
        let texts: Vec<String> = lines.map(|line| line.unwrap().text).collect();
        Line { text: format!("{texts:?} {a}") }
    }
    fn feed_fallible(&self, a: u8, lines: Streaming<Line>) -> Result<Line, String> {
        Ok(self.feed(lines, a))
    }
    async fn feed_later(&self, mut lines: Streaming<Line>) -> Line {
        let mut last = lines.next_async().await.unwrap().unwrap();
        while let Some(line) = lines.next_async().await {
            last.text += &line.unwrap().text;
        }
        last
    }
    async fn feed_fallible_later(&self, lines: Streaming<Line>) -> Result<Line, String> {
        Ok(self.feed_later(lines).await)
    }
    fn exchange(&self, lines: Streaming<Line>) -> Streaming<u8> {
        Streaming::from_iter(lines.map_while(Result::ok).map(|line| line.text.len() as u8))
    }
    fn exchange_fallible(&self, _: Streaming<Line>) -> Result<Streaming<u8>, String> {
        Err("nothing".to_owned())
    }
    async fn exchange_later(&self, lines: Streaming<Line>) -> Streaming<u8> {
        self.exchange(lines)
    }
    async fn exchange_fallible_later(&self, lines: Streaming<Line>) -> Result<Streaming<u8>, String> {
        Ok(self.exchange(lines))
    }
    fn call_back(&self, path: &str, progress: &ProgressClient) -> u8 {
        progress.done(path.len() as f32).unwrap();
        1
    }
    fn call_back_fallible(&self, progress: &ProgressClient, _: &str) -> Result<u8, String> {
        progress.done(-1.0).map_err(|error| error.to_string())?;
        Ok(1)
    }
    async fn call_back_later(&self, progress: &ProgressClient, _: &Context, other: &ProgressClient) -> u8 {
        other.done_later(0.5).await.unwrap();
        progress.done_later(1.0).await.unwrap();
        2
    }
    async fn call_back_fallible_later(&self, progress: &ProgressClient) -> Result<u8, String> {
        progress.done_later(1.0).await.map_err(|error| error.to_string())?;
        Ok(3)
    }
}

struct Bar;

impl Progress for Bar {
    fn done(&self, share: f32) {
        assert!(share >= 0.0, "backwards");
    }
    async fn done_later(&self, share: f32) {
        self.done(share);
    }
}

fn line() -> Line {
    Line { text: "line".to_owned() }
}

fn lines() -> Streaming<Line> {
    Streaming::from_iter([line(), line()])
}

fn blocking(client: &FormsClient) -> Result<(), CallError> {
    assert!(!client.blocking_context()?);
    assert!(client.with_metadata("key", "value").blocking_context()?);
    let one: u8 = client.long()?;
    assert_eq!(one, 1);
    client.oneway(&line())?;
    client.flush()?;
    let opened: Streaming<Line> = client.open(3)?;
    assert_eq!(opened.collect::<Result<Vec<_>, _>>()?, [line(), line(), line()]);
    let refused: Result<Streaming<Line>, CallError<String>> = client.open_fallible();
    assert!(matches!(refused, Err(CallError::Handler(error)) if error == "nothing"));
    assert_eq!(client.feed(lines(), 7)?.text, "[\"line\", \"line\"] 7");
    let fed: Result<Line, CallError<String>> = client.feed_fallible(1, lines());
    assert_eq!(fed.unwrap().text, "[\"line\", \"line\"] 1");
    let lengths: Streaming<u8> = client.exchange(lines())?;
    assert_eq!(lengths.collect::<Result<Vec<_>, _>>()?, [4, 4]);
    let refused: Result<Streaming<u8>, CallError<String>> = client.exchange_fallible(lines());
    assert!(matches!(refused, Err(CallError::Handler(error)) if error == "nothing"));
    let kept: Streaming<Line> = client.kept(&[line(), line()], "b", &line())?;
    assert_eq!(kept.map(|line| line.unwrap().text).collect::<Vec<_>>(), ["line b line", "line b line"]);
    client.kept_oneway(&[1, 2])?;
    client.flush()?;
    let progress = ProgressDispatcher::new(Bar);
    let one: u8 = client.call_back("a", &progress)?;
    assert_eq!(one, 1);
    let failed: Result<u8, CallError<String>> = client.call_back_fallible(&progress, "a");
    assert!(matches!(failed, Err(CallError::Handler(error)) if error.contains("backwards")));
    let one: Reply<u8> = client.view().call_back("a", &progress)?;
    assert_eq!(one.get(), 1);

    let started: FormsClient<mode::Starting> = client.start();
    let nothing: Pending<()> = started.nothing()?;
    nothing.wait()?;
    let fallible: Result<Pending<Line, String>, CallError<String>> = started.fallible(1);
    let fallible: Result<Line, CallError<String>> = fallible.and_then(Pending::wait);
    assert_eq!(fallible.unwrap(), line());
    let many: Vec<Pending<u8>> = client.batch(|calls| (0..8).map(|_| calls.long()).collect::<Result<_, _>>())?;
    assert_eq!(ipc_rpc::join_all(many)?, [1; 8]);
    Ok(())
}

async fn waiting(client: FormsClient) -> Result<(), CallError> {
    client.nothing().await?;
    let bytes: Vec<u8> = client.value(1, "b".to_owned(), line()).await?;
    assert_eq!(bytes, b"\x01\0\0\0bline");
    let text = client.borrowed(&1, &["a".into()], &[1.0], "d", &line()).await?.text;
    assert_eq!(text, "1 [\"a\"] [1.0] d line");
    client.opt(None, Some(&["b".into()]), Some("c"), Some(&line())).await?;
    let refused: Result<Line, CallError<String>> = client.fallible(0).await;
    assert!(matches!(refused, Err(CallError::Handler(error)) if error == "zero"));
    let sum: Result<u8, CallError<Line>> = client.context(1, 2).await;
    assert_eq!(sum.unwrap(), 3);
    client.oneway_later(&line()).await?;
    client.flush_async().await?;
    let mut opened: Streaming<Line> = client.open_later("a").await?;
    assert_eq!(opened.next_async().await.unwrap()?, line());
    assert!(opened.next_async().await.is_none());
    let opened: Result<Streaming<Line>, CallError<String>> = client.open_fallible_later().await;
    assert_eq!(opened.unwrap().next_async().await.unwrap()?, line());
    assert_eq!(client.feed_later(lines()).await?.text, "lineline");
    let fed: Result<Line, CallError<String>> = client.feed_fallible_later(lines()).await;
    assert_eq!(fed.unwrap().text, "lineline");
    let mut lengths: Streaming<u8> = client.exchange_later(lines()).await?;
    assert_eq!(lengths.next_async().await.unwrap()?, 4);
    let lengths: Result<Streaming<u8>, CallError<String>> = client.exchange_fallible_later(lines()).await;
    assert_eq!(lengths.unwrap().next_async().await.unwrap()?, 4);
    let progress = ProgressDispatcher::from_arc(Arc::new(Bar));
    let two: u8 = client.call_back_later(&progress, &progress).await?;
    assert_eq!(two, 2);
    let seven: Result<u8, CallError<String>> = client.kept_later(&5, &progress, lines()).await;
    assert_eq!(seven.unwrap(), 7);
    let three: Result<u8, CallError<String>> = client.call_back_fallible_later(&progress).await;
    assert_eq!(three.unwrap(), 3);
    let number: Result<u64, CallError<String>> = client.with_body("12").await;
    assert_eq!(number.unwrap(), 12);
    let viewed: Reply<Line> = client.view().borrowed(&1, &["a".into()], &[1.0], "d", &line()).await?;
    assert_eq!(viewed.text(), "1 [\"a\"] [1.0] d line");
    let one: u8 = client.start().long()?.await?;
    assert_eq!(one, 1);
    let zero: Result<Line, CallError<String>> = client.start().fallible(0).unwrap().await;
    assert!(zero.is_err());
    Ok(())
}

/// An executor of one future.
fn block_on<F: Future + Send>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn main() {
    let dispatcher = FormsDispatcher::new(Server);
    let methods = ipc_rpc::__private::Dispatch::service(&dispatcher.clone()).methods;
    assert_eq!(methods.iter().filter(|method| method.oneway).count(), 3);
    assert_eq!(methods.iter().filter(|method| method.long).count(), 14);
    assert_eq!(ipc_rpc::__private::Dispatch::service(&dispatcher).callbacks.len(), 6);
    let context = methods.iter().find(|method| method.name == "context").unwrap();
    assert_eq!(context.params.iter().map(|param| param.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(methods.iter().filter(|method| method.name == "posted").count(), 1);

    let (client, _server) = testing::pair(dispatcher).unwrap();
    blocking(&client).unwrap();
    block_on(waiting(client)).unwrap();
}

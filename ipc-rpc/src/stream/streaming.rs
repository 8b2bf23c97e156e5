//! The reading end of a stream, and what a method returns or takes.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::channel::{Channel, Local};
use super::input::Input;
use super::packed::Packed;
use super::reader::Reader;
use super::sink::Sink;
use crate::call_error::{CallError, MethodName};
use crate::message::Message;

/// What a stream without a method is called in errors.
const HERE: MethodName = MethodName { service: "Streaming", method: "channel" };

/// A stream of items: the result of a method that sends many, or the argument of one that takes many.
///
/// Reading is iterating, blocking ([`Iterator`]) or async ([`Streaming::next_async`]); an item is a `Result` because the other
/// side can fail, or die, in between. Dropping the stream tells the writer to stop. The writer can only be a few items ahead
/// of the reader, and items stay in the connection's memory until they are read: a stream of any length needs little.
///
/// A method with a stream that is not `async` waits with its thread for a free block and for the handler. If tasks call it,
/// make it an `async fn`: else they may occupy all threads of their runtime, while open streams that nobody polls any more
/// hold the blocks that they wait for.
///
/// ```
/// use ipc_rpc::{Streaming, service, testing};
///
/// #[service]
/// pub trait Numbers {
///     fn count(&self, to: u64) -> Streaming<u64>;
///     fn sum(&self, numbers: Streaming<u64>) -> u64;
///     fn double(&self, numbers: Streaming<u64>) -> Streaming<u64>;
/// }
/// struct Abacus;
/// impl Numbers for Abacus {
///     fn count(&self, to: u64) -> Streaming<u64> {
///         Streaming::from_iter(0..to)
///     }
///     fn sum(&self, numbers: Streaming<u64>) -> u64 {
///         numbers.flatten().sum()
///     }
///     fn double(&self, numbers: Streaming<u64>) -> Streaming<u64> {
///         Streaming::try_from_iter(numbers.map(|n| n.map(|n| 2 * n)))
///     }
/// }
///
/// let (numbers, _server) = testing::pair(NumbersDispatcher::new(Abacus))?;
/// for (expected, n) in (0..1000).zip(numbers.count(1000)?) {
///     assert_eq!(n?, expected);
/// }
/// assert_eq!(numbers.sum(Streaming::from_iter(1..=100))?, 5050);
/// let doubled: Result<Vec<u64>, _> = numbers.double(Streaming::from_iter([1, 2, 3]))?.collect();
/// assert_eq!(doubled?, [2, 4, 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Times
/// The limit of [`ClientConfig::timeout`](crate::ClientConfig::timeout) holds for opening the stream, and for the reply after
/// the last item of an argument; between items a stream may rest as long as it likes. With `with_timeout`, or within a call
/// that has a deadline, the deadline holds for the whole stream.
pub struct Streaming<T: Message> {
    source: Source<T>,
}

/// Where the items come from.
pub(crate) enum Source<T: Message> {
    /// An iterator of this process.
    Items(Box<dyn Iterator<Item = Result<T, String>> + Send>),
    /// An asynchronous stream of this process.
    #[cfg(feature = "futures")]
    Stream(std::pin::Pin<Box<dyn futures_core::Stream<Item = T> + Send>>),
    /// A sink of this process.
    Channel(Arc<Channel<T>>),
    /// The same, read in this process.
    Local(Arc<Local>),
    /// The server of a call.
    Output(Box<Reader>),
    /// The client of a call.
    Input(Box<Input>),
    /// There are no more.
    Over,
}

impl<T: Message> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Items(_) => "an iterator",
            #[cfg(feature = "futures")]
            Source::Stream(_) => "a stream of this process",
            Source::Channel(_) | Source::Local(_) => "a sink",
            Source::Output(_) => "the server",
            Source::Input(_) => "the client",
            Source::Over => "nothing",
        };
        f.debug_struct("Streaming").field("from", &source).finish_non_exhaustive()
    }
}

impl<T: Message> Streaming<T> {
    pub(crate) fn over(source: Source<T>) -> Self {
        Streaming { source }
    }

    pub(crate) fn into_source(mut self) -> Source<T> {
        std::mem::replace(&mut self.source, Source::Over)
    }

    pub(crate) fn source(&self) -> &Source<T> {
        &self.source
    }

    /// A stream of an iterator's items. As the result of a method it is run in the server when the client wants items;
    /// it may take its time: then it gets a thread of its own.
    ///
    /// ```
    /// use ipc_rpc::Streaming;
    /// let squares = Streaming::from_iter((0u32..4).map(|n| n * n));
    /// assert_eq!(squares.flatten().collect::<Vec<_>>(), [0, 1, 4, 9]);
    /// ```
    #[allow(clippy::should_implement_trait)] // An iterator that is sent has to be `Send`.
    pub fn from_iter<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Streaming::over(Source::Items(Box::new(items.into_iter().map(Ok))))
    }

    /// A stream of an iterator's items up to the first error, whose text the reader gets as [`CallError::Stream`].
    ///
    /// ```
    /// use ipc_rpc::Streaming;
    /// let numbers = ["1", "2", "x", "4"].map(|text| text.parse::<u32>());
    /// let mut stream = Streaming::try_from_iter(numbers);
    /// assert_eq!(stream.next().unwrap()?, 1);
    /// assert_eq!(stream.next().unwrap()?, 2);
    /// assert!(stream.next().unwrap().unwrap_err().to_string().ends_with("invalid digit found in string"));
    /// assert!(stream.next().is_none());
    /// # Ok::<(), ipc_rpc::CallError>(())
    /// ```
    pub fn try_from_iter<I, E>(items: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: Send + 'static,
        E: fmt::Display + 'static,
    {
        let mut items = items.into_iter();
        let mut over = false;
        let items = std::iter::from_fn(move || {
            let item = if over { None } else { items.next() };
            over = !matches!(item, Some(Ok(_)));
            Some(item?.map_err(text_of))
        });
        Streaming::over(Source::Items(Box::new(items)))
    }

    /// A stream, and a sink that writes its items, from another thread or task.
    ///
    /// ```
    /// use ipc_rpc::Streaming;
    /// let (sink, words) = Streaming::channel();
    /// let writer = std::thread::spawn(move || {
    ///     sink.send(&String::from("one")).unwrap();
    ///     sink.fail("no more words");
    /// });
    /// let words: Vec<Result<String, _>> = words.collect();
    /// assert_eq!(words[0].as_ref().unwrap(), "one");
    /// assert!(words[1].as_ref().unwrap_err().to_string().ends_with("no more words"));
    /// # writer.join().unwrap();
    /// ```
    pub fn channel() -> (Sink<T>, Self) {
        let channel = Channel::new();
        (Sink::new(Arc::clone(&channel)), Streaming::over(Source::Channel(channel)))
    }

    /// A stream of an asynchronous stream's items.
    ///
    /// As the result of a method it is polled by the server's executor, as an argument by the call: the future of an async
    /// one, a thread otherwise.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use ipc_rpc::Streaming;
    ///
    /// struct Once(Option<u32>);
    /// impl futures_core::Stream for Once {
    ///     type Item = u32;
    ///     fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    ///         Poll::Ready(self.0.take())
    ///     }
    /// }
    /// let mut stream = Streaming::from_stream(Once(Some(7)));
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Some(Ok(7)))));
    /// ```
    #[cfg(feature = "futures")]
    pub fn from_stream(items: impl futures_core::Stream<Item = T> + Send + 'static) -> Self {
        Streaming::over(Source::Stream(Box::pin(items)))
    }

    /// The next item, `None` after the last one and after an error. Dropping the future loses no item.
    ///
    /// ```
    /// use ipc_rpc::{CallError, Streaming};
    ///
    /// async fn total(mut numbers: Streaming<u64>) -> Result<u64, CallError> {
    ///     let mut total = 0;
    ///     while let Some(number) = numbers.next_async().await {
    ///         total += number?;
    ///     }
    ///     Ok(total)
    /// }
    /// # let future = std::pin::pin!(total(Streaming::from_iter([1, 2, 3])));
    /// # let poll = future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    /// # assert!(matches!(poll, std::task::Poll::Ready(Ok(6))));
    /// ```
    pub async fn next_async(&mut self) -> Option<Result<T, CallError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Streaming::next_async`], for implementations of other traits.
    ///
    /// ```
    /// use std::task::{Context, Poll, Waker};
    /// use ipc_rpc::Streaming;
    /// let mut stream = Streaming::from_iter([7u8]);
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(Some(Ok(7)))));
    /// assert!(matches!(stream.poll_next(&mut cx), Poll::Ready(None)));
    /// ```
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        self.begin();
        let item = match &mut self.source {
            Source::Items(items) => here(items.next()),
            #[cfg(feature = "futures")]
            Source::Stream(items) => std::task::ready!(items.as_mut().poll_next(cx)).map(Ok),
            Source::Local(local) => unpack(std::task::ready!(local.poll_next(cx))),
            Source::Output(reader) => std::task::ready!(reader.poll_next(cx)),
            Source::Input(input) => std::task::ready!(input.poll_next(cx)),
            Source::Channel(_) | Source::Over => None,
        };
        self.note(&item);
        Poll::Ready(item)
    }

    /// A channel's stream is read here.
    fn begin(&mut self) {
        if let Source::Channel(channel) = &self.source {
            let local = Arc::new(Local::default());
            channel.attach(Arc::<Local>::clone(&local));
            self.source = Source::Local(local);
        }
    }

    /// After the last item and after an error there is nothing.
    fn note(&mut self, item: &Option<Result<T, CallError>>) {
        if !matches!(item, Some(Ok(_))) {
            self.end();
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.source, Source::Over) {
            Source::Channel(channel) => channel.abandon(),
            Source::Local(local) => local.close(),
            _ => {}
        }
    }
}

impl<T: Message> Iterator for Streaming<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.begin();
        let item = match &mut self.source {
            Source::Items(items) => here(items.next()),
            #[cfg(feature = "futures")]
            Source::Stream(items) => crate::park::block_on(poll_fn(|cx| items.as_mut().poll_next(cx))).map(Ok),
            Source::Local(local) => unpack(local.next()),
            Source::Output(reader) => reader.next(),
            Source::Input(input) => input.next(),
            Source::Channel(_) | Source::Over => None,
        };
        self.note(&item);
        item
    }
}

impl<T: Message> FusedIterator for Streaming<T> {}

#[cfg(feature = "futures")]
impl<T: Message> futures_core::Stream for Streaming<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Streaming::poll_next(&mut self, cx)
    }
}

impl<T: Message> Unpin for Streaming<T> {}

impl<T: Message> Drop for Streaming<T> {
    fn drop(&mut self) {
        self.end();
    }
}

fn here<T>(item: Option<Result<T, String>>) -> Option<Result<T, CallError>> {
    Some(item?.map_err(|reason| failed(HERE, reason)))
}

fn unpack<T: Message>(item: Result<Packed, Option<String>>) -> Option<Result<T, CallError>> {
    match item {
        Ok(packed) => Some(packed.read().map_err(|error| CallError::Reply { method: HERE, error })),
        Err(end) => Some(Err(failed(HERE, end?))),
    }
}

/// The error of a stream that the other side has ended.
pub(crate) fn failed(method: MethodName, reason: String) -> CallError {
    CallError::Stream { method, reason: reason.into_boxed_str() }
}

/// The text of a failure, without the frame that this side would put round it again.
pub(crate) fn reason_of(error: CallError) -> String {
    match error {
        CallError::Stream { reason, .. } => reason.into(),
        other => other.to_string(),
    }
}

/// What an error of an iterator says; of one that another stream has ended with, what that one said.
fn text_of<E: fmt::Display + 'static>(error: E) -> String {
    let mut error = Some(error);
    let of_stream = (&mut error as &mut dyn Any).downcast_mut::<Option<CallError>>().and_then(Option::take);
    match (of_stream, error) {
        (Some(error), _) => reason_of(error),
        (None, error) => error.map(|error| error.to_string()).unwrap_or_default(),
    }
}

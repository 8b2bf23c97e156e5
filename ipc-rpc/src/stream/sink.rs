//! The writing end of a stream, for code that produces items when it likes.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::channel::Channel;
use crate::message::{EncodeError, Message};

/// Writes the items of a stream; made by [`Streaming::channel`](crate::Streaming::channel).
///
/// Sending waits until the reader has room: a slow reader slows the writer, and nothing piles up. Dropping the sink ends the
/// stream; dropping it while its thread panics, or [`Sink::fail`], ends it with an error that the reader gets. So a writer
/// that leaves early has to say so: if `?` or a task that is aborted drops the sink, the reader takes what came for the whole.
///
/// ```
/// use ipc_rpc::{Streaming, service, testing};
///
/// #[service]
/// pub trait Clock {
///     fn ticks(&self, count: u32) -> Streaming<u32>;
/// }
/// struct Quartz;
/// impl Clock for Quartz {
///     fn ticks(&self, count: u32) -> Streaming<u32> {
///         let (sink, ticks) = Streaming::channel();
///         // Not here: nobody reads before this method has returned.
///         std::thread::spawn(move || {
///             for tick in 0..count {
///                 if sink.send(&tick).is_err() {
///                     return; // The client does not listen any more.
///                 }
///             }
///         });
///         ticks
///     }
/// }
///
/// let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
/// let ticks: Result<Vec<u32>, _> = clock.ticks(5)?.collect();
/// assert_eq!(ticks?, [0, 1, 2, 3, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sink<T: Message> {
    /// `None` once the end has been said.
    channel: Option<Arc<Channel<T>>>,
}

/// Why nothing more can be sent: the reader is gone, or the item cannot be sent, which ends the stream too.
///
/// ```
/// use ipc_rpc::Streaming;
/// let (sink, stream) = Streaming::<u32>::channel();
/// drop(stream);
/// assert_eq!(sink.send(&1).unwrap_err().to_string(), "nobody reads the stream any more");
/// ```
#[derive(Debug)]
pub struct Closed {
    error: Option<EncodeError>,
}

impl Closed {
    pub(crate) fn unread() -> Self {
        Closed { error: None }
    }

    pub(crate) fn cannot(error: EncodeError) -> Self {
        Closed { error: Some(error) }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            None => f.write_str("nobody reads the stream any more"),
            Some(error) => write!(f, "the item cannot be sent: {error}"),
        }
    }
}

impl std::error::Error for Closed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

/// Why [`Sink::try_send`] has not sent.
///
/// ```
/// use ipc_rpc::{NotSent, Streaming};
/// let (sink, stream) = Streaming::<u32>::channel();
/// drop(stream);
/// assert!(matches!(sink.try_send(&1), Err(NotSent::Closed(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NotSent {
    /// The reader has no room now.
    Full,
    /// Nothing more can be sent.
    Closed(Closed),
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotSent::Full => f.write_str("the reader of the stream has no room now"),
            NotSent::Closed(closed) => closed.fmt(f),
        }
    }
}

impl std::error::Error for NotSent {}

impl<T: Message> fmt::Debug for Sink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("closed", &self.is_closed()).finish()
    }
}

impl<T: Message> Sink<T> {
    pub(crate) fn new(channel: Arc<Channel<T>>) -> Self {
        Sink { channel: Some(channel) }
    }

    fn channel(&self) -> Result<&Channel<T>, Closed> {
        self.channel.as_deref().ok_or_else(Closed::unread)
    }

    /// Sends an item, as soon as the reader has room for it. Waits also while it is not known yet who reads: in a handler,
    /// send from another thread or task, or return `Streaming::from_iter(..)`.
    ///
    /// ```
    /// # use ipc_rpc::{Streaming, service, testing};
    /// # #[service]
    /// # pub trait Clock { fn ticks(&self, count: u32) -> Streaming<u32>; }
    /// # struct Quartz;
    /// # impl Clock for Quartz {
    /// #     fn ticks(&self, count: u32) -> Streaming<u32> {
    /// #         let (sink, ticks) = Streaming::channel();
    /// #         std::thread::spawn(move || write(&sink, count));
    /// #         ticks
    /// #     }
    /// # }
    /// # use ipc_rpc::Sink;
    /// fn write(ticks: &Sink<u32>, count: u32) {
    ///     for tick in 0..count {
    ///         if ticks.send(&tick).is_err() {
    ///             return; // nobody reads any more
    ///         }
    ///     }
    /// }
    /// # let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
    /// # assert_eq!(clock.ticks(5)?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`].
    pub fn send(&self, item: &T) -> Result<(), Closed> {
        let channel = self.channel()?;
        match channel.transport() {
            Some(transport) => transport.send(item),
            None => channel.wait()?.send(item),
        }
    }

    /// Sends an item if the reader has room for it now.
    ///
    /// ```
    /// # use ipc_rpc::{Streaming, service, testing};
    /// # #[service]
    /// # pub trait Clock { fn ticks(&self, count: u32) -> Streaming<u32>; }
    /// # struct Quartz;
    /// # impl Clock for Quartz {
    /// #     fn ticks(&self, count: u32) -> Streaming<u32> {
    /// #         let (sink, ticks) = Streaming::channel();
    /// #         std::thread::spawn(move || write(&sink, count));
    /// #         ticks
    /// #     }
    /// # }
    /// # use ipc_rpc::{NotSent, Sink};
    /// fn write(ticks: &Sink<u32>, count: u32) {
    ///     let mut tick = 0;
    ///     while tick < count {
    ///         match ticks.try_send(&tick) {
    ///             Ok(()) => tick += 1,
    ///             Err(NotSent::Full) => std::thread::yield_now(), // or something useful
    ///             Err(_) => return,
    ///         }
    ///     }
    /// }
    /// # let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
    /// # assert_eq!(clock.ticks(5)?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NotSent`].
    pub fn try_send(&self, item: &T) -> Result<(), NotSent> {
        let channel = self.channel().map_err(NotSent::Closed)?;
        match channel.transport() {
            Some(transport) => transport.try_send(item),
            None if channel.is_closed() => Err(NotSent::Closed(Closed::unread())),
            None => Err(NotSent::Full),
        }
    }

    /// Ready once the reader has room, so that [`Sink::try_send`] most likely sends.
    ///
    /// ```
    /// # use ipc_rpc::{Streaming, service, testing};
    /// # #[service]
    /// # pub trait Clock { fn ticks(&self, count: u32) -> Streaming<u32>; }
    /// # struct Quartz;
    /// # impl Clock for Quartz {
    /// #     fn ticks(&self, count: u32) -> Streaming<u32> {
    /// #         let (sink, ticks) = Streaming::channel();
    /// #         std::thread::spawn(move || write(&sink, count));
    /// #         ticks
    /// #     }
    /// # }
    /// # use ipc_rpc::Sink;
    /// # fn write(ticks: &Sink<u32>, count: u32) { let _ = smol::block_on(write_all(ticks, count)); }
    /// async fn write_all(ticks: &Sink<u32>, count: u32) -> Result<(), ipc_rpc::Closed> {
    ///     let mut tick = 0;
    ///     while tick < count {
    ///         std::future::poll_fn(|cx| ticks.poll_ready(cx)).await?;
    ///         tick += u32::from(ticks.try_send(&tick).is_ok());
    ///     }
    ///     Ok(())
    /// }
    /// # let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
    /// # assert_eq!(clock.ticks(5)?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`].
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let channel = match self.channel() {
            Ok(channel) => channel,
            Err(closed) => return Poll::Ready(Err(closed)),
        };
        match channel.transport() {
            Some(transport) => transport.poll_ready(cx),
            None => ready!(channel.poll(cx))?.poll_ready(cx),
        }
    }

    /// Sends an item once the reader has room for it; until then it asks for `cx` to be woken.
    ///
    /// ```
    /// # use ipc_rpc::{Streaming, service, testing};
    /// # #[service]
    /// # pub trait Clock { fn ticks(&self, count: u32) -> Streaming<u32>; }
    /// # struct Quartz;
    /// # impl Clock for Quartz {
    /// #     fn ticks(&self, count: u32) -> Streaming<u32> {
    /// #         let (sink, ticks) = Streaming::channel();
    /// #         std::thread::spawn(move || write(&sink, count));
    /// #         ticks
    /// #     }
    /// # }
    /// # use ipc_rpc::Sink;
    /// # fn write(ticks: &Sink<u32>, count: u32) { let _ = smol::block_on(write_all(ticks, count)); }
    /// async fn write_all(ticks: &Sink<u32>, count: u32) -> Result<(), ipc_rpc::Closed> {
    ///     for tick in 0..count {
    ///         std::future::poll_fn(|cx| ticks.poll_send(cx, &tick)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
    /// # assert_eq!(clock.ticks(5)?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`].
    pub fn poll_send(&self, cx: &mut Context<'_>, item: &T) -> Poll<Result<(), Closed>> {
        loop {
            ready!(self.poll_ready(cx))?;
            match self.try_send(item) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(NotSent::Closed(closed)) => return Poll::Ready(Err(closed)),
                Err(NotSent::Full) => {}
            }
        }
    }

    /// As [`Sink::send`], for async code.
    ///
    /// ```
    /// # use ipc_rpc::{Streaming, service, testing};
    /// # #[service]
    /// # pub trait Clock { fn ticks(&self, count: u32) -> Streaming<u32>; }
    /// # struct Quartz;
    /// # impl Clock for Quartz {
    /// #     fn ticks(&self, count: u32) -> Streaming<u32> {
    /// #         let (sink, ticks) = Streaming::channel();
    /// #         std::thread::spawn(move || write(&sink, count));
    /// #         ticks
    /// #     }
    /// # }
    /// # use ipc_rpc::Sink;
    /// # fn write(ticks: &Sink<u32>, count: u32) { let _ = smol::block_on(write_all(ticks, count)); }
    /// async fn write_all(ticks: &Sink<u32>, count: u32) -> Result<(), ipc_rpc::Closed> {
    ///     for tick in 0..count {
    ///         ticks.send_async(&tick).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let (clock, _server) = testing::pair(ClockDispatcher::new(Quartz))?;
    /// # assert_eq!(clock.ticks(5)?.collect::<Result<Vec<_>, _>>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send_async(&self, item: &T) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_send(cx, item)).await
    }

    /// Ends the stream with an error, which the reader gets after the items sent so far.
    ///
    /// ```
    /// use ipc_rpc::Streaming;
    /// let (sink, words) = Streaming::<String>::channel();
    /// sink.fail("no more words");
    /// let words: Vec<Result<String, _>> = words.collect();
    /// assert!(words[0].as_ref().unwrap_err().to_string().ends_with("no more words"));
    /// ```
    pub fn fail(mut self, reason: impl fmt::Display) {
        if let Some(channel) = self.channel.take() {
            channel.finish(Some(reason.to_string()));
        }
    }

    /// Does nobody read any more? Of a reader in another process this is known as soon as it was told.
    ///
    /// ```
    /// use ipc_rpc::Streaming;
    /// let (sink, stream) = Streaming::<u32>::channel();
    /// assert!(!sink.is_closed());
    /// drop(stream);
    /// assert!(sink.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.channel.as_ref().is_none_or(|channel| channel.is_closed())
    }
}

impl<T: Message> Drop for Sink<T> {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            let panics = std::thread::panicking();
            channel.finish(panics.then(|| String::from("the thread that wrote it panicked")));
        }
    }
}

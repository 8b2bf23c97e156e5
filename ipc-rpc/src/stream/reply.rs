//! Streams as arguments and results of a handler.

use std::sync::Arc;

use super::Table;
use super::input::Input;
use super::outlet::{Outlet, Writer};
use super::produce::Items;
use super::streaming::{Source, Streaming, reason_of};
use super::threads::Leave;
use super::wire::CLOSE_OUTPUT;
use crate::admitted::Admitted;
use crate::context::Context;
use crate::message::Message;
use crate::router::Client;
use crate::runtime::Runtime;
use crate::service::{Incoming, Refused, Replied};
use crate::status;
use crate::trust::Reading;

#[cold]
fn rejected(reason: &str) -> Refused {
    Refused::new(status::REJECTED, reason)
}

/// Leave for what a stream needs of the server: asked for before the handler runs, if it is known then that it will be needed.
#[derive(Debug)]
pub struct Room(Option<Leave>);

/// What a call's streams need to know of it and of its client.
struct Site {
    streams: Table,
    reading: Reading,
    runtime: Arc<Runtime>,
    target: u16,
    method: u16,
}

impl Site {
    fn of(client: &Client, target: u16, method: u16) -> Self {
        let (streams, runtime) = (client.streams.clone(), client.runtime.clone());
        Site { streams, reading: client.reading, runtime, target, method }
    }
}

/// Leave for a stream whose method waits, and so does whoever makes its items.
fn room(site: &Site) -> Result<Room, Refused> {
    if !site.runtime.method(site.method).1 {
        return Ok(Room(None));
    }
    let leave = site.streams.threads.take();
    let busy = || Refused::new(status::BUSY, too_many(site));
    leave.map(|leave| Room(Some(leave))).ok_or_else(busy)
}

fn too_many(site: &Site) -> String {
    format!(
        "{} streams of this client wait in threads, as many as `Limits::streams` allows",
        site.streams.threads.limit()
    )
}

/// The input stream that was announced for a call.
fn claim<I: Message>(site: &Site) -> Result<Streaming<I>, Refused> {
    let target = site.target;
    let Some(inlet) = site.streams.claim_inlet(target) else {
        return Err(rejected("the request comes without its input stream"));
    };
    let input = Input::new(inlet, site.streams.home(target), site.reading, site.runtime.method(site.method).0);
    Ok(Streaming::over(Source::Input(Box::new(input))))
}

/// Lets a client read what a handler has returned. The reply is written already.
fn attach<T: Message>(site: &Site, context: &Context, stream: Streaming<T>, room: Room) -> Result<(), Refused> {
    let target = site.target;
    let home = site.streams.home(target);
    let add = |outlet: &Arc<_>| site.streams.add_outlet(target, outlet).map_err(rejected);
    match stream.into_source() {
        Source::Channel(channel) => {
            let outlet = Outlet::for_sink(home);
            if let Err(refused) = add(&outlet) {
                channel.abandon();
                return Err(refused);
            }
            channel.attach(Arc::new(Writer(outlet)));
        }
        #[cfg(feature = "futures")]
        Source::Stream(items) => {
            let outlet = Outlet::for_sink(home);
            add(&outlet)?;
            let writer = Writer(outlet);
            site.runtime.spawn(Box::pin(writer.write_all(items)));
        }
        source => {
            // An iterator whose method takes a stream, or is declared to wait, waits for others as a matter of course: there is
            // room for its thread. So does one that reads a stream of somebody else's, as only turns out here.
            let leave = match (room.0, &source) {
                (None, Source::Items(_)) => None,
                (leave, _) => {
                    let busy = || Refused::new(status::RESULT, too_many(site));
                    Some(leave.or_else(|| site.streams.threads.take()).ok_or_else(busy)?)
                }
            };
            let items = match source {
                Source::Items(items) => items,
                other => Box::new(Streaming::over(other).map(|item| item.map_err(reason_of))),
            };
            let outlet = Outlet::for_items(home, Box::new(Items::<T>(items)), leave.is_some());
            add(&outlet)?;
            if let Some(leave) = leave {
                outlet.start(leave);
            }
        }
    }
    // A client that gives a call up does that first and closes the stream then: either it has found the stream, or we see
    // here that it was too early.
    if context.is_cancelled() {
        site.streams.close_stream(target, CLOSE_OUTPUT);
    }
    Ok(())
}

impl Incoming<'_> {
    /// The stream that comes with the arguments.
    ///
    /// # Errors
    /// The request comes without one.
    pub fn input<I: Message>(&self) -> Result<Streaming<I>, Refused> {
        claim(&Site::of(self.client(), self.target(), self.method()))
    }

    /// Leave for the stream that the handler will return.
    ///
    /// # Errors
    /// The client has too many.
    pub fn room(&self) -> Result<Room, Refused> {
        room(&Site::of(self.client(), self.target(), self.method()))
    }

    /// Replies with a stream.
    ///
    /// # Errors
    /// The request names no stream.
    pub fn reply_stream<T: Message>(self, stream: Streaming<T>, room: Room) -> Result<Replied, Refused> {
        let (site, context) = (Site::of(self.client(), self.target(), self.method()), self.context());
        let replied = self.reply::<()>(&())?;
        attach(&site, &context, stream, room)?;
        Ok(replied)
    }

    /// Replies with a stream, or with why there is none.
    ///
    /// # Errors
    /// The error cannot be sent, or the request names no stream.
    pub fn reply_stream_result<T: Message, E: Message>(
        self,
        result: Result<Streaming<T>, E>,
        room: Room,
    ) -> Result<Replied, Refused> {
        match result {
            Ok(stream) => {
                let (site, context) = (Site::of(self.client(), self.target(), self.method()), self.context());
                let replied = self.reply::<Result<(), E>>(&Ok(()))?;
                attach(&site, &context, stream, room)?;
                Ok(replied)
            }
            Err(error) => self.reply::<Result<(), E>>(&Err(error)),
        }
    }
}

impl Admitted {
    fn site(&self) -> Result<Site, Refused> {
        let (target, method) = (self.target(), self.method());
        self.client(|client| Site::of(client, target, method)).ok_or_else(|| rejected("the call is answered"))
    }

    /// The stream that comes with the arguments.
    ///
    /// # Errors
    /// The request comes without one.
    pub fn input<I: Message>(&self) -> Result<Streaming<I>, Refused> {
        claim(&self.site()?)
    }

    /// Leave for the stream that the handler will return.
    ///
    /// # Errors
    /// The client has too many.
    pub fn room(&self) -> Result<Room, Refused> {
        room(&self.site()?)
    }

    /// Replies with a stream.
    ///
    /// # Errors
    /// The request names no stream.
    pub fn reply_stream<T: Message>(&self, stream: Streaming<T>, room: Room) -> Result<Replied, Refused> {
        let replied = self.reply::<()>(&())?;
        attach(&self.site()?, &self.context(), stream, room)?;
        Ok(replied)
    }

    /// Replies with a stream, or with why there is none.
    ///
    /// # Errors
    /// The error cannot be sent, or the request names no stream.
    pub fn reply_stream_result<T: Message, E: Message>(
        &self,
        result: Result<Streaming<T>, E>,
        room: Room,
    ) -> Result<Replied, Refused> {
        match result {
            Ok(stream) => {
                let replied = self.reply::<Result<(), E>>(&Ok(()))?;
                attach(&self.site()?, &self.context(), stream, room)?;
                Ok(replied)
            }
            Err(error) => self.reply::<Result<(), E>>(&Err(error)),
        }
    }
}

//! Calls without a reply to wait for, and calls that are announced together.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_core::caller::{Caller, Failure, NoBlock, NotFlushed, Pending};

use crate::call_error::CallError;
use crate::connect::Connection;
use crate::message::{Argument, Message};
use crate::service::FLUSH;
use crate::session::Session;
use crate::stub::{AT_ONCE, Shared, Stub};
use crate::terms::Terms;

thread_local! {
    /// Its address tells threads apart.
    static HERE: Cell<u8> = const { Cell::new(0) };
}

fn here() -> usize {
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// One run of [`Stub::batch`]: requests of its stub are not announced to the server before it ends.
///
/// Only in its own thread, because a stub may be taken to others and out of the run: whoever submits there has nobody that
/// announces it.
#[derive(Debug)]
pub(crate) struct Batch {
    thread: usize,
    open: AtomicBool,
}

impl Batch {
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.thread == here() && self.open.load(Ordering::Relaxed)
    }
}

/// Ends a batch, also when it unwinds.
struct End<'a> {
    batch: &'a Batch,
    session: &'a Session,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.batch.open.store(false, Ordering::Relaxed);
        self.session.read().caller.notify();
    }
}

impl Stub {
    /// Runs `f` with a stub whose requests are announced to the server together, when `f` is over or something is waited for.
    pub fn batch<R>(&self, f: impl FnOnce(Stub) -> R) -> R {
        let batch = Arc::new(Batch { thread: here(), open: AtomicBool::new(true) });
        let _end = End { batch: &batch, session: &self.session };
        f(self.with_special(|special| special.batch = Some(batch.clone())))
    }

    /// Hands a request over and does not wait for the answer.
    ///
    /// # Errors
    /// [`CallError`]: it was not handed over.
    #[inline]
    pub fn oneway<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(), CallError> {
        let connection = self.session.read();
        let limit = self.limit();
        let sent = if self.is_plain() {
            connection.begin(&*connection.caller, method, args, limit).map(Pending::detach)
        } else if let Some(chain) = self.interceptors() {
            return self.intercepted(chain, method, true, |()| false, |stub| stub.oneway(method, args));
        } else {
            self.oneway_on_terms(&connection, method, args)
        };
        match sent {
            Err(error) => self.again(&connection, method, error, limit.moment(), |stub| stub.oneway(method, args)),
            sent => sent,
        }
    }

    #[cold]
    #[inline(never)]
    fn oneway_on_terms<A: Message>(
        &self,
        connection: &Connection,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<(), CallError> {
        let terms = self.terms(connection, method)?;
        connection.note_oneway();
        self.begin_on(connection, &*connection.caller, method, args, &terms)?.detach();
        Ok(())
    }

    /// As [`Stub::oneway`], but waits for a free block as a future does.
    ///
    /// # Errors
    /// [`CallError`]: it was not handed over.
    pub async fn oneway_async<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(), CallError> {
        let send = |stub: Stub| async move { stub.hand_over_async(method, args).await };
        match self.interceptors() {
            Some(chain) => Box::pin(self.intercepted_async(chain, method, true, |()| false, send)).await,
            None => self.hand_over_async(method, args).await,
        }
    }

    async fn hand_over_async<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(), CallError> {
        let mut rounds = self.rounds(method);
        loop {
            match rounds.stub().oneway_once(&self.session, method, args).await {
                Err(error) => rounds.next_async(method, error).await?,
                sent => return sent,
            }
        }
    }

    async fn oneway_once<A: Message>(
        &self,
        session: &Session,
        method: u16,
        args: &impl Argument<A>,
    ) -> Result<(), CallError> {
        let connection = self.session.share();
        let terms = self.terms(&connection, method)?;
        connection.note_oneway();
        let draft = Caller::draft_async(Shared(connection.clone()), terms.limit).await;
        let draft = draft.map_err(|why| connection.not_sent(method, why))?;
        // Of a connection that was replaced meanwhile, and may be forgotten, nobody would hear that it has lost this call. It is
        // not forgotten while it is read.
        let present = session.read();
        if present.id() != connection.id() {
            return Err(connection.not_sent(method, NoBlock::Ended));
        }
        self.submit(&connection, draft, method, args, &terms, AT_ONCE)?.detach();
        Ok(())
    }

    /// Waits until the server is done with every one-way request that was handed over before.
    ///
    /// # Errors
    /// [`CallError`]: it is unknown which of them were taken.
    pub fn flush(&self) -> Result<(), CallError> {
        let connection = self.session.share();
        let terms = self.terms(&connection, FLUSH)?;
        // What was handed over to a server that is leaving is answered there, or lost with it.
        for over in self.session.retired() {
            let flushed = over.caller.flush(terms.limit);
            self.may_be_lost(&over, flushed, &terms)?;
        }
        let flushed = connection.caller.flush(terms.limit);
        self.flushed(&connection, flushed, &terms)
    }

    /// As [`Stub::flush`].
    ///
    /// # Errors
    /// [`CallError`]: it is unknown which of them were taken.
    pub async fn flush_async(&self) -> Result<(), CallError> {
        let connection = self.session.share();
        let terms = self.terms(&connection, FLUSH)?;
        for over in self.session.retired() {
            let flushed = Caller::flush_async(Shared(over.clone()), terms.limit).await;
            self.may_be_lost(&over, flushed, &terms)?;
        }
        let flushed = Caller::flush_async(Shared(connection.clone()), terms.limit).await;
        self.flushed(&connection, flushed, &terms)
    }

    /// A connection that was replaced has been flushed: what is lost with it is told at the end, once.
    fn may_be_lost(&self, over: &Connection, flushed: Result<(), NotFlushed>, terms: &Terms) -> Result<(), CallError> {
        match flushed {
            Ok(()) => Ok(()),
            Err(NotFlushed::Ended) => {
                self.session.note_loss(over);
                Ok(())
            }
            Err(why) => Err(self.not_flushed(over, &why, terms)),
        }
    }

    /// All connections have been flushed, the present one at last.
    fn flushed(
        &self,
        connection: &Connection,
        flushed: Result<(), NotFlushed>,
        terms: &Terms,
    ) -> Result<(), CallError> {
        let flushed = flushed.inspect_err(|why| {
            if *why == NotFlushed::Ended {
                self.session.note_loss(connection);
            }
        });
        let lost = self.session.has_lost(connection, &self.told);
        match flushed {
            Ok(()) if lost => Err(self.not_flushed(connection, &NotFlushed::Ended, terms)),
            Ok(()) => Ok(()),
            Err(why) => Err(self.not_flushed(connection, &why, terms)),
        }
    }

    #[cold]
    fn not_flushed(&self, connection: &Connection, why: &NotFlushed, terms: &Terms) -> CallError {
        let failure = match why {
            NotFlushed::TimedOut => Failure::TimedOut,
            _ => Failure::MayHaveRun,
        };
        connection.failed(FLUSH, failure, terms.allowed)
    }
}

//! Calls without a reply to wait for, and calls that are announced together.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_core::caller::{Caller, Failure, NotFlushed};

use crate::call_error::CallError;
use crate::message::{Argument, Message};
use crate::service::FLUSH;
use crate::stub::Stub;
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
    caller: &'a Caller,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.batch.open.store(false, Ordering::Relaxed);
        self.caller.notify();
    }
}

impl Stub {
    /// Runs `f` with a stub whose requests are announced to the server together, when `f` is over or something is waited for.
    pub fn batch<R>(&self, f: impl FnOnce(Stub) -> R) -> R {
        let batch = Arc::new(Batch { thread: here(), open: AtomicBool::new(true) });
        let _end = End { batch: &batch, caller: &self.connection.caller };
        f(self.with_special(|special| special.batch = Some(batch.clone())))
    }

    /// Hands a request over and does not wait for the answer.
    ///
    /// # Errors
    /// [`CallError`]: it was not handed over.
    #[inline]
    pub fn oneway<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(), CallError> {
        if self.is_plain() {
            self.begin(&*self.connection.caller, method, args, self.limit())?.detach();
            return Ok(());
        }
        let terms = self.terms(method)?;
        self.connection.note_oneway();
        self.begin_on(&*self.connection.caller, method, args, &terms)?.detach();
        Ok(())
    }

    /// As [`Stub::oneway`], but waits for a free block as a future does.
    ///
    /// # Errors
    /// [`CallError`]: it was not handed over.
    pub async fn oneway_async<A: Message>(&self, method: u16, args: &impl Argument<A>) -> Result<(), CallError> {
        let terms = self.terms(method)?;
        self.connection.note_oneway();
        self.begin_async(&*self.connection.caller, method, args, &terms).await?.detach();
        Ok(())
    }

    /// Waits until the server is done with every one-way request that was handed over before.
    ///
    /// # Errors
    /// [`CallError`]: it is unknown which of them were taken.
    pub fn flush(&self) -> Result<(), CallError> {
        let terms = self.terms(FLUSH)?;
        self.connection.caller.flush(terms.limit).map_err(|why| self.not_flushed(&why, &terms))
    }

    /// As [`Stub::flush`].
    ///
    /// # Errors
    /// [`CallError`]: it is unknown which of them were taken.
    pub async fn flush_async(&self) -> Result<(), CallError> {
        let terms = self.terms(FLUSH)?;
        let flushed = Caller::flush_async(&*self.connection.caller, terms.limit).await;
        flushed.map_err(|why| self.not_flushed(&why, &terms))
    }

    #[cold]
    fn not_flushed(&self, why: &NotFlushed, terms: &Terms) -> CallError {
        let failure = match why {
            NotFlushed::TimedOut => Failure::TimedOut,
            _ => Failure::MayHaveRun,
        };
        self.connection.failed(FLUSH, failure, terms.allowed)
    }
}

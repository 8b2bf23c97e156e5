//! Code around calls, on both sides: who may call, how often, what is done when a call fails, and what is noted about it.
//!
//! An [`Interceptor`] is a function that gets each [`Call`] before it is made, decides whether it is, and sees what becomes of
//! it. It is the same on both sides: `client.with_interceptor(..)` puts it around the calls of a client, whatever they are
//! (waited for, awaited, started, one-way, with streams), and
//! [`ServerBuilder::intercept`](crate::ServerBuilder::intercept) around the handlers of a server. Several of them are around each
//! other, the first that was added outermost.
//!
//! ```
//! use std::time::Instant;
//! use ipc_rpc::intercept::{Call, Next};
//! use ipc_rpc::{CallError, Server, service, testing};
//!
//! #[service]
//! pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
//! struct Adder;
//! impl Calc for Adder {
//!     fn add(&self, a: u64, b: u64) -> u64 { a + b }
//! }
//!
//! let server = Server::builder().intercept(|call: Call, next: Next| async move {
//!     match call.metadata().get("tenant") {
//!         Some(_) => next.run(call).await,
//!         None => Err(call.denied("say for whom")), // the handler does not run
//!     }
//! });
//! let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
//! assert!(matches!(calc.add(2, 3), Err(CallError::Denied { .. })));
//!
//! let calc = calc.with_interceptor(|mut call: Call, next: Next| async move {
//!     call.set("tenant", "blue");
//!     let (method, began) = (call.method(), Instant::now());
//!     let done = next.run(call).await;
//!     println!("{method} took {:?}", began.elapsed());
//!     done
//! });
//! assert_eq!(calc.add(2, 3)?, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ready-made are [`Retry`], [`RateLimit`] and [`Authenticate`], and with features of the same names spans of `tracing` (`Spans`),
//! counters for `metrics` (`Counts`), and what is there for `tower` (`Tower`).
//!
//! # What it costs
//! Nothing where there is none. A client with interceptors, or a server with them, takes the long way for each call, with an
//! allocation for each interceptor and one for the call.
//!
//! # Where it runs
//! An interceptor is a future, but needs no runtime. Around a call that a thread waits for, and around a handler that is not
//! `async`, it is polled by that thread, which sleeps when the interceptor waits for something else than the call. Around a call
//! that is awaited, and around an `async` handler, it is polled with it. What is dropped is cancelled: the interceptors of a call
//! that is given up do not see its end.

pub(crate) mod authenticate;
mod call;
#[cfg(feature = "metrics")]
mod counts;
#[cfg(feature = "tower")]
mod layer;
mod layered;
mod outgoing;
mod rate_limit;
mod retry;
#[cfg(feature = "tracing")]
mod spans;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use authenticate::Authenticate;
pub use call::{Call, Done};
#[cfg(feature = "metrics")]
pub use counts::Counts;
#[cfg(feature = "tower")]
pub use layer::{Tower, TowerCall, TowerCalls};
pub use layered::Next;
pub use rate_limit::RateLimit;
pub use retry::Retry;
#[cfg(feature = "tracing")]
pub use spans::Spans;

pub(crate) use call::Kind;
pub(crate) use layered::{End, Layered, Step, What, Wish, drive};
pub(crate) use outgoing::{Attempts, FOREIGN, SKIPPED};

use crate::call_error::CallError;

/// What an [`Interceptor`] gives back: how the call ended, later.
///
/// ```
/// use ipc_rpc::intercept::{Call, Intercepted, Next};
/// fn as_it_is(call: Call, next: Next) -> Intercepted {
///     Box::pin(async move { next.run(call).await })
/// }
/// # let _ = as_it_is;
/// ```
pub type Intercepted = Pin<Box<dyn Future<Output = Result<Done, CallError>> + Send>>;

/// Code around calls: see the [module](self). Functions from a [`Call`] and a [`Next`] to a future are interceptors.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use ipc_rpc::intercept::{Call, Intercepted, Interceptor, Next};
/// use ipc_rpc::{service, testing};
///
/// #[derive(Clone, Default)]
/// struct Failures(Arc<AtomicU64>);
/// impl Interceptor for Failures {
///     fn call(&self, call: Call, next: Next) -> Intercepted {
///         let failures = self.0.clone();
///         Box::pin(async move {
///             let done = next.run(call).await;
///             if done.as_ref().is_ok_and(|done| done.failed()) {
///                 failures.fetch_add(1, Ordering::Relaxed);
///             }
///             done
///         })
///     }
/// }
///
/// #[service]
/// pub trait Calc { fn half(&self, a: u64) -> Result<u64, String>; }
/// struct Halver;
/// impl Calc for Halver {
///     fn half(&self, a: u64) -> Result<u64, String> {
///         if a % 2 == 0 { Ok(a / 2) } else { Err(format!("{a} is odd")) }
///     }
/// }
/// let (calc, _server) = testing::pair(CalcDispatcher::new(Halver))?;
/// let failures = Failures::default();
/// let calc = calc.with_interceptor(failures.clone());
/// assert_eq!(calc.half(4).unwrap(), 2);
/// assert!(calc.half(5).is_err());
/// assert_eq!(failures.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no interceptor",
    note = "a function is one that is declared like this: `|call: Call, next: Next| async move {{ next.run(call).await }}`"
)]
pub trait Interceptor: Send + Sync + 'static {
    /// Makes the call, with `next`, or does not. What it gives back becomes of the call. The example at [`Interceptor`] has one.
    fn call(&self, call: Call, next: Next) -> Intercepted;
}

impl<F, R> Interceptor for F
where
    F: Fn(Call, Next) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Done, CallError>> + Send + 'static,
{
    fn call(&self, call: Call, next: Next) -> Intercepted {
        Box::pin(self(call, next))
    }
}

/// The interceptors of a client or a server, outermost first.
#[derive(Clone, Default)]
pub(crate) struct Chain(Vec<Arc<dyn Interceptor>>);

impl Chain {
    pub(crate) fn push(&mut self, interceptor: impl Interceptor) {
        self.0.push(Arc::new(interceptor));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chain").field(&self.0.len()).finish()
    }
}

//! What an interceptor knows of a call, and of its end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::clock;

use crate::call_error::{CallError, MethodName};
use crate::context::{Metadata, Peer, TraceId};
use crate::service::MethodDesc;

/// A call as an [`Interceptor`](super::Interceptor) sees it, before it is made or before its handler runs.
///
/// What is changed in it reaches whatever is behind the interceptor: on the client's side it is what the server is told, on
/// the server's side what the handler finds in its [`Context`](crate::Context).
///
/// ```
/// use ipc_rpc::intercept::{Call, Next};
/// use ipc_rpc::{CallError, Server, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let server = Server::builder().intercept(|call: Call, next: Next| async move {
///     match call.metadata().get("tenant") {
///         Some(_) => next.run(call).await,
///         None => Err(call.denied("say for whom")),
///     }
/// });
/// let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
/// assert!(matches!(calc.add(2, 3), Err(CallError::Denied { .. })));
/// let calc = calc.with_interceptor(|mut call: Call, next: Next| async move {
///     call.set("tenant", "blue");
///     next.run(call).await
/// });
/// assert_eq!(calc.add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Call {
    pub(crate) method: MethodName,
    pub(crate) metadata: Metadata,
    pub(crate) trace: Option<TraceId>,
    /// In nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) deadline: Option<u64>,
    pub(crate) kind: Kind,
    /// The process that calls, and the bytes of its request; `None`: this process calls.
    pub(crate) arrived: Option<(Peer, usize)>,
    scope: Option<Scope>,
}

/// What kind of a call it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) oneway: bool,
    pub(crate) idempotent: bool,
    pub(crate) repeatable: bool,
}

impl Kind {
    pub(crate) fn of(method: Option<&MethodDesc>, repeatable: bool) -> Self {
        let (oneway, idempotent) = method.map_or((false, false), |method| (method.oneway, method.idempotent));
        Kind { oneway, idempotent, repeatable }
    }
}

/// Runs what it is given.
type Scope = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

impl Call {
    pub(crate) fn new(
        method: MethodName,
        kind: Kind,
        (metadata, trace): (Metadata, Option<TraceId>),
        deadline: Option<u64>,
        arrived: Option<(Peer, usize)>,
    ) -> Self {
        Call { method, metadata, trace, deadline, kind, arrived, scope: None }
    }

    /// The method that is called.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert_eq!(call.method().to_string(), "Calc::add");
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn method(&self) -> MethodName {
        self.method
    }

    /// What the caller says besides the arguments.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert_eq!(call.metadata().get("tenant"), None);
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Puts a text into the metadata, in place of the one that is there.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|mut call: Call, next: Next| async move {
    ///     call.set("seen", "yes"); // for the handler, in its context
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// The trace that the call is a part of.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert_eq!(call.trace_id(), None);
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace
    }

    /// Makes the call a part of this trace.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|mut call: Call, next: Next| async move {
    ///     call.set_trace_id(ipc_rpc::TraceId::random());
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_trace_id(&mut self, trace: TraceId) {
        self.trace = Some(trace);
    }

    /// How long the caller still waits, as far as that is known; of a call that is made again it is what is left for all
    /// attempts together.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert!(call.remaining().is_none_or(|left| left.as_secs() <= 30));
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(clock::now())))
    }

    /// On the server's side the process that calls; on the client's `None`.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert_eq!(call.peer().map(|peer| peer.pid), Some(std::process::id() as i32));
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peer(&self) -> Option<Peer> {
        self.arrived.map(|(peer, _)| peer)
    }

    /// On the server's side the bytes of the arguments where they are not sent in a file or lent; on the client's `None`.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert_eq!(call.request_len(), Some(16)); // two `u64`
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_len(&self) -> Option<usize> {
        self.arrived.map(|(_, len)| len)
    }

    /// Its caller does not wait for an answer, and hears nothing of an error of the server's side.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert!(!call.is_oneway());
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_oneway(&self) -> bool {
        self.kind.oneway
    }

    /// Running it twice is as good as once (`#[rpc(idempotent)]`).
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert!(call.is_idempotent()); // its method is marked so
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_idempotent(&self) -> bool {
        self.kind.idempotent
    }

    /// Whether it can be made more than once: not if it takes a stream, which can be read once, or was started, since its
    /// arguments are not there any more when it fails; and a handler runs once. [`Next::run`](super::Next::run) then ends the
    /// second time as it did the first.
    ///
    /// ```
    /// # use ipc_rpc::intercept::{Call, Next};
    /// # use ipc_rpc::{Server, service, testing};
    /// # #[service]
    /// # pub trait Calc { #[rpc(idempotent)] fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let server = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     assert!(!call.is_repeatable()); // a handler runs once
    ///     next.run(call).await
    /// });
    /// # let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
    /// # assert_eq!(calc.add(2, 3)?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_repeatable(&self) -> bool {
        self.kind.repeatable
    }

    /// Runs the handler in `scope`, on the client's side the call; of an `async` one each of its steps.
    ///
    /// ```
    /// use ipc_rpc::intercept::{Call, Next};
    /// use ipc_rpc::{Server, service, testing};
    ///
    /// #[service]
    /// pub trait Who { fn am_i(&self) -> String; }
    /// std::thread_local!(static NAME: std::cell::RefCell<String> = Default::default());
    /// struct Here;
    /// impl Who for Here {
    ///     fn am_i(&self) -> String { NAME.with_borrow(Clone::clone) }
    /// }
    /// let server = Server::builder().intercept(|mut call: Call, next: Next| async move {
    ///     let name = call.metadata().get("name").unwrap_or_default().to_owned();
    ///     call.within(move |run| {
    ///         NAME.set(name.clone());
    ///         run();
    ///         NAME.take();
    ///     });
    ///     next.run(call).await
    /// });
    /// let (who, _server) = testing::pair_with(server, WhoDispatcher::new(Here), &Default::default())?;
    /// assert_eq!(who.with_metadata("name", "Ada").am_i()?, "Ada");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn within(&mut self, scope: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) {
        self.scope = Some(match self.scope.take() {
            Some(outer) => Arc::new(move |run| outer(&mut || scope(run))),
            None => Arc::new(scope),
        });
    }

    /// Runs `f` as [`Call::within`] says; `None`: it was not run.
    pub(crate) fn enter<T>(&self, f: impl FnOnce() -> T) -> Option<T> {
        let Some(scope) = &self.scope else { return Some(f()) };
        let (mut f, mut value) = (Some(f), None);
        scope(&mut || {
            if let Some(f) = f.take() {
                value = Some(f());
            }
        });
        value
    }

    /// The error of a call that is not to be made, for this reason.
    ///
    /// ```
    /// use ipc_rpc::intercept::{Call, Done, Next};
    /// use ipc_rpc::CallError;
    ///
    /// async fn in_the_morning_only(call: Call, next: Next) -> Result<Done, CallError> {
    ///     # let morning = true;
    ///     if morning { next.run(call).await } else { Err(call.denied("come again tomorrow")) }
    /// }
    /// # let _ = |call, next| in_the_morning_only(call, next);
    /// ```
    pub fn denied(&self, reason: impl Into<Box<str>>) -> CallError {
        CallError::Denied { method: self.method, reason: reason.into() }
    }

    /// The error of a call that is one too many, and can be made `after` so long.
    ///
    /// ```
    /// use ipc_rpc::intercept::{Call, Done, Next};
    /// use ipc_rpc::CallError;
    ///
    /// async fn one_in_a_minute(call: Call, next: Next) -> Result<Done, CallError> {
    ///     # let first = true;
    ///     if first { next.run(call).await } else { Err(call.limited(std::time::Duration::from_secs(60))) }
    /// }
    /// # let _ = |call, next| one_in_a_minute(call, next);
    /// ```
    pub fn limited(&self, after: Duration) -> CallError {
        CallError::Limited { method: self.method, after }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("metadata", &self.metadata)
            .field("trace_id", &self.trace)
            .field("remaining", &self.remaining())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// A call has ended with a reply: what [`Next::run`](super::Next::run) gives, and an interceptor gives back.
///
/// ```
/// use ipc_rpc::intercept::{Call, Done, Next};
/// use ipc_rpc::CallError;
///
/// async fn log(call: Call, next: Next) -> Result<Done, CallError> {
///     let method = call.method();
///     let done: Done = next.run(call).await?;
///     println!("{method} {}", if done.failed() { "returned an error" } else { "is done" });
///     Ok(done)
/// }
/// # let _ = |call, next| log(call, next);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    pub(crate) failed: bool,
}

impl Done {
    /// The handler has returned an error: its method returns a `Result`.
    ///
    /// The example at [`Done`] asks it.
    pub fn failed(self) -> bool {
        self.failed
    }
}

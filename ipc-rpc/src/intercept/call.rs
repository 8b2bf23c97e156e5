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
    pub fn method(&self) -> MethodName {
        self.method
    }

    /// What the caller says besides the arguments.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Puts a text into the metadata, in place of the one that is there.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.metadata.insert(key.into(), value.into());
    }

    /// The trace that the call is a part of.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace
    }

    /// Makes the call a part of this trace.
    pub fn set_trace_id(&mut self, trace: TraceId) {
        self.trace = Some(trace);
    }

    /// How long the caller still waits, as far as that is known; of a call that is made again it is what is left for all
    /// attempts together.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(clock::now())))
    }

    /// On the server's side the process that calls; on the client's `None`.
    pub fn peer(&self) -> Option<Peer> {
        self.arrived.map(|(peer, _)| peer)
    }

    /// On the server's side the bytes of the arguments where they are not sent in a file or lent; on the client's `None`.
    pub fn request_len(&self) -> Option<usize> {
        self.arrived.map(|(_, len)| len)
    }

    /// Its caller does not wait for an answer, and hears nothing of an error of the server's side.
    pub fn is_oneway(&self) -> bool {
        self.kind.oneway
    }

    /// Running it twice is as good as once (`#[rpc(idempotent)]`).
    pub fn is_idempotent(&self) -> bool {
        self.kind.idempotent
    }

    /// Whether it can be made more than once: not if it takes a stream, which can be read once, or was started, since its
    /// arguments are not there any more when it fails; and a handler runs once. [`Next::run`](super::Next::run) then ends the
    /// second time as it did the first.
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
    pub fn denied(&self, reason: impl Into<Box<str>>) -> CallError {
        CallError::Denied { method: self.method, reason: reason.into() }
    }

    /// The error of a call that is one too many, and can be made `after` so long.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    pub(crate) failed: bool,
}

impl Done {
    /// The handler has returned an error: its method returns a `Result`.
    pub fn failed(self) -> bool {
        self.failed
    }
}

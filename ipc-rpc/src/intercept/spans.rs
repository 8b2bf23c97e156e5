//! Spans of `tracing` around calls.

use std::fmt;
use std::sync::Arc;

use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use super::{Call, Done, Intercepted, Interceptor, Next};
use crate::call_error::CallError;

/// A span of `tracing` around each call of a client or each handler of a server (feature `tracing`): `ipc_rpc_call`, at level
/// `INFO`, target `ipc_rpc`.
///
/// Its fields are those of OpenTelemetry: `otel.name`, `otel.kind` (`client` or `server`), `rpc.system`, `rpc.service`, `rpc.method`;
/// `rpc.trace` if the call has a [`TraceId`](crate::TraceId), `network.peer.pid` at a server; and at the end of a call that failed
/// `otel.status_code` and `error.type`, which is the variant of [`CallError`], or `Handler` for an error that the handler returned. A
/// handler runs in its span, an `async` one whenever it is polled; that of a stream ends when the stream is open.
///
/// What links the spans of two processes is the metadata of the call. What is put there is up to whoever collects the spans: a
/// client's [`Spans::inject`] writes it, a server's [`Spans::extract`] reads it, for OpenTelemetry with its propagator, as the
/// example `telemetry` does. Calls that a handler makes carry the metadata of its own call.
///
/// Where no subscriber is interested, a call takes an allocation and a look at a flag.
///
/// ```
/// use ipc_rpc::intercept::Spans;
/// use ipc_rpc::{Server, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 {
///         tracing::info!("adding"); // in the span of the call
///         a + b
///     }
/// }
///
/// let server = Server::builder().intercept(Spans::default());
/// let (calc, _server) = testing::pair_with(server, CalcDispatcher::new(Adder), &Default::default())?;
/// assert_eq!(calc.with_interceptor(Spans::default()).add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Spans {
    inject: Option<Inject>,
    extract: Option<Extract>,
}

type Inject = Arc<dyn Fn(&Span, &mut Call) + Send + Sync>;
type Extract = Arc<dyn Fn(&Span, &Call) + Send + Sync>;

impl Spans {
    /// Calls `inject` with each span of a client, to put into the call what tells the server of it.
    ///
    /// ```
    /// use ipc_rpc::intercept::Spans;
    /// let spans = Spans::default().inject(|span, call| {
    ///     if let Some(id) = span.id() {
    ///         call.set("span", id.into_u64().to_string());
    ///     }
    /// });
    /// # drop(spans);
    /// ```
    #[must_use]
    pub fn inject(mut self, inject: impl Fn(&Span, &mut Call) + Send + Sync + 'static) -> Self {
        self.inject = Some(Arc::new(inject));
        self
    }

    /// Calls `extract` with each span of a server, before it is entered, to make what the call tells its parent.
    ///
    /// ```
    /// use ipc_rpc::intercept::Spans;
    /// let spans = Spans::default().extract(|span, call| {
    ///     span.record("rpc.trace", call.metadata().get("span"));
    /// });
    /// # drop(spans);
    /// ```
    #[must_use]
    pub fn extract(mut self, extract: impl Fn(&Span, &Call) + Send + Sync + 'static) -> Self {
        self.extract = Some(Arc::new(extract));
        self
    }

    fn span(&self, call: &mut Call) -> Span {
        let method = call.method();
        macro_rules! span {
            ($kind:literal) => {
                info_span!(
                    target: "ipc_rpc",
                    "ipc_rpc_call",
                    otel.name = %method,
                    otel.kind = $kind,
                    rpc.system = "ipc-rpc",
                    rpc.service = method.service,
                    rpc.method = method.method,
                    rpc.trace = Empty,
                    network.peer.pid = Empty,
                    otel.status_code = Empty,
                    error.r#type = Empty,
                )
            };
        }
        let span = if call.peer().is_some() { span!("server") } else { span!("client") };
        if span.is_disabled() {
            return span;
        }
        if let Some(trace) = call.trace_id() {
            span.record("rpc.trace", tracing::field::display(trace));
        }
        match (call.peer(), &self.inject, &self.extract) {
            (None, Some(inject), _) => inject(&span, call),
            (Some(peer), _, extract) => {
                span.record("network.peer.pid", peer.pid);
                if let Some(extract) = extract {
                    extract(&span, call);
                }
            }
            _ => {}
        }
        span
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").finish_non_exhaustive()
    }
}

impl Interceptor for Spans {
    fn call(&self, mut call: Call, next: Next) -> Intercepted {
        let span = self.span(&mut call);
        if span.is_disabled() {
            return Box::pin(async move { next.run(call).await });
        }
        let handler = span.clone();
        call.within(move |run| handler.in_scope(run));
        let whole = span.clone();
        Box::pin(
            async move {
                let done = next.run(call).await;
                if let Some(kind) = failure(&done) {
                    whole.record("otel.status_code", "ERROR");
                    whole.record("error.type", kind);
                }
                done
            }
            .instrument(span),
        )
    }
}

/// How a call has failed, for those who count it.
fn failure(done: &Result<Done, CallError>) -> Option<&'static str> {
    match done {
        Ok(done) => done.failed().then_some("Handler"),
        Err(error) => Some(error.kind()),
    }
}

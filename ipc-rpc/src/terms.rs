//! What a call inherits: how long it may take, what it tells the server about its origin, and whether the server is told at
//! once.
//!
//! # The plain call
//! Most calls have nothing but a time limit, and go a way of their own: [`Stub::is_plain`] tells by one pointer of the stub and
//! one flag of the thread.

use std::sync::Arc;
use std::time::Duration;

use ipc_core::caller::Limit;
use ipc_core::clock;

use crate::batch::Batch;
use crate::call_error::CallError;
use crate::callback::{Object, TAKEN_BACK};
use crate::connect::Connection;
use crate::context::{self, Context, End, Metadata, TraceId};
use crate::intercept::Chain;
use crate::stub::Stub;

/// How long calls of a stub may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timeout {
    /// As configured: measured from when a call stops being short.
    Configured(Option<Duration>),
    /// As asked for: measured from the start, and told to the server.
    Asked(Duration),
}

/// What a stub has besides a connection and a time limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Special {
    /// In place of the handler's that a call is made in.
    context: Option<Context>,
    /// Sent besides the context's, and instead of an entry of the same key there.
    metadata: Metadata,
    trace: Option<TraceId>,
    pub(crate) batch: Option<Arc<Batch>>,
    /// What is around its calls.
    pub(crate) interceptors: Option<Arc<Chain>>,
    /// When its calls are over, whatever their own limits.
    pub(crate) until: Option<u64>,
}

impl Special {
    /// Have its calls anything to inherit or to say about their origin?
    fn says(&self) -> bool {
        self.context.is_some() || self.trace.is_some() || !self.metadata.is_empty()
    }

    /// Has its calls say this.
    pub(crate) fn say(&mut self, metadata: Metadata, trace: Option<TraceId>) {
        (self.metadata, self.trace) = (metadata, trace);
    }
}

/// Which way a request goes.
pub(crate) enum Way {
    /// It has nothing but a time limit.
    Plain,
    /// The same, and the server is told later.
    Quiet,
    /// It may have more.
    OnTerms,
}

/// The terms of one call.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long it may take.
    pub limit: Limit,
    /// The same, from its start.
    pub(crate) allowed: Duration,
    /// Which stream or callback object the request is for; 0: none.
    pub target: u16,
}

impl Stub {
    /// The same connection with another limit for each call.
    pub fn with_timeout(&self, timeout: Duration) -> Stub {
        Stub { timeout: Timeout::Asked(timeout), ..self.clone() }
    }

    /// The same connection, with calls that are part of what `context` belongs to.
    pub fn with_context(&self, context: &Context) -> Stub {
        self.with_special(|special| special.context = Some(context.clone()))
    }

    /// The same connection, with calls that carry one more entry of metadata.
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Stub {
        self.with_special(|special| {
            special.metadata.insert(key.into(), value.into());
        })
    }

    /// The same connection, with calls that are part of a trace.
    pub fn with_trace(&self, trace: TraceId) -> Stub {
        self.with_special(|special| special.trace = Some(trace))
    }

    pub(crate) fn with_special(&self, change: impl FnOnce(&mut Special)) -> Stub {
        let mut special = self.special.as_deref().cloned().unwrap_or_default();
        change(&mut special);
        Stub { special: Some(Arc::new(special)), ..self.clone() }
    }

    /// Has a call that begins now nothing but a time limit?
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.special.is_none() && !context::is_current()
    }

    /// Which way a request goes that begins now.
    #[inline(always)]
    pub(crate) fn way(&self) -> Way {
        match self.special.as_deref() {
            None if context::is_current() => Way::OnTerms,
            None => Way::Plain,
            Some(special) if special.interceptors.is_some() || self.says() || self.session.read().target != 0 => {
                Way::OnTerms
            }
            Some(special) if special.batch.as_ref().is_some_and(|batch| batch.is_open()) => Way::Quiet,
            Some(_) => Way::Plain,
        }
    }

    /// May a call that begins now have a context?
    #[inline]
    pub(crate) fn says(&self) -> bool {
        self.special.as_ref().is_some_and(|special| special.says()) || context::is_current()
    }

    /// The terms of the call that begins now.
    ///
    /// # Errors
    /// [`CallError`]: there is no point in beginning it, since the call that it would be part of is over.
    #[inline]
    pub(crate) fn terms(&self, connection: &Connection, method: u16) -> Result<Terms, CallError> {
        if connection.object.as_ref().is_some_and(Object::is_gone) {
            return Err(CallError::Rejected { method: connection.name(method), reason: TAKEN_BACK.into() });
        }
        let mut terms = Terms { limit: self.limit(), allowed: self.allowed(), target: connection.target };
        if let Some(until) = self.special.as_ref().and_then(|special| special.until) {
            terms.limit = Limit::Until(until);
        }
        if self.says() { self.inherit(connection, method, terms) } else { Ok(terms) }
    }

    #[inline(never)]
    fn inherit(&self, connection: &Connection, method: u16, mut terms: Terms) -> Result<Terms, CallError> {
        let given = self.special.as_ref().and_then(|special| special.context.as_ref());
        let end = given.map_or_else(context::current_end, |context| Some(context.end()));
        let Some(End { deadline, is_given_up }) = end else { return Ok(terms) };
        if let Some(deadline) = deadline {
            let now = clock::now();
            if deadline <= now {
                let method = connection.name(method);
                return Err(CallError::TimedOut { method, after: Duration::ZERO, may_have_run: false });
            }
            let own = match terms.limit {
                Limit::None => u64::MAX,
                Limit::Lazy(timeout) => now.saturating_add(clock::nanoseconds(timeout)),
                Limit::Until(deadline) => deadline,
            };
            terms.limit = Limit::Until(own.min(deadline));
            if deadline < own {
                terms.allowed = Duration::from_nanos(deadline - now);
            }
        }
        if is_given_up {
            return Err(CallError::Cancelled { method: connection.name(method) });
        }
        Ok(terms)
    }

    /// How long a call that begins now may take, if it inherits nothing.
    #[inline]
    pub fn limit(&self) -> Limit {
        match self.timeout {
            Timeout::Configured(None) => Limit::None,
            Timeout::Configured(Some(timeout)) => Limit::Lazy(timeout),
            Timeout::Asked(timeout) => Limit::Until(clock::after(timeout)),
        }
    }

    /// That time from the start of the call.
    pub(crate) fn allowed(&self) -> Duration {
        match self.timeout {
            Timeout::Configured(limit) => limit.unwrap_or(Duration::MAX),
            Timeout::Asked(limit) => limit,
        }
    }

    /// What a call that begins now tells the server about its origin: trace and metadata, to be put on the wire by `send`.
    pub(crate) fn origin<T>(&self, send: impl FnOnce(Option<(u64, u64)>, &[(&str, &str)]) -> T) -> Option<T> {
        let own = self.special.as_deref();
        let given = own.and_then(|own| own.context.clone());
        let context = given.or_else(|| if context::is_entered() { Context::current() } else { None });
        let trace = own.and_then(|own| own.trace).or_else(|| context.as_ref().and_then(Context::trace_id));
        let mut entries: Vec<(&str, &str)> = own.into_iter().flat_map(|own| own.metadata.iter()).collect();
        if let Some(context) = &context {
            let inherited = context.metadata().iter();
            entries.extend(inherited.filter(|(key, _)| own.is_none_or(|own| own.metadata.get(key).is_none())));
        }
        let trace = trace.map(TraceId::as_u128).map(|id| ((id >> 64) as u64, id as u64));
        (trace.is_some() || !entries.is_empty()).then(|| send(trace, &entries))
    }

    /// The same, to keep.
    pub(crate) fn said(&self) -> (Metadata, Option<TraceId>) {
        let owned = |trace: Option<(u64, u64)>, entries: &[(&str, &str)]| {
            let trace = trace.map(|(high, low)| TraceId::from(u128::from(high) << 64 | u128::from(low)));
            (entries.iter().copied().collect(), trace)
        };
        self.origin(owned).unwrap_or_default()
    }
}

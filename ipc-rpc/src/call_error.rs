//! Why a call gave no result.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::memory::NoMemory;

use crate::connect::ConnectError;
use crate::handshake::Mismatch;
use crate::message::{EncodeError, MessageError};

/// Which method a call went to; prints as `Search::find`.
///
/// ```
/// use ipc_rpc::MethodName;
/// let method = MethodName { service: "Search", method: "find" };
/// assert_eq!(method.to_string(), "Search::find");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodName {
    /// The service trait.
    pub service: &'static str,
    /// The method, as it is called on the wire.
    pub method: &'static str,
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.service, self.method)
    }
}

/// Why a call gave no result. `E` is the error of the handler, for methods that return `Result<_, E>`.
///
/// What a caller may conclude differs: after [`NotStarted`](CallError::NotStarted) the handler has not run and the call can
/// be repeated, after [`MayHaveRun`](CallError::MayHaveRun) nobody can tell; see [`CallError::may_have_run`].
///
/// ```
/// use std::time::Duration;
/// use ipc_rpc::{CallError, Server, service, testing};
///
/// #[service]
/// pub trait Sleeper {
///     fn sleep(&self, milliseconds: u64);
/// }
/// struct Bed;
/// impl Sleeper for Bed {
///     fn sleep(&self, milliseconds: u64) {
///         std::thread::sleep(Duration::from_millis(milliseconds));
///     }
/// }
///
/// let (client, _server) = testing::pair(SleeperDispatcher::new(Bed))?;
/// let error = client.with_timeout(Duration::from_millis(5)).sleep(100).unwrap_err();
/// assert!(matches!(error, CallError::TimedOut { .. }));
/// assert!(error.may_have_run());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallError<E = Infallible> {
    /// The handler ran and returned this error.
    Handler(E),
    /// The handler panicked; its process goes on.
    Panicked {
        /// The method.
        method: MethodName,
        /// What the panic said.
        message: Box<str>,
    },
    /// No reply came in time.
    TimedOut {
        /// The method.
        method: MethodName,
        /// The time that was allowed.
        after: Duration,
        /// Whether the handler may have run, or be running still.
        may_have_run: bool,
    },
    /// The connection is over and the handler has not run: the call can be repeated later, with the same client.
    NotStarted {
        /// The method.
        method: MethodName,
        /// Why the client could not connect again, if it has tried ([`Reconnect`](crate::Reconnect)).
        why: Option<Arc<ConnectError>>,
    },
    /// The connection ended after the server had taken the call up, before it answered.
    MayHaveRun {
        /// The method.
        method: MethodName,
    },
    /// Too many calls at once; this one has not run and can be repeated later.
    Busy {
        /// The method.
        method: MethodName,
        /// `true`: the server has as many calls, streams or kept arguments of this client, or calls of all, as its `Limits` allow.
        /// `false`: every block of the connection was in use, by calls, by replies that are held, or by arguments that the server
        /// keeps; calls that wait, waited until their time was over.
        server: bool,
        /// What the server said about it: which limit. Else how many arguments the server keeps, if it does.
        reason: Box<str>,
    },
    /// The call was made in a handler whose own call has been cancelled, and was not sent.
    Cancelled {
        /// The method.
        method: MethodName,
    },
    /// The handler was ended before it had a result: it was dropped, or its server shut down.
    Abandoned {
        /// The method.
        method: MethodName,
    },
    /// Client and server were built with different signatures of this method, or the server does not have it.
    Incompatible(Box<Mismatch>),
    /// The arguments cannot be sent.
    Arguments {
        /// The method.
        method: MethodName,
        /// Why.
        error: EncodeError,
    },
    /// There is no memory for a large message: nothing was sent, or the handler ran and its result was lost.
    NoMemory {
        /// The method.
        method: MethodName,
        /// `false`: for the arguments, which this side has memory for; the call has not run. `true`: for the result, which the
        /// server has memory for.
        server: bool,
        /// How much is wanted and in use, and what there is not enough of; zeros if the server had no room to say it.
        memory: Box<NoMemory>,
    },
    /// The handler ran, or may have, but its result could not be sent, or an [interceptor](crate::intercept) did not let it pass.
    Result {
        /// The method.
        method: MethodName,
        /// What the server said about it.
        reason: Box<str>,
    },
    /// The server found the request invalid; the handler has not run.
    Rejected {
        /// The method.
        method: MethodName,
        /// What the server said about it.
        reason: Box<str>,
    },
    /// An [interceptor](crate::intercept) of this side or of the server did not let the call through; the handler has not run.
    Denied {
        /// The method.
        method: MethodName,
        /// What the interceptor said about it.
        reason: Box<str>,
    },
    /// The call is one too many in its time ([`RateLimit`](crate::intercept::RateLimit)); the handler has not run.
    Limited {
        /// The method.
        method: MethodName,
        /// How much later it may be made.
        after: Duration,
    },
    /// The other side ended a stream of this call with an error.
    Stream {
        /// The method.
        method: MethodName,
        /// What it said.
        reason: Box<str>,
    },
    /// An object could not be lent to the server for its callbacks; nothing was sent.
    NotLent {
        /// The service of the object.
        service: &'static str,
        /// Why.
        reason: Box<str>,
    },
    /// The reply is no valid value of the result type.
    Reply {
        /// The method.
        method: MethodName,
        /// What is wrong with it.
        error: MessageError,
    },
    /// The server wrote what no server writes; the connection is closed.
    Protocol {
        /// The method.
        method: MethodName,
        /// What was found.
        error: ipc_core::word::Corrupt,
    },
}

impl<E> CallError<E> {
    /// Whether the handler may have run. `false` is certain, so the call can be repeated whatever it does.
    ///
    /// ```
    /// use ipc_rpc::CallError;
    ///
    /// /// As often as it takes; what may have run is left alone.
    /// fn surely<T>(mut call: impl FnMut() -> Result<T, CallError>) -> Result<T, CallError> {
    ///     loop {
    ///         match call() {
    ///             Err(error) if !error.may_have_run() && error.is_retryable() => std::thread::yield_now(),
    ///             done => return done,
    ///         }
    ///     }
    /// }
    /// assert_eq!(surely(|| Ok(1))?, 1);
    /// # Ok::<(), CallError>(())
    /// ```
    pub fn may_have_run(&self) -> bool {
        match self {
            CallError::TimedOut { may_have_run, .. } => *may_have_run,
            CallError::NoMemory { server, .. } => *server,
            CallError::Handler(_)
            | CallError::Panicked { .. }
            | CallError::MayHaveRun { .. }
            | CallError::Abandoned { .. }
            | CallError::Stream { .. }
            | CallError::Result { .. }
            | CallError::Reply { .. }
            | CallError::Protocol { .. } => true,
            CallError::NotStarted { .. }
            | CallError::Busy { .. }
            | CallError::Cancelled { .. }
            | CallError::NotLent { .. }
            | CallError::Denied { .. }
            | CallError::Limited { .. }
            | CallError::Incompatible(_)
            | CallError::Arguments { .. }
            | CallError::Rejected { .. } => false,
        }
    }

    /// Whether it is safe to make the call again and likely to help, at once or a little later: it has not run, and what was in
    /// its way passes, as another version of the server does not. The client does so itself where a connection was lost, for
    /// as long as a call may take; see [`Reconnect`](crate::Reconnect).
    ///
    /// ```
    /// use ipc_rpc::CallError;
    ///
    /// /// Tries three times.
    /// fn persistently<T>(mut call: impl FnMut() -> Result<T, CallError>) -> Result<T, CallError> {
    ///     for _ in 0..2 {
    ///         match call() {
    ///             Err(error) if error.is_retryable() => {}
    ///             done => return done,
    ///         }
    ///     }
    ///     call()
    /// }
    /// assert_eq!(persistently(|| Ok(1)).unwrap(), 1);
    /// ```
    pub fn is_retryable(&self) -> bool {
        match self {
            CallError::NotStarted { why, .. } => why.as_ref().is_none_or(|why| !why.is_lasting()),
            CallError::NoMemory { server: false, memory, .. } => memory.passes(),
            CallError::Busy { .. } | CallError::Limited { .. } | CallError::TimedOut { may_have_run: false, .. } => {
                true
            }
            _ => false,
        }
    }

    /// Whether the connection that the call was made over is over.
    ///
    /// ```
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Slow { fn wait(&self); }
    /// # struct Plain;
    /// # impl Slow for Plain {
    /// #     fn wait(&self) { std::thread::sleep(std::time::Duration::from_millis(50)) }
    /// # }
    /// let (slow, _server) = testing::pair(SlowDispatcher::new(Plain))?;
    /// let error = slow.with_timeout(std::time::Duration::from_millis(1)).wait().unwrap_err();
    /// assert!(!error.is_disconnected()); // it was only too slow
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_disconnected(&self) -> bool {
        matches!(self, CallError::NotStarted { .. } | CallError::MayHaveRun { .. } | CallError::Protocol { .. })
    }
}

impl<E> CallError<E> {
    /// The arguments of a call cannot be written.
    #[cold]
    pub(crate) fn not_encoded(method: MethodName, error: EncodeError) -> Self {
        match error {
            EncodeError::OutOfMemory(memory) => CallError::NoMemory { method, server: false, memory: memory.into() },
            error => CallError::Arguments { method, error },
        }
    }

    /// The same if the call was made before, too, and may have run then.
    pub(crate) fn of_more_than_one(self, method: MethodName) -> Self {
        match self {
            CallError::TimedOut { method, after, .. } => CallError::TimedOut { method, after, may_have_run: true },
            error if error.may_have_run() => error,
            _ => CallError::MayHaveRun { method },
        }
    }

    /// The same, with the reason why there is no other connection.
    pub(crate) fn without_connection(self, reason: Option<Arc<ConnectError>>) -> Self {
        match self {
            CallError::NotStarted { method, why } => CallError::NotStarted { method, why: reason.or(why) },
            error => error,
        }
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<E> CallError<E> {
    /// The name of its variant.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            CallError::Handler(_) => "Handler",
            CallError::Panicked { .. } => "Panicked",
            CallError::TimedOut { .. } => "TimedOut",
            CallError::NotStarted { .. } => "NotStarted",
            CallError::MayHaveRun { .. } => "MayHaveRun",
            CallError::Busy { .. } => "Busy",
            CallError::Cancelled { .. } => "Cancelled",
            CallError::Abandoned { .. } => "Abandoned",
            CallError::Incompatible(_) => "Incompatible",
            CallError::Arguments { .. } => "Arguments",
            CallError::NoMemory { .. } => "NoMemory",
            CallError::Result { .. } => "Result",
            CallError::Rejected { .. } => "Rejected",
            CallError::Denied { .. } => "Denied",
            CallError::Limited { .. } => "Limited",
            CallError::Stream { .. } => "Stream",
            CallError::NotLent { .. } => "NotLent",
            CallError::Reply { .. } => "Reply",
            CallError::Protocol { .. } => "Protocol",
        }
    }
}

impl<E> CallError<E> {
    /// The same for a method whose handler has other errors.
    ///
    /// # Errors
    /// It is the handler's.
    pub(crate) fn split<F>(self) -> Result<CallError<F>, E> {
        Ok(match self {
            CallError::Handler(error) => return Err(error),
            CallError::Panicked { method, message } => CallError::Panicked { method, message },
            CallError::TimedOut { method, after, may_have_run } => CallError::TimedOut { method, after, may_have_run },
            CallError::NotStarted { method, why } => CallError::NotStarted { method, why },
            CallError::MayHaveRun { method } => CallError::MayHaveRun { method },
            CallError::Busy { method, server, reason } => CallError::Busy { method, server, reason },
            CallError::Cancelled { method } => CallError::Cancelled { method },
            CallError::Abandoned { method } => CallError::Abandoned { method },
            CallError::Incompatible(mismatch) => CallError::Incompatible(mismatch),
            CallError::Arguments { method, error } => CallError::Arguments { method, error },
            CallError::NoMemory { method, server, memory } => CallError::NoMemory { method, server, memory },
            CallError::Result { method, reason } => CallError::Result { method, reason },
            CallError::Rejected { method, reason } => CallError::Rejected { method, reason },
            CallError::Denied { method, reason } => CallError::Denied { method, reason },
            CallError::Limited { method, after } => CallError::Limited { method, after },
            CallError::Stream { method, reason } => CallError::Stream { method, reason },
            CallError::NotLent { service, reason } => CallError::NotLent { service, reason },
            CallError::Reply { method, error } => CallError::Reply { method, error },
            CallError::Protocol { method, error } => CallError::Protocol { method, error },
        })
    }
}

impl CallError {
    /// The same error for a method whose handler has errors of its own.
    ///
    /// ```
    /// use ipc_rpc::CallError;
    /// fn widened(error: CallError) -> CallError<String> {
    ///     error.widen()
    /// }
    /// ```
    pub fn widen<E>(self) -> CallError<E> {
        match self.split() {
            Ok(error) => error,
            Err(never) => match never {},
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Handler(error) => error.fmt(f),
            CallError::Panicked { method, message } => write!(f, "{method} panicked: {message}"),
            CallError::TimedOut { method, after, may_have_run: true } => {
                write!(f, "{method} gave no reply within {after:?}; it may have run or be running still")
            }
            CallError::TimedOut { method, after: Duration::ZERO, may_have_run: false } => {
                write!(f, "{method} was not begun: no time was left for it, or for the call that it is a part of")
            }
            CallError::TimedOut { method, after, may_have_run: false } => {
                write!(f, "{method} was not begun within {after:?} and will not run")
            }
            CallError::NotStarted { method, why: None } => {
                write!(f, "the server of {} is gone; {method} has not run: repeat the call later", method.service)
            }
            CallError::NotStarted { method, why: Some(why) } => {
                write!(f, "{method} has not run, the connection to the server of {} was lost: {why}", method.service)
            }
            CallError::MayHaveRun { method } if method.method == "flush" => {
                write!(
                    f,
                    "the server of {} ended before it had answered {method}; one-way calls that were sent before it may be lost",
                    method.service
                )
            }
            CallError::MayHaveRun { method } => {
                write!(
                    f,
                    "the server of {} ended while it worked on {method}; how far that came is unknown",
                    method.service
                )
            }
            CallError::Busy { method, server: false, reason } => {
                let because = if reason.is_empty() { "" } else { "; " };
                write!(
                    f,
                    "{method} was not sent: every call block of the connection is in use{because}{reason}; drop held replies, \
                     make fewer calls at once, or raise `ClientConfig::blocks`"
                )
            }
            CallError::Busy { method, server: true, reason } => write!(
                f,
                "{method} was not run: the server says that {reason}; repeat it later, end streams that are not needed, or make \
                 fewer calls at once"
            ),
            CallError::Cancelled { method } => write!(
                f,
                "{method} was not sent: it was called in a handler whose own call has been cancelled; return from the handler"
            ),
            CallError::Abandoned { method } => write!(
                f,
                "the handler of {method} was ended by its server before it had a result; it may have done part of its work"
            ),
            CallError::Incompatible(mismatch) if mismatch.difference.is_none() => mismatch.fmt(f),
            CallError::Incompatible(mismatch) => {
                write!(
                    f,
                    "client and server were built from different traits: {mismatch}; build both from the same one"
                )
            }
            CallError::Arguments { method, error } => write!(f, "the arguments of {method} cannot be sent: {error}"),
            CallError::NoMemory { method, server: false, memory } => {
                write!(f, "the arguments of {method} were not sent: {memory}")
            }
            CallError::NoMemory { method, server: true, memory } => {
                write!(f, "the result of {method} is lost, on the server's side: {memory}")
            }
            CallError::Result { method, reason } => write!(f, "the result of {method} could not be sent: {reason}"),
            CallError::Rejected { method, reason } => {
                write!(f, "the server refused the request for {method}: {reason}")
            }
            CallError::Denied { method, reason } => write!(f, "{method} was not let through: {reason}"),
            CallError::Limited { method, after } => {
                write!(f, "{method} was not let through: too many calls; repeat it after {after:?}")
            }
            CallError::Stream { method, reason } => write!(f, "the stream of {method} failed: {reason}"),
            CallError::NotLent { service, reason } => {
                write!(f, "an object of {service} could not be lent to the server: {reason}")
            }
            CallError::Reply { method, error } => write!(f, "the reply of {method} is invalid: {error}"),
            CallError::Protocol { method, error } => write!(f, "the connection broke in {method}: {error}"),
        }
    }
}

// Of the handler's error no more is asked than a text, so that methods may return `Result<_, String>`: it is this error's own
// text, and no source besides.
impl<E: fmt::Debug + fmt::Display> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CallError::Arguments { error, .. } => Some(error),
            CallError::NoMemory { memory, .. } => Some(&**memory),
            CallError::Reply { error, .. } => Some(error),
            CallError::Protocol { error, .. } => Some(error),
            CallError::NotStarted { why: Some(why), .. } => Some(&**why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_the_method_and_what_to_do() {
        let method = MethodName { service: "Search", method: "find" };
        let texts: [(CallError, &str); 7] = [
            (CallError::NotStarted { method, why: None }, "repeat the call later"),
            (CallError::MayHaveRun { method }, "unknown"),
            (CallError::Busy { method, server: false, reason: "".into() }, "in use; drop held replies"),
            (CallError::Busy { method, server: true, reason: "it has 3".into() }, "that it has 3; repeat it later"),
            (CallError::Cancelled { method }, "return from the handler"),
            (CallError::Abandoned { method }, "may have done part"),
            (
                CallError::TimedOut { method, after: Duration::from_millis(5), may_have_run: true },
                "within 5ms; it may have run",
            ),
        ];
        for (error, part) in texts {
            let text = error.to_string();
            assert!(text.contains("Search::find") && text.contains(part), "{text}");
        }
    }
}

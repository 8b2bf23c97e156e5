//! What a server has turned away, for whoever looks after it.

use std::fmt::{self, Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ipc_core::socket::Credentials;
use ipc_core::word::Corrupt;

/// What a server has turned away since it began to serve: see [`ServerHandle::rejected`](crate::ServerHandle::rejected).
///
/// Honest clients of other versions are among them, and so are mistakes; a number that goes on growing is somebody to look for.
///
/// ```
/// use ipc_rpc::{ConnectError, Server, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// #[service]
/// pub trait Search { fn find(&self, text: &str) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-rejected-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("calc.sock").display().to_string();
/// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
/// let handle = server.handle();
/// let serving = std::thread::spawn(move || server.run());
/// assert!(matches!(SearchClient::connect(&name), Err(ConnectError::Refused { .. })));
/// let rejected = handle.rejected();
/// assert_eq!((rejected.connections, rejected.broken, rejected.requests), (1, 0, 0));
/// assert!(rejected.last.is_some_and(|why| why.contains("it does not serve Search, but Calc")));
/// handle.shutdown();
/// serving.join().unwrap()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Connections that were not let in: another user, another version, no memory that is one, more than the limits allow.
    pub connections: u64,
    /// Connections that were ended because the client wrote what no client writes into the memory that it shares.
    pub broken: u64,
    /// Requests that were answered as invalid: bytes that are no arguments of their method, methods, streams and objects that
    /// there are none of. (An item of a stream that is none of its type is told to the handler that reads it.)
    pub requests: u64,
    /// The last of all these: whose it was, and what was wrong.
    pub last: Option<String>,
}

/// Most bytes of [`Rejected::last`], which quotes what strangers say.
const MAX_TEXT: usize = 512;

/// Counts it.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    connections: AtomicU64,
    broken: AtomicU64,
    requests: AtomicU64,
    last: Mutex<String>,
}

impl Rejections {
    /// Somebody was not let in.
    #[cold]
    pub(crate) fn connection(&self, who: Credentials, why: &str) {
        self.note(&self.connections, who, format_args!("not let in: {why}"));
    }

    /// A client was let go.
    #[cold]
    pub(crate) fn broken(&self, who: Credentials, why: Corrupt) {
        self.note(&self.broken, who, why);
    }

    /// A request was answered as invalid.
    #[cold]
    pub(crate) fn request(&self, who: Credentials, why: &str) {
        self.note(&self.requests, who, format_args!("invalid request: {why}"));
    }

    fn note(&self, count: &AtomicU64, who: Credentials, why: impl Display) {
        count.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clear();
        // Fails when it has written all that there is room for.
        let _ = write!(Clipped(&mut last), "process {} of user {}: {why}", who.pid, who.uid);
    }

    pub(crate) fn count(&self) -> Rejected {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Rejected {
            connections: of(&self.connections),
            broken: of(&self.broken),
            requests: of(&self.requests),
            last: (!last.is_empty()).then_some(last),
        }
    }
}

/// A text on one line that ends when it is long enough. What is in it may be meant for the terminal that it ends up on.
struct Clipped<'a>(&'a mut String);

impl Write for Clipped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() > MAX_TEXT {
                return Err(fmt::Error);
            }
            self.0.push(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_strangers_say_is_quoted_on_one_short_line() {
        let rejections = Rejections::default();
        assert_eq!(rejections.count(), Rejected::default());
        let (end, _other) = ipc_core::socket::pair().unwrap();
        let who = ipc_core::socket::credentials(end.as_fd()).unwrap();
        let whose = format!("process {} of user {}: ", who.pid, who.uid);
        rejections.request(who, "\x1b[2Jgone\n");
        let last = rejections.count().last.unwrap();
        assert_eq!(last, whose + "invalid request: \u{fffd}[2Jgone\u{fffd}");
        rejections.connection(who, &"ä".repeat(10_000));
        rejections.broken(who, Corrupt(3));
        rejections.connection(who, &"ä".repeat(10_000));
        let Rejected { connections, broken, requests, last } = rejections.count();
        assert_eq!((connections, broken, requests), (2, 1, 1));
        assert!(last.is_some_and(|last| last.len() <= MAX_TEXT && last.ends_with('ä')));
    }
}

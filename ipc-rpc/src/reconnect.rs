//! What a client does when its connection is lost.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::connect::ConnectError;

/// How a client connects again after its server has died, was restarted or has handed its name over. Part of the
/// [`ClientConfig`](crate::ClientConfig).
///
/// Nothing happens before a call needs the connection. That call and those after it then wait, each for as long as it may take,
/// and are made over the new connection: always those that have not run, and those of methods marked `#[rpc(idempotent)]` also
/// if they may have. A call of another kind that was under way fails with
/// [`CallError::MayHaveRun`](crate::CallError::MayHaveRun). Calls of `start()` do not wait: they fail with
/// [`CallError::NotStarted`](crate::CallError::NotStarted) until there is a connection.
///
/// ```
/// use std::time::Duration;
/// use ipc_rpc::{ClientConfig, ConnectionEvent, Observer, Reconnect};
///
/// let observer = Observer::new(|event| eprintln!("{event}"));
/// let reconnect = Reconnect { patience: Duration::from_secs(60), observer: Some(observer), ..Reconnect::default() };
/// let config = ClientConfig { reconnect: Some(reconnect), ..ClientConfig::default() };
/// assert_eq!(config.reconnect.as_ref().map(|how| how.first), Some(Duration::from_millis(1)));
/// let never = ClientConfig { reconnect: None, ..ClientConfig::default() };
/// # drop((config, never));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// The pause after the first attempt that fails; each is twice as long as the one before. The first attempt is made at
    /// once, unless the connection was lost so soon that it may as well have failed. Pauses vary by up to a half, so that many
    /// clients do not come at the same moment. Default: 1 ms.
    pub first: Duration,
    /// The longest pause. Default: 250 ms.
    pub longest: Duration,
    /// How long it is tried, and calls wait. Later ones fail at once, but now and then one has it tried once more, waits for
    /// that, and goes on if there is a server again. Default: 5 s.
    pub patience: Duration,
    /// Who is told what happens to the connection.
    pub observer: Option<Observer>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Reconnect {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(250),
            patience: Duration::from_secs(5),
            observer: None,
        }
    }
}

/// A function that is told what happens to a client's connection, in a thread that does nothing else; see [`Reconnect`].
///
/// ```
/// use ipc_rpc::{ConnectionEvent, Observer};
///
/// let observer = Observer::new(|event: &ConnectionEvent<'_>| println!("{event}"));
/// assert_eq!(observer, observer.clone());
/// assert_ne!(observer, Observer::new(|_| {}));
/// ```
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&ConnectionEvent<'_>) + Send + Sync>);

impl Observer {
    /// Calls `tell` with each event. It should be brief: there is no new connection before it has returned, and calls that it
    /// makes with the same client fail at once while there is none.
    ///
    /// ```
    /// use ipc_rpc::Observer;
    /// let log = Observer::new(|event| eprintln!("{event}"));
    /// # drop(log);
    /// ```
    pub fn new(tell: impl Fn(&ConnectionEvent<'_>) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(tell))
    }

    pub(crate) fn tell(&self, event: &ConnectionEvent<'_>) {
        (self.0)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

/// The same function, not one that does the same.
impl PartialEq for Observer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Observer {}

/// What happens to a client's connection; prints as a line for a log.
///
/// ```
/// use std::path::Path;
/// use std::time::Duration;
/// use ipc_rpc::ConnectionEvent;
///
/// let event = ConnectionEvent::Restored { path: Path::new("/run/calc.sock"), attempts: 3, after: Duration::from_millis(5) };
/// assert_eq!(event.to_string(), "connected to /run/calc.sock again after 5.0ms, at attempt 3");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionEvent<'a> {
    /// A call has found the connection at its end: the next event is about another one. A connection that no call needs ends
    /// without an event.
    Lost {
        /// The socket.
        path: &'a Path,
    },
    /// An attempt to connect has failed.
    Failed {
        /// The socket.
        path: &'a Path,
        /// How many there were so far since the connection was lost.
        attempts: u32,
        /// Why.
        error: &'a ConnectError,
        /// The pause before the next one; `None`: patience is over, or another attempt would end the same way (another
        /// version, a signature that differs), and calls fail until one has it tried again.
        next: Option<Duration>,
    },
    /// There is a connection again.
    Restored {
        /// The socket.
        path: &'a Path,
        /// How many attempts it took.
        attempts: u32,
        /// The time since a call found the old one at its end.
        after: Duration,
    },
}

impl fmt::Display for ConnectionEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionEvent::Lost { path } => write!(f, "lost the connection to {}", path.display()),
            ConnectionEvent::Failed { attempts, error, next: Some(next), .. } => {
                write!(f, "attempt {attempts}: {error}; again in {next:.1?}")
            }
            ConnectionEvent::Failed { attempts, error, next: None, .. } => {
                write!(f, "attempt {attempts}: {error}; calls fail from now on")
            }
            ConnectionEvent::Restored { path, attempts, after } => {
                write!(f, "connected to {} again after {after:.1?}, at attempt {attempts}", path.display())
            }
        }
    }
}

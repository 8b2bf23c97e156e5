//! What systemd passes to a service that it starts, and what it wants to hear from it: the protocols of `sd_listen_fds` and
//! `sd_notify`, which are a few environment variables and datagrams. Behind the feature `systemd`; `examples/systemd` has unit
//! files.
//!
//! ```no_run
//! use ipc_rpc::{Server, service, systemd};
//!
//! #[service]
//! pub trait Search { fn find(&self, word: &str) -> Vec<String>; }
//! # struct Index;
//! # impl Search for Index { fn find(&self, _: &str) -> Vec<String> { Vec::new() } }
//!
//! // The same program by hand and under systemd, whose socket unit says `ListenSequentialPacket=` and
//! // `FileDescriptorName=search`.
//! let builder = Server::builder().notify_systemd();
//! let server = if systemd::passes("search") { builder.bind_activated("search")? } else { builder.bind("search")? };
//! systemd::notify("STATUS=reading the index");
//! server.serve(SearchDispatcher::new(Index))?; // READY=1 .. until SIGTERM .. STOPPING=1
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Safety
//! A system call on a number that may be an open descriptor or not.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{env, process, thread};

use ipc_core::socket;

/// The first descriptor that is passed.
const FIRST: RawFd = 3;

/// Why there is no socket to serve; see [`ServerBuilder::bind_activated`](crate::ServerBuilder::bind_activated).
///
/// ```
/// let error = ipc_rpc::Server::builder().bind_activated("search").unwrap_err();
/// assert!(matches!(error, ipc_rpc::systemd::NotActivated::NoSockets));
/// assert!(error.to_string().starts_with("systemd has passed no sockets"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum NotActivated {
    /// This process was not started for a socket unit.
    NoSockets,
    /// None of the sockets has this name.
    NoSuchName {
        /// The name.
        name: String,
        /// Those that there are.
        names: Vec<String>,
    },
    /// The socket is of another kind than those of this crate.
    WrongKind {
        /// The name.
        name: String,
    },
    /// The system failed.
    Io {
        /// The name.
        name: String,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for NotActivated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotActivated::NoSockets => {
                write!(f, "systemd has passed no sockets to this process; start it by a socket unit, or bind a name")
            }
            NotActivated::NoSuchName { name, names } => {
                write!(f, "none of the sockets that systemd has passed is called {name}, but {names:?}; ")?;
                write!(f, "name it with FileDescriptorName= in its unit")
            }
            NotActivated::WrongKind { name } => {
                write!(f, "the socket {name} that systemd has passed is no Unix socket that listens for packets; ")?;
                write!(f, "say ListenSequentialPacket= and Accept=no in its unit")
            }
            NotActivated::Io { name, error } => write!(f, "the socket {name} cannot be used: {error}"),
        }
    }
}

impl std::error::Error for NotActivated {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotActivated::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// An environment variable as text.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The names of the sockets that were passed to this very process, in order. systemd calls those without a name of their own
/// like their unit, `search.socket`; nobody has named those called `unknown`.
///
/// ```
/// assert!(ipc_rpc::systemd::names().is_empty()); // Nobody has passed any to this test.
/// ```
pub fn names() -> Vec<String> {
    let number = |name| variable(name).and_then(|text| text.parse::<u32>().ok());
    // Children inherit the variables, but they are not meant.
    if number("LISTEN_PID") != Some(process::id()) {
        return Vec::new();
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat("unknown".to_owned()));
    let most = number("LISTEN_FDS").unwrap_or(0).min(MOST);
    names.map(|name| if name.is_empty() { "unknown".to_owned() } else { name }).take(most as usize).collect()
}

/// More sockets than this are passed to nobody.
const MOST: u32 = 4096;

/// Was a socket of this name passed? See [`names`].
///
/// ```
/// assert!(!ipc_rpc::systemd::passes("search"));
/// ```
pub fn passes(name: &str) -> bool {
    names().iter().any(|passed| passed == name)
}

/// The socket called `name`, and where it listens. The one that was passed stays open, so it can be had again.
pub(crate) fn listener(name: &str) -> Result<(OwnedFd, PathBuf), NotActivated> {
    let names = names();
    if names.is_empty() {
        return Err(NotActivated::NoSockets);
    }
    let Some(place) = names.iter().position(|passed| passed == name) else {
        return Err(NotActivated::NoSuchName { name: name.to_owned(), names });
    };
    let io = |error| NotActivated::Io { name: name.to_owned(), error };
    let passed = FIRST + place as RawFd;
    // SAFETY: plain arguments; an error if nothing is open under this number.
    let own = unsafe { libc::fcntl(passed, libc::F_DUPFD_CLOEXEC, FIRST) };
    if own < 0 {
        return Err(io(io::Error::last_os_error()));
    }
    // SAFETY: the kernel has just given us this descriptor.
    let own = unsafe { OwnedFd::from_raw_fd(own) };
    // Programs that this one starts are not to have it, or it would listen when nobody serves any more.
    // SAFETY: plain arguments, about a descriptor that was open just now.
    unsafe { libc::fcntl(passed, libc::F_SETFD, libc::FD_CLOEXEC) };
    if !socket::is_listener(own.as_fd()) {
        return Err(NotActivated::WrongKind { name: name.to_owned() });
    }
    let own = UnixListener::from(own);
    own.set_nonblocking(true).map_err(io)?;
    // Who connects from now on is to be told of this process, not of the one that has made the socket.
    socket::listen_anew(own.as_fd()).map_err(io)?;
    let path = own.local_addr().map_err(io)?.as_pathname().map_or_else(|| name.into(), PathBuf::from);
    Ok((own.into(), path))
}

/// Says something about this process to systemd: a line like `STATUS=42 clients` for `systemctl status`, or several. `false`:
/// nobody wants to hear it (`NOTIFY_SOCKET` is not set), or can. Never waits. See `man sd_notify` for what can be said; a
/// [server that is told to](crate::ServerBuilder::notify_systemd) says `READY=1`, `STOPPING=1` and `WATCHDOG=1` itself.
///
/// ```
/// assert!(!ipc_rpc::systemd::notify("STATUS=in a test"));
/// ```
pub fn notify(state: &str) -> bool {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return false };
    let name = name.as_encoded_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => {
            use std::os::unix::ffi::OsStrExt;
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))
        }
    };
    let said = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
    said.is_ok()
}

/// Tells systemd now and then that the server is well, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// `None`: systemd does not want to be told. Asks `is_well` first each time: if it hangs, or says no, systemd
    /// hears nothing.
    pub(crate) fn start(is_well: impl Fn() -> bool + Send + 'static) -> io::Result<Option<Self>> {
        let number = |name| variable(name).and_then(|text| text.parse::<u64>().ok());
        let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let Some(within) = number("WATCHDOG_USEC").filter(|within| *within > 0 && meant) else { return Ok(None) };
        let (alive, ended) = mpsc::channel::<()>();
        let every = Duration::from_micros(within / 2);
        thread::Builder::new().name("ipc-rpc watchdog".into()).spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if is_well() {
                    notify("WATCHDOG=1");
                }
            }
        })?;
        Ok(Some(Watchdog { _alive: alive }))
    }
}

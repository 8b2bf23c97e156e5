//! Connecting: from the name of a service to a channel.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ipc_core::caller::Caller;
use ipc_core::gap::Waiting;
use ipc_core::layout::{CHUNK, Geometry, MAX_ARENA, MAX_BLOCKS};
use ipc_core::memory::Memory;
use ipc_core::segment::{Area, Segment};
use ipc_core::{clock, socket};

use crate::callback::{Lending, Object};
use crate::endpoint;
use crate::handshake::{self, Answer, Mismatch, PROTOCOL};
use crate::reconnect::Reconnect;
use crate::service::ServiceDesc;
use crate::session::TICK;
use crate::stream::Streams;
use crate::trust::Trust;

/// How a client connects and calls.
///
/// ```
/// use std::time::Duration;
/// use ipc_rpc::ClientConfig;
/// let config = ClientConfig { timeout: Some(Duration::from_secs(2)), ..ClientConfig::default() };
/// assert_eq!(config.blocks, 256);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a call may take unless [`with_timeout`](crate#calling) says otherwise; `None`: until the server answers or
    /// dies. Measured from when a call stops being short, so that the clock is not read for calls of a microsecond.
    /// Default: 30 s.
    pub timeout: Option<Duration>,
    /// How long connecting may take. Default: 5 s.
    pub connect_timeout: Duration,
    /// How many calls can be in flight or have their replies held at once: 1 to 16,384. Threads keep up to an eighth of them
    /// for their next call, so that others can count on seven eighths. Default: 256, which takes 64 KiB.
    pub blocks: u32,
    /// Address space for large arguments, in bytes, up to 1 GiB; memory is taken on use. Default: 1 GiB.
    pub arguments: u32,
    /// Address space for large replies, likewise.
    pub replies: u32,
    /// How much memory large arguments may use, and what becomes of it when it is free.
    pub memory: Memory,
    /// Fail to connect if any method differs between client and server. Otherwise a method that differs fails when it is
    /// called, and connecting fails only if no method can be called. Default: `false`.
    pub require_all: bool,
    /// How the server's replies are read; `None`: in place if it runs as this process's user and not in another container,
    /// else as a snapshot.
    pub trust: Option<Trust>,
    /// How threads wait for replies. Default: [`Waiting::Adaptive`]. Futures leave their threads to others while they wait,
    /// whatever this says.
    pub waiting: Waiting,
    /// What to do when the connection is lost; `None`: every call fails then. Default: connect again, and repeat the calls that
    /// cannot have run.
    pub reconnect: Option<Reconnect>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            timeout: Some(Duration::from_secs(30)),
            connect_timeout: Duration::from_secs(5),
            blocks: 256,
            arguments: MAX_ARENA,
            replies: MAX_ARENA,
            memory: Memory::default(),
            require_all: false,
            trust: None,
            waiting: Waiting::Adaptive,
            reconnect: Some(Reconnect::default()),
        }
    }
}

/// Why a client could not connect. Prints what was tried and what to do.
///
/// ```
/// use ipc_rpc::{ConnectError, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
///
/// let error = CalcClient::connect("/nowhere/calc.sock").unwrap_err();
/// assert!(matches!(error, ConnectError::NoServer { .. }));
/// assert!(error.to_string().starts_with("no server of Calc at /nowhere/calc.sock: there is no such socket"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing listens there.
    NoServer {
        /// The service trait; empty for who asks what there is.
        service: &'static str,
        /// The socket that was tried.
        path: PathBuf,
        /// `true`: there was a socket whose server was killed.
        killed: bool,
    },
    /// The socket or its folder is not for this user.
    Permission {
        /// The socket that was tried.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The server did not answer in time.
    TimedOut {
        /// The socket that was tried.
        path: PathBuf,
        /// The time that was allowed.
        after: Duration,
    },
    /// The server speaks another version of the protocol.
    Version {
        /// The socket that was tried.
        path: PathBuf,
        /// The version of this side.
        here: u32,
        /// The version of the server.
        there: u32,
    },
    /// The server was built with another layout of messages (features of rkyv that change it), or runs in another time
    /// namespace.
    Format {
        /// The socket that was tried.
        path: PathBuf,
        /// The layout of this side.
        here: String,
        /// The layout of the server.
        there: String,
    },
    /// Client and server have different signatures; the first of the methods that differ.
    Incompatible {
        /// The socket that was tried.
        path: PathBuf,
        /// What differs.
        mismatch: Box<Mismatch>,
    },
    /// The server turned the client away.
    Refused {
        /// The socket that was tried.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
    /// Something else listens there, or it is no socket.
    NotAServer {
        /// The socket that was tried.
        path: PathBuf,
    },
    /// A number in the [`ClientConfig`] is outside its limits.
    Config {
        /// Which, and its limits.
        reason: String,
    },
    /// The system failed.
    Io {
        /// The socket that was tried.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::NoServer { service, path, killed } => {
                let state = if *killed { "its server was killed" } else { "there is no such socket" };
                let of = if service.is_empty() { "" } else { " of " };
                write!(
                    f,
                    "no server{of}{service} at {}: {state}; start a process that calls `Server::bind` with this name",
                    path.display()
                )
            }
            ConnectError::Permission { path, error } => {
                write!(
                    f,
                    "no permission to connect to {}: {error}; run as the server's user, or have it allow this one",
                    path.display()
                )
            }
            ConnectError::TimedOut { path, after } => {
                write!(
                    f,
                    "the server at {} did not answer within {after:?}; it may be stopped or overloaded",
                    path.display()
                )
            }
            ConnectError::Version { path, here, there } => write!(
                f,
                "the server at {} speaks protocol version {there}, this client version {here}; build both with the same \
                 version of ipc-rpc",
                path.display()
            ),
            ConnectError::Format { path, here, there } if let Some((here, there)) = handshake::clocks(here, there) => {
                write!(
                    f,
                    "the server at {} has another clock; run both in the same time namespace (seconds and nanoseconds off, \
                     here: {here}; there: {there})",
                    path.display()
                )
            }
            ConnectError::Format { path, here, there } => write!(
                f,
                "the server at {} lays messages out differently; check the features of rkyv in both builds (here: {here}; \
                 there: {there})",
                path.display()
            ),
            ConnectError::Incompatible { path, mismatch } => {
                write!(f, "the server at {} has another signature: {mismatch}", path.display())
            }
            ConnectError::Refused { path, reason } => {
                write!(f, "the server at {} refused the connection: {reason}", path.display())
            }
            ConnectError::NotAServer { path } => {
                write!(f, "what is at {} is not an ipc-rpc server", path.display())
            }
            ConnectError::Config { reason } => write!(f, "invalid client configuration: {reason}"),
            ConnectError::Io { path, error } => write!(f, "connecting to {} failed: {error}", path.display()),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Permission { error, .. } | ConnectError::Io { error, .. } => Some(error),
            ConnectError::Incompatible { mismatch, .. } => Some(&**mismatch),
            _ => None,
        }
    }
}

impl ConnectError {
    /// Is it going to be the same next time, unless somebody changes a program?
    pub(crate) fn is_lasting(&self) -> bool {
        use ConnectError::{Config, Format, Incompatible, Version};
        matches!(self, Config { .. } | Format { .. } | Incompatible { .. } | Version { .. })
    }
}

/// Time between two looks for the socket file of a dead server.
const SWEEP_NANOSECONDS: u64 = 100_000_000;

/// An open connection: the channel, and what was agreed about one service that is called over it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What the other side can call here. Dropped first: objects are taken back before anybody hears of the end.
    pub(crate) lending: Option<Arc<Lending>>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) service: &'static ServiceDesc,
    /// For each method of the service its number on this connection, or [`handshake::NO_METHOD`].
    pub(crate) numbers: Arc<[u16]>,
    pub(crate) mismatches: Arc<[Mismatch]>,
    pub(crate) trust: Trust,
    /// The addresses that replies may refer to.
    pub(crate) loans: Range<usize>,
    pub(crate) path: Arc<Path>,
    /// The object of the peer that its requests are for; 0: none.
    pub(crate) target: u16,
    /// The streams of all its callers.
    pub(crate) streams: Arc<Streams>,
    /// When the socket file of a server that is gone was last looked for.
    swept_at: AtomicU64,
    /// It was noted that one-way calls were lost with it.
    loss_noted: AtomicBool,
    /// The object at the other side that is called, if it is one of those that a call has lent.
    pub(crate) object: Option<Object>,
}

/// How long the server may take that is asked in place of one that said nothing.
const PATIENCE_WITH_NEXT: Duration = Duration::from_millis(200);
/// What is said of a server that says nothing.
const WORDLESS: &str = "it closed the connection without a word";

/// Marks a connection over a socket that never had a name.
const NO_FILE: u64 = u64::MAX;

impl Connection {
    /// Removes the socket file if the server was killed: nobody else may come by to do so. Not for every call: those over a
    /// dead connection can be many, and each look knocks at the door of the server that may be there again.
    #[cold]
    pub(crate) fn sweep(&self) {
        // A socket without a name (`NO_FILE`) is never due.
        let (now, before) = (clock::now(), self.swept_at.load(Ordering::Relaxed));
        let due = before == 0 || now.saturating_sub(before) >= SWEEP_NANOSECONDS;
        if due && self.swept_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            endpoint::sweep(&self.path);
        }
    }

    /// Connects to the service called `name`.
    pub(crate) fn open(service: &'static ServiceDesc, name: &str, config: &ClientConfig) -> Result<Self, ConnectError> {
        let path = path_of(name)?;
        Connection::open_at(service, &path, config, clock::after(config.connect_timeout), &|| ())
    }

    /// Connects to the server at `path`; calls `meanwhile` every few milliseconds that it has to wait.
    pub(crate) fn open_at(
        service: &'static ServiceDesc,
        path: &Path,
        config: &ClientConfig,
        deadline: u64,
        meanwhile: &dyn Fn(),
    ) -> Result<Self, ConnectError> {
        let opened = Connection::try_open(service, path, config, deadline, meanwhile);
        if matches!(&opened, Err(ConnectError::Refused { reason, .. }) if reason == WORDLESS) {
            // It was leaving, perhaps, and another one has its name.
            for _ in 0..3 {
                std::thread::sleep(TICK);
                let soon = deadline.min(clock::after(PATIENCE_WITH_NEXT));
                let again = Connection::try_open(service, path, config, soon, meanwhile);
                if again.is_ok() {
                    return again;
                }
            }
        }
        opened
    }

    fn try_open(
        service: &'static ServiceDesc,
        path: &Path,
        config: &ClientConfig,
        deadline: u64,
        meanwhile: &dyn Fn(),
    ) -> Result<Self, ConnectError> {
        let path = path.to_path_buf();
        let socket = loop {
            match socket::connect(&path, deadline.min(clock::after(TICK))) {
                Ok(socket) => break socket,
                // Others wait there, too.
                Err(error) if error.kind() == io::ErrorKind::TimedOut && clock::now() < deadline => meanwhile(),
                Err(error) => {
                    let error = not_connected(service.name, path, error, config.connect_timeout);
                    if let ConnectError::NoServer { path, killed: true, .. } = &error {
                        endpoint::sweep(path);
                    }
                    return Err(error);
                }
            }
        };
        ipc_core::fail_point!(Connected);
        let all = Connection::greet_all(&[service], socket, path.clone(), config, deadline, meanwhile)?;
        match all {
            Some(mut all) => all.pop().ok_or(ConnectError::NotAServer { path }),
            None => {
                let config = ClientConfig { trust: Some(Trust::Snapshot), ..config.clone() };
                Connection::try_open(service, &path, &config, deadline, meanwhile)
            }
        }
    }

    /// Shakes hands over a connected socket about one service.
    pub(crate) fn greet(
        service: &'static ServiceDesc,
        socket: OwnedFd,
        path: PathBuf,
        config: &ClientConfig,
        deadline: u64,
    ) -> Result<Self, ConnectError> {
        let all = Connection::greet_all(&[service], socket, path.clone(), config, deadline, &|| ())?;
        all.and_then(|mut all| all.pop()).ok_or(ConnectError::NotAServer { path })
    }

    /// Shakes hands over a connected socket about several services; gives a connection for each, in order, over one channel.
    /// `None`: it was to be read in place, but the process that has answered is not to be trusted so far.
    pub(crate) fn greet_all(
        services: &[&'static ServiceDesc],
        socket: OwnedFd,
        path: PathBuf,
        config: &ClientConfig,
        deadline: u64,
        meanwhile: &dyn Fn(),
    ) -> Result<Option<Vec<Self>>, ConnectError> {
        let round = |bytes: u32| bytes.checked_next_multiple_of(CHUNK).unwrap_or(u32::MAX);
        let geometry =
            Geometry::new(config.blocks, round(config.arguments), round(config.replies)).ok_or_else(|| {
                let reason =
                    format!("`blocks` is 1 to {MAX_BLOCKS}, `arguments` and `replies` are at most {MAX_ARENA} bytes");
                ConnectError::Config { reason }
            })?;
        let io = |error| ConnectError::Io { path: path.clone(), error };
        // Whoever hangs up, before or after it could have read something, says as little.
        let wordless = || ConnectError::Refused { path: path.clone(), reason: WORDLESS.into() };
        let talked = |error: io::Error| match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => wordless(),
            _ => io(error),
        };
        let who = socket::credentials(socket.as_fd()).map_err(io)?;
        let trust = config.trust.unwrap_or_else(|| Trust::by_default(socket.as_fd(), who));
        let lending = Lending::new(services, trust, who).map_err(io)?;
        let (lending, theirs) =
            lending.map_or((None, None), |(lending, theirs)| (Some(Arc::new(lending)), Some(theirs)));
        let hello = handshake::hello(services, &geometry, theirs.is_some(), trust == Trust::InPlace);
        let hello = hello.map_err(|reason| ConnectError::Config { reason })?;
        let segment = Segment::create(geometry).map_err(io)?;
        let descriptors = [Some(segment.descriptor()), theirs.as_ref().map(AsFd::as_fd)];
        let descriptors: Vec<_> = descriptors.into_iter().flatten().collect();
        let by_default = trust == Trust::InPlace && config.trust.is_none();
        socket::ask_who_sends(socket.as_fd(), by_default).map_err(io)?;
        socket::send_all(socket.as_fd(), &hello, &descriptors).map_err(talked)?;
        ipc_core::fail_point!(HelloSent);
        drop(theirs);
        while !socket::wait_readable(socket.as_fd(), deadline.min(clock::after(TICK))).map_err(io)? {
            meanwhile();
            if clock::now() >= deadline {
                return Err(ConnectError::TimedOut { path, after: config.connect_timeout });
            }
        }
        let (packet, _, sender) = socket::receive_from(socket.as_fd()).map_err(talked)?;
        socket::ask_who_sends(socket.as_fd(), false).map_err(io)?;
        ipc_core::fail_point!(WelcomeRead);
        if packet.is_empty() {
            return Err(wordless());
        }
        let (in_place, mut methods) = match handshake::answered(&packet, services) {
            Some(Answer::Welcome { in_place, methods }) => (in_place, methods),
            Some(Answer::Version(there)) => return Err(ConnectError::Version { path, here: PROTOCOL, there }),
            Some(Answer::Format(there)) => {
                return Err(ConnectError::Format { path, here: handshake::format_probe(), there });
            }
            Some(Answer::Refused(reason)) => return Err(ConnectError::Refused { path, reason }),
            None => return Err(ConnectError::NotAServer { path }),
        };
        if by_default && !Trust::holds_for(who, sender) {
            return Ok(None);
        }
        let none = methods.iter().all(Result::is_err);
        if let Some(first) = methods.iter().find_map(|m| m.as_ref().err()).filter(|_| config.require_all || none) {
            return Err(ConnectError::Incompatible { path, mismatch: Box::new(first.clone()) });
        }
        // What a reply refers to lies in the memory of its request, or in the server's; the one lies behind the other.
        let loans = match trust {
            Trust::InPlace => segment.addresses(Area::CallerArena).start..segment.addresses(Area::CalleeArena).end,
            Trust::Snapshot => 0..0,
        };
        let caller = Caller::new(segment, socket).map_err(io)?;
        caller.wait_as(config.waiting);
        caller.use_memory(&config.memory);
        if in_place {
            caller.allow_loans();
        }
        let path: Arc<Path> = path.into();
        let streams = Arc::new(Streams::new(config.blocks));
        let connection = |service: &'static ServiceDesc| {
            let rest = methods.split_off(service.methods.len().min(methods.len()));
            let own = std::mem::replace(&mut methods, rest);
            Connection {
                caller: caller.clone(),
                service,
                numbers: own.iter().map(|m| *m.as_ref().unwrap_or(&handshake::NO_METHOD)).collect(),
                mismatches: own.into_iter().filter_map(Result::err).collect(),
                trust,
                loans: loans.clone(),
                path: path.clone(),
                target: 0,
                streams: streams.clone(),
                swept_at: AtomicU64::new(0),
                loss_noted: AtomicBool::new(false),
                lending: lending.clone(),
                object: None,
            }
        };
        Ok(Some(services.iter().copied().map(connection).collect()))
    }

    /// What it is called by in this process; no other one is or was called so.
    pub(crate) fn id(&self) -> u64 {
        self.caller.number()
    }

    /// May a call of this method run twice?
    pub(crate) fn is_idempotent(&self, method: u16) -> bool {
        self.service.methods.get(usize::from(method)).is_some_and(|method| method.idempotent)
    }

    /// Were one-way calls lost with it, now that it is over? Said once.
    pub(crate) fn has_lost(&self) -> bool {
        let lost = self.caller.detached() != 0 || self.caller.take_lost();
        lost && !self.loss_noted.swap(true, Ordering::Relaxed)
    }

    /// A request is on its way that nobody waits for.
    pub(crate) fn note_oneway(&self) {
        if let Some(object) = &self.object {
            object.note_oneway();
        }
    }

    /// The same connection, to call one object of the other side.
    pub(crate) fn to(&self, object: Object) -> Self {
        Connection {
            caller: self.caller.clone(),
            service: self.service,
            numbers: self.numbers.clone(),
            mismatches: self.mismatches.clone(),
            trust: self.trust,
            loans: self.loans.clone(),
            path: self.path.clone(),
            target: object.target(),
            streams: self.streams.clone(),
            swept_at: AtomicU64::new(NO_FILE),
            loss_noted: AtomicBool::new(false),
            lending: self.lending.clone(),
            object: Some(object),
        }
    }
}

/// The socket of the server called `name`.
pub(crate) fn path_of(name: &str) -> Result<PathBuf, ConnectError> {
    endpoint::path_of(name, false).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => ConnectError::Permission { path: name.into(), error },
        _ => ConnectError::Io { path: name.into(), error },
    })
}

/// Why no connection to the socket at `path` could be made within `timeout`.
pub(crate) fn not_connected(service: &'static str, path: PathBuf, error: io::Error, timeout: Duration) -> ConnectError {
    match error.kind() {
        io::ErrorKind::NotFound => ConnectError::NoServer { service, path, killed: false },
        // Nobody listens: a socket whose server was killed, or a file of another kind.
        io::ErrorKind::ConnectionRefused if endpoint::is_socket(&path) => {
            ConnectError::NoServer { service, path, killed: true }
        }
        io::ErrorKind::ConnectionRefused if path.exists() => ConnectError::NotAServer { path },
        // Somebody else has removed it meanwhile.
        io::ErrorKind::ConnectionRefused => ConnectError::NoServer { service, path, killed: true },
        io::ErrorKind::PermissionDenied => ConnectError::Permission { path, error },
        io::ErrorKind::TimedOut => ConnectError::TimedOut { path, after: timeout },
        // A socket of another kind, or no socket at all.
        _ if error.raw_os_error() == Some(libc::EPROTOTYPE) => ConnectError::NotAServer { path },
        _ => ConnectError::Io { path, error },
    }
}

//! Serving: from a dispatcher to a process that answers.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use ipc_core::gap::Waiting;
use ipc_core::memory::Memory;
use ipc_core::scanner::{Callee, Workers};

use crate::context::Peer;
use crate::endpoint::{self, Endpoint, NotBound};
use crate::executor::BoxFuture;
use crate::inspect::{Health, MethodStatistics};
use crate::intercept::{Chain, Interceptor};
use crate::rejected::Rejected;
use crate::router::{Admission, Router};
use crate::runtime::Runs;
use crate::service::Dispatch;
use crate::signals::Watched;
use crate::trust::{Reading, Trust};
use crate::usage::ServerUsage;

/// Why a name could not be bound.
///
/// ```
/// use ipc_rpc::{BindError, Server};
///
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-bind-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("calc.sock").display().to_string();
/// let first = Server::bind(&name)?;
/// let error = Server::bind(&name).unwrap_err();
/// assert!(matches!(error, BindError::AddressInUse { .. }));
/// drop(first);
/// assert!(Server::bind(&name).is_ok());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// Another process serves this name.
    AddressInUse {
        /// The socket.
        path: PathBuf,
        /// Its process number, if it is known.
        pid: Option<i32>,
    },
    /// The server that runs there does not hand the name over ([`ServerBuilder::take_over`]).
    NotHandedOver {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The folder or the socket is not for this user.
    Permission {
        /// The socket, or the name if no path could be made of it.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system failed.
    Io {
        /// The socket, or the name if no path could be made of it.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::AddressInUse { path, pid } => {
                write!(f, "a server is running at {}", path.display())?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                write!(f, "; stop it, take over from it with `ServerBuilder::take_over`, or choose another name")
            }
            BindError::NotHandedOver { path, reason } => {
                write!(f, "the server at {} does not hand its name over: {reason}; stop it first", path.display())
            }
            BindError::Permission { path, error } => {
                write!(f, "no permission to serve at {}: {error}; choose a folder of this user", path.display())
            }
            BindError::Io { path, error } if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "serving at {} failed: there is no such folder; make it first", path.display())
            }
            BindError::Io { path, error } => write!(f, "serving at {} failed: {error}", path.display()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::AddressInUse { .. } | BindError::NotHandedOver { .. } => None,
            BindError::Permission { error, .. } | BindError::Io { error, .. } => Some(error),
        }
    }
}

/// Why a bound server could not serve.
///
/// ```
/// use ipc_rpc::ServeError;
///
/// let error = ServeError::DuplicateService { name: "Calc" };
/// assert_eq!(error.to_string(), "two services are called Calc; serve one of them under another name");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no service to serve.
    NoService,
    /// Two services have the same name, so clients could not tell them apart.
    DuplicateService {
        /// The name.
        name: &'static str,
    },
    /// The services have more methods than a server can number.
    TooManyMethods,
    /// The system failed: no descriptors, no threads.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::NoService => write!(f, "the server has no service; add one with `ServerBuilder::service`"),
            ServeError::DuplicateService { name } => {
                write!(f, "two services are called {name}; serve one of them under another name")
            }
            ServeError::TooManyMethods => write!(f, "a server has at most 32,512 methods"),
            ServeError::Io(error) => write!(f, "serving failed: {error}"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServeError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        ServeError::Io(error)
    }
}

/// Bounds on what clients can take of a server.
///
/// ```
/// use ipc_rpc::Limits;
/// let limits = Limits { clients: 8, ..Limits::default() };
/// assert_eq!(limits.blocks, 16_384);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. Default: 4096.
    pub clients: usize,
    /// Call blocks a connection may bring. Default: 16,384, the most there can be.
    pub blocks: u32,
    /// Address space, in bytes, a connection may bring for arguments and for replies each. Default: 1 GiB, the most.
    pub memory: u32,
    /// Calls of one client that `async` methods work on at once; further ones fail with
    /// [`CallError::Busy`](crate::CallError::Busy). Other methods are bounded by the workers: what they cannot take up waits.
    /// Default: 4096.
    pub calls: usize,
    /// The same for all clients together. Default: 16,384.
    pub all_calls: usize,
    /// Threads that the server gives to the streams of one client at once: to those whose items take long to make. A method
    /// that waits as a matter of course (it takes a stream or a callback and returns a stream, or is `#[rpc(blocking)]`) needs
    /// one, and fails with [`CallError::Busy`](crate::CallError::Busy) without; other iterators hold up a worker then, as long
    /// as they are slow. Writing to a [`Sink`](crate::Sink) needs none. Default: 64.
    pub streams: usize,
    /// Arguments of one client that handlers have as [`Kept`](crate::Kept) at once, those of running calls included; further calls
    /// of such methods fail with [`CallError::Busy`](crate::CallError::Busy). Default: 4096.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        use ipc_core::layout::{MAX_ARENA, MAX_BLOCKS};
        let (blocks, memory) = (MAX_BLOCKS, MAX_ARENA);
        Limits { clients: 4096, blocks, memory, calls: 4096, all_calls: 16_384, streams: 64, kept: 4096 }
    }
}

/// Settings of a server before it has a name.
///
/// ```
/// use ipc_rpc::{Server, service};
///
/// #[service]
/// pub trait Echo {
///     fn echo(&self, text: &str) -> String;
/// }
/// struct Same;
/// impl Echo for Same {
///     fn echo(&self, text: &str) -> String { text.to_owned() }
/// }
///
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("echo.sock").display().to_string();
/// let server = Server::builder().workers(2).service(EchoDispatcher::new(Same)).bind(&name)?;
/// let handle = server.handle();
/// let serving = std::thread::spawn(move || server.run());
/// assert_eq!(EchoClient::connect(&name)?.echo("hello")?, "hello");
/// handle.shutdown();
/// serving.join().unwrap()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder serves nothing until it is bound and run"]
pub struct ServerBuilder {
    services: Vec<Arc<dyn Dispatch>>,
    pub(crate) workers: Workers,
    mode: Option<u32>,
    admission: Admission,
    runs: Runs,
    grace: Duration,
    waiting: Waiting,
    interceptors: Chain,
    /// The server that has the name is to give it away.
    takes_over: bool,
    /// Signals shut it down.
    signals: bool,
    /// systemd is told how it is.
    #[cfg(feature = "systemd")]
    notifies: bool,
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|s| s.service().name).collect();
        f.debug_struct("ServerBuilder")
            .field("services", &services)
            .field("workers", &self.workers)
            .field("futures", &self.runs)
            .finish_non_exhaustive()
    }
}

/// Threads that a server starts when all others are in handlers that take long.
const SPARE: usize = 64;

impl Default for ServerBuilder {
    fn default() -> Self {
        // Handlers may block; a worker without work costs nothing.
        let base = std::thread::available_parallelism().map_or(4, |n| n.get().saturating_mul(2).clamp(4, 64));
        ServerBuilder {
            services: Vec::new(),
            workers: Workers { base, spare: SPARE, grow: true },
            mode: None,
            admission: Admission::default(),
            runs: Runs::default(),
            grace: Duration::from_secs(1),
            waiting: Waiting::Adaptive,
            interceptors: Chain::default(),
            takes_over: false,
            signals: true,
            #[cfg(feature = "systemd")]
            notifies: false,
        }
    }
}

impl ServerBuilder {
    /// A server of the objects that a client lends to its server.
    pub(crate) fn for_callbacks(services: Vec<Arc<dyn Dispatch>>, admission: Admission) -> Self {
        // Two, so that one of them hears it when the other one's handler takes long.
        let workers = Workers { base: 2, spare: SPARE, grow: true };
        ServerBuilder { services, workers, admission, ..ServerBuilder::default() }
    }

    /// Adds a service. A server can have many, each with its own trait.
    ///
    /// ```
    /// use ipc_rpc::{Server, service};
    ///
    /// #[service]
    /// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// #[service]
    /// pub trait Clock { fn hour(&self) -> u8; }
    /// struct Desk;
    /// impl Calc for Desk {
    ///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
    /// }
    /// impl Clock for Desk {
    ///     fn hour(&self) -> u8 { 12 }
    /// }
    /// let both = Server::builder().service(CalcDispatcher::new(Desk)).service(ClockDispatcher::new(Desk));
    /// # drop(both);
    /// ```
    pub fn service(mut self, service: impl Dispatch) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// How many threads run handlers: as many calls run at once, the others wait. At least 1; default: twice the cores,
    /// 4 to 64, and more when handlers take long. Only one of them looks for requests at a time, the others sleep. Handlers
    /// that wait for others - streams, callbacks, `#[rpc(blocking)]` - do not count: while they run, further threads take
    /// their places. Futures of `async` methods do not occupy a worker at all.
    ///
    /// ```
    /// // One handler at a time.
    /// let builder = ipc_rpc::Server::builder().workers(1);
    /// # drop(builder);
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Workers { base: workers.max(1), spare: SPARE, grow: false };
        self
    }

    /// Hands the futures of `async` methods to `spawn` instead of the server's own threads: each is one call, to be polled
    /// until it ends or dropped. With it, handlers can use what they find only in a runtime, such as its timers and sockets.
    ///
    /// ```
    /// use ipc_rpc::Server;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    /// let handle = runtime.handle().clone();
    /// let builder = Server::builder().spawn_with(move |future| drop(handle.spawn(future)));
    /// assert!(format!("{builder:?}").contains("Elsewhere"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_with(mut self, spawn: impl Fn(BoxFuture<'static>) + Send + Sync + 'static) -> Self {
        self.runs = Runs::Elsewhere(Arc::new(spawn));
        self
    }

    /// How long `async` handlers may go on when the server is shut down, before they are dropped and their callers get
    /// [`CallError::Abandoned`](crate::CallError::Abandoned). Default: 1 s. Other handlers are never cut off.
    ///
    /// ```
    /// use std::time::Duration;
    /// let builder = ipc_rpc::Server::builder().grace(Duration::ZERO);
    /// # drop(builder);
    /// ```
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Whether SIGTERM and SIGINT (Ctrl-C) shut the server down, as [`ServerHandle::shutdown`] does, so that [`Server::run`]
    /// returns; a second one kills the process, handlers or not. Default: `true`. It is so while the server runs, for those of
    /// the two signals that would have killed the process: a handler of the program's stays, and so does a signal that is
    /// ignored. A program that does other things besides serving ends them when `run` has returned, or says `false` here and
    /// has a handler of its own call `shutdown`.
    ///
    /// ```
    /// let builder = ipc_rpc::Server::builder().signals(false);
    /// # drop(builder);
    /// ```
    pub fn signals(mut self, hear: bool) -> Self {
        self.signals = hear;
        self
    }

    /// How the thread that looks for requests waits for them. Default: [`Waiting::Adaptive`].
    ///
    /// ```
    /// use ipc_rpc::{Server, Waiting};
    /// let for_a_core_of_its_own = Server::builder().waiting(Waiting::Spin);
    /// # drop(for_a_core_of_its_own);
    /// ```
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Permission bits of the socket file. Default: `0o600`, this user; `0o666` once others are allowed, since it is the
    /// server that knows who they are. Its folder is the one who binds to choose: others must be able to enter it, and not to
    /// write to it.
    ///
    /// ```
    /// // Members of the socket's group may knock; the server decides whom it lets in.
    /// let builder = ipc_rpc::Server::builder().allow_groups([100]).socket_mode(0o660);
    /// # drop(builder);
    /// ```
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Lets these users in, besides the server's own and root. The name has to be a path then: the folder of plain names is
    /// closed to other users. Who a client is the kernel has noted when it connected.
    ///
    /// ```
    /// use ipc_rpc::{BindError, Server};
    /// let error = Server::builder().allow_users([33]).bind("calc").unwrap_err();
    /// assert!(error.to_string().contains("bind a path"), "{error}");
    /// ```
    pub fn allow_users(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.admission.allowed.users.extend(users);
        self
    }

    /// Lets the members of these groups in, as [`ServerBuilder::allow_users`] does users: processes with the group as their
    /// effective one or as a supplementary one.
    ///
    /// ```
    /// use ipc_rpc::{BindError, Server};
    /// let error = Server::builder().allow_groups([100]).bind("calc").unwrap_err();
    /// assert!(matches!(error, BindError::Io { .. }));
    /// ```
    pub fn allow_groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.admission.allowed.groups.extend(groups);
        self
    }

    /// Lets in whom `accepts` says, as [`ServerBuilder::allow_users`] does users. It is asked once for each connection of
    /// somebody who is not let in otherwise, and must not take long: others wait to be greeted meanwhile. If it panics the
    /// answer is no.
    ///
    /// ```
    /// use ipc_rpc::{BindError, Server};
    /// let humans = Server::builder().allow_if(|peer| (1000..60_000).contains(&peer.uid));
    /// assert!(matches!(humans.bind("calc"), Err(BindError::Io { .. })));
    /// ```
    pub fn allow_if(mut self, accepts: impl Fn(Peer) -> bool + Send + Sync + 'static) -> Self {
        self.admission.allowed.others.push(Arc::new(accepts));
        self
    }

    /// Bounds on what clients can take.
    ///
    /// ```
    /// use ipc_rpc::{Limits, Server};
    /// let builder = Server::builder().limits(Limits { clients: 8, ..Limits::default() });
    /// # drop(builder);
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.admission.limits = limits;
        self
    }

    /// How much memory the large replies to each client may use, and what becomes of it when it is free.
    ///
    /// ```
    /// use ipc_rpc::{Memory, Server};
    /// // A client that holds replies of 64 MiB in all gets no more before it drops some.
    /// let builder = Server::builder().memory(Memory { quota: 64 << 20, ..Memory::default() });
    /// # drop(builder);
    /// ```
    pub fn memory(mut self, memory: Memory) -> Self {
        self.admission.memory = memory;
        self
    }

    /// How the requests of all clients are read. Default: in place for clients of the server's own user that are in no other
    /// container than the server, a snapshot for others.
    ///
    /// ```
    /// use ipc_rpc::{Server, Trust};
    /// let of_sandboxed_clients = Server::builder().trust(Trust::Snapshot);
    /// # drop(of_sandboxed_clients);
    /// ```
    pub fn trust(mut self, trust: Trust) -> Self {
        self.admission.reading = Some(trust.into());
        self
    }

    /// Reads requests without validating their bytes.
    ///
    /// ```
    /// // SAFETY: only the program that starts this one can enter the socket's folder, and it uses the generated client.
    /// let builder = unsafe { ipc_rpc::Server::builder().trust_unchecked() };
    /// # drop(builder);
    /// ```
    ///
    /// # Safety
    /// Every process that can connect sends only what the generated clients of the same services send: an invalid request
    /// is undefined behaviour.
    #[allow(unsafe_code)] // A promise of the user's; nothing unsafe happens here.
    pub unsafe fn trust_unchecked(mut self) -> Self {
        self.admission.reading = Some(Reading::Unchecked);
        self
    }

    /// Puts `interceptor` around all handlers, inside of those that were put there before: see [`intercept`](crate::intercept).
    /// It is called for each call that is within the limits of the server, before its arguments are read.
    ///
    /// ```
    /// use ipc_rpc::Server;
    /// use ipc_rpc::intercept::{Call, Next};
    ///
    /// let builder = Server::builder().intercept(|call: Call, next: Next| async move {
    ///     match call.peer() {
    ///         Some(peer) if peer.uid != 0 && call.method().method == "reset" => Err(call.denied("only root may")),
    ///         _ => next.run(call).await,
    ///     }
    /// });
    /// # drop(builder);
    /// ```
    pub fn intercept(mut self, interceptor: impl Interceptor) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Takes the name over if a server has it: that one gives its listening socket away, to a process of its own user, and
    /// shuts down as by [`ServerHandle::shutdown`], so that its [`Server::run`] returns. No client finds nobody meanwhile. What
    /// the old server has begun it ends; calls that it has not begun come to the new one by themselves, as after a restart
    /// ([`Reconnect`](crate::Reconnect)); what does not go over, such as streams,
    /// [is told to its callers](crate#when-a-server-goes). If no server has the name, it is taken as ever; one that has it and
    /// does not answer, because it is stopped or does not run yet, keeps it ([`BindError::NotHandedOver`]).
    ///
    /// ```
    /// use ipc_rpc::{Server, service};
    ///
    /// #[service]
    /// pub trait Version { fn number(&self) -> u32; }
    /// struct Is(u32);
    /// impl Version for Is {
    ///     fn number(&self) -> u32 { self.0 }
    /// }
    ///
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-take-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("version.sock").display().to_string();
    /// let old = Server::builder().service(VersionDispatcher::new(Is(1))).bind(&name)?;
    /// let old = std::thread::spawn(|| old.run());
    /// let client = VersionClient::connect(&name)?;
    /// assert_eq!(client.number()?, 1);
    ///
    /// let new = Server::builder().service(VersionDispatcher::new(Is(2))).take_over().bind(&name)?;
    /// let handle = new.handle();
    /// let new = std::thread::spawn(|| new.run());
    /// old.join().unwrap()?; // it has left
    /// assert_eq!(client.number()?, 2);
    /// # handle.shutdown();
    /// # new.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_over(mut self) -> Self {
        self.takes_over = true;
        self
    }

    /// Takes the name: from now on clients can connect and wait. A name without a slash is a socket in the user's private
    /// folder (`$XDG_RUNTIME_DIR/ipc-rpc`, else a folder under the temporary one, which is made if it is missing); client and
    /// server need the same environment to agree on it. A name with a slash is a path, relative to the working directory if
    /// it does not begin with one; its folder has to exist. The whole path has at most 107 bytes.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-bind-builder-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// assert_eq!(server.path().to_str(), Some(&*name));
    /// # drop(server);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BindError`]: the name is taken by a living process, or the folder cannot be used.
    pub fn bind(self, name: impl AsRef<str>) -> Result<Server, BindError> {
        let name = name.as_ref();
        let failed = |path: PathBuf, error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => BindError::Permission { path, error },
            _ => BindError::Io { path, error },
        };
        let alone = self.admission.allowed.is_empty();
        if !alone && !name.contains('/') {
            let why =
                "others are allowed, but cannot enter the folder of plain names; bind a path in a folder that they can";
            return Err(failed(name.into(), io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let path = endpoint::path_of(name, true).map_err(|error| failed(name.into(), error))?;
        let default = if alone { 0o600 } else { 0o666 };
        match Endpoint::bind(&path, self.mode.unwrap_or(default), self.takes_over) {
            Ok(endpoint) => Ok(self.at(endpoint)),
            Err(NotBound::NotHandedOver(reason)) => Err(BindError::NotHandedOver { path, reason }),
            Err(NotBound::Taken { pid }) => Err(BindError::AddressInUse { path, pid }),
            Err(NotBound::Io(error)) => Err(failed(path, error)),
        }
    }

    /// Serves at a socket that systemd listens at and has passed to this process: the one called `name`, see
    /// [`systemd::names`](crate::systemd::names). Clients can connect before the server runs, and while it is restarted; they
    /// wait. The socket's file, its mode and its folder are systemd's business ([`ServerBuilder::socket_mode`] and
    /// [`ServerBuilder::take_over`] do nothing), who is let in is the server's as ever.
    ///
    /// The example at [`systemd`](crate::systemd) calls it.
    ///
    /// # Errors
    /// [`NotActivated`](crate::systemd::NotActivated): there is no such socket, or it is none for packets.
    #[cfg(feature = "systemd")]
    pub fn bind_activated(self, name: impl AsRef<str>) -> Result<Server, crate::systemd::NotActivated> {
        let (listener, path) = crate::systemd::listener(name.as_ref())?;
        Ok(self.at(Endpoint::passed(path, listener)))
    }

    /// Tells systemd `READY=1` when the server has begun to serve, `STOPPING=1` when it is shut down, and `WATCHDOG=1` in
    /// between if the unit has `WatchdogSec=`, for which it has a thread then. [`ServerHandle::set_health`] goes to `STATUS=`; a
    /// server that is not ready when it begins to serve says `READY=1` when it is, and one that is failing lets the watchdog
    /// bite. Of several servers in one process only the one
    /// should do so whose end is the end of the process. What else there is to say
    /// [`systemd::notify`](crate::systemd::notify) says. Does nothing if systemd does not want to be told.
    ///
    /// The example at [`systemd`](crate::systemd) calls it.
    #[cfg(feature = "systemd")]
    pub fn notify_systemd(mut self) -> Self {
        self.notifies = true;
        self
    }

    fn at(self, endpoint: Endpoint) -> Server {
        let control = Control {
            #[cfg(feature = "systemd")]
            notifies: self.notifies,
            ..Control::default()
        };
        Server { endpoint: Some(endpoint), builder: self, control: control.into() }
    }
}

pub(crate) type Callees = Callee<Router>;

#[derive(Debug, Default)]
pub(crate) struct Control {
    stopping: AtomicBool,
    callee: Mutex<Weak<Callees>>,
    /// Another server has the name.
    handed_over: AtomicBool,
    /// systemd is told how the server is.
    #[cfg(feature = "systemd")]
    notifies: bool,
    health: Mutex<Health>,
}

impl Control {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn callee(&self) -> Option<Arc<Callees>> {
        self.callee.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    pub(crate) fn shutdown(&self) {
        #[cfg(feature = "systemd")]
        if self.notifies && !self.stopping.load(Ordering::SeqCst) {
            crate::systemd::notify("STOPPING=1");
        }
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(callee) = self.callee() {
            callee.stop();
            callee.handler().runtime().begin_close();
        }
    }

    /// The server serves. What it gives tells systemd that it goes on to.
    #[cfg(feature = "systemd")]
    fn ready(self: &Arc<Self>) -> io::Result<Option<crate::systemd::Watchdog>> {
        if !self.notifies || self.stopping.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if self.health().is_ready() {
            crate::systemd::notify("READY=1");
        }
        let handle = ServerHandle { control: self.clone() };
        crate::systemd::Watchdog::start(move || {
            // Takes every lock that workers take.
            handle.usage();
            !matches!(handle.health(), Health::Failing(_))
        })
    }

    /// Its health has changed.
    #[cfg(feature = "systemd")]
    fn tell_health(&self) {
        if !self.notifies || self.stopping.load(Ordering::SeqCst) {
            return;
        }
        let health = self.health();
        // What is ready before it serves is told when it does.
        let ready = if health.is_ready() && self.callee().is_some() { "READY=1\n" } else { "" };
        crate::systemd::notify(&format!("{ready}STATUS={}", health.to_string().replace('\n', " ")));
    }

    /// The name is another server's: this one leaves it, and shuts down.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::SeqCst);
        self.shutdown();
    }
}

/// A server that has its name.
///
/// ```no_run
/// # use ipc_rpc::{Server, service};
/// # #[service]
/// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// # struct Adder;
/// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
/// Server::bind("calc")?.serve(CalcDispatcher::new(Adder))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a bound server answers nobody until it serves"]
pub struct Server {
    endpoint: Option<Endpoint>,
    builder: ServerBuilder,
    control: Arc<Control>,
}

impl Server {
    /// Settings other than the defaults, or several services.
    ///
    /// ```
    /// use ipc_rpc::{Server, Waiting};
    /// let builder = Server::builder().workers(2).waiting(Waiting::Park);
    /// # drop(builder);
    /// ```
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Takes a name with default settings; see [`ServerBuilder::bind`].
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-bind-name-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::bind(&name)?; // clients can connect now, and wait
    /// let handle = server.handle();
    /// let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
    /// assert_eq!(CalcClient::connect(&name)?.add(2, 3)?, 5);
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(name: impl AsRef<str>) -> Result<Server, BindError> {
        Server::builder().bind(name)
    }

    /// The socket.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-path-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::bind(&name)?;
    /// println!("serving at {}", server.path().display());
    /// # drop(server);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.endpoint.as_ref().map_or(Path::new(""), Endpoint::path)
    }

    /// A handle that can stop the server from another thread.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-handle-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::bind(&name)?;
    /// let handle = server.handle(); // before the server is busy serving
    /// let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
    /// handle.shutdown();
    /// serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { control: self.control.clone() }
    }

    /// Serves `service`, and those added to the builder, until [`ServerHandle::shutdown`] or a
    /// [signal](ServerBuilder::signals).
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-serve-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || {
    /// server.serve(CalcDispatcher::new(Adder))
    /// # });
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve(mut self, service: impl Dispatch) -> Result<(), ServeError> {
        self.builder.services.push(Arc::new(service));
        self.run()
    }

    /// Serves what was added to the builder, until [`ServerHandle::shutdown`] or a [signal](ServerBuilder::signals). This
    /// thread is one of the workers.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-run-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || {
    /// server.run()
    /// # });
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn run(mut self) -> Result<(), ServeError> {
        let listener = self.listener()?;
        let _watched = self.watched()?;
        let running = Running::start(std::mem::take(&mut self.builder), listener, &self.control, 1)?;
        #[cfg(feature = "systemd")]
        let _watchdog = self.control.ready()?;
        running.callee.work(0);
        // The name is free before the last handler has ended: a new server can take it.
        self.leave_name();
        Ok(())
    }

    /// Serves `service`, and those added to the builder, in a future: the futures of `async` methods are polled where this
    /// one is polled, so they can use the runtime it runs in. Several are under way at a time, and each is polled only when it
    /// was woken. Methods that are not `async` run on the server's threads as ever. The future is ready after
    /// [`ServerHandle::shutdown`] or a [signal](ServerBuilder::signals). Dropping it shuts the server down too, and waits for the handlers that are not `async`.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-serve-async-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::bind(&name)?;
    /// let handle = server.handle();
    /// smol::block_on(async {
    ///     let serving = smol::spawn(server.serve_async(CalcDispatcher::new(Adder)));
    ///     let calc = smol::unblock(move || CalcClient::connect(&name)).await?;
    ///     assert_eq!(calc.start().add(2, 3)?.await?, 5);
    ///     handle.shutdown();
    ///     serving.await?;
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn serve_async(
        mut self,
        service: impl Dispatch,
    ) -> impl Future<Output = Result<(), ServeError>> + Send + 'static {
        self.builder.services.push(Arc::new(service));
        self.run_async()
    }

    /// Serves what was added to the builder in a future; see [`Server::serve_async`].
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-run-async-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// server.handle().shutdown(); // so that it ends at once
    /// smol::block_on(server.run_async())?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn run_async(mut self) -> Result<(), ServeError> {
        self.builder.runs = Runs::Inside;
        let grace = self.builder.grace;
        let listener = self.listener()?;
        let _watched = self.watched()?;
        let mut running = Running::start(std::mem::take(&mut self.builder), listener, &self.control, 0)?;
        #[cfg(feature = "systemd")]
        let _watchdog = self.control.ready()?;
        // Should this future be dropped, nobody polls the handlers any more.
        running.grace = Duration::ZERO;
        let runtime = running.callee.handler().runtime().clone();
        poll_fn(|cx| {
            // First this, which notes whom to wake; then the look at what may have changed.
            runtime.poll(cx);
            if running.active.load(Ordering::SeqCst) > 0 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.leave_name();
        runtime.begin_drain();
        let until = Instant::now().checked_add(grace);
        runtime.wake_poller_after(grace);
        poll_fn(|cx| {
            runtime.poll(cx);
            let over = runtime.admitted() == 0 || until.is_some_and(|until| Instant::now() >= until);
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok(())
    }

    fn leave_name(&mut self) {
        match self.endpoint.take() {
            Some(endpoint) if self.control.handed_over.load(Ordering::SeqCst) => endpoint.leave(),
            endpoint => drop(endpoint),
        }
    }

    /// Until this is dropped, signals shut the server down.
    fn watched(&self) -> io::Result<Option<Watched>> {
        self.builder.signals.then(|| Watched::new(&self.control)).transpose()
    }

    fn listener(&self) -> io::Result<Option<OwnedFd>> {
        self.endpoint.as_ref().map(|e| e.listener().try_clone_to_owned()).transpose()
    }
}

/// Stops a server from another thread; see [`Server::handle`]. The example at [`ServerBuilder`] uses one.
///
/// ```
/// # use ipc_rpc::Server;
/// # use ipc_rpc::{service, testing};
/// # #[service]
/// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// # struct Adder;
/// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-server-handle-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("calc.sock").display().to_string();
/// let server = Server::bind(&name)?;
/// let handle = server.handle();
/// let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
/// let calc = CalcClient::connect(&name)?;
/// assert_eq!(calc.add(2, 3)?, 5);
/// assert_eq!(handle.usage().clients, 1);
/// handle.shutdown();
/// serving.join().unwrap()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerHandle {
    control: Arc<Control>,
}

impl ServerHandle {
    /// Stops looking for requests, lets running handlers end and their replies go out (`async` ones for at most
    /// [`ServerBuilder::grace`], others as long as they take; contexts tell of it), ends all streams; then
    /// [`Server::run`] returns. Calls that were not begun are made again by
    /// their callers with the next server ([`Reconnect`](crate::Reconnect)); if there is none they fail with
    /// [`CallError::NotStarted`](crate::CallError::NotStarted).
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-shutdown-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::bind(&name)?;
    /// # let handle = server.handle();
    /// let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
    /// handle.shutdown();
    /// serving.join().unwrap()?; // all handlers have ended
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self) {
        self.control.shutdown();
    }

    /// What the server has in use now; nothing, unless it serves.
    ///
    /// The example at [`ServerUsage`] reads it.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-usage-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
    /// let calc = CalcClient::connect(&name)?;
    /// calc.add(2, 3)?;
    /// assert_eq!((handle.usage().clients, handle.usage().streams), (1, 0));
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn usage(&self) -> ServerUsage {
        self.control.callee().map_or_else(ServerUsage::default, |callee| ServerUsage::of(&callee))
    }

    /// Says how the server is, to those who look at it ([`discover`](crate::discover), `ipc list`). It is ready unless
    /// something else is said; calls are answered whatever is said.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ipc_rpc::{Health, Server, ServerInfo, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-health-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    ///
    /// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// let handle = server.handle();
    /// handle.set_health(Health::NotReady("reads its index".into()));
    /// let serving = std::thread::spawn(move || server.run());
    /// let seen = ServerInfo::of(&name, Duration::from_secs(5))?.state.health;
    /// assert_eq!(seen, Health::NotReady("reads its index".into()));
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_health(&self, health: Health) {
        *self.control.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
        #[cfg(feature = "systemd")]
        self.control.tell_health();
    }

    /// How it was last said to be.
    ///
    /// ```
    /// let server = ipc_rpc::Server::builder();
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-healthy-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("any.sock").display().to_string();
    /// assert!(server.bind(&name)?.handle().health().is_ready());
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health(&self) -> Health {
        self.control.health()
    }

    /// What has been counted of each method since the server began to serve: service, method, figures; nothing, unless it
    /// serves.
    ///
    /// ```
    /// use ipc_rpc::{Server, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-stat-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    ///
    /// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// let handle = server.handle();
    /// let serving = std::thread::spawn(move || server.run());
    /// let client = CalcClient::connect(&name)?;
    /// client.add(2, 3)?;
    /// let [add] = &handle.statistics()[..] else { panic!() };
    /// assert_eq!((add.service, add.method, add.figures.calls), ("Calc", "add", 1));
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn statistics(&self) -> Vec<MethodStatistics> {
        let Some(callee) = self.control.callee() else { return Vec::new() };
        let names = callee.handler().method_names();
        let figures = |(number, (service, method))| {
            let figures = callee.statistics().read(number);
            MethodStatistics { service, method, figures }
        };
        names.take(callee.statistics().methods()).enumerate().map(figures).collect()
    }

    /// What the server has turned away since it began to serve; nothing, unless it serves.
    ///
    /// The example at [`Rejected`] reads it.
    ///
    /// ```
    /// # use ipc_rpc::Server;
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-rejected-handle-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.serve(CalcDispatcher::new(Adder)));
    /// CalcClient::connect(&name)?.add(2, 3)?;
    /// assert_eq!(handle.rejected().connections, 0);
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rejected(&self) -> Rejected {
        self.control.callee().map_or_else(Rejected::default, |callee| callee.handler().rejections.count())
    }
}

/// The workers of a server, but the one that its starter may be.
pub(crate) struct Running {
    pub(crate) callee: Arc<Callees>,
    workers: Vec<std::thread::JoinHandle<()>>,
    /// Workers in threads of this value that have not ended.
    active: Arc<AtomicUsize>,
    handle: ServerHandle,
    /// How long futures of handlers may go on after the workers have ended.
    grace: Duration,
    detached: bool,
}

impl Running {
    /// Starts the workers from number `first` on.
    fn start(
        builder: ServerBuilder,
        listener: Option<OwnedFd>,
        control: &Arc<Control>,
        first: usize,
    ) -> Result<Self, ServeError> {
        let router =
            Router::new(builder.services, builder.admission, builder.runs, builder.interceptors, control.clone())?;
        let callee = Arc::new(Callee::new(router, listener, builder.workers)?);
        callee.wait_as(builder.waiting);
        *control.callee.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&callee);
        let handle = ServerHandle { control: control.clone() };
        let active = Arc::<AtomicUsize>::default();
        let mut running =
            Running { callee, workers: Vec::new(), active, handle, grace: builder.grace, detached: false };
        for me in first..running.callee.workers() {
            let (callee, active) = (running.callee.clone(), running.active.clone());
            active.fetch_add(1, Ordering::SeqCst);
            let worker = std::thread::Builder::new().name(format!("ipc-rpc worker {me}"));
            let spawned = worker.spawn(move || {
                callee.work(me);
                let runtime = callee.handler().runtime().clone();
                // First, so that whoever sees the last worker gone can end the callee.
                drop(callee);
                active.fetch_sub(1, Ordering::SeqCst);
                runtime.wake_poller();
            });
            running.workers.push(spawned?);
        }
        if control.stopping.load(Ordering::SeqCst) {
            running.callee.stop();
        }
        Ok(running)
    }

    /// A callee with one worker and no thread for it.
    pub(crate) fn without_threads(builder: ServerBuilder) -> Result<Arc<Callees>, ServeError> {
        let router =
            Router::new(builder.services, builder.admission, builder.runs, builder.interceptors, Arc::default())?;
        Ok(Arc::new(Callee::new(router, None, Workers { base: 1, spare: 0, grow: false })?))
    }

    /// All workers in threads of their own, for a server without a name.
    pub(crate) fn in_background(builder: ServerBuilder) -> Result<Self, ServeError> {
        let builder = builder.grace(Duration::ZERO);
        Running::start(builder, None, &Arc::default(), 0)
    }
}

impl Running {
    /// Stops, but waits for nobody: for a thread that may be one of the workers. They end after the handlers they run.
    pub(crate) fn detach(mut self) {
        self.handle.shutdown();
        self.workers.clear();
        self.detached = true;
        let callee = self.callee.clone();
        drop(self);
        // Whoever drops the last of it waits for the handlers of spare workers (P11), and one of them may wait for this thread.
        if callee.has_spares() {
            // Without a thread it is dropped here.
            let _ = std::thread::Builder::new().name("ipc-rpc release".into()).spawn(move || drop(callee));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        let me = std::thread::current().id();
        // Not itself, if a handler drops the last that is left of its server.
        for worker in self.workers.drain(..).filter(|worker| worker.thread().id() != me) {
            let _ = worker.join();
        }
        let runtime = self.callee.handler().runtime();
        if !self.detached {
            runtime.drain(self.grace);
        }
        runtime.stop(!self.detached);
    }
}

//! What a server is to be.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipc_core::gap::Waiting;
use ipc_core::memory::Memory;
use ipc_core::scanner::Workers;

use super::{BindError, Control, Limits, Server};
use crate::context::Peer;
use crate::endpoint::{self, Endpoint, NotBound};
use crate::executor::BoxFuture;
use crate::intercept::{Chain, Interceptor};
use crate::router::Admission;
use crate::runtime::Runs;
use crate::service::Dispatch;
use crate::trust::{Reading, Trust};

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
    pub(super) services: Vec<Arc<dyn Dispatch>>,
    pub(crate) workers: Workers,
    pub(super) mode: Option<u32>,
    pub(super) admission: Admission,
    pub(super) runs: Runs,
    pub(super) grace: Duration,
    pub(super) waiting: Waiting,
    pub(super) interceptors: Chain,
    /// The server that has the name is to give it away.
    pub(super) takes_over: bool,
    /// Signals shut it down.
    pub(super) signals: bool,
    /// systemd is told how it is.
    #[cfg(feature = "systemd")]
    pub(super) notifies: bool,
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

    /// Whether SIGTERM and SIGINT (Ctrl-C) shut the server down, as
    /// [`ServerHandle::shutdown`](crate::ServerHandle::shutdown) does, so that [`Server::run`] returns; a second one
    /// kills the process, handlers or not. Default: `true`. It is so while the server runs, for those of the two signals that
    /// would have killed the process: a handler of the program's stays, and so does a signal that is ignored. A program that
    /// does other things besides serving ends them when `run` has returned, or says `false` here and has a handler of its own
    /// call `shutdown`.
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
    /// is undefined behaviour. Clients without types (`DynamicClient`, `record::replay`, `ipc call`, `ipc replay`) are no
    /// generated ones: they send what a description says, which may be another one's.
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
    /// shuts down as by [`ServerHandle::shutdown`](crate::ServerHandle::shutdown), so that its [`Server::run`] returns. No client
    /// finds nobody meanwhile. What
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
    /// between if the unit has `WatchdogSec=`, for which it has a thread then.
    /// [`ServerHandle::set_health`](crate::ServerHandle::set_health) goes to `STATUS=`; a
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

    pub(super) fn at(self, endpoint: Endpoint) -> Server {
        let control = Control {
            #[cfg(feature = "systemd")]
            notifies: self.notifies,
            ..Control::default()
        };
        Server { endpoint: Some(endpoint), builder: self, control: control.into() }
    }
}

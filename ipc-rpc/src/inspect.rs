//! Looking at servers from outside: which there are, what they serve, how they are, and what they have done.
//!
//! A server answers a question of its own in place of a greeting: with what its services look like, with its present state,
//! and with the file in which it counts. That file is read where it lies, as often as one likes, without a word to the server;
//! for the state one asks again. Figures and the list of clients are for the server's own user and root.
#![allow(unsafe_code)] // The derive implements `Message`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ipc_core::callee::ChannelUsage;
use ipc_core::sealed;
use ipc_core::socket::Credentials;
pub use ipc_core::statistics::MethodFigures;
use ipc_core::statistics::View;
use ipc_core::{clock, socket};

use crate::connect::ConnectError;
use crate::describe::Description;
use crate::executor::lock;
use crate::handshake::{self, Answer, PROTOCOL};
use crate::message::bytes;
use crate::{Message, connect, endpoint};

/// How a server says that it is; see [`ServerHandle::set_health`](crate::ServerHandle::set_health).
///
/// ```
/// use ipc_rpc::Health;
/// assert!(Health::default().is_ready());
/// assert_eq!(Health::NotReady("reads its index".into()).to_string(), "not ready: reads its index");
/// ```
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub enum Health {
    /// It does its work.
    #[default]
    Ready,
    /// It answers, but should not be given work yet, or for a while, and why.
    NotReady(String),
    /// Something is wrong with it that it does not expect to pass by itself, and what.
    Failing(String),
}

impl Health {
    /// Does it do its work?
    ///
    /// ```
    /// use ipc_rpc::Health;
    /// assert!(Health::Ready.is_ready() && !Health::Failing("its disk is full".into()).is_ready());
    /// ```
    pub fn is_ready(&self) -> bool {
        *self == Health::Ready
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Health::Ready => write!(f, "ready"),
            Health::NotReady(why) => write!(f, "not ready: {why}"),
            Health::Failing(why) => write!(f, "failing: {why}"),
        }
    }
}

/// What has been counted of one method; see [`ServerHandle::statistics`](crate::ServerHandle::statistics).
///
/// ```
/// use ipc_rpc::ServerHandle;
///
/// /// The method that is called most.
/// fn busiest(server: &ServerHandle) -> Option<String> {
///     let most = server.statistics().into_iter().max_by_key(|method| method.figures.calls)?;
///     Some(format!("{}::{}", most.service, most.method))
/// }
/// # let _ = busiest;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MethodStatistics {
    /// The service.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// What was counted.
    pub figures: MethodFigures,
}

/// The state of a server at one moment. Times are nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
///
/// The example at [`ServerInfo`] reads one.
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct ServerState {
    /// Its process, as it knows itself.
    pub pid: u32,
    /// Version of this crate that it was built with.
    pub version: String,
    /// When it began to serve.
    pub started: u64,
    /// When this was written.
    pub now: u64,
    /// It has been told to shut down, and ends what it has begun.
    pub stopping: bool,
    /// How it says that it is.
    pub health: Health,
    /// How many clients it has.
    pub clients_count: u64,
    /// The clients; empty for who is neither the server's user nor root.
    pub clients: Vec<ClientState>,
    /// Threads that look for requests and run handlers.
    pub workers: u64,
    /// Streams that are open.
    pub streams: u64,
    /// Objects of clients that it can call.
    pub callbacks: u64,
    /// Connections and requests that it has turned away since it began.
    pub rejected: u64,
}

/// One client of a server.
///
/// The example at [`ServerInfo`] reads one.
#[derive(Message, Debug, Clone, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct ClientState {
    /// Tells clients of one server apart.
    pub id: u64,
    /// Its process when it connected; 0 if that is out of the server's sight.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// When it connected.
    pub since: u64,
    /// Calls that were begun for it.
    pub calls: u64,
    /// Calls that it has sent and that have not begun.
    pub queued: u32,
    /// Calls that are under way.
    pub running: Vec<RunningCall>,
    /// How many calls it can have in flight.
    pub blocks: u32,
    /// Bytes of memory that its large replies use now.
    pub memory: u64,
}

impl ClientState {
    pub(crate) fn of(who: Credentials, usage: &ChannelUsage) -> Self {
        let running = usage.running.iter().map(|(method, since)| RunningCall { method: *method, since: *since });
        ClientState {
            id: usage.id,
            pid: who.pid,
            uid: who.uid,
            since: usage.since,
            calls: usage.calls,
            queued: usage.queued,
            running: running.collect(),
            blocks: usage.blocks,
            memory: usage.memory.used,
        }
    }
}

/// A call that is under way.
///
/// The example at [`ServerInfo`] reads one.
#[derive(Message, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[message(crate = crate)]
#[non_exhaustive]
pub struct RunningCall {
    /// Which method of all services, one after the other, as the client says.
    pub method: u16,
    /// Since when it is known to be under way, to 10 ms if it takes long.
    pub since: u64,
}

/// A server, looked at from outside.
///
/// ```
/// use std::time::Duration;
/// use ipc_rpc::{Server, ServerInfo, service};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-info-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let name = folder.join("calc.sock").display().to_string();
/// let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
/// let handle = server.handle();
/// let serving = std::thread::spawn(move || server.run());
/// let client = CalcClient::connect(&name)?;
/// for n in 0..1000 {
///     client.add(n, 1)?;
/// }
///
/// let info = ServerInfo::of(&name, Duration::from_secs(5))?;
/// assert!(info.state.health.is_ready());
/// assert_eq!(info.description.services[0].name, "Calc");
/// assert_eq!(info.state.clients[0].calls, 1000);
/// assert!(info.state.clients[0].running.is_empty());
/// assert_eq!(info.figures("Calc", "add").unwrap().calls, 1000);
/// # handle.shutdown();
/// # serving.join().unwrap()?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name: the path of its socket, if that is not in the user's folder.
    pub name: String,
    /// Its socket.
    pub path: PathBuf,
    /// Its process, as the kernel knows it; 0 if that is out of sight.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// The version of the protocol that it speaks.
    pub protocol: u32,
    /// Its services.
    pub description: Description,
    /// Its state when it was asked.
    pub state: ServerState,
    view: Option<View>,
}

impl ServerInfo {
    /// Asks the server called `name`, which is given as to [`ServerBuilder::bind`](crate::ServerBuilder::bind).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ipc_rpc::{Server, ServerInfo, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-info-of-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.run());
    /// let info = ServerInfo::of(&name, Duration::from_secs(5))?;
    /// assert_eq!((info.pid, info.state.stopping), (std::process::id() as i32, false));
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`], as for a client.
    pub fn of(name: impl AsRef<str>, timeout: Duration) -> Result<ServerInfo, ConnectError> {
        let name = name.as_ref();
        ask(name, &connect::path_of(name)?, timeout)
    }

    /// Asks again: the state is as of now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ipc_rpc::{Server, ServerInfo, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-info-refresh-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.run());
    /// let mut info = ServerInfo::of(&name, Duration::from_secs(5))?;
    /// assert_eq!(info.state.clients_count, 0);
    /// let calc = CalcClient::connect(&name)?;
    /// info.refresh(Duration::from_secs(5))?;
    /// assert_eq!(info.state.clients_count, 1);
    /// # drop(calc);
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`]: the state is as it was. [`ServerInfo::figures`] are read where the server counts, whatever it answers.
    pub fn refresh(&mut self, timeout: Duration) -> Result<(), ConnectError> {
        *self = ask(&self.name, &self.path, timeout)?;
        Ok(())
    }

    /// What was counted of a method by now; `None`: there is no such method, or it is not for this user.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ipc_rpc::{Server, ServerInfo, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-info-figures-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.run());
    /// let info = ServerInfo::of(&name, Duration::from_secs(5))?;
    /// CalcClient::connect(&name)?.add(2, 3)?;
    /// assert_eq!(info.figures("Calc", "add").map(|add| add.calls), Some(1)); // without asking again
    /// assert!(info.figures("Calc", "subtract").is_none());
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn figures(&self, service: &str, method: &str) -> Option<MethodFigures> {
        let number = self.methods().position(|known| known == (service, method))?;
        let view = self.view.as_ref()?;
        (number < view.methods()).then(|| view.read(number))
    }

    /// The methods of all services, one after the other: service and method. The place here is the method's number.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ipc_rpc::{Server, ServerInfo, service};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// # let folder = std::env::temp_dir().join(format!("ipc-rpc-doc-info-methods-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let name = folder.join("calc.sock").display().to_string();
    /// # let server = Server::builder().service(CalcDispatcher::new(Adder)).bind(&name)?;
    /// # let handle = server.handle();
    /// # let serving = std::thread::spawn(move || server.run());
    /// let info = ServerInfo::of(&name, Duration::from_secs(5))?;
    /// assert!(info.methods().eq([("Calc", "add")]));
    /// # handle.shutdown();
    /// # serving.join().unwrap()?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn methods(&self) -> impl Iterator<Item = (&str, &str)> {
        let services = self.description.services.iter();
        services.flat_map(|service| service.methods.iter().map(|m| (service.name.as_str(), m.name.as_str())))
    }
}

/// A socket in the user's folder, and what answers there.
///
/// The example at [`discover`] reads one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Discovered {
    /// Its name, as clients give it.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// The server, or why there is none to be had: a process that was killed has left its socket, it does not answer, it is of
    /// another version.
    pub server: Result<ServerInfo, ConnectError>,
}

/// Looks for the servers of this user that have a plain name, in the order of their names. Waits for none of them longer than
/// `timeout`, and changes nothing: who was killed is found so each time, until a client or a server comes by.
///
/// ```
/// use std::time::Duration;
/// for found in ipc_rpc::discover(Duration::from_secs(1))? {
///     match found.server {
///         Ok(server) => println!("{}: {} clients", found.name, server.state.clients_count),
///         Err(error) => println!("{}: {error}", found.name),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system's, where the folder cannot be read; a folder that is not there is empty.
pub fn discover(timeout: Duration) -> io::Result<Vec<Discovered>> {
    let folder = endpoint::path_of("any", false)?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| endpoint::at(folder, &error))?,
    };
    let mut sockets: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sockets.retain(|path| path.extension().is_some_and(|e| e == "sock") && endpoint::is_socket(path));
    let threads = sockets.len().min(ASKING);
    let (next, found) = (Mutex::new(sockets.into_iter()), Mutex::new(Vec::new()));
    let ask_all = || loop {
        let Some(path) = lock(&next).next() else { return };
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let server = ask(&name, &path, timeout);
        lock(&found).push(Discovered { name, path, server });
    };
    // One that does not answer keeps few others waiting. This thread asks, too: there may be no other one to be had.
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().name("ipc-rpc discover".into()).spawn_scoped(scope, ask_all).is_err() {
                break;
            }
        }
        ask_all();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Servers that are asked at the same time.
const ASKING: usize = 32;

/// The most bytes of a description or a state.
const LONGEST: u64 = 64 << 20;

fn ask(name: &str, path: &Path, timeout: Duration) -> Result<ServerInfo, ConnectError> {
    let deadline = clock::after(timeout);
    let here = || path.to_path_buf();
    let io = |error: io::Error| ConnectError::Io { path: here(), error };
    let timed_out = || ConnectError::TimedOut { path: here(), after: timeout };
    let connected = socket::connect(path, deadline);
    let socket = connected.map_err(|error| connect::not_connected("", here(), error, timeout))?;
    socket::ask_who_sends(socket.as_fd(), true).map_err(io)?;
    socket::send(socket.as_fd(), &handshake::inspector(), None).map_err(io)?;
    if !socket::wait_readable(socket.as_fd(), deadline).map_err(io)? {
        return Err(timed_out());
    }
    let (packet, files, sender) = socket::receive_from(socket.as_fd()).map_err(io)?;
    let who = sender.map_or_else(|| socket::credentials(socket.as_fd()), Ok).map_err(io)?;
    if packet.is_empty() {
        return Err(ConnectError::Refused { path: here(), reason: "the server left without a word".into() });
    }
    let protocol = match handshake::inspected(&packet) {
        Ok(protocol) => protocol,
        Err(Some(Answer::Version(there))) => return Err(ConnectError::Version { path: here(), here: PROTOCOL, there }),
        Err(Some(Answer::Refused(reason))) => return Err(ConnectError::Refused { path: here(), reason }),
        Err(_) => return Err(ConnectError::NotAServer { path: here() }),
    };
    let mut files = files.into_iter();
    let mut next = || files.next().ok_or_else(|| io(io::ErrorKind::UnexpectedEof.into()));
    let (description, state) = (read(next()?).map_err(io)?, read(next()?).map_err(io)?);
    let invalid = |error| io(io::Error::new(io::ErrorKind::InvalidData, format!("the answer is invalid: {error}")));
    let description = Description::from_bytes(&description).map_err(invalid)?;
    let state = bytes::from_bytes::<ServerState>(&state).map_err(invalid)?;
    let view = next().ok().map(View::open).transpose().map_err(io)?;
    let (name, path) = (name.to_owned(), here());
    Ok(ServerInfo { name, path, pid: who.pid, uid: who.uid, protocol, description, state, view })
}

fn read(file: OwnedFd) -> io::Result<Vec<u8>> {
    sealed::read(file, LONGEST)
}

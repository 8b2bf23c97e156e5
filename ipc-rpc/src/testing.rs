//! A client and a server in one process, for tests: the same code path as between two, without a name.
//!
//! The memory is shared, the handshake is made and the calls go through blocks and queues as between processes; only the
//! socket has no file. Nothing is left behind, and tests can run side by side.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipc_core::scanner::Callee;
use ipc_core::{clock, socket};

use crate::callback::{self, Handle, Lent};
use crate::connect::{ClientConfig, ConnectError, Connection};
use crate::rejected::Rejected;
use crate::router::Router;
use crate::server::{Running, ServeError, Server, ServerBuilder};
use crate::service::{Dispatch, Pair, ServiceDesc};
use crate::stub::Stub;
use crate::usage::{ClientUsage, ServerUsage};

/// A server that runs in threads of this process until it is dropped.
///
/// ```
/// # use ipc_rpc::{service, testing};
/// # #[service]
/// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// # struct Adder;
/// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
/// let (calc, server) = testing::pair(CalcDispatcher::new(Adder))?;
/// assert_eq!(calc.add(2, 3)?, 5);
/// drop(server);
/// assert!(calc.add(2, 3).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PairServer(Running);

impl fmt::Debug for PairServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairServer").field("callee", &self.0.callee).finish()
    }
}

/// A client connected to a server of `dispatcher` that runs in this process.
///
/// Keep the server: dropping it ends the connection.
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc {
///     fn add(&self, a: u64, b: u64) -> u64;
/// }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (client, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// assert_eq!(client.add(2, 3)?, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ConnectError::Io`] if the system has no descriptors, threads or memory left.
pub fn pair<D: Pair>(dispatcher: D) -> Result<(D::Client, PairServer), ConnectError> {
    pair_with(Server::builder(), dispatcher, &ClientConfig::default())
}

/// As [`pair`], with settings: `builder`'s for the server, to which `dispatcher` is added, and `config` for the client.
///
/// ```
/// use ipc_rpc::{ClientConfig, Server, service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let config = ClientConfig { blocks: 4, ..ClientConfig::default() };
/// let (client, server) = testing::pair_with(Server::builder().workers(1), CalcDispatcher::new(Adder), &config)?;
/// assert_eq!(client.add(2, 3)?, 5);
/// assert_eq!(server.usage().workers, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`pair`], and [`ConnectError::Config`] for settings that cannot be.
pub fn pair_with<D: Pair>(
    builder: ServerBuilder,
    dispatcher: D,
    config: &ClientConfig,
) -> Result<(D::Client, PairServer), ConnectError> {
    let service = dispatcher.service();
    let running = Running::in_background(builder.service(dispatcher)).map_err(not_started)?;
    Ok((D::client(connect(service, &running.callee, config)?), PairServer(running)))
}

impl PairServer {
    /// What it has in use.
    ///
    /// ```
    /// # use ipc_rpc::{service, testing};
    /// # #[service]
    /// # pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
    /// # struct Adder;
    /// # impl Calc for Adder { fn add(&self, a: u64, b: u64) -> u64 { a + b } }
    /// let (calc, server) = testing::pair(CalcDispatcher::new(Adder))?;
    /// calc.add(2, 3)?;
    /// assert_eq!(server.usage().clients, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn usage(&self) -> ServerUsage {
        ServerUsage::of(&self.0.callee)
    }

    /// Another client of the server of a [`pair`]; `dispatcher` says of which service and is used for nothing else.
    ///
    /// # Errors
    /// [`ConnectError`].
    #[doc(hidden)]
    pub fn connect<D: Pair>(&self, dispatcher: &D, config: &ClientConfig) -> Result<D::Client, ConnectError> {
        Ok(D::client(connect(dispatcher.service(), &self.0.callee, config)?))
    }
}

/// What a client and its clones have in use; see [`ClientUsage`].
///
/// ```
/// use ipc_rpc::{service, testing};
///
/// #[service]
/// pub trait Calc { fn add(&self, a: u64, b: u64) -> u64; }
/// struct Adder;
/// impl Calc for Adder {
///     fn add(&self, a: u64, b: u64) -> u64 { a + b }
/// }
///
/// let (client, _server) = testing::pair(CalcDispatcher::new(Adder))?;
/// client.add(2, 3)?;
/// assert_eq!(testing::client_usage(&client).blocks, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn client_usage(client: &impl Handle) -> ClientUsage {
    ClientUsage::of(client.stub())
}

/// As [`pair`], but the server has no thread: it runs only in [`Stepped::step`]. For counting instructions.
#[doc(hidden)]
pub fn stepped<D: Pair>(dispatcher: D) -> Result<(D::Client, Stepped), ConnectError> {
    let service = dispatcher.service();
    let callee = Running::without_threads(Server::builder().service(dispatcher)).map_err(not_started)?;
    let connected = AtomicBool::new(false);
    let stub = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stepper = callee.stepper(0);
            while let Some(stepper) = stepper.as_mut().filter(|_| !connected.load(Ordering::Relaxed)) {
                stepper.step();
            }
        });
        let stub = connect(service, &callee, &ClientConfig::default());
        connected.store(true, Ordering::Relaxed);
        stub
    })?;
    Ok((D::client(stub), Stepped(callee)))
}

/// A server without a thread and without a client, for peers that say and write what they like. For fuzzing.
#[doc(hidden)]
pub fn stepped_server(builder: ServerBuilder) -> Result<Stepped, ServeError> {
    Running::without_threads(builder).map(Stepped)
}

/// What serves the objects that a client lends to its server, without a thread, a client and a server. For fuzzing.
#[doc(hidden)]
pub fn stepped_objects(objects: Vec<Arc<dyn Dispatch>>) -> Result<(Stepped, Vec<Lent>), ServeError> {
    let who = socket::pair().and_then(|(end, _)| socket::credentials(end.as_fd()))?;
    let (builder, lent) = callback::server_of(objects, who);
    Ok((stepped_server(builder)?, lent))
}

/// The server of a [`stepped`] pair.
#[doc(hidden)]
#[derive(Debug)]
pub struct Stepped(Arc<Callee<Router>>);

impl Stepped {
    /// Lets in who is at the other end of this socket, if it shakes hands.
    pub fn adopt(&self, socket: OwnedFd) -> io::Result<()> {
        self.0.adopt(socket)
    }

    /// What it has in use.
    pub fn usage(&self) -> ServerUsage {
        ServerUsage::of(&self.0)
    }

    /// What it has turned away.
    pub fn rejected(&self) -> Rejected {
        self.0.handler().rejections.count()
    }

    /// Runs `with` with a function that serves at most one request.
    pub fn run<T>(&self, with: impl FnOnce(&mut dyn FnMut() -> bool) -> T) -> Option<T> {
        let mut stepper = self.0.stepper(0)?;
        Some(with(&mut || stepper.step()))
    }
}

fn failed(error: io::Error) -> ConnectError {
    ConnectError::Io { path: PathBuf::from("a pair in this process"), error }
}

fn not_started(error: ServeError) -> ConnectError {
    match error {
        ServeError::Io(error) => failed(error),
        other => ConnectError::Config { reason: other.to_string() },
    }
}

fn connect(
    service: &'static ServiceDesc,
    callee: &Callee<Router>,
    config: &ClientConfig,
) -> Result<Stub, ConnectError> {
    let (ours, theirs) = socket::pair().map_err(failed)?;
    callee.adopt(theirs).map_err(failed)?;
    let deadline = clock::after(config.connect_timeout);
    let connection = Connection::greet(service, ours, PathBuf::from("a pair in this process"), config, deadline)?;
    Ok(Stub::over(connection, config))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError, mpsc};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::message::Message;
    use crate::service::{Incoming, MethodDesc, Refused, Replied};

    /// Its method ends at once in the first worker if a spare one is at it, and in that when it is told to.
    struct Rests {
        entered: mpsc::Sender<()>,
        told: Mutex<mpsc::Receiver<()>>,
    }

    static RESTS: ServiceDesc = ServiceDesc {
        name: "Rests",
        docs: "",
        methods: &[MethodDesc {
            name: "rest",
            docs: "",
            params: &[],
            result: <() as Message>::desc,
            oneway: false,
            idempotent: false,
            asynchronous: false,
            long: true,
        }],
        callbacks: &[],
        fingerprints: None,
    };

    impl Dispatch for Rests {
        fn service(&self) -> &'static ServiceDesc {
            &RESTS
        }

        fn dispatch(&self, _: u16, call: Incoming<'_>) -> Result<Replied, Refused> {
            // Those of the starter have numbers.
            if thread::current().name() == Some("ipc-rpc worker") {
                self.entered.send(()).unwrap();
                self.told.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap();
            } else {
                while self.told.try_lock().is_ok() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            call.reply::<()>(&())
        }
    }

    #[test]
    fn a_server_that_is_detached_waits_for_no_handler_whoever_drops_the_last_of_it() {
        let ((entered, entering), (tell, told)) = (mpsc::channel(), mpsc::channel());
        let service = Rests { entered, told: Mutex::new(told) };
        let builder = Server::builder().workers(1).service(service);
        let running = Running::in_background(builder).unwrap();
        let stub = connect(&RESTS, &running.callee, &ClientConfig::default()).unwrap();
        thread::scope(|scope| {
            let calls = [(); 2].map(|()| scope.spawn(|| stub.call::<(), ()>(0, &())));
            entering.recv().unwrap();
            let callee = Arc::downgrade(&running.callee);
            running.callee.stop();
            // Of those without a handler one stays to refuse what arrives. If that is a second spare one, the first worker ends,
            // and what is dropped below is the last of the callee.
            for _ in 0..200 {
                if callee.strong_count() == 1 {
                    break;
                }
                thread::sleep(Duration::from_millis(1));
            }
            let (done, ends) = mpsc::channel();
            scope.spawn(move || {
                running.detach();
                let _ = done.send(());
            });
            let detached = ends.recv_timeout(Duration::from_secs(20));
            tell.send(()).unwrap();
            assert!(detached.is_ok(), "it waits for the handler");
            assert!(calls.map(|call| call.join().unwrap().is_ok()).contains(&true));
            while callee.strong_count() > 0 {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

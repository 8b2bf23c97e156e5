//! Serving: from a dispatcher to a process that answers.

mod builder;
mod control;
mod error;
mod handle;
mod limits;
mod running;

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

pub use builder::ServerBuilder;
pub(crate) use control::{Callees, Control};
pub use error::{BindError, ServeError};
pub use handle::ServerHandle;
pub use limits::Limits;
pub(crate) use running::Running;

use crate::endpoint::Endpoint;
use crate::runtime::Runs;
use crate::service::Dispatch;
use crate::signals::Watched;

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

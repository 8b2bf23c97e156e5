//! What a server is asked, and told, from elsewhere.

use std::sync::{Arc, PoisonError};

use super::Control;
use super::control::Counted;
use crate::inspect::{Health, MethodStatistics};
use crate::rejected::Rejected;
use crate::usage::ServerUsage;

/// Stops a server from another thread; see [`Server::handle`](crate::Server::handle).
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
    pub(super) control: Arc<Control>,
}

impl ServerHandle {
    /// Stops looking for requests, lets running handlers end and their replies go out (`async` ones for at most
    /// [`ServerBuilder::grace`](crate::ServerBuilder::grace), others as long as they take; contexts tell
    /// of it), ends all streams; then [`Server::run`](crate::Server::run) returns. Calls that were not begun are made again by
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

    /// What has been counted of each method since the server began to serve: service, method, figures; nothing before that, and
    /// what it was when the server has ended.
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
    /// # assert_eq!(handle.statistics()[0].figures.calls, 1);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn statistics(&self) -> Vec<MethodStatistics> {
        let Some(Counted { names, statistics }) = self.control.counted.get() else { return Vec::new() };
        let figures = |(number, &(service, method)): (usize, &(&'static str, &'static str))| {
            let figures = statistics.read(number);
            MethodStatistics { service, method, figures }
        };
        names.iter().enumerate().map(figures).collect()
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

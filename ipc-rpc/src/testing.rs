//! A client and a server in one process, for tests: the same code path as between two, without a name.

use std::fmt;
use std::path::PathBuf;

use ipc_core::{clock, socket};

use crate::connect::{ClientConfig, ConnectError, Connection};
use crate::server::{Running, ServeError, Server};
use crate::service::Pair;
use crate::stub::Stub;

/// A server that runs in threads of this process until it is dropped.
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
    let io = |error| ConnectError::Io { path: PathBuf::from("a pair in this process"), error };
    let service = dispatcher.service();
    let running = match Running::in_background(Server::builder().service(dispatcher)) {
        Ok(running) => running,
        Err(ServeError::Io(error)) => return Err(io(error)),
        Err(other) => return Err(ConnectError::Config { reason: other.to_string() }),
    };
    let (ours, theirs) = socket::pair().map_err(io)?;
    running.callee.adopt(theirs).map_err(io)?;
    let config = ClientConfig::default();
    let deadline = clock::after(config.connect_timeout);
    let connection = Connection::greet(service, ours, PathBuf::from("a pair in this process"), &config, deadline)?;
    Ok((D::client(Stub::over(connection, &config)), PairServer(running)))
}

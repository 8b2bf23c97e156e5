//! Why a server could not begin.

use std::fmt;
use std::io;
use std::path::PathBuf;

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
    /// The server that runs there does not hand the name over ([`ServerBuilder::take_over`](crate::ServerBuilder::take_over)).
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

//! Names of services and their sockets: where they lie, who owns the folder, what is stale.
//!
//! # Safety
//! `flock` on a folder, and asking for the user's number.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc_core::{clock, socket};

use crate::handshake;

/// The user this process acts as.
pub(crate) fn user() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

/// Is `uid`, of a peer, the user this process acts as? In a user namespace all those who have no number there have the
/// same one, which is then nobody's.
pub(crate) fn is_own(uid: u32) -> bool {
    uid == user() && (uid != WITHOUT_NUMBER || has_every_user_a_number())
}

/// The number of users without one, unless root has changed it.
const WITHOUT_NUMBER: u32 = 65_534;

fn has_every_user_a_number() -> bool {
    let all = ["0", "0", "4294967295"];
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(all))
}

/// The socket path for a name: a name with a slash is a path, any other one a file in the user's private folder.
///
/// # Errors
/// `InvalidInput` for an empty name, `.` and `..`, or one with a zero byte; `PermissionDenied` if the folder is not private, or
/// not this user's.
pub(crate) fn path_of(name: &str, create: bool) -> io::Result<PathBuf> {
    let invalid = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match name {
        "" => return invalid("a service name is not empty"),
        "." | ".." => return invalid("a service name is no folder"),
        _ if name.contains('\0') => return invalid("a service name has no zero byte"),
        _ => {}
    }
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let folder = folder();
    if create {
        // What root makes there is in that user's way for good.
        if let Some(runtime) = runtime_folder().filter(|runtime| fs::metadata(runtime).is_ok_and(|m| m.uid() != user()))
        {
            let why =
                format!("XDG_RUNTIME_DIR, {}, is another user's folder: unset it, or use a path", runtime.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(&folder, &e)),
            _ => {}
        }
    }
    match fs::symlink_metadata(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(at(&folder, &e)),
        // Whoever can write in the folder can answer for every service in it. Root may look at those of others.
        Ok(m) if !m.is_dir() || m.uid() != user() && (create || user() != 0) || m.mode() & 0o022 != 0 => {
            let why = format!("{} must be a folder of this user that nobody else can write to", folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(_) => {}
    }
    Ok(folder.join(format!("{name}.sock")))
}

/// An error that says which folder of services it is about, and where that comes from.
pub(crate) fn at(folder: &Path, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied if std::env::var_os("XDG_RUNTIME_DIR").is_some() => {
            "; is XDG_RUNTIME_DIR that of another user?"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("{}: {error}{hint}", folder.display()))
}

/// The folder of this user's services.
fn folder() -> PathBuf {
    match runtime_folder() {
        Some(runtime) => runtime.join("ipc-rpc"),
        None => std::env::temp_dir().join(format!("ipc-rpc-{}", user())),
    }
}

fn runtime_folder() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute() && d.is_dir())
}

/// Keeps other processes of ours from binding or removing sockets in the same folder meanwhile. Leaves nothing behind.
///
/// It is a lease: whoever can read the folder, `/tmp` for example, can hold its lock for ever, and so does a process of
/// ours that is stopped just there. So a server that has waited for long binds without it, and one that has held it for
/// long removes nothing any more.
struct FolderLock {
    _folder: File,
    until: u64,
}

impl FolderLock {
    /// Waits no longer than `patience`.
    fn take(path: &Path, patience: Duration) -> io::Result<Self> {
        let folder = File::open(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        let deadline = clock::after(patience);
        loop {
            // SAFETY: plain system call on our own descriptor.
            if unsafe { libc::flock(folder.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(FolderLock { _folder: folder, until: clock::after(LEASE) });
            }
            match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e if e.kind() == io::ErrorKind::WouldBlock => {
                    if clock::now() >= deadline {
                        let why = "another process keeps the folder locked (flock)";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                e => return Err(e),
            }
        }
    }

    fn is_valid(&self) -> bool {
        clock::now() < self.until
    }
}

/// How long a server waits to bind its name while others hold the lock, each for an instant.
const BIND_PATIENCE: Duration = Duration::from_secs(5);
/// For how long the lock allows to remove a socket; far less than a server waits before it binds without.
const LEASE: Duration = Duration::from_secs(1);
/// How long to wait only to tidy up.
const SWEEP_PATIENCE: Duration = Duration::from_millis(200);

/// In place of device and number of a file that somebody else removes.
const NOT_OURS: (u64, u64) = (0, 0);

/// A bound name. Dropping it removes the socket file.
#[derive(Debug)]
pub(crate) struct Endpoint {
    path: PathBuf,
    listener: OwnedFd,
    file: (u64, u64),
    /// The process that bound it: a forked child has a copy of this value, and the name is not its own.
    process: u32,
}

/// Why a name could not be bound.
pub(crate) enum NotBound {
    /// A process answers there.
    Taken {
        /// Its process number, if it is known.
        pid: Option<i32>,
    },
    /// A process answers there, but does not hand the name over, for this reason.
    NotHandedOver(String),
    Io(io::Error),
}

impl From<io::Error> for NotBound {
    fn from(error: io::Error) -> Self {
        NotBound::Io(error)
    }
}

impl Endpoint {
    /// Listens at `path`. The socket of a process that was killed is replaced, that of a living one is had from it by who
    /// `takes_over`.
    pub(crate) fn bind(path: &Path, mode: u32, takes_over: bool) -> Result<Self, NotBound> {
        Self::bind_after(BIND_PATIENCE, path, mode, takes_over)
    }

    fn bind_after(patience: Duration, path: &Path, mode: u32, takes_over: bool) -> Result<Self, NotBound> {
        let take = || match FolderLock::take(path, patience) {
            // Who keeps it for so long removes nothing any more. Only two servers that begin at the same instant now,
            // where somebody killed has left a socket, could both get the name.
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(None),
            other => other.map(Some),
        };
        let mut lock = take()?;
        let deadline = clock::after(BIND_PATIENCE);
        let listener = loop {
            match socket::listen(path, mode) {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                other => break other?,
            }
            match answers(path)? {
                Some(_) if takes_over => match succeed(path, mode, deadline)? {
                    Some(listener) => {
                        socket::listen_anew(listener.as_fd())?;
                        break listener;
                    }
                    // It is leaving, or was killed: somebody else has the name then, or nobody.
                    None => std::thread::sleep(Duration::from_millis(1)),
                },
                Some(pid) => return Err(NotBound::Taken { pid: Some(pid).filter(|p| *p > 0) }),
                None if lock.as_ref().is_none_or(FolderLock::is_valid) => fs::remove_file(path)?,
                // This process was stopped just here: others have bound without it, perhaps.
                None => {
                    drop(lock.take());
                    lock = take()?;
                }
            }
        };
        ipc_core::fail_point!(Listening);
        let file = fs::symlink_metadata(path)?;
        drop(lock);
        Ok(Endpoint { path: path.to_owned(), listener, file: (file.dev(), file.ino()), process: std::process::id() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Endpoint {
    /// The name is another server's now: its file stays.
    pub(crate) fn leave(mut self) {
        self.file = NOT_OURS;
    }

    /// A socket at `path` that whoever started this process listens at.
    #[cfg(feature = "systemd")]
    pub(crate) fn passed(path: PathBuf, listener: OwnedFd) -> Self {
        Endpoint { path, listener, file: NOT_OURS, process: std::process::id() }
    }
}

/// The listener of the server at `path`, from itself; `None` if it ends instead.
fn succeed(path: &Path, mode: u32, deadline: u64) -> Result<Option<OwnedFd>, NotBound> {
    let refused = |why: &str| NotBound::NotHandedOver(why.into());
    let ended = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset};
        matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset) && clock::now() < deadline
    };
    let socket = match socket::connect(path, deadline) {
        Err(error) if ended(&error) => return Ok(None),
        other => other?,
    };
    // Whoever it is could have put a socket of its own there before.
    let who = socket::credentials(socket.as_fd())?;
    if !is_own(who.uid) && who.uid != 0 {
        return Err(refused("it is another user's"));
    }
    match socket::send(socket.as_fd(), &handshake::successor(), None) {
        Err(error) if ended(&error) => return Ok(None),
        other => other?,
    }
    if !socket::wait_readable(socket.as_fd(), deadline)? {
        return Err(refused("it does not answer; it may be stopped, overloaded or not serving yet"));
    }
    let (answer, mut descriptors) = socket::receive(socket.as_fd())?;
    if answer.is_empty() && clock::now() < deadline {
        return Ok(None);
    }
    handshake::succeeded(&answer).map_err(NotBound::NotHandedOver)?;
    let listener = descriptors.pop().filter(|listener| socket::is_listener(listener.as_fd()));
    let listener = listener.ok_or_else(|| refused("it sent something else"))?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(Some(listener))
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.process != std::process::id() || self.file == NOT_OURS {
            return;
        }
        let Ok(lock) = FolderLock::take(&self.path, SWEEP_PATIENCE) else { return };
        // A name that was bound anew by another process is not ours to remove.
        if fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.file) && lock.is_valid() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Does a process listen at `path`? Its number if so (0 if unknown); an error if the path is no socket.
fn answers(path: &Path) -> io::Result<Option<i32>> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket"));
    }
    match socket::connect(path, clock::after(Duration::from_millis(100))) {
        Ok(peer) => Ok(Some(socket::credentials(peer.as_fd()).map_or(0, |c| c.pid))),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        // It is there, but slow, or not for us.
        Err(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::PermissionDenied) => Ok(Some(0)),
        Err(e) => Err(e),
    }
}

/// Does a socket lie at `path`?
pub(crate) fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// Removes the socket file of a server that was killed, if that is what lies at `path`.
pub(crate) fn sweep(path: &Path) {
    let Ok(lock) = FolderLock::take(path, SWEEP_PATIENCE) else { return };
    if matches!(answers(path), Ok(None)) && lock.is_valid() {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_slash_are_paths_and_others_are_not() {
        assert_eq!(path_of("/a/b.sock", false).unwrap(), PathBuf::from("/a/b.sock"));
        assert_eq!(path_of("./x", false).unwrap(), PathBuf::from("./x"));
        assert!(path_of("calc", false).unwrap().ends_with("calc.sock"));
        for (bad, why) in [("", "not empty"), (".", "no folder"), ("..", "no folder"), ("a\0b", "no zero byte")] {
            let error = path_of(bad, false).unwrap_err();
            assert!(error.kind() == io::ErrorKind::InvalidInput && error.to_string().contains(why), "{bad:?}: {error}");
        }
    }

    #[test]
    fn an_error_of_the_folder_names_it() {
        let error = at(Path::new("/run/user/7/ipc-rpc"), &io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().starts_with("/run/user/7/ipc-rpc: Permission denied"), "{error}");
    }

    #[test]
    fn a_folder_that_somebody_keeps_locked_delays_but_does_not_stop() {
        let folder = std::env::temp_dir().join(format!("ipc-rpc-locked-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.sock");
        let lock = FolderLock::take(&path, Duration::ZERO).unwrap();
        sweep(&path);
        let error = FolderLock::take(&path, Duration::from_millis(5)).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // The socket of one that was killed, while somebody is stopped who would have removed it.
        drop(socket::listen(&path, 0o600).unwrap());
        let endpoint = Endpoint::bind_after(Duration::from_millis(5), &path, 0o600, false).ok().unwrap();
        assert!(answers(&path).unwrap().is_some());
        let late = FolderLock { until: clock::now(), ..lock };
        assert!(!late.is_valid());
        drop(late);
        drop(endpoint);
        assert!(!path.exists());
        fs::remove_dir(&folder).unwrap();
    }
}

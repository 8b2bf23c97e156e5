//! A service whose arguments and results carry descriptors.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipc_rpc::{Archived, Message, Streaming, service};

use crate::services::checksum;
use crate::system;

/// Descriptors among other things.
#[derive(Message, Debug)]
pub struct Bundle {
    /// What it is.
    pub name: String,
    /// One, or none.
    pub one: Option<File>,
    /// Several.
    pub many: Vec<OwnedFd>,
}

/// What can be done with files of others.
#[service]
pub trait Files {
    /// What is in the file, from where it stands.
    fn read(&self, file: File) -> Result<String, String>;
    /// What is in both.
    fn both(&self, name: &str, first: &File, second: Option<&File>) -> String;
    /// Answers what is said on the socket, until it ends; gives the number of bytes.
    fn echo(&self, socket: UnixStream) -> u64;
    /// A file in memory with this text.
    fn make(&self, text: &str) -> Result<File, String>;
    /// So many files, each with its number.
    fn several(&self, count: u32) -> Vec<OwnedFd>;
    /// The same again.
    fn mirror(&self, bundle: Bundle) -> Bundle;
    /// How many there are; none is taken.
    fn count(&self, bundle: &Archived<Bundle>) -> u64;
    /// As `read`, in a future, which waits first.
    async fn read_later(&self, milliseconds: u64, file: File) -> String;
    /// As `mirror`.
    async fn mirror_later(&self, bundle: Bundle) -> Bundle;
    /// Lets it go.
    #[rpc(oneway)]
    fn forget(&self, file: OwnedFd);
    /// How many were let go.
    fn forgotten(&self) -> u64;
    /// Takes so long, and has the file meanwhile.
    fn hold(&self, milliseconds: u64, file: OwnedFd) -> u64;
    /// Items that cannot travel.
    fn stream(&self) -> Streaming<OwnedFd>;
    /// How much memory the process has of its own, in bytes, while it has these.
    fn weigh(&self, bytes: &[u8]) -> u64;
    /// Panics, with a file in its hand.
    fn panic(&self, file: OwnedFd) -> u64;
}

/// Serves [`Files`].
#[derive(Debug, Default)]
pub struct Clerk {
    forgotten: AtomicU64,
}

/// How much memory this process has of its own, in bytes.
///
/// # Panics
/// There is no `/proc`.
pub fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a kernel that says so");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// A file in memory with this text, to be read from its start.
///
/// # Panics
/// The system has no memory, or no descriptors.
pub fn file(text: &str) -> File {
    try_file(text).expect("a file in memory")
}

fn try_file(text: &str) -> std::io::Result<File> {
    let mut file = File::from(system::memfd(0, 0));
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// What is in a file, from its start.
///
/// # Panics
/// It cannot be read.
pub fn text(mut file: &File) -> String {
    let mut text = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut text).expect("a file of text");
    text
}

impl Files for Clerk {
    fn read(&self, mut file: File) -> Result<String, String> {
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }
    fn both(&self, name: &str, first: &File, second: Option<&File>) -> String {
        format!("{name}: {} {}", text(first), second.map(text).unwrap_or_default())
    }
    fn echo(&self, mut socket: UnixStream) -> u64 {
        let mut other = socket.try_clone().expect("a descriptor");
        std::io::copy(&mut socket, &mut other).expect("a socket")
    }
    fn make(&self, text: &str) -> Result<File, String> {
        try_file(text).map_err(|error| error.to_string())
    }
    fn several(&self, count: u32) -> Vec<OwnedFd> {
        (0..count).map(|n| file(&n.to_string()).into()).collect()
    }
    fn mirror(&self, bundle: Bundle) -> Bundle {
        bundle
    }
    fn count(&self, bundle: &Archived<Bundle>) -> u64 {
        u64::from(bundle.one().is_some()) + bundle.many().len() as u64
    }
    async fn read_later(&self, milliseconds: u64, file: File) -> String {
        std::thread::sleep(Duration::from_millis(milliseconds));
        text(&file)
    }
    async fn mirror_later(&self, bundle: Bundle) -> Bundle {
        bundle
    }
    fn forget(&self, file: OwnedFd) {
        drop(file);
        self.forgotten.fetch_add(1, Ordering::SeqCst);
    }
    fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }
    fn hold(&self, milliseconds: u64, file: OwnedFd) -> u64 {
        std::thread::sleep(Duration::from_millis(milliseconds));
        drop(file);
        milliseconds
    }
    fn stream(&self) -> Streaming<OwnedFd> {
        Streaming::from_iter([OwnedFd::from(file("an item"))])
    }
    fn weigh(&self, bytes: &[u8]) -> u64 {
        assert!(checksum(bytes) != 0);
        anonymous()
    }
    fn panic(&self, file: OwnedFd) -> u64 {
        let _file = file;
        panic!("with a file");
    }
}

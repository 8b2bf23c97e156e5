//! A server in a process of its own that lives no longer than its parent.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, fs, process, thread};

use tempfile::TempDir;

/// A running server. Dropping it takes the server down.
///
/// The server says on its standard output where it listens, as soon as it does. It ends when its standard input ends,
/// which the kernel sees to even if the parent is killed.
pub struct ServerProcess {
    child: Child,
    socket: String,
}

impl ServerProcess {
    /// Starts this program again with `arguments` and waits until it listens, or has ended.
    pub fn start(arguments: &[&Path]) -> Result<Result<Self, ExitStatus>, io::Error> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent: the server then has time to remove its socket.
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take().map(BufReader::new);
        let mut socket = String::new();
        let mut server = ServerProcess { child, socket: String::new() };
        output.map_or(Ok(0), |mut output| output.read_line(&mut socket))?;
        match socket.strip_suffix('\n') {
            Some(socket) => {
                server.socket = socket.to_owned();
                Ok(Ok(server))
            }
            None => Ok(Err(server.child.wait()?)),
        }
    }

    /// Where the server listens.
    pub fn socket(&self) -> &str {
        &self.socket
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A server that is gone already has nothing to wait for.
        let _ = self.child.wait();
    }
}

/// The server's side: a folder for its socket, removed when it ends or the parent does.
pub struct Home(TempDir);

impl Home {
    /// Creates the folder and begins to watch the parent.
    pub fn new() -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix("ipc-rpc-example-").tempdir()?;
        let path = home.path().to_owned();
        thread::Builder::new().name("parent watch".into()).spawn(move || {
            // Nobody writes: this returns when the parent has gone.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = fs::remove_dir_all(path);
            process::exit(0);
        })?;
        Ok(Home(home))
    }

    /// Where to listen.
    pub fn socket(&self) -> Result<String, Box<dyn Error>> {
        let path = self.0.path().join("example.sock");
        path.into_os_string().into_string().map_err(|path| format!("folder name {path:?} is not UTF-8").into())
    }

    /// Tells the parent that the server listens on `socket`.
    pub fn announce(&self, socket: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{socket}")?;
        out.flush()
    }
}

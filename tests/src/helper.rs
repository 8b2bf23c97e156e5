//! Helper processes of a test, and the folder they meet in.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use ipc_rpc::ClientConfig;
use tempfile::TempDir;

use crate::proc;
use crate::services::CalcClient;
use crate::{system, watchdog::Watchdog};

/// A temporary folder for the sockets of one test, and the watchdog over it.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    _watchdog: Option<Watchdog>,
}

impl Place {
    /// A folder for the test called `test`.
    ///
    /// # Panics
    /// There is no temporary folder.
    pub fn new(test: &'static str) -> Self {
        Place { _watchdog: Some(Watchdog::start(test)), ..Place::unwatched() }
    }

    /// A folder for a program that notices by itself when it hangs.
    ///
    /// # Panics
    /// There is no temporary folder.
    pub fn unwatched() -> Self {
        let folder = tempfile::Builder::new().prefix("ipc-rpc-test-").tempdir().expect("a temporary folder");
        Place { folder, _watchdog: None }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of something in the folder.
    pub fn join(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The socket that tests use unless they need several.
    pub fn socket(&self) -> String {
        self.join("test.sock")
    }

    /// Names of what lies in the folder, without the helpers' error logs.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("the test's own folder");
        let name = |e: std::io::Result<fs::DirEntry>| e.expect("an entry").file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(name).filter(|n| !n.ends_with(".log")).collect();
        names.sort();
        names
    }

    /// Starts the helper `program` with these arguments.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start<S: AsRef<str>>(&self, program: &str, arguments: &[S]) -> Helper {
        let mut command = Command::new(program);
        command.args(arguments.iter().map(AsRef::as_ref));
        self.run(command)
    }

    /// Starts a helper by a command of which only input, output and error log are set here.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn run(&self, mut command: Command) -> Helper {
        let (log, kept) = tempfile::Builder::new()
            .prefix("helper-")
            .suffix(".log")
            .tempfile_in(self.path())
            .and_then(|file| file.keep().map_err(|e| e.error))
            .expect("a file for the helper's errors");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = loop {
            match command.spawn() {
                // A program just copied is still open for writing in a child that another thread has forked.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                other => break other.expect("starting a helper"),
            }
        };
        let output = BufReader::new(child.stdout.take().expect("a piped output"));
        Helper { input: child.stdin.take(), output, child, log: kept }
    }

    /// Starts `program` as a server at [`Place::socket`] and waits until clients can connect.
    ///
    /// # Panics
    /// It does not get that far.
    pub fn serve<S: AsRef<str>>(&self, program: &str, options: &[S]) -> Helper {
        let socket = self.socket();
        let mut all = vec![socket.as_str()];
        all.extend(options.iter().map(AsRef::as_ref));
        let mut server = self.start(program, &all);
        assert_eq!(server.line(), "bound");
        server
    }
}

/// A helper process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Helper {
    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// It is gone.
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("an open input");
        writeln!(input, "{line}").expect("a helper that reads");
    }

    /// Ends its standard input, which asks it to leave.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for a line on its standard output; empty when that has ended.
    ///
    /// # Panics
    /// The line is no text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line of text");
        line.trim_end().to_owned()
    }

    /// Stops it, and waits until none of its threads runs any more.
    pub fn stop(&self) {
        self.signal(system::STOP);
        until(|| proc::is_stopped(self.pid()));
    }

    /// Has it go on after [`Helper::stop`].
    pub fn go_on(&self) {
        self.signal(system::CONTINUE);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        system::kill(self.pid(), signal);
    }

    /// Kills it, and waits until the kernel has closed all it had.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it leaves by itself.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child of this process")
    }

    /// What it wrote to its standard error.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("errors of helper {}:\n{}", self.pid(), self.errors());
        }
    }
}

/// Waits until `what` holds; the watchdog of the test ends waiting for what never comes.
pub fn until(mut what: impl FnMut() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Settings of a client that does not connect again when its server is gone.
pub fn faithful() -> ClientConfig {
    ClientConfig { reconnect: None, ..ClientConfig::default() }
}

/// The descriptors of a server that has had a client and has none any more.
///
/// # Panics
/// The server cannot be connected to.
pub fn settled(place: &Place, server: &Helper) -> Vec<String> {
    let client = CalcClient::connect(place.socket()).expect("a server");
    assert_eq!(client.add(2, 3).expect("a reply"), 5);
    drop(client);
    // The socket that is left is the listener's. Memory is unmapped a moment before its file is closed.
    let closed = || !proc::descriptors(server.pid()).iter().any(|name| name.contains("memfd:ipc-rpc"));
    until(|| proc::segments(server.pid()) == 0 && proc::sockets(server.pid()) == 1 && closed());
    proc::descriptors(server.pid())
}

/// In a helper: leaves at the end of standard input, and with the thread that started it. Each line read is given to `heard`.
pub fn live_no_longer_than_the_test(mut heard: impl FnMut(&str) + Send + 'static) {
    system::die_with_parent();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            match line {
                Ok(line) => heard(&line),
                Err(_) => break,
            }
        }
        std::process::exit(0);
    });
}

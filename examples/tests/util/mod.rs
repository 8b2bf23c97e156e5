//! What the tests of several examples share: the examples as processes.
#![allow(dead_code)]
// Each test binary uses a part of this file.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Far more than any test takes on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(100);

/// Where an example runs: its sockets and temporary files are in a folder of its own. A test that hangs is ended.
pub struct Place {
    folder: TempDir,
    _watchdog: Sender<()>,
}

impl Place {
    pub fn new() -> Self {
        let (watchdog, alive) = mpsc::channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if alive.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                // Straight to the descriptor: the harness captures what the print macros write, and abort loses it.
                let _ = writeln!(io::stderr(), "watchdog: {test} hangs");
                process::abort();
            }
        });
        Place { folder: tempfile::tempdir().expect("a folder for a test"), _watchdog: watchdog }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// An example that was built, to be started here.
    pub fn example(&self, name: &str) -> Command {
        self.command(&built("examples", name))
    }

    /// Any program, to be started here.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", self.path()).env("TMPDIR", self.path()).env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs an example to its end.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Finished {
        Finished::from(self.example(name).args(arguments).output().expect("an example that starts"))
    }

    /// Starts an example that serves, and waits for the line it prints when clients can connect.
    pub fn serve(&self, name: &str, arguments: &[&str]) -> (Running, String) {
        let mut server = Running(self.example(name).args(arguments).spawn().expect("a server that starts"));
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        (server, line)
    }
}

/// What an example said and how it ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output in UTF-8");
        Finished { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A process that is killed when the test is done with it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Either can fail only if the process has ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was built lies beside the folder that this test was built into, the examples in a folder of theirs.
pub fn built(folder: &str, name: &str) -> PathBuf {
    let test = env::current_exe().expect("the path of a test");
    let profile = test.parent().and_then(Path::parent).expect("a folder with the built tests");
    let program = profile.join(folder).join(name);
    assert!(program.exists(), "{program:?} is not built: cargo does it before all tests of this package, not for one");
    program
}

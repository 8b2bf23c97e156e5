//! This program once more, in other roles.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::iter::Sum;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ipc_core::layout::{CHUNK, Geometry};
use ipc_core::segment::Segment;

/// A child process that is killed when the parent is done, however it ends.
pub struct Again {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Again {
    /// Starts this program in another role and waits until it says that it is ready.
    pub fn start(role: &[&str]) -> Self {
        let this = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(this);
        command.args(role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starting this program again");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut again = Again { child, input, output };
        again.hear();
        again
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel counts of all its threads.
    pub fn counts(&self) -> Counts {
        Counts::of(self.child.id())
    }

    /// Has it go on.
    pub fn tell(&mut self) {
        self.input.write_all(b"\n").expect("a child that lives");
    }

    /// Waits for a line of it.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("a line of a child");
        assert_ne!(read, 0, "a child has ended");
        line.trim_end().to_owned()
    }
}

/// What the kernel counts of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nanoseconds on a core.
    pub running: u64,
    /// Nanoseconds of waiting for a core.
    pub waiting: u64,
    /// How often a thread gave its core up to wait.
    pub sleeps: u64,
    /// How often a thread was taken off its core.
    pub preempted: u64,
}

impl Counts {
    fn of(pid: u32) -> Self {
        let mut all = Counts::default();
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return all };
        for task in tasks.flatten() {
            let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let (times, status) = (read("schedstat"), read("status"));
            let mut times = times.split_whitespace().map(|n| n.parse().unwrap_or(0));
            all.running += times.next().unwrap_or(0);
            all.waiting += times.next().unwrap_or(0);
            let field = |name| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            all.sleeps += field("voluntary_ctxt_switches:");
            all.preempted += field("nonvoluntary_ctxt_switches:");
        }
        all
    }

    /// What was added since.
    pub fn since(self, before: Counts) -> Self {
        Counts {
            running: self.running.saturating_sub(before.running),
            waiting: self.waiting.saturating_sub(before.waiting),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
            preempted: self.preempted.saturating_sub(before.preempted),
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Counts::default(), |sum, one| Counts {
            running: sum.running + one.running,
            waiting: sum.waiting + one.waiting,
            sleeps: sum.sleeps + one.sleeps,
            preempted: sum.preempted + one.preempted,
        })
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a child: what [`Again::start`] waits for.
pub fn ready() {
    say("ready");
}

/// In a child: a line for the parent.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a parent that lives");
}

/// In a child: waits for [`Again::tell`]. The end of standard input is the end of the parent.
pub fn wait_to_be_told() {
    if !matches!(io::stdin().read(&mut [0]), Ok(1)) {
        std::process::exit(0);
    }
}

/// In a child that is never told anything.
pub fn end_with_the_parent() {
    std::thread::spawn(wait_to_be_told);
}

/// A folder for sockets, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ipc-rpc-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        Folder(folder)
    }

    pub fn join(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Memory that several of these processes map. `blocks` of it can be addressed.
pub struct Shared(pub Segment);

const BLOCKS: u32 = 256;

impl Shared {
    pub fn create() -> Self {
        Shared(Segment::create(Self::geometry()).expect("a memfd"))
    }

    /// What a child needs to map it, too.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.descriptor().as_raw_fd())
    }

    pub fn open(path: &str) -> Self {
        let file = fs::File::options().read(true).write(true).open(path).expect("the parent's memfd");
        Shared(Segment::open(file.into(), Self::geometry()).expect("the parent's segment"))
    }

    fn geometry() -> Geometry {
        Geometry::new(BLOCKS, CHUNK, CHUNK).expect("a small geometry")
    }
}

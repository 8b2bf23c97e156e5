//! Long streams, with a reader that is ten times slower than the writer, and the memory they take.

use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ipc_rpc::{CallError, Streaming};

use crate::CalcClient;
use crate::process::{Again, Folder};

/// What memory may grow by, in KiB, after the first tenth of a stream. All of it would be 8 and 640 MiB; a window of large items,
/// which has 2, may have been given back before that and come again.
const FLAT: u64 = 3072;

/// A kind of stream.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    items: u64,
    bytes: u64,
}

const KINDS: [Kind; 2] =
    [Kind { name: "8 bytes", items: 1_000_000, bytes: 0 }, Kind { name: "64 KiB", items: 10_000, bytes: 64 << 10 }];

/// Memory of this process and of the server, in KiB: its own, and shared.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    own: u64,
    shared: u64,
}

impl Memory {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        Memory { own: field("RssAnon:"), shared: field("RssShmem:") }
    }
}

/// The most and the least of something while a stream runs, the beginning left out.
#[derive(Debug, Clone, Copy)]
struct Range {
    least: Memory,
    most: Memory,
}

impl Range {
    fn new() -> Self {
        let most = Memory { own: u64::MAX, shared: u64::MAX };
        Range { least: most, most: Memory::default() }
    }

    fn add(&mut self, now: Memory) {
        self.least = Memory { own: self.least.own.min(now.own), shared: self.least.shared.min(now.shared) };
        self.most = Memory { own: self.most.own.max(now.own), shared: self.most.shared.max(now.shared) };
    }

    fn grown(&self) -> (u64, u64) {
        (self.most.own.saturating_sub(self.least.own), self.most.shared.saturating_sub(self.least.shared))
    }
}

/// Item number `n` of a stream of lists.
pub fn list(n: u64, bytes: u64) -> Vec<u8> {
    let mut list = vec![n as u8; bytes as usize];
    list[..8].copy_from_slice(&n.to_le_bytes());
    list
}

pub fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// What reading a stream to its end took.
struct Read {
    time: Duration,
    ours: Range,
    theirs: Range,
}

/// Reads and compares every item, slowly; looks at the memory of both processes a hundred times.
fn read<T>(
    items: impl Iterator<Item = Result<T, CallError>>,
    all: u64,
    pause: Duration,
    server: u32,
    right: impl Fn(u64, &T) -> bool,
) -> Read {
    let (start, mut count) = (Instant::now(), 0);
    let (mut ours, mut theirs) = (Range::new(), Range::new());
    for item in items {
        let item = item.expect("an item");
        assert!(right(count, &item), "item {count} is another one");
        count += 1;
        spin(pause);
        // In the first tenth everything is touched for the first time.
        if count.is_multiple_of(all / 100) && count > all / 10 {
            ours.add(Memory::of(std::process::id()));
            theirs.add(Memory::of(server));
        }
    }
    assert_eq!(count, all, "items that arrived");
    Read { time: start.elapsed(), ours, theirs }
}

/// Streams from the server: as fast as they come, then ten times slower.
fn from_server(client: &CalcClient, server: &Again, kind: Kind) {
    let run = |pause| {
        if kind.bytes == 0 {
            let items = client.count(kind.items).expect("a stream");
            read(items, kind.items, pause, server.id(), |n, item| *item == n)
        } else {
            let items = client.lists(kind.items, kind.bytes).expect("a stream");
            read(items, kind.items, pause, server.id(), |n, item| *item == list(n, kind.bytes))
        }
    };
    let fast = run(Duration::ZERO);
    let slow = run(fast.time * 9 / kind.items as u32);
    report("server to client", kind, &fast, &slow);
}

/// Streams to the server; its handler reads, and says what it saw.
fn to_server(client: &CalcClient, server: &Again, kind: Kind) {
    let run = |pause: Duration| {
        let (start, pid) = (Instant::now(), server.id());
        let (mut ours, mut theirs) = (Range::new(), Range::new());
        let nanos = pause.as_nanos() as u64;
        let (samples, sampled) = mpsc::channel();
        let look = move |n: u64| {
            if n.is_multiple_of(kind.items / 100) && n > kind.items / 10 {
                let _ = samples.send((Memory::of(std::process::id()), Memory::of(pid)));
            }
        };
        let count = if kind.bytes == 0 {
            let items = (0..kind.items).inspect(move |n| look(*n));
            client.with_timeout(Duration::from_secs(600)).take_numbers(nanos, Streaming::from_iter(items))
        } else {
            let items = (0..kind.items).inspect(move |n| look(*n)).map(move |n| list(n, kind.bytes));
            client.with_timeout(Duration::from_secs(600)).take_lists(nanos, Streaming::from_iter(items))
        };
        assert_eq!(count.expect("a reply"), kind.items, "items that arrived in order");
        for (own, other) in sampled {
            ours.add(own);
            theirs.add(other);
        }
        Read { time: start.elapsed(), ours, theirs }
    };
    let fast = run(Duration::ZERO);
    let slow = run(fast.time * 9 / kind.items as u32);
    report("client to server", kind, &fast, &slow);
}

fn report(way: &str, kind: Kind, fast: &Read, slow: &Read) {
    let each = |read: &Read| read.time.as_nanos() as f64 / kind.items as f64;
    let ((own, shared), (server_own, server_shared)) = (slow.ours.grown(), slow.theirs.grown());
    let grown = [own, shared, server_own, server_shared].into_iter().max().unwrap_or(0);
    let verdict = if grown <= FLAT { "flat" } else { "grown" };
    println!(
        "{way}   {:9} x {:8}   {:9.0} ns   {:9.0} ns   {shared:6} {own:6} KiB   {server_shared:6} {server_own:6} KiB   {:8} KiB, {verdict}",
        kind.items,
        kind.name,
        each(fast),
        each(slow),
        slow.ours.most.shared,
    );
}

/// Prints a table.
pub fn measure() {
    let folder = Folder::new();
    let name = folder.join("streams.sock");
    let server = Again::start(&["serve", &name]);
    let client = CalcClient::connect(&name).expect("a server");
    println!("every item is compared; a slow reader takes ten times as long for each as the stream did before");
    println!(
        "                           items of          an item       slow reader   grown: shared, own   the server's           shared in all"
    );
    for kind in KINDS {
        from_server(&client, &server, kind);
        to_server(&client, &server, kind);
    }
}

//! Random use and misuse of every kind of call, and then a count of what is left over, which has to be nothing.
//!
//! `churn --ops 100000 --seed 1` starts itself again as the server and makes so many operations on it from several threads:
//! each picks a form (blocking, pending, async, one-way, batch, streams, callback, a connection of its own) and a fate (it
//! runs to its end, is dropped, cancelled, out of time, panics on either side, fails). Results that come are compared. Then
//! the counters of both processes have to go back to zero, and descriptors to what they were before. Prints a count of each
//! kind of outcome. The same seed gives the same operations, though not the same interleaving.

mod operations;
mod service;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipc_rpc::{ClientConfig, Server, testing};
use ipc_rpc_tests::helper::{self, Helper, Place};
use ipc_rpc_tests::proc;

use operations::{Outcome, Worker};
use service::{Bench, ChurnClient, ChurnDispatcher};

const THREADS: u64 = 4;
/// Far longer than the counters take to go back.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Panics are part of the game: their messages would fill the terminal. Those of this program's own mistakes stay.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(service::PANIC) {
            usual(info);
        }
    }));
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", name] => serve(name),
        ref options => match parse(options) {
            Some((ops, seed)) => run(ops, seed),
            None => {
                eprintln!("usage: churn [--ops N] [--seed N]");
                ExitCode::from(2)
            }
        },
    }
}

fn parse(options: &[&str]) -> Option<(u64, u64)> {
    let (mut ops, mut seed) = (100_000, 1);
    for option in options.chunks(2) {
        match option {
            ["--ops", number] => ops = number.parse().ok()?,
            ["--seed", number] => seed = number.parse().ok()?,
            _ => return None,
        }
    }
    Some((ops, seed))
}

/// The server's process: says on request what it has in use.
fn serve(name: &str) -> ExitCode {
    let server = Server::builder().service(ChurnDispatcher::new(Bench::default())).bind(name).expect("a free name");
    let handle = server.handle();
    helper::live_no_longer_than_the_test(move |_| println!("{:?}", handle.usage()));
    println!("bound");
    server.run().expect("a serving server");
    ExitCode::SUCCESS
}

/// What a process has in use besides its own counters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outside {
    descriptors: BTreeMap<String, usize>,
    threads: usize,
    segments: usize,
}

impl Outside {
    fn of(pid: u32) -> Self {
        let mut descriptors = BTreeMap::new();
        for name in proc::descriptors(pid) {
            *descriptors.entry(name).or_default() += 1;
        }
        Outside { descriptors, threads: proc::threads(pid).len(), segments: proc::segments(pid) }
    }
}

/// The server's process as its parent sees it.
struct Peer {
    helper: Helper,
}

impl Peer {
    /// The counters of the server as text.
    fn usage(&mut self) -> String {
        self.helper.say("usage");
        self.helper.line()
    }

    fn outside(&self) -> Outside {
        Outside::of(self.helper.pid())
    }
}

fn run(ops: u64, seed: u64) -> ExitCode {
    let place = Place::unwatched();
    let this = std::env::current_exe().expect("the path of this program").display().to_string();
    let mut helper = place.start(&this, &["serve", &place.socket()]);
    assert_eq!(helper.line(), "bound");
    let mut peer = Peer { helper };
    let start = Instant::now();

    // What is made once and kept (threads, their descriptors) is made now.
    rush(&place, &mut peer, ops / 20 + 100, seed.wrapping_add(1 << 32));
    let before = (Outside::of(std::process::id()), peer.outside());
    let counts = rush(&place, &mut peer, ops, seed);
    let after = (Outside::of(std::process::id()), peer.outside());

    let total: u64 = counts.values().sum();
    for ((form, outcome), count) in &counts {
        println!("{form:12} {outcome:24} {count:8}");
    }
    println!("{total} operations with seed {seed} in {:.1} s", start.elapsed().as_secs_f64());
    println!("client: {} threads, {:?}", after.0.threads, after.0.descriptors);
    println!("server: {} threads, {:?}", after.1.threads, after.1.descriptors);
    // Threads may be more than after the first rush (a server starts spares when it finds that it needs them), but bounded.
    let same = before.0.descriptors == after.0.descriptors && before.1.descriptors == after.1.descriptors;
    if !same || after.0.segments + after.1.segments > 0 {
        eprintln!("churn: left over: before {before:?}, after {after:?}");
        return ExitCode::FAILURE;
    }
    println!("nothing is left over");
    ExitCode::SUCCESS
}

/// So many operations, on connections of their own that are closed at the end, and the counters after them.
fn rush(place: &Place, peer: &mut Peer, ops: u64, seed: u64) -> BTreeMap<(&'static str, &'static str), u64> {
    let config = ClientConfig { blocks: 128, ..ClientConfig::default() };
    let clients: Vec<ChurnClient> =
        (0..2).map(|_| ChurnClient::connect_with(place.socket(), &config).expect("a server")).collect();
    let done = AtomicU64::new(0);
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let socket = place.socket();
        let workers: Vec<_> = (0..THREADS)
            .map(|n| {
                let share = ops / THREADS + u64::from(n < ops % THREADS);
                let (client, socket, done) = (clients[n as usize % clients.len()].clone(), socket.clone(), &done);
                scope.spawn(move || {
                    let mut worker = Worker::new(client, socket, seed.wrapping_mul(THREADS).wrapping_add(n));
                    let mut counts: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
                    for _ in 0..share {
                        let Outcome { form, what } = worker.operate();
                        *counts.entry((form, what)).or_default() += 1;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    counts
                })
            })
            .collect();
        // A hang is told with what is in use.
        let (mut last, mut since) = (0, Instant::now());
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
            let now = done.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > PATIENCE {
                eprintln!("churn: hangs after {now} operations");
                clients.iter().for_each(|client| eprintln!("client: {:?}", testing::client_usage(client)));
                eprintln!("server: {}", peer.usage());
                std::process::abort();
            }
        }
        for worker in workers {
            let Ok(share) = worker.join() else {
                eprintln!("churn: went wrong after {} operations", done.load(Ordering::Relaxed));
                clients.iter().for_each(|client| eprintln!("client: {:?}", testing::client_usage(client)));
                eprintln!("server: {}", peer.usage());
                std::process::exit(1);
            };
            for (key, count) in share {
                *counts.entry(key).or_default() += count;
            }
        }
    });
    // With the connections open.
    for client in &clients {
        wait(|| {
            // Blocks that were given up come home when somebody looks for one.
            client.forget().expect("a reply");
            let usage = testing::client_usage(client);
            usage.is_idle().then_some(()).ok_or_else(|| format!("client: {usage:?}"))
        });
    }
    wait(|| {
        let usage = peer.usage();
        let idle =
            ["busy: 0", "tasks: 0", "streams: 0", "callbacks: 0", "kept: 0"].iter().all(|zero| usage.contains(zero));
        idle.then_some(()).ok_or(usage)
    });
    drop(clients);
    // And without.
    wait(|| {
        let usage = peer.usage();
        let none = ["clients: 0", "busy: 0", "reply_extents: 0"].iter().all(|zero| usage.contains(zero));
        let outside = (Outside::of(std::process::id()), peer.outside());
        let mapped = outside.0.segments + outside.1.segments;
        (none && mapped == 0).then_some(()).ok_or_else(|| format!("server: {usage} {outside:?}"))
    });
    // Descriptors are closed by threads that hear of it.
    let settled = || (Outside::of(std::process::id()), peer.outside());
    let mut last = settled();
    wait(|| {
        std::thread::sleep(Duration::from_millis(100));
        let now = settled();
        let same = now == last;
        last = now;
        same.then_some(()).ok_or_else(|| "descriptors that come and go".to_owned())
    });
    counts
}

/// Waits until something has come to rest; ends the program with what has not.
fn wait(mut rested: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(what) = rested() {
        if start.elapsed() > PATIENCE {
            eprintln!("churn: left over: {what}");
            std::process::exit(1);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Many client processes with one server process.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::CalcClient;
use crate::machine::{self, median};
use crate::process::{self, Again, Folder, Shared};

const ROUNDS: usize = 15;
/// How many client processes there are if nobody says.
pub const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const WARM_UP: Duration = Duration::from_millis(50);
const TIME: Duration = Duration::from_millis(500);

/// What a client does between its calls, by the name that it is told.
const PAUSES: [(&str, Duration); 2] = [("loop", Duration::ZERO), ("paced", Duration::from_millis(1))];

/// A client process. Block `place` of the board is its own: it counts its calls there, and reads there when to stop. When it
/// has stopped it says how long half of its calls took at most, and how long 99 % of them, in nanoseconds.
pub fn caller(name: &str, board: &str, place: u32, pace: &str) {
    let (_, pause) = *PAUSES.iter().find(|(name, _)| *name == pace).expect("a known pace");
    let board = Shared::open(board);
    let own = board.0.block(place).expect("a place on the board");
    let calc = CalcClient::connect(name).expect("a server");
    let mut calls = 0;
    process::ready();
    loop {
        process::wait_to_be_told();
        let mut times = Vec::new();
        while own.word.load(Ordering::Relaxed) == 0 {
            let start = (!pause.is_zero()).then(Instant::now);
            assert_eq!(calc.add(calls, 1).expect("a reply"), calls + 1);
            calls += 1;
            own.deadline.store(calls, Ordering::Relaxed);
            if let Some(start) = start {
                times.push(start.elapsed().as_nanos() as u64);
                std::thread::sleep(pause);
            }
        }
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0);
        process::say(&format!("{} {}", at(50), at(99)));
    }
}

/// A server with so many clients, all of them asleep between the rounds.
struct Crowd {
    board: Shared,
    clients: Vec<Again>,
    server: Again,
}

/// What a crowd did in one round.
struct Round {
    /// Calls a second, all clients together.
    total: f64,
    /// Those of the client that had the fewest, as a part of the mean.
    least: f64,
    /// How often a thread of a client slept, for each call.
    client_sleeps: f64,
    /// The same of the server.
    server_sleeps: f64,
    /// Part of the time that the server had a core, more than 1 if it had several.
    server_runs: f64,
    /// Times of calls of a client in the middle: of half of them, and of 99 %, at most. In nanoseconds.
    p50: f64,
    p99: f64,
}

impl Crowd {
    fn new(size: usize, pace: &str, folder: &Folder) -> Self {
        let name = folder.join(&format!("crowd{size}.sock"));
        let server = Again::start(&["serve", &name]);
        let board = Shared::create();
        let path = board.path();
        let clients = (0..size).map(|n| Again::start(&["caller", &name, &path, &n.to_string(), pace])).collect();
        Crowd { board, clients, server }
    }

    fn counts(&self) -> Vec<u64> {
        let count = |n| self.board.0.block(n as u32).expect("its place").deadline.load(Ordering::Relaxed);
        (0..self.clients.len()).map(count).collect()
    }

    fn set(&self, stop: u32) {
        (0..self.clients.len() as u32)
            .for_each(|n| self.board.0.block(n).expect("its place").word.store(stop, Ordering::Relaxed));
    }

    fn round(&mut self) -> Round {
        self.set(0);
        self.clients.iter_mut().for_each(Again::tell);
        std::thread::sleep(WARM_UP);
        let kernel = |crowd: &Crowd| {
            let sleeps: u64 = crowd.clients.iter().map(|client| client.counts().sleeps).sum();
            (sleeps, crowd.server.counts())
        };
        let kernel_before = kernel(self);
        let (before, start) = (self.counts(), Instant::now());
        std::thread::sleep(TIME);
        let (after, time) = (self.counts(), start.elapsed());
        let kernel_after = kernel(self);
        self.set(1);
        let times: Vec<Vec<f64>> = self.clients.iter_mut().map(|client| numbers(&client.hear())).collect();
        let calls: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        let sum: u64 = calls.iter().sum();
        let least = calls.iter().min().copied().unwrap_or(0);
        let server = kernel_after.1.since(kernel_before.1);
        let each = |n: u64| n as f64 / sum.max(1) as f64;
        Round {
            total: sum as f64 / time.as_secs_f64(),
            least: least as f64 * calls.len() as f64 / sum.max(1) as f64,
            client_sleeps: each(kernel_after.0 - kernel_before.0),
            server_sleeps: each(server.sleeps),
            server_runs: server.running as f64 / time.as_nanos() as f64,
            p50: median(times.iter().map(|times| times[0]).collect()),
            p99: median(times.iter().map(|times| times[1]).collect()),
        }
    }
}

/// The numbers in what a client has said.
fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

/// Rounds of crowds of all sizes alternate; gives them by size.
fn rounds(sizes: &[usize], pace: &str) -> Vec<Vec<Round>> {
    let folder = Folder::new();
    let mut crowds: Vec<Crowd> = sizes.iter().map(|size| Crowd::new(*size, pace, &folder)).collect();
    let mut rounds: Vec<Vec<Round>> = sizes.iter().map(|_| Vec::new()).collect();
    let mut busy = Vec::new();
    for _ in 0..ROUNDS {
        busy.push(machine::busy_during(Duration::from_millis(50)));
        for (crowd, rounds) in crowds.iter_mut().zip(&mut rounds) {
            rounds.push(crowd.round());
        }
    }
    machine::report(busy);
    rounds
}

/// The middle of something that each round has.
fn middle(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(of).collect())
}

/// Prints a table; each line is a number of client processes that call in a loop.
pub fn measure(sizes: &[usize]) {
    let rounds = rounds(sizes, "loop");
    // Ratios are to two clients, or to the first number asked for if that is not among them.
    let base = sizes.iter().position(|size| *size == 2).unwrap_or(0);
    println!("blocking calls of so many client processes, one server process (medians of {ROUNDS} rounds of {TIME:?})");
    println!(
        "clients   calls/s in all   to that of {:2}  least busy client, of the mean   sleeps of clients   of the server, a call   cores of the server",
        sizes[base]
    );
    for (size, these) in sizes.iter().zip(&rounds) {
        let ratios = these.iter().zip(&rounds[base]).map(|(round, base)| round.total / base.total);
        println!(
            "{size:7}   {:14.0}   {:12.2}   {:10.2}   {:22.3}   {:12.3}   {:12.2}",
            middle(these, |round| round.total),
            median(ratios.collect()),
            middle(these, |round| round.least),
            middle(these, |round| round.client_sleeps),
            middle(these, |round| round.server_sleeps),
            middle(these, |round| round.server_runs),
        );
    }
}

/// The same for clients that call once in a millisecond.
pub fn measure_paced(sizes: &[usize]) {
    println!("one call in a millisecond of so many client processes (medians of {ROUNDS} rounds of {TIME:?})");
    println!("clients   p50, µs    p99, µs   sleeps of clients   of the server, a call   cores of the server");
    for (size, rounds) in sizes.iter().zip(&rounds(sizes, "paced")) {
        println!(
            "{size:7}   {:7.2}   {:8.2}   {:17.3}   {:21.3}   {:19.2}",
            middle(rounds, |round| round.p50) / 1e3,
            middle(rounds, |round| round.p99) / 1e3,
            middle(rounds, |round| round.client_sleeps),
            middle(rounds, |round| round.server_sleeps),
            middle(rounds, |round| round.server_runs),
        );
    }
}

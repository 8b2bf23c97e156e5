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
const TIME: Duration = Duration::from_millis(200);

/// A client process. Block `place` of the board is its own: it counts its calls there, and reads there when to stop.
pub fn caller(name: &str, board: &str, place: u32) {
    let board = Shared::open(board);
    let own = board.0.block(place).expect("a place on the board");
    let calc = CalcClient::connect(name).expect("a server");
    let mut calls = 0;
    process::ready();
    loop {
        process::wait_to_be_told();
        while own.word.load(Ordering::Relaxed) == 0 {
            assert_eq!(calc.add(calls, 1).expect("a reply"), calls + 1);
            calls += 1;
            own.deadline.store(calls, Ordering::Relaxed);
        }
        process::say("stopped");
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
}

impl Crowd {
    fn new(size: usize, folder: &Folder) -> Self {
        let name = folder.join(&format!("crowd{size}.sock"));
        let server = Again::start(&["serve", &name]);
        let board = Shared::create();
        let path = board.path();
        let clients = (0..size).map(|n| Again::start(&["caller", &name, &path, &n.to_string()])).collect();
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
        for client in &mut self.clients {
            client.hear();
        }
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
        }
    }
}

/// Prints a table; each line is a number of client processes.
pub fn measure(sizes: &[usize]) {
    let folder = Folder::new();
    let mut crowds: Vec<Crowd> = sizes.iter().map(|size| Crowd::new(*size, &folder)).collect();
    let mut rounds: Vec<Vec<Round>> = sizes.iter().map(|_| Vec::new()).collect();
    let mut busy = Vec::new();
    for _ in 0..ROUNDS {
        busy.push(machine::busy_during(Duration::from_millis(50)));
        for (crowd, rounds) in crowds.iter_mut().zip(&mut rounds) {
            rounds.push(crowd.round());
        }
    }
    // Ratios are to two clients, or to the first number asked for if that is not among them.
    let base = sizes.iter().position(|size| *size == 2).unwrap_or(0);
    let two: Vec<f64> = rounds[base].iter().map(|round| round.total).collect();
    println!("blocking calls of so many client processes, one server process (medians of {ROUNDS} rounds of {TIME:?})");
    println!(
        "clients   calls/s in all   to that of {:2}  least busy client, of the mean   sleeps of clients   of the server, a call   cores of the server",
        sizes[base]
    );
    for (size, rounds) in sizes.iter().zip(rounds) {
        let ratio = median(rounds.iter().zip(&two).map(|(round, two)| round.total / two).collect());
        let least = median(rounds.iter().map(|round| round.least).collect());
        let sleeps = median(rounds.iter().map(|round| round.client_sleeps).collect());
        let server_sleeps = median(rounds.iter().map(|round| round.server_sleeps).collect());
        let runs = median(rounds.iter().map(|round| round.server_runs).collect());
        let total = median(rounds.into_iter().map(|round| round.total).collect());
        println!(
            "{size:7}   {total:14.0}   {ratio:12.2}   {least:10.2}   {sleeps:22.3}   {server_sleeps:12.3}   {runs:12.2}"
        );
    }
    machine::report(busy);
}

//! Calls in flight from one thread, beside the bare queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ipc_rpc::{ClientConfig, Pending};

use crate::CalcClient;
use crate::machine::{self, median};
use crate::process::{Again, Folder};
use crate::raw::Raw;

const ROUNDS: usize = 31;
/// How many are in flight if nobody says.
pub const DEPTHS: [u32; 4] = [1, 16, 64, 256];
/// Calls of a round, for one in flight and for more.
const CALLS: [u64; 2] = [20_000, 100_000];
/// The goal for the ratio, and where it is to hold.
const GOAL: (u32, f64) = (64, 4.0);

/// A typed client and what it has in flight.
struct Typed {
    client: CalcClient,
    flying: VecDeque<Pending<u64>>,
}

impl Typed {
    /// The oldest call ends; the next one starts.
    fn one_by_one(&mut self, depth: u32, calls: u64) {
        let start = self.client.start();
        for n in 0..calls {
            if self.flying.len() == depth as usize {
                self.settle(n - u64::from(depth));
            }
            self.flying.push_back(start.add(n, 1).expect("a free block"));
        }
        for n in calls - self.flying.len() as u64..calls {
            self.settle(n);
        }
    }

    /// As many as have ended are started together: a quarter of those in flight at least.
    fn in_batches(&mut self, depth: u32, calls: u64) {
        let part = u64::from(depth.div_ceil(4));
        let mut next = 0;
        while next < calls {
            let flying = &mut self.flying;
            let until = (next + part).min(calls);
            self.client.batch(|batch| flying.extend((next..until).map(|n| batch.add(n, 1).expect("a free block"))));
            next = until;
            while next < calls && self.flying.len() as u64 + part > u64::from(depth) {
                self.settle(next - self.flying.len() as u64);
            }
        }
        for n in calls - self.flying.len() as u64..calls {
            self.settle(n);
        }
    }

    fn settle(&mut self, n: u64) {
        let call = self.flying.pop_front().expect("a call in flight");
        assert_eq!(call.wait().expect("a reply"), n + 1);
    }
}

/// Nanoseconds for each of `calls`, after some that are not counted.
fn round(calls: u64, mut run: impl FnMut(u64)) -> f64 {
    run(calls / 10);
    let start = Instant::now();
    run(calls);
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// Times of all rounds with so many in flight.
#[derive(Default)]
struct Times {
    raw: Vec<f64>,
    one_by_one: Vec<f64>,
    in_batches: Vec<f64>,
}

/// Prints a table; each line is a number of calls in flight.
pub fn measure(depths: &[u32]) {
    let folder = Folder::new();
    let name = folder.join("flight.sock");
    let _server = Again::start(&["serve", &name]);
    let config = ClientConfig { blocks: 512, ..ClientConfig::default() };
    let client = CalcClient::connect_with(&name, &config).expect("a server");
    let mut typed = Typed { client, flying: VecDeque::new() };
    let mut raw = Raw::start();
    let mut times: Vec<Times> = depths.iter().map(|_| Times::default()).collect();
    let mut busy = Vec::new();
    for _ in 0..ROUNDS {
        busy.push(machine::busy_during(Duration::from_millis(50)));
        for (depth, times) in depths.iter().copied().zip(&mut times) {
            let calls = if depth == 1 { CALLS[0] } else { CALLS[1] };
            times.raw.push(raw.round(depth, calls));
            times.one_by_one.push(round(calls, |calls| typed.one_by_one(depth, calls)));
            times.in_batches.push(round(calls, |calls| typed.in_batches(depth, calls)));
        }
    }
    println!("calls in flight from one thread, nanoseconds a call (medians of {ROUNDS} rounds of {})", CALLS[1]);
    println!("in flight   bare queue   start()   ratio   batch()   ratio");
    for (depth, times) in depths.iter().copied().zip(times) {
        // Ratios of neighbours: the machine changes its pace between rounds, seldom within one.
        let ratio = |typed: &[f64]| median(typed.iter().zip(&times.raw).map(|(typed, raw)| typed / raw).collect());
        let ratios = [ratio(&times.one_by_one), ratio(&times.in_batches)];
        let [raw, one_by_one, in_batches] = [times.raw, times.one_by_one, times.in_batches].map(median);
        print!("{depth:9}   {raw:10.1}   {one_by_one:7.1}   {:5.2}   {in_batches:7.1}   {:5.2}", ratios[0], ratios[1]);
        if depth == GOAL.0 {
            let goal = GOAL.1;
            let verdict = if ratios[0].min(ratios[1]) <= goal { "met" } else { "missed" };
            print!("   goal: {goal}, {verdict}");
        }
        println!();
    }
    machine::report(busy);
}

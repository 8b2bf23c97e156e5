//! Calls in flight from one thread, beside the bare queue.

use std::time::Duration;

use crate::machine::{self, median};
use crate::raw::Raw;

const ROUNDS: usize = 31;
const DEPTHS: [u32; 4] = [1, 16, 64, 256];

/// Prints a table; each line is a number of calls in flight.
pub fn measure() {
    let mut raw = Raw::start();
    let mut times = DEPTHS.map(|_| Vec::new());
    let mut busy = Vec::new();
    for _ in 0..ROUNDS {
        busy.push(machine::busy_during(Duration::from_millis(50)));
        for (depth, times) in DEPTHS.into_iter().zip(&mut times) {
            let calls = if depth == 1 { 20_000 } else { 100_000 };
            times.push(raw.round(depth, calls));
        }
    }
    for (depth, times) in DEPTHS.into_iter().zip(times) {
        println!("{depth:4} {:8.1} ns", median(times));
    }
    machine::report(busy);
}

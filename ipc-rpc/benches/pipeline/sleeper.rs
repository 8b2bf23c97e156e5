//! Does a handler that sleeps delay the calls of other clients?

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::CalcClient;
use crate::machine::{self, median};
use crate::process::{Again, Folder};

const ROUNDS: usize = 5;
const SLEEP: u64 = 1000;
/// The goal for the 99th percentile while another call sleeps, over that without.
const GOAL: f64 = 2.0;

/// How others call meanwhile.
#[derive(Clone, Copy)]
struct Pace {
    name: &'static str,
    pause: Duration,
}

const PACES: [Pace; 2] = [
    Pace { name: "in a loop", pause: Duration::ZERO },
    Pace { name: "one each millisecond", pause: Duration::from_millis(1) },
];

/// Sorted times of calls, in nanoseconds.
struct Calls(Vec<u64>);

impl Calls {
    /// Calls for as long as `go_on` says, which is told the time since the beginning.
    fn make(client: &CalcClient, pace: Pace, mut go_on: impl FnMut(Duration) -> bool) -> Self {
        let (mut times, begin) = (Vec::with_capacity(1 << 23), Instant::now());
        let mut start = begin;
        while go_on(start - begin) {
            assert_eq!(client.add(times.len() as u64, 1).expect("a reply"), times.len() as u64 + 1);
            let end = Instant::now();
            times.push((end - start).as_nanos() as u64);
            start = end;
            if !pace.pause.is_zero() {
                std::thread::sleep(pace.pause);
                start = Instant::now();
            }
        }
        times.sort_unstable();
        Calls(times)
    }

    fn at(&self, part: f64) -> f64 {
        let at = (self.0.len() as f64 * part) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or(0) as f64
    }
}

/// Prints a table; each line is a kind of handler that sleeps, and a pace of the other client.
pub fn measure() {
    let folder = Folder::new();
    let mut busy = Vec::new();
    println!(
        "calls of one client while another one's call sleeps for 1 s, and without; default settings (medians of {ROUNDS} rounds)"
    );
    println!(
        "the other calls        that sleeps        p50 without, with       p99 without, with, ratio        longest without, with"
    );
    for pace in PACES {
        for kind in ["plain", "blocking", "async"] {
            let name = folder.join(&format!("{kind}{}.sock", pace.pause.as_millis()));
            let _server = Again::start(&["serve", &name]);
            let quick = CalcClient::connect(&name).expect("a server");
            let (mut with, mut without) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                busy.push(machine::busy_during(Duration::from_millis(50)));
                without.push(Calls::make(&quick, pace, |time| time < Duration::from_millis(SLEEP - 100)));
                let asleep = AtomicBool::new(true);
                std::thread::scope(|scope| {
                    let slow = CalcClient::connect(&name).expect("a server");
                    let asleep = &asleep;
                    scope.spawn(move || {
                        let slept = match kind {
                            "plain" => slow.sleep(SLEEP),
                            "blocking" => slow.sleep_blocking(SLEEP),
                            _ => smol::block_on(slow.sleep_async(SLEEP)),
                        };
                        assert_eq!(slept.expect("a reply"), SLEEP);
                        asleep.store(false, Ordering::Relaxed);
                    });
                    with.push(Calls::make(&quick, pace, |_| asleep.load(Ordering::Relaxed)));
                });
            }
            let of = |rounds: &[Calls], part: f64| median(rounds.iter().map(|calls| calls.at(part)).collect());
            let pairs = [0.5, 0.99, 1.0].map(|part| (of(&without, part) / 1e3, of(&with, part) / 1e3));
            let ratio =
                median(with.iter().zip(&without).map(|(with, without)| with.at(0.99) / without.at(0.99)).collect());
            let verdict = if ratio <= GOAL { "met" } else { "missed" };
            println!(
                "{:20}   {kind:8}   {:8.2} {:8.2} µs   {:8.2} {:8.2} µs {ratio:5.2} (goal {GOAL}, {verdict})   {:9.0} {:9.0} µs",
                pace.name, pairs[0].0, pairs[0].1, pairs[1].0, pairs[1].1, pairs[2].0, pairs[2].1
            );
        }
    }
    machine::report(busy);
}

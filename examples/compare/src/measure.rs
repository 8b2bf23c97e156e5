//! Times of calls in one round.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::mechanism::Client;
use crate::payload::{Payload, check};
use crate::regime::Regime;

/// What a round, or all of them, came to. With several in flight, times are those between two completed groups of as many,
/// divided by their number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Figures {
    pub p50_ns: f64,
    pub p99_ns: f64,
    pub p999_ns: f64,
    /// With one in flight and no pause: of calls between which the clock is not read.
    pub mean_ns: f64,
    pub calls: u64,
}

impl Figures {
    fn new(mut samples: Vec<f64>, mean_ns: f64, calls: u64) -> Result<Self> {
        let last = samples.len().checked_sub(1).ok_or("no call was timed")?;
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| samples[((samples.len() as f64 * part) as usize).min(last)];
        Ok(Figures { p50_ns: at(0.5), p99_ns: at(0.99), p999_ns: at(0.999), mean_ns, calls })
    }

    /// The median of each figure, and all calls.
    pub fn median(rounds: &[Figures]) -> Option<Self> {
        let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure));
        Some(Figures {
            p50_ns: of(|f| f.p50_ns)?,
            p99_ns: of(|f| f.p99_ns)?,
            p999_ns: of(|f| f.p999_ns)?,
            mean_ns: of(|f| f.mean_ns)?,
            calls: rounds.iter().map(|f| f.calls).sum(),
        })
    }
}

/// The middle one.
pub fn median(all: impl Iterator<Item = f64>) -> Option<f64> {
    let mut all: Vec<f64> = all.collect();
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}

/// Nanoseconds.
fn ns(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// A round of about this length.
pub fn round(client: &mut dyn Client, len: usize, in_flight: usize, regime: Regime, time: Duration) -> Result<Figures> {
    let mut payload = Payload::new(len);
    match regime.pause() {
        _ if in_flight > 1 => {
            let mut flight = Flight::new(in_flight, time);
            client.flight(&mut payload, &mut flight)?;
            flight.figures()
        }
        Some(pause) => paced(client, &mut payload, pause, time),
        None => tight(client, &mut payload, time),
    }
}

/// Calls in a loop: a third of the time to warm up, a third for the mean, a third with the clock read after each call.
fn tight(client: &mut dyn Client, payload: &mut Payload, time: Duration) -> Result<Figures> {
    let mut call = || {
        payload.next();
        client.call(payload)
    };
    let part = time / 3;
    let (warm, _) = repeat(part, 1, &mut call)?;
    let (calls, took) = repeat(part, (warm / 256).clamp(1, 64), &mut call)?;
    let mean = ns(took) / calls as f64;
    let mut samples = Vec::with_capacity(calls as usize * 2);
    let begin = Instant::now();
    let mut start = begin;
    while samples.len() < 3 || start - begin < part {
        call()?;
        let end = Instant::now();
        samples.push(ns(end - start));
        start = end;
    }
    let calls = calls + samples.len() as u64;
    Figures::new(samples, mean, calls)
}

/// Calls for so long, three at least; looks at the clock after each so many.
fn repeat(time: Duration, between: u64, mut call: impl FnMut() -> Result<()>) -> Result<(u64, Duration)> {
    let (begin, mut calls) = (Instant::now(), 0);
    loop {
        for _ in 0..between {
            call()?;
        }
        calls += between;
        let took = begin.elapsed();
        if took >= time && calls >= 3 {
            return Ok((calls, took));
        }
    }
}

/// Calls with a pause before each; the first tenth does not count.
fn paced(client: &mut dyn Client, payload: &mut Payload, pause: Duration, time: Duration) -> Result<Figures> {
    let calls = ((time.as_nanos() / pause.as_nanos()) as usize).max(30);
    let mut samples = Vec::with_capacity(calls);
    for _ in 0..calls {
        payload.next();
        thread::sleep(pause);
        let start = Instant::now();
        client.call(payload)?;
        samples.push(ns(start.elapsed()));
    }
    samples.drain(..calls / 10);
    let (mean, calls) = (samples.iter().sum::<f64>() / samples.len() as f64, samples.len() as u64);
    Figures::new(samples, mean, calls)
}

/// The clock of calls that are in flight together.
pub struct Flight {
    in_flight: usize,
    time: Duration,
    landed: usize,
    begin: Instant,
    last: Instant,
    warm: bool,
    samples: Vec<f64>,
}

impl Flight {
    fn new(in_flight: usize, time: Duration) -> Self {
        let now = Instant::now();
        Flight { in_flight, time, landed: 0, begin: now, last: now, warm: false, samples: Vec::new() }
    }

    /// How many are to be under way together.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A call has ended; says whether another one is to begin.
    pub fn landed(&mut self) -> bool {
        self.landed += 1;
        if !self.landed.is_multiple_of(self.in_flight) {
            return true;
        }
        let now = Instant::now();
        if self.warm {
            self.samples.push(ns(now - self.last) / self.in_flight as f64);
        }
        self.last = now;
        if !self.warm && now - self.begin > self.time / 3 {
            (self.warm, self.begin) = (true, now);
        }
        !self.warm || self.samples.len() < 3 || now - self.begin < self.time * 2 / 3
    }

    fn figures(self) -> Result<Figures> {
        let calls = self.samples.len() * self.in_flight;
        Figures::new(self.samples, ns(self.last - self.begin) / calls as f64, calls as u64)
    }
}

/// Calls in flight of a client that sends and receives one by one, in order.
pub fn in_order(client: &mut (impl Client + ?Sized), payload: &mut Payload, flight: &mut Flight) -> Result<()> {
    let (mut expected, mut more) = (VecDeque::new(), true);
    loop {
        while more && expected.len() < flight.in_flight() {
            payload.next();
            client.send(payload.bytes())?;
            expected.push_back(payload.sum());
        }
        let Some(sum) = expected.pop_front() else { return Ok(()) };
        check(sum, client.receive()?)?;
        // Those that are still under way at the end are not counted.
        more = more && flight.landed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::sum;

    /// Answers at once, but to one call wrongly.
    struct Fake {
        under_way: VecDeque<u64>,
        most: usize,
        calls: u64,
        wrong: Option<u64>,
    }

    impl Fake {
        fn new(wrong: Option<u64>) -> Self {
            Fake { under_way: VecDeque::new(), most: 0, calls: 0, wrong }
        }
    }

    impl Client for Fake {
        fn send(&mut self, bytes: &[u8]) -> Result<()> {
            self.calls += 1;
            self.under_way.push_back(sum(bytes).wrapping_add(u64::from(self.wrong == Some(self.calls))));
            self.most = self.most.max(self.under_way.len());
            Ok(())
        }

        fn receive(&mut self) -> Result<u64> {
            self.under_way.pop_front().ok_or_else(|| "nothing is under way".into())
        }
    }

    const SHORT: Duration = Duration::from_millis(3);

    #[test]
    fn percentiles_of_a_hundred() {
        let figures = Figures::new((1..=100).rev().map(f64::from).collect(), 7.0, 100).unwrap();
        assert_eq!((figures.p50_ns, figures.p99_ns, figures.p999_ns), (51.0, 100.0, 100.0));
        assert_eq!((figures.mean_ns, figures.calls), (7.0, 100));
        assert!(Figures::new(Vec::new(), 0.0, 0).is_err());
    }

    #[test]
    fn median_of_rounds() {
        let round = |ns| Figures { p50_ns: ns, p99_ns: 2.0 * ns, p999_ns: 3.0 * ns, mean_ns: ns, calls: 10 };
        let all = Figures::median(&[round(9.0), round(1.0), round(5.0)]).unwrap();
        assert_eq!((all.p50_ns, all.p99_ns, all.p999_ns, all.calls), (5.0, 10.0, 15.0, 30));
        assert!(Figures::median(&[]).is_none());
    }

    #[test]
    fn as_many_in_flight_as_asked_for() {
        for in_flight in [1, 8, 64] {
            let mut fake = Fake::new(None);
            let figures = round(&mut fake, 64, in_flight, Regime::Tight, SHORT).unwrap();
            assert_eq!(fake.most, in_flight);
            assert!(fake.under_way.is_empty());
            assert!(figures.calls > 0 && figures.calls <= fake.calls);
        }
    }

    #[test]
    fn the_first_calls_after_a_pause_do_not_count() {
        let mut fake = Fake::new(None);
        let figures = round(&mut fake, 8, 1, Regime::Paced, SHORT).unwrap();
        assert_eq!((fake.calls, figures.calls), (30, 27));
    }

    #[test]
    fn wrong_answers_are_found() {
        for (in_flight, regime) in [(1, Regime::Tight), (8, Regime::Tight), (1, Regime::Paced)] {
            let error = round(&mut Fake::new(Some(20)), 16, in_flight, regime, SHORT).unwrap_err();
            assert!(error.to_string().starts_with("the answer is "), "{error}");
        }
    }
}

//! How often calls come, and who else wants the cores.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::Result;
use crate::process::{self, Killed};

/// A way in which two processes and others share two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regime {
    /// Calls in a loop, cores free
    Tight,
    /// A call each millisecond, cores free
    Paced,
    /// Calls in a loop, a process that computes on one of the two cores
    TightOneBusy,
    /// Calls in a loop, a process that computes on each core
    TightAllBusy,
    /// A call each millisecond, a process that computes on each core
    PacedAllBusy,
    /// Calls in a loop, both processes on one core
    OneCore,
}

impl Regime {
    pub const ALL: [Regime; 6] = [
        Regime::Tight,
        Regime::Paced,
        Regime::TightOneBusy,
        Regime::TightAllBusy,
        Regime::PacedAllBusy,
        Regime::OneCore,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Regime::Tight => "tight",
            Regime::Paced => "paced",
            Regime::TightOneBusy => "tight-one-busy",
            Regime::TightAllBusy => "tight-all-busy",
            Regime::PacedAllBusy => "paced-all-busy",
            Regime::OneCore => "one-core",
        }
    }

    /// Two lines for the axis of a plot.
    pub fn lines(self) -> [&'static str; 2] {
        match self {
            Regime::Tight => ["in a loop,", "cores free"],
            Regime::Paced => ["one each ms,", "cores free"],
            Regime::TightOneBusy => ["in a loop,", "one core busy"],
            Regime::TightAllBusy => ["in a loop,", "both cores busy"],
            Regime::PacedAllBusy => ["one each ms,", "both cores busy"],
            Regime::OneCore => ["in a loop,", "one core for both"],
        }
    }

    /// The pause between two calls.
    pub fn pause(self) -> Option<Duration> {
        matches!(self, Regime::Paced | Regime::PacedAllBusy).then_some(Duration::from_millis(1))
    }

    /// How long a round lasts that would last so long with free cores: where cores are busy, turns take milliseconds.
    pub fn stretch(self, time: Duration) -> Duration {
        match self {
            Regime::Tight | Regime::OneCore => time,
            _ => 3 * time,
        }
    }

    /// The cores, of these two, that caller and server may use.
    pub fn cores(self, pair: [usize; 2]) -> Vec<usize> {
        if self == Regime::OneCore { vec![pair[0]] } else { pair.to_vec() }
    }

    /// Starts the processes that compute.
    pub fn load(self, pair: [usize; 2]) -> Result<Vec<Killed>> {
        let busy = match self {
            Regime::Tight | Regime::Paced | Regime::OneCore => &[][..],
            Regime::TightOneBusy => &pair[1..],
            Regime::TightAllBusy | Regime::PacedAllBusy => &pair[..],
        };
        busy.iter().map(|core| Ok(Killed(process::again("burn")?.arg(core.to_string()).spawn()?))).collect()
    }
}

/// A process that computes.
pub fn burn(core: usize) -> Result<()> {
    process::stay_on(&[core])?;
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

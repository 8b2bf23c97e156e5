//! Which calls are measured.

use std::time::Duration;

use crate::mechanism::{self, Mechanism};
use crate::regime::Regime;
use crate::round::Cell;
use crate::{Options, Result};

const PAYLOADS: [usize; 7] = [8, 64, 512, 4 << 10, 64 << 10, 1 << 20, 16 << 20];
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
/// In the regimes other than the first.
const FEW_PAYLOADS: [usize; 2] = [8, 4 << 10];
/// Nothing has more than that in flight.
const MOST: usize = 64 << 20;

/// What to do, and how often.
pub struct Plan {
    /// Cells of a regime are together, those of a payload within it, too.
    pub cells: Vec<Cell>,
    pub rounds: usize,
    /// How long a round takes in loops with free cores.
    pub time: Duration,
}

impl Plan {
    /// What was asked for; where nothing was said, all of it, and some payloads only in most regimes.
    pub fn new(options: &Options) -> Result<Self> {
        let regimes = if options.regime.is_empty() { Regime::ALL.to_vec() } else { options.regime.clone() };
        let mut mechanisms: Vec<&'static dyn Mechanism> = mechanism::ALL.to_vec();
        if !options.only.is_empty() {
            options.only.iter().try_for_each(|name| mechanism::named(name).map(|_| ()))?;
            mechanisms.retain(|mechanism| options.only.iter().any(|name| name == mechanism.name()));
        }
        let mut cells = Vec::new();
        for regime in regimes {
            let usual = match (regime, options.quick) {
                (Regime::Tight, true) => &[8, 4 << 10, 1 << 20][..],
                (Regime::Tight, false) => &PAYLOADS[..],
                (_, true) => &[8][..],
                (_, false) => &FEW_PAYLOADS[..],
            };
            // Those with a payload of their own are for the goals.
            let here = regime == Regime::Tight || !options.regime.is_empty();
            let payloads = if options.payload.is_empty() { usual } else { &options.payload[..] };
            for payload in payloads.iter().copied() {
                for in_flight in Self::in_flight(options, regime) {
                    if payload * in_flight > MOST {
                        continue;
                    }
                    let fits = |mechanism: &&&dyn Mechanism| match mechanism.fixed() {
                        Some(fixed) => fixed == payload && in_flight == 1 && here,
                        None => true,
                    };
                    let cell = |mechanism| Cell { mechanism, regime, payload, in_flight };
                    cells.extend(mechanisms.iter().filter(fits).copied().map(cell));
                }
            }
            // Payloads that nothing else has.
            let odd = |m: &&&dyn Mechanism| m.fixed().is_some_and(|fixed| !payloads.contains(&fixed));
            if here && options.payload.is_empty() {
                let cell = |mechanism: &'static dyn Mechanism| {
                    Some(Cell { mechanism, regime, payload: mechanism.fixed()?, in_flight: 1 })
                };
                cells.extend(mechanisms.iter().filter(odd).copied().filter_map(cell));
            }
        }
        Ok(Plan {
            cells,
            rounds: options.rounds.map_or(if options.quick { 3 } else { 7 }, usize::from),
            time: Duration::from_millis(if options.quick { 36 } else { 90 }),
        })
    }

    fn in_flight(options: &Options, regime: Regime) -> Vec<usize> {
        if regime != Regime::Tight && options.in_flight.is_empty() || regime.pause().is_some() {
            return vec![1];
        }
        match (options.in_flight.is_empty(), options.quick) {
            (false, _) => options.in_flight.clone(),
            (true, true) => vec![1, 64],
            (true, false) => IN_FLIGHT.to_vec(),
        }
    }
}

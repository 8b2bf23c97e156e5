//! What this library is to reach, in ratios of one run.

use crate::measure::{Figures, median};
use crate::mechanism::Kind;
use crate::payload::size;
use crate::regime::Regime;
use crate::results::{Measured, Results};

/// A goal, and what came out.
pub struct Verdict {
    pub what: String,
    /// What it is compared with.
    pub over: String,
    pub goal: f64,
    /// `None`: one of the two was not measured.
    pub ratio: Option<f64>,
}

impl Verdict {
    pub fn met(&self) -> Option<bool> {
        self.ratio.map(|ratio| ratio <= self.goal)
    }
}

type Figure = fn(&Figures) -> f64;

const MEAN: Figure = |f| f.mean_ns;
const P50: Figure = |f| f.p50_ns;
const P99: Figure = |f| f.p99_ns;

/// The median of the ratios of neighbours: the machine changes its pace between rounds, seldom within one.
fn ratio(one: &Measured, other: &Measured, figure: Figure) -> Option<f64> {
    median(
        one.rounds
            .iter()
            .zip(&other.rounds)
            .filter_map(|(one, other)| Some(figure(one.as_ref()?) / figure(other.as_ref()?))),
    )
}

/// All goals, in the order in which they were set.
pub fn verdicts(results: &Results) -> Vec<Verdict> {
    let pair = |what: &str, one: &str, other: &str, payload: usize, in_flight: usize, goal: f64| {
        let find = |name| results.find(name, Regime::Tight, payload, in_flight);
        let ratio = find(one).zip(find(other)).and_then(|(one, other)| ratio(one, other, MEAN));
        Verdict { what: what.into(), over: other.into(), goal, ratio }
    };
    let mib = 1 << 20;
    let record = crate::mechanism::ours::RECORD;
    let mut all = vec![
        pair("add(u64, u64) -> u64", "ours-add", "hand-over", 8, 1, 1.5),
        pair("add(u64, u64) -> u64", "ours-add", "iceoryx2-u64", 8, 1, 0.1),
        pair("a record with a string of 40 bytes, each way", "ours-record", "iceoryx2-record", record, 1, 0.2),
        pair("the same, read in place", "ours-record-in-place", "iceoryx2-record", record, 1, 0.2),
        pair("64 in flight, a call", "ours", "tarpc", 8, 64, 1.0 / 60.0),
    ];
    for (name, figure, goal) in [("p50", P50, 1.0), ("p99", P99, 1.25)] {
        all.extend(Regime::ALL.map(|regime| regime_verdict(results, regime, name, figure, goal)));
    }
    all.push(pair(&format!("{} in, its sum out", size(mib)), "ours", "by-hand", mib, 1, 1.1));
    all.push(pair(&format!("{} there and back", size(mib)), "ours-echo", "iceoryx2-echo", mib, 1, 0.5));
    all.push(pair("add beside 64 idle clients", "ours-add-beside-64", "ours-add", 8, 1, 1.5));
    all
}

/// Ours to that mechanism of the kernel's that has the least p50.
fn regime_verdict(results: &Results, regime: Regime, name: &str, figure: Figure, goal: f64) -> Verdict {
    let cells =
        || results.cells.iter().filter(|m| m.cell.regime == regime && m.cell.payload == 8 && m.cell.in_flight == 1);
    let kernel = cells().filter(|m| m.cell.mechanism.kind() == Kind::Kernel && m.figures().is_some());
    let p50 = |m: &&Measured| m.figures().map_or(f64::INFINITY, |f| f.p50_ns);
    let fastest = kernel.min_by(|one, other| p50(one).total_cmp(&p50(other)));
    let ours = results.find("ours", regime, 8, 1);
    Verdict {
        what: format!("{name}, {}", regime.lines().join(" ")),
        over: fastest.map_or("the kernel's fastest", |m| m.cell.mechanism.name()).into(),
        goal,
        ratio: ours.zip(fastest).and_then(|(ours, fastest)| ratio(ours, fastest, figure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::mechanism;
    use crate::round::{Cell, Outcome};

    fn measured(mechanism: &str, regime: Regime, rounds: &[f64]) -> Measured {
        let mechanism = mechanism::named(mechanism).unwrap();
        let mut measured = Measured::new(Cell { mechanism, regime, payload: 8, in_flight: 1 });
        for ns in rounds {
            let figures = Figures { p50_ns: *ns, p99_ns: 2.0 * ns, p999_ns: 2.0 * ns, mean_ns: *ns, calls: 1 };
            measured.add(Outcome::Figures(figures));
        }
        measured
    }

    fn results(cells: Vec<Measured>) -> Results {
        Results { machine: Machine::this(0.0), cells }
    }

    #[test]
    fn ratios_are_those_of_the_same_rounds() {
        // The machine was ten times slower in one round, and both saw it.
        let add = measured("ours-add", Regime::Tight, &[100.0, 2000.0, 120.0]);
        let line = measured("hand-over", Regime::Tight, &[100.0, 1000.0, 100.0]);
        let verdicts = verdicts(&results(vec![add, line]));
        assert_eq!((verdicts[0].ratio, verdicts[0].met()), (Some(1.2), Some(true)));
        assert!(verdicts[1..].iter().all(|verdict| verdict.met().is_none()));
    }

    #[test]
    fn the_fastest_of_the_kernel_counts() {
        let fakes = [("ours", 300.0), ("pipe", 400.0), ("tcp", 900.0), ("posix-shm", 200.0), ("in-process", 1.0)];
        let mut cells = fakes.map(|(name, ns)| measured(name, Regime::OneCore, &[ns]));
        // One that failed in a later round does not.
        cells[3].add(Outcome::Failed("as an example".into()));
        let verdicts = verdicts(&results(cells.into()));
        let known: Vec<_> = verdicts.iter().filter_map(|v| Some((v.over.as_str(), v.ratio?, v.met()?))).collect();
        assert_eq!(known, [("pipe", 0.75, true), ("pipe", 0.75, true)]);
    }
}

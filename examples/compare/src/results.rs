//! What was measured.

use crate::machine::Machine;
use crate::measure::Figures;
use crate::regime::Regime;
use crate::round::{Cell, Outcome};

/// The rounds of a cell.
pub struct Measured {
    pub cell: Cell,
    /// One for each round; `None` if there was none for the reason below.
    pub rounds: Vec<Option<Figures>>,
    /// Why there is a round without figures.
    pub reason: Option<String>,
    /// Something that should have worked did not.
    pub failed: bool,
}

impl Measured {
    pub fn new(cell: Cell) -> Self {
        Measured { cell, rounds: Vec::new(), reason: None, failed: false }
    }

    pub fn add(&mut self, outcome: Outcome) {
        let (figures, reason) = match outcome {
            Outcome::Figures(figures) => (Some(figures), None),
            Outcome::Unusable(reason) => (None, Some(reason)),
            Outcome::Failed(reason) => {
                self.failed = true;
                (None, Some(format!("failed: {reason}")))
            }
        };
        self.rounds.push(figures);
        self.reason = reason.or(self.reason.take());
    }

    /// Whether another round makes sense.
    pub fn goes_on(&self) -> bool {
        self.reason.is_none()
    }

    /// Medians of all rounds; nothing if one of them has failed.
    pub fn figures(&self) -> Option<Figures> {
        let rounds: Option<Vec<Figures>> = self.rounds.iter().copied().collect();
        Figures::median(&rounds?)
    }
}

/// All of it.
pub struct Results {
    pub machine: Machine,
    pub cells: Vec<Measured>,
}

impl Results {
    pub fn find(&self, mechanism: &str, regime: Regime, payload: usize, in_flight: usize) -> Option<&Measured> {
        self.cells.iter().find(|Measured { cell, .. }| {
            cell.mechanism.name() == mechanism
                && (cell.regime, cell.payload, cell.in_flight) == (regime, payload, in_flight)
        })
    }
}

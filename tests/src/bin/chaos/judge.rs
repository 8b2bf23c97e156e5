//! What the journals of a round say together.

use std::collections::{BTreeMap, HashMap};

use crate::journal::{Form, How, Record};

/// Counts of a run, and what was wrong.
#[derive(Debug, Default)]
pub struct Tally {
    pub outcomes: BTreeMap<(Form, How), u64>,
    /// Nanoseconds from a kill to the error of each call that was under way.
    pub delays: Vec<u64>,
    pub runs: u64,
    pub server_kills: u64,
    pub client_kills: u64,
    pub stops: u64,
    pub violations: Vec<String>,
}

impl Tally {
    pub fn wrong(&mut self, what: String) {
        eprintln!("chaos: WRONG: {what}");
        self.violations.push(what);
    }

    pub fn kills(&self) -> u64 {
        self.server_kills + self.client_kills
    }

    /// Compares claims with what ran. `killed`: when each process that was killed was.
    pub fn judge(&mut self, records: &[Record], killed: &HashMap<u32, u64>) {
        let by_themselves = records.iter().filter(|record| record.how == How::Died);
        let killed: HashMap<u32, u64> = killed
            .iter()
            .map(|(of, at)| (*of, *at))
            .chain(by_themselves.map(|record| (record.peer, record.began)))
            .collect();
        let mut runs: HashMap<u64, u32> = HashMap::new();
        for record in records.iter().filter(|record| record.how == How::Ran) {
            *runs.entry(record.id).or_default() += 1;
            self.runs += 1;
        }
        let twice: Vec<_> = runs.iter().filter(|(_, runs)| **runs > 1).map(|(id, _)| *id).collect();
        for id in twice {
            self.wrong(format!("call {id:x} ran twice"));
        }
        for record in records.iter().filter(|record| !matches!(record.how, How::Ran | How::Died)) {
            let &Record { id, began, ended, peer, form, how } = record;
            *self.outcomes.entry((form, how)).or_default() += 1;
            let ran = runs.get(&id).copied().unwrap_or(0);
            if how == How::Wrong || !how.runs().contains(&ran) {
                self.wrong(format!(
                    "call {id:x} to process {peer} ({}): {}, it ran {ran} times",
                    form.text(),
                    how.text()
                ));
            }
            if how.is_death() {
                match killed.get(&peer) {
                    Some(at) if *at <= ended => {
                        if began < *at {
                            self.delays.push(ended - at);
                        }
                    }
                    _ => self.wrong(format!(
                        "call {id:x} ({}): {}, but process {peer} was alive",
                        form.text(),
                        how.text()
                    )),
                }
            }
        }
    }
}

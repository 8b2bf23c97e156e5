//! What the journals of a round say together.

use std::collections::{BTreeMap, HashMap};

use crate::journal::{Form, How, Record};

/// When a process was killed: not before `from`, and it was gone by `to`.
#[derive(Debug, Clone)]
pub struct Death {
    pub from: u64,
    pub to: u64,
    pub server: bool,
}

/// A process was stopped for a while, and could not be told of anything.
#[derive(Debug)]
pub struct Stop {
    pub process: u32,
    pub from: u64,
    pub to: u64,
}

/// Counts of a run, and what was wrong.
#[derive(Debug, Default)]
pub struct Tally {
    pub outcomes: BTreeMap<(Form, How), u64>,
    /// Nanoseconds from a kill to the error of each call that was under way in a process that ran.
    pub delays: Vec<u64>,
    pub runs: u64,
    pub server_kills: u64,
    pub client_kills: u64,
    pub pauses: u64,
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

    /// Compares claims with what ran.
    pub fn judge(&mut self, records: &[Record], deaths: &HashMap<u32, Death>, stops: &[Stop]) {
        let mut deaths = deaths.clone();
        for record in records.iter().filter(|record| record.how == How::Died) {
            if let Some(death) = deaths.get_mut(&record.peer) {
                death.from = record.began;
            }
        }
        let mut runs: HashMap<u64, u32> = HashMap::new();
        for record in records.iter().filter(|record| record.how == How::Ran) {
            let runs = runs.entry(record.id).or_default();
            *runs += 1;
            if *runs > 1 && record.form != Form::Idempotent {
                self.wrong(format!("call {:x} ({}) ran twice", record.id, record.form.text()));
            }
            self.runs += 1;
        }
        for record in records.iter().filter(|record| !matches!(record.how, How::Ran | How::Died)) {
            let &Record { id, began, ended, peer, form, how } = record;
            *self.outcomes.entry((form, how)).or_default() += 1;
            let ran = runs.get(&id).copied().unwrap_or(0);
            let call = format!("call {id:x} to process {peer} ({}): {}", form.text(), how.text());
            if how == How::Wrong || !how.runs(form).contains(&ran) {
                self.wrong(format!("{call}, it ran {ran} times"));
            }
            if how.is_death() {
                match death_of(&deaths, record) {
                    Some(death) => {
                        let stopped = |stop: &Stop| {
                            u64::from(stop.process) == id >> 32 && stop.from <= ended && death.from <= stop.to
                        };
                        // One that waits for the next server is told later.
                        if peer != 0 && began < death.from && !stops.iter().any(stopped) {
                            self.delays.push(ended - death.from);
                        }
                    }
                    None => self.wrong(format!("{call}, but nobody had died")),
                }
            }
        }
    }
}

/// The death that ended a call.
fn death_of<'a>(deaths: &'a HashMap<u32, Death>, call: &Record) -> Option<&'a Death> {
    if call.peer != 0 {
        return deaths.get(&call.peer).filter(|death| death.from <= call.ended);
    }
    // The client connects again by itself, and waits for that, unless its time is over or the call was not to wait.
    let mut servers = deaths.values().filter(|death| death.server && death.from <= call.ended);
    match (call.how, call.form) {
        // A flush tells of what was lost before it.
        (How::NotStarted, _) | (_, Form::OneWay) => servers.max_by_key(|death| death.from),
        _ => servers.find(|death| call.began <= death.to),
    }
}

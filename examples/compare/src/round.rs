//! One round: a calling process and an answering one, both new.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::measure::{self, Figures};
use crate::mechanism::{self, Mechanism};
use crate::process::{self, Job, Killed};
use crate::regime::Regime;

/// Seconds after which a round that has not ended will not.
const PATIENCE: u32 = 30;

/// What a calling process says at its end.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    Figures(Figures),
    /// This mechanism cannot be used here.
    Unusable(String),
    /// It should work, but did not.
    Failed(String),
}

/// A kind of calls to measure.
#[derive(Clone, Copy)]
pub struct Cell {
    pub mechanism: &'static dyn Mechanism,
    pub regime: Regime,
    pub payload: usize,
    pub in_flight: usize,
}

/// Measures a cell once, in processes of its own.
pub fn run(cell: &Cell, pair: [usize; 2], time: Duration) -> Outcome {
    if let Some(reason) = cell.mechanism.refuses(cell.payload, cell.in_flight) {
        return Outcome::Unusable(reason);
    }
    in_processes(cell, pair, time).unwrap_or_else(|error| Outcome::Failed(error.to_string()))
}

fn in_processes(cell: &Cell, pair: [usize; 2], time: Duration) -> Result<Outcome> {
    let folder = tempfile::Builder::new().prefix("ipc-rpc-compare-").tempdir()?;
    let job = Job {
        mechanism: cell.mechanism.name().into(),
        payload: cell.payload,
        in_flight: cell.in_flight,
        folder: folder.path().into(),
        number: std::process::id(),
    };
    let errors = folder.path().join("errors");
    let mut command = job.command("call")?;
    command.args([cell.regime.name(), &time.as_millis().to_string()]).args(pair.map(|core| core.to_string()));
    command.stdout(Stdio::piped()).stderr(File::create(&errors)?);
    let mut caller = Killed(command.spawn()?);
    let mut said = String::new();
    let output = caller.0.stdout.as_mut().ok_or("no output of the caller")?;
    let read = output.read_to_string(&mut said);
    let status = caller.0.wait()?;
    cell.mechanism.remove(&job);
    read?;
    // What the answering process had to say is there, too.
    let errors = std::fs::read_to_string(&errors).unwrap_or_default();
    match serde_json::from_str(&said) {
        Ok(Outcome::Unusable(reason)) => {
            return Ok(Outcome::Unusable(format!("{reason} {}", errors.trim()).trim().into()));
        }
        Ok(outcome) => return Ok(outcome),
        Err(_) => {}
    }
    let how = match status.signal() {
        Some(ALARM) => format!("no end after {PATIENCE} s"),
        _ => status.to_string(),
    };
    Ok(Outcome::Failed(format!("{how} {}", errors.trim())))
}

/// What `alarm` sends.
const ALARM: i32 = 14;

/// The calling process.
pub fn call(job: &Job, regime: Regime, time: Duration, pair: [usize; 2]) -> Result<()> {
    process::end_after(PATIENCE);
    process::stay_on(&regime.cores(pair))?;
    let outcome = match mechanism::named(&job.mechanism)?.connect(job) {
        Err(error) => Outcome::Unusable(error.to_string()),
        Ok(mut client) => {
            let time = regime.stretch(time);
            match measure::round(&mut *client, job.payload, job.in_flight, regime, time) {
                Ok(figures) => Outcome::Figures(figures),
                Err(error) => Outcome::Failed(error.to_string()),
            }
        }
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

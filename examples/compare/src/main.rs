//! The same service over this library, the kernel's mechanisms and other libraries, side by side.
//!
//! `cargo run --release -p compare` measures for a while and prints tables; `-- --quick` needs less than two minutes.
//! `docs/benchmarks.md` says what is measured, and what is not.
#![deny(unsafe_code)]

mod goals;
mod machine;
mod measure;
mod mechanism;
mod payload;
mod plan;
mod process;
mod regime;
mod report;
mod results;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::machine::Machine;
use crate::plan::Plan;
use crate::process::Job;
use crate::regime::Regime;
use crate::results::{Measured, Results};

/// What the threads of this program can fail with.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Calls between two processes of this machine, over many mechanisms, side by side.
#[derive(Parser)]
#[command(name = "compare", args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
struct Options {
    /// Fewer payloads and rounds: less than two minutes
    #[arg(long)]
    quick: bool,
    /// Writes all figures to a file, one object a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws latency over payload, latency by regime and throughput over calls in flight into a folder
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// These mechanisms only, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// These regimes only
    #[arg(long, value_enum, value_name = "REGIMES", value_delimiter = ',')]
    regime: Vec<Regime>,
    /// These payloads only, such as 8, 64K, 1M
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = payload::parse_size)]
    payload: Vec<usize>,
    /// So many calls in flight only
    #[arg(long, value_name = "CALLS", value_delimiter = ',', value_parser = parse_in_flight)]
    in_flight: Vec<usize>,
    /// How often each is measured
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// The two cores to use; by default the first two that this process may use
    #[arg(long, value_name = "CORE,CORE", value_delimiter = ',', num_args = 1)]
    cores: Vec<usize>,
}

fn parse_in_flight(text: &str) -> std::result::Result<usize, String> {
    text.parse().ok().filter(|n| (1..=128).contains(n)).ok_or_else(|| "1 to 128".into())
}

/// What this program starts itself again as.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    #[command(hide = true)]
    Call {
        #[command(flatten)]
        job: Job,
        regime: Regime,
        milliseconds: u64,
        one_core: usize,
        other_core: usize,
    },
    #[command(hide = true)]
    Serve(Job),
    #[command(hide = true)]
    Idle { socket: String, ready: PathBuf },
    #[command(hide = true)]
    Burn { core: usize },
}

fn main() -> ExitCode {
    let CommandLine { role, options } = CommandLine::parse();
    let done = match role {
        None => compare(&options),
        Some(role) => play(role).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("compare: {error}");
        ExitCode::FAILURE
    })
}

fn play(role: Role) -> Result<()> {
    process::end_with_the_parent();
    match role {
        Role::Call { job, regime, milliseconds, one_core, other_core } => {
            round::call(&job, regime, Duration::from_millis(milliseconds), [one_core, other_core])
        }
        Role::Serve(job) => mechanism::named(&job.mechanism)?.serve(&job),
        Role::Idle { socket, ready } => mechanism::ours::idle(&socket, &ready),
        Role::Burn { core } => regime::burn(core),
    }
}

/// The two cores that are shared.
fn pair(options: &Options) -> Result<[usize; 2]> {
    let allowed = process::cores()?;
    let wanted = if options.cores.is_empty() { &allowed } else { &options.cores };
    match wanted[..] {
        [one, other, ..] if one != other && allowed.contains(&one) && allowed.contains(&other) => Ok([one, other]),
        _ => Err(format!("two different cores are needed, of {allowed:?}").into()),
    }
}

fn compare(options: &Options) -> Result<ExitCode> {
    let pair = pair(options)?;
    let plan = Plan::new(options)?;
    if plan.cells.is_empty() {
        return Err("nothing is to be measured: no mechanism that was asked for has such calls".into());
    }
    // Before an hour of work is lost.
    let mut json = options.json.as_deref().map(report::json::create).transpose()?;
    if let Some(folder) = &options.plot {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    process::heed_interrupts();
    let results = measure(&plan, pair)?;
    let verdicts = goals::verdicts(&results);
    print!("{}", report::table::of(&results, &verdicts));
    if let Some(file) = &mut json {
        report::json::write(file, &results)?;
    }
    if let Some(folder) = &options.plot {
        report::plot::draw(folder, &results)?;
    }
    Ok(if results.cells.iter().any(|cell| cell.failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Rounds of all cells take turns, so that all of them see the machine as it changes.
fn measure(plan: &Plan, pair: [usize; 2]) -> Result<Results> {
    let mut cells: Vec<Measured> = plan.cells.iter().map(|cell| Measured::new(*cell)).collect();
    let bar = ProgressBar::new((plan.rounds * cells.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} left  {msg}")?);
    let mut others = Vec::new();
    for _ in 0..plan.rounds {
        others.push(machine::busy_during(Duration::from_millis(100)));
        let mut load = None;
        for measured in &mut cells {
            let regime = measured.cell.regime;
            if load.as_ref().is_none_or(|(now, _)| *now != regime) {
                load = Some((regime, regime.load(pair)?));
            }
            bar.set_message(format!("{} {}", regime.name(), measured.cell.mechanism.name()));
            if measured.goes_on() {
                let outcome = round::run(&measured.cell, pair, plan.time);
                measured.add(outcome);
                if process::is_interrupted() {
                    return Err("interrupted".into());
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let others = measure::median(others.into_iter()).unwrap_or(0.0);
    Ok(Results { machine: Machine::this(others), cells })
}

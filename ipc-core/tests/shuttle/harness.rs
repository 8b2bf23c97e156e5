//! Runs a test with each of its faults.
//!
//! A failing execution leaves threads behind that cannot be unwound, so each variant runs in a child process: the test binary
//! starts itself again with [`FAULT`] set, and the child reports with one line.

use std::process::{Command, Stdio, exit};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use ipc_core::schedule::{self, Fault, Operation};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Names the fault that a child has to have.
const FAULT: &str = "IPC_RPC_SHUTTLE_FAULT";
/// How many schedules are drawn of each kind; a fault has [`CHANCES`] times as many to show. And the seed.
const RUNS: &str = "IPC_RPC_SHUTTLE_RUNS";
const SEED: &str = "IPC_RPC_SHUTTLE_SEED";
const HOLDS: &str = "\nholds: ";
const FAILS: &str = "\nfails: ";
/// Steps of one schedule, of which most need a few thousand: more is a thread that looks for ever.
const STEPS: usize = 400_000;
const STACK: usize = 256 << 10;
/// The rarest fault shows once in about ten thousand schedules; so it is missed once in e^32 runs, not once in 25.
const CHANCES: usize = 800;

/// What is done wrongly, and by what it is called.
pub type Wrong = (&'static str, fn(Operation) -> Fault);

static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

fn number(name: &str, or: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// Runs `test` under many schedules, which all must go well; and with each of the faults, which some schedule must show.
/// `name` is the path of the calling test.
pub fn explore(name: &str, wrong: &[Wrong], test: fn()) {
    if let Ok(fault) = std::env::var(FAULT) {
        let runs = number(RUNS, 400);
        return match wrong.iter().find(|(name, _)| *name == fault) {
            Some((_, judge)) => child(*judge, runs * CHANCES, test),
            None => child(|_| Fault::None, runs, test),
        };
    }
    let held = parent(name, "");
    println!("{name}: {}", held.unwrap_or_else(|why| panic!("{name}: {why}")));
    for (fault, _) in wrong {
        match parent(name, fault) {
            Ok(runs) => panic!("{name}: `{fault}` was not caught: {runs}"),
            Err(why) => println!("{name}: caught `{fault}`: {why}"),
        }
    }
}

fn parent(name: &str, fault: &str) -> Result<String, String> {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(FAULT, fault);
    let out = child.stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let line = |marker| text.split_once(marker).map(|(_, rest)| rest.lines().next().unwrap_or_default());
    match (line(HOLDS), line(FAILS)) {
        (Some(runs), None) => Ok(format!("holds, {runs} schedules in {:.1} s", start.elapsed().as_secs_f32())),
        (_, Some(why)) => Err(why.chars().take(160).collect()),
        (None, None) => Err(format!("the child ended with {}", out.status)),
    }
}

fn child(judge: fn(Operation) -> Fault, runs: usize, test: fn()) {
    let body = move || {
        if EXECUTIONS.fetch_add(1, Relaxed) == 0 {
            report_failures();
        }
        schedule::begin(judge);
        test();
    };
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    let seed = number(SEED, 1) as u64;
    Runner::new(RandomScheduler::new_from_seed(seed, runs), config.clone()).run(body);
    Runner::new(PctScheduler::new_from_seed(seed, 3, runs), config).run(body);
    println!("{HOLDS}{}", EXECUTIONS.load(Relaxed));
}

/// Leaving from the hook is what keeps a failure from aborting while shuttle unwinds. It calls that of shuttle, which prints the
/// schedule; so it is set when that is there.
fn report_failures() {
    let shuttles = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        shuttles(info);
        let why = info.payload_as_str().unwrap_or_default().replace('\n', " ");
        println!("{FAILS}{why} (schedule {})", EXECUTIONS.load(Relaxed));
        exit(101);
    }));
}

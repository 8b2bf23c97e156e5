//! Runs a model with each of its variants.
//!
//! A model that fails inside loom may abort while it unwinds, so each variant runs in a child process: the test binary
//! starts itself again with [`VARIANT`] set, and the child reports with one line.

use std::process::{Command, Stdio, exit};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Names the variant a child has to run.
const VARIANT: &str = "IPC_RPC_LOOM_VARIANT";
/// The variant in which nothing is replaced.
pub const RIGHT: &str = "right";
const HOLDS: &str = "\nmodel holds: ";
const FAILS: &str = "\nmodel fails: ";

/// How a wrong variant is caught.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// Loom finds accesses to plain memory that are not ordered.
    Race,
    /// A request or a wake-up is lost: all threads sleep, or one looks for ever.
    Loss,
    /// An assertion of the model or of the project's code says so.
    Words(&'static str),
}

impl By {
    fn matches(self, why: &str) -> bool {
        match self {
            By::Race => why.contains("Causality violation"),
            By::Loss => why.contains("deadlock;") || why.contains("exceeded maximum number of branches"),
            By::Words(words) => why.contains(words),
        }
    }
}

static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

/// Explores `model(RIGHT)`, which must hold, and `model(name)` for each wrong variant, which must fail with a message that
/// fits what stands beside its name. `test` is the path of the calling test, `bound` the most preemptions of a thread
/// that could go on (`None`: every interleaving).
pub fn explore(test: &str, bound: Option<usize>, wrong: &[(&str, By)], model: fn(&'static str)) {
    if let Ok(variant) = std::env::var(VARIANT) {
        child(variant.leak(), bound, model);
        return;
    }
    let executions = parent(test, RIGHT).unwrap_or_else(|why| panic!("{test}: {why}"));
    println!(
        "{test}: holds, {executions} ({})",
        bound.map_or("every interleaving".into(), |b| format!("<= {b} preemptions"))
    );
    for &(variant, expected) in wrong {
        match parent(test, variant) {
            Ok(executions) => panic!("{test}: `{variant}` was not caught in {executions}"),
            Err(why) if expected.matches(&why) => println!("{test}: caught `{variant}`: {why}"),
            Err(why) => panic!("{test}: `{variant}` fails, but not by {expected:?}: {why}"),
        }
    }
}

fn parent(test: &str, variant: &str) -> Result<String, String> {
    let start = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(VARIANT, variant);
    let out = child.stderr(Stdio::null()).output().unwrap();
    let out = String::from_utf8_lossy(&out.stdout);
    let line = |marker| out.split_once(marker).map(|(_, rest)| rest.lines().next().unwrap_or_default());
    match (line(HOLDS), line(FAILS)) {
        (Some(n), None) => Ok(format!("{n} executions in {:.1} s", start.elapsed().as_secs_f32())),
        (_, Some(why)) => Err(why.into()),
        (None, None) => Err(format!("the child for `{variant}` says nothing")),
    }
}

fn child(variant: &'static str, bound: Option<usize>, model: fn(&'static str)) {
    // Leaving from the hook is what keeps a failure from aborting while loom unwinds.
    std::panic::set_hook(Box::new(|info| {
        let why = info.payload_as_str().unwrap_or_default().replace('\n', " ");
        println!("{FAILS}{why} (execution {})", EXECUTIONS.load(Relaxed));
        exit(101);
    }));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.max_branches = 2000;
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Relaxed);
        model(variant);
    });
    println!("{HOLDS}{}", EXECUTIONS.load(Relaxed));
}

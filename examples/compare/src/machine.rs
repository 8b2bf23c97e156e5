//! Where it was measured, and what others did there meanwhile.

use std::time::Duration;
use std::{fs, thread};

/// The machine, its system and what this program was made of.
#[derive(serde::Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    pub compiler: &'static str,
    pub commit: String,
    /// The part of all cores that others used between the rounds, while all of this program slept.
    pub others: f64,
}

impl Machine {
    pub fn this(others: f64) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let git = |args: &[&str]| {
            let output = std::process::Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
            output
                .ok()
                .filter(|output| output.status.success())
                .and_then(|output| String::from_utf8(output.stdout).ok())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
        // Results of an earlier run may lie in the tree.
        let code = ["status", "--porcelain", "--untracked-files=no", "--", ":/*.rs", ":/*.toml", ":/Cargo.lock"];
        let changed = git(&code).is_some_and(|changes| !changes.is_empty());
        Machine {
            processor: model.map_or("unknown", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            compiler: env!("COMPILER"),
            commit: format!("{}{}", commit.trim(), if changed { " with changes" } else { "" }),
            others,
        }
    }
}

/// Ticks of all cores together: busy, stolen ones too, and all.
fn ticks() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let all: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
    let (idle, sum) = (all.get(3)? + all.get(4)?, all.iter().sum());
    Some((sum - idle, sum))
}

/// The part of all cores that was busy while this thread slept for so long; 0 if the system does not say.
pub fn busy_during(time: Duration) -> f64 {
    let before = ticks();
    thread::sleep(time);
    match (before, ticks()) {
        (Some((busy, all)), Some((busy_now, all_now))) if all_now > all => {
            busy_now.saturating_sub(busy) as f64 / (all_now - all) as f64
        }
        _ => 0.0,
    }
}

//! How much of the machine others use, and medians.

use std::fs;
use std::time::Duration;

/// Jiffies of all cores together: busy (stolen ones too), and all.
fn jiffies() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let all: Vec<u64> = fields.take(8).map_while(|f| f.parse().ok()).collect();
    let idle = all.get(3)? + all.get(4)?;
    let sum: u64 = all.iter().sum();
    Some((sum - idle, sum))
}

/// The part of all cores that was busy while this thread slept for so long; 0 if the system does not say.
pub fn busy_during(time: Duration) -> f64 {
    let before = jiffies();
    std::thread::sleep(time);
    match (before, jiffies()) {
        (Some((busy, all)), Some((busy_now, all_now))) if all_now > all => {
            busy_now.saturating_sub(busy) as f64 / (all_now - all) as f64
        }
        _ => 0.0,
    }
}

/// The middle one.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Says what others did meanwhile, from samples taken while all of this program slept.
pub fn report(samples: Vec<f64>) {
    let busy = median(samples);
    if busy > 0.1 {
        let percent = busy * 100.0;
        println!(
            "others kept {percent:.0} % of the cores busy between the rounds: these figures say little; run again"
        );
    }
}

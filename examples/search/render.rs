//! What the user sees.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::service::{Hit, Stats};

const MATCH: &str = "\x1b[1;31m";
const PATH: &str = "\x1b[35m";
const NUMBER: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Whether to highlight on standard output if the user does not say: on a terminal, unless `NO_COLOR` is set.
pub fn colour_by_default() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes `path:line: text`, with the matches highlighted if `colour`.
pub fn hit(out: &mut impl Write, hit: &Hit, colour: bool) -> io::Result<()> {
    paint(out, PATH, &hit.path, colour)?;
    out.write_all(b":")?;
    paint(out, NUMBER, &hit.line.to_string(), colour)?;
    out.write_all(b": ")?;
    let mut from = 0;
    for mark in &hit.marks {
        let (start, end) = (mark.start as usize, mark.end as usize);
        // What a server says about its text is not taken for granted.
        if let (Some(before), Some(found)) = (hit.text.get(from..start), hit.text.get(start..end)) {
            out.write_all(printable(before).as_bytes())?;
            paint(out, MATCH, found, colour)?;
            from = end;
        }
    }
    writeln!(out, "{}", printable(&hit.text[from..]))
}

/// Writes the last line: how much was searched, what was found, and how long a call took.
pub fn summary(out: &mut impl Write, stats: &Stats, hits: usize, times: &mut [Duration]) -> io::Result<()> {
    let skipped = if stats.skipped > 0 { format!(" ({} skipped)", stats.skipped) } else { String::new() };
    let documents = count(stats.documents as usize, "document");
    let hits = count(hits, "hit");
    let calls = count(times.len(), "call");
    let median = median(times).as_secs_f64() * 1e6;
    writeln!(out, "{documents}{skipped}, {hits}, median call time {median:.1} µs over {calls}")
}

/// The middle of some times, or zero if there are none.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn paint(out: &mut impl Write, style: &str, text: &str, colour: bool) -> io::Result<()> {
    let text = printable(text);
    if colour { write!(out, "{style}{text}{PLAIN}") } else { out.write_all(text.as_bytes()) }
}

/// Files hold what they like, but a terminal must not obey it.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

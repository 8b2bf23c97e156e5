//! Tables for the terminal.

use std::fmt::Write;

use super::time;
use crate::goals::Verdict;
use crate::machine::Machine;
use crate::measure::Figures;
use crate::payload::size;
use crate::regime::Regime;
use crate::results::{Measured, Results};

/// Rows with a name, and columns.
struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// A row for each mechanism, columns of what `column` says of a cell, for the cells that `which` takes.
    fn new(
        results: &Results,
        title: String,
        which: impl Fn(&Measured) -> bool,
        column: impl Fn(&Measured) -> String,
        value: impl Fn(Figures) -> String,
    ) -> Self {
        let mut table = Table { title, columns: Vec::new(), rows: Vec::new() };
        for measured in results.cells.iter().filter(|measured| which(measured)) {
            let column = column(measured);
            let at = table.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                table.columns.push(column);
                table.columns.len() - 1
            });
            let name = measured.cell.mechanism.name();
            let row = table.rows.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                table.rows.push((name.into(), Vec::new()));
                table.rows.len() - 1
            });
            let values = &mut table.rows[row].1;
            values.resize(values.len().max(at + 1), String::new());
            values[at] = measured.figures().map_or("-".into(), &value);
        }
        table
    }

    fn print(&self, to: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let wide = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
        let first = wide(&mut self.rows.iter().map(|(name, _)| name));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| wide(&mut self.rows.iter().filter_map(|(_, row)| row.get(at)).chain([&self.columns[at]])))
            .collect();
        let _ = writeln!(to, "\n{}", self.title);
        let mut line = |name: &str, values: &[String]| {
            let cells = widths.iter().zip(values).map(|(width, value)| format!("  {value:>width$}"));
            let line = format!("{name:first$}{}", cells.collect::<String>());
            let _ = writeln!(to, "{}", line.trim_end());
        };
        line("", &self.columns);
        for (name, values) in &self.rows {
            line(name, values);
        }
    }
}

/// All tables, and the goals.
pub fn of(results: &Results, verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    let Machine { processor, cores, kernel, compiler, commit, others } = &results.machine;
    let _ = writeln!(text, "{processor}, {cores} cores; {kernel}; {compiler}; commit {commit}");
    if *others > 0.1 {
        let percent = others * 100.0;
        let _ = writeln!(
            text,
            "others kept {percent:.0} % of the cores busy between the rounds: these figures say little; run again"
        );
    }
    let bytes = |measured: &Measured| size(measured.cell.payload);
    for regime in Regime::ALL {
        let mut flights: Vec<usize> =
            results.cells.iter().filter(|m| m.cell.regime == regime).map(|m| m.cell.in_flight).collect();
        flights.sort_unstable();
        flights.dedup();
        for in_flight in flights {
            // One by one with few payloads: the table of all regimes below.
            if in_flight == 1 && regime != Regime::Tight {
                continue;
            }
            let what = if in_flight == 1 {
                "one by one; p50 of a call".to_owned()
            } else {
                format!("{in_flight} in flight; time for each of them, p50")
            };
            let title = format!("{}, {what}", regime.lines().join(" "));
            let which = |m: &Measured| m.cell.regime == regime && m.cell.in_flight == in_flight;
            Table::new(results, title, which, bytes, |figures| time(figures.p50_ns)).print(&mut text);
        }
    }
    let mut payloads: Vec<usize> =
        results.cells.iter().filter(|m| m.cell.regime != Regime::Tight).map(|m| m.cell.payload).collect();
    payloads.sort_unstable();
    payloads.dedup();
    for payload in payloads {
        let title = format!("{} by regime, one by one; p50 and p99 of a call", size(payload));
        let which = |m: &Measured| m.cell.payload == payload && m.cell.in_flight == 1;
        let value = |figures: Figures| format!("{} {:>8}", time(figures.p50_ns), time(figures.p99_ns));
        Table::new(results, title, which, |m| m.cell.regime.name().into(), value).print(&mut text);
    }
    reasons(results, &mut text);
    goals(verdicts, &mut text);
    text
}

/// Why there is a `-`.
fn reasons(results: &Results, text: &mut String) {
    let mut known: Vec<(String, Vec<String>)> = Vec::new();
    for measured in &results.cells {
        let Some(reason) = &measured.reason else { continue };
        let cell = &measured.cell;
        let (line, calls) = (
            format!("{}: {reason}", cell.mechanism.name()),
            format!("{} {} x {}", cell.regime.name(), cell.in_flight, size(cell.payload)),
        );
        match known.iter_mut().find(|(other, _)| *other == line) {
            Some((_, all)) => all.push(calls),
            None => known.push((line, vec![calls])),
        }
    }
    if !known.is_empty() {
        let _ = writeln!(text, "\nNot measured");
    }
    for (line, calls) in known {
        let more = if calls.len() > 3 { format!(" and {} more", calls.len() - 3) } else { String::new() };
        let _ = writeln!(text, "{line} ({}{more})", calls[..calls.len().min(3)].join(", "));
    }
}

fn goals(verdicts: &[Verdict], text: &mut String) {
    let wide = |of: fn(&Verdict) -> &String| verdicts.iter().map(|v| of(v).chars().count()).max().unwrap_or(0);
    let (what, over) = (wide(|v| &v.what), wide(|v| &v.over));
    let _ = writeln!(text, "\nGoals: {:what$} {:over$}   ratio   at most", "ours", "over", what = what - 7);
    for verdict in verdicts {
        let (Some(ratio), Some(met)) = (verdict.ratio, verdict.met()) else { continue };
        let word = if met { "met" } else { "MISSED" };
        let (name, other, goal) = (&verdict.what, &verdict.over, verdict.goal);
        let _ = writeln!(text, "{name:what$} {other:over$}  {ratio:6.3}  {goal:8.3}  {word}");
    }
    let others = verdicts.iter().filter(|verdict| verdict.ratio.is_none()).count();
    if others > 0 {
        let _ = writeln!(text, "{others} more need mechanisms or calls that were not measured now");
    }
}

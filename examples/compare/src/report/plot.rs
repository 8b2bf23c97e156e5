//! Drawings: latency over payload, latency by regime, throughput over calls in flight.

use std::fmt::{self, Write};
use std::path::Path;

use super::time;
use crate::Result;
use crate::mechanism::{Kind, Mechanism};
use crate::payload::size;
use crate::regime::Regime;
use crate::results::{Measured, Results};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 620.0;
// Where the axes are.
const LEFT: f64 = 90.0;
const RIGHT: f64 = 800.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 530.0;

/// How a mechanism looks in every drawing.
struct Look {
    colour: &'static str,
    width: f64,
    dashes: &'static str,
    mark: Mark,
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
}

/// Several mechanisms of a kind differ in colour and mark.
fn look(mechanism: &dyn Mechanism) -> Look {
    let marks = [Mark::Circle, Mark::Square, Mark::Diamond, Mark::Up, Mark::Down];
    let alike = || crate::mechanism::ALL.iter().filter(|other| other.kind() == mechanism.kind());
    let at = alike().position(|other| other.name() == mechanism.name()).unwrap_or(0);
    let (colours, width, dashes) = match mechanism.kind() {
        Kind::Ours => (&["#d1003f"][..], 3.5, ""),
        Kind::Floor => (&["#888888", "#333333", "#b0b0b0"][..], 1.5, "5 4"),
        Kind::Kernel => (
            // Streams of bytes, packets, TCP, queues, memory, signals.
            &[
                "#08306b", "#2171b5", "#6baed6", "#9ecae1", "#00838f", "#1b7837", "#7fbf7b", "#762a83", "#b39ddb",
                "#6d6d00",
            ][..],
            1.5,
            "",
        ),
        Kind::Peer => (&["#e65100", "#f9a825", "#8d6e63", "#558b2f", "#ef6c00", "#fb8c00"][..], 2.0, "9 3"),
    };
    Look { colour: colours[at % colours.len()], width, dashes, mark: marks[at % marks.len()] }
}

/// Points of a mechanism.
struct Series {
    mechanism: &'static dyn Mechanism,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// The part of a step, at most 0.4, by which it stands aside.
    fn aside(&self) -> f64 {
        let shown = || crate::mechanism::ALL.iter().filter(|mechanism| mechanism.fixed().is_none());
        let at = shown().position(|mechanism| mechanism.name() == self.mechanism.name()).unwrap_or(0);
        0.8 * (at as f64 + 0.5) / shown().count() as f64 - 0.4
    }
}

/// Numbers with what is written at them.
type Ticks = Vec<(f64, Vec<String>)>;

/// A drawing; both axes are those of logarithms, or of plain places if these are given.
struct Chart {
    title: &'static str,
    what: String,
    x_name: &'static str,
    y_name: &'static str,
    x_ticks: Ticks,
    /// What is written at a power of ten.
    y_label: fn(f64) -> String,
    series: Vec<Series>,
    lines: bool,
}

/// Text that may stand in the file.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            c => f.write_char(c),
        })
    }
}

impl Chart {
    /// One series for each mechanism that is not only there for a ratio.
    fn series(
        results: &Results,
        which: impl Fn(&Measured) -> bool,
        point: impl Fn(&Measured) -> Option<(f64, f64)>,
    ) -> Vec<Series> {
        let mut all: Vec<Series> = Vec::new();
        for measured in results.cells.iter().filter(|measured| which(measured)) {
            let mechanism = measured.cell.mechanism;
            let Some(point) = point(measured).filter(|_| mechanism.fixed().is_none()) else { continue };
            match all.iter_mut().find(|series| series.mechanism.name() == mechanism.name()) {
                Some(series) => series.points.push(point),
                None => all.push(Series { mechanism, points: vec![point] }),
            }
        }
        all
    }

    fn svg(&self) -> std::result::Result<String, fmt::Error> {
        let mut svg = String::new();
        let out = &mut svg;
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13" fill="black">"#
        )?;
        writeln!(out, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#)?;
        writeln!(out, r#"<text x="{LEFT}" y="30" font-size="19" font-weight="bold">{}</text>"#, Escaped(self.title))?;
        writeln!(out, r##"<text x="{LEFT}" y="50" fill="#444">{}</text>"##, Escaped(&self.what))?;
        let ys = || self.series.iter().flat_map(|series| &series.points).map(|(_, y)| y.log10());
        let low = ys().fold(f64::INFINITY, f64::min).floor();
        let high = ys().fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
        let y_at = |y: f64| BOTTOM - (y.log10() - low) / (high - low) * (BOTTOM - TOP);
        let ticks = || self.x_ticks.iter().map(|(x, _)| *x);
        let (first, last) = (ticks().fold(f64::INFINITY, f64::min), ticks().fold(f64::NEG_INFINITY, f64::max));
        // Half a step of room at both ends.
        let step = (last - first).max(1.0) / self.x_ticks.len().saturating_sub(1).max(1) as f64;
        let x_at = |x: f64| LEFT + (x - first + step / 2.0) / (last - first + step) * (RIGHT - LEFT);

        for decade in low as i32..=high as i32 {
            let y = 10_f64.powi(decade);
            let at = y_at(y);
            writeln!(out, r##"<path d="M{LEFT} {at:.1}H{RIGHT}" stroke="#bbb"/>"##)?;
            let label = (self.y_label)(y);
            writeln!(out, r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, LEFT - 8.0, at + 4.5)?;
            for part in (2..10).filter(|_| decade < high as i32) {
                writeln!(out, r##"<path d="M{LEFT} {:.1}H{RIGHT}" stroke="#eee"/>"##, y_at(y * f64::from(part)))?;
            }
        }
        for (x, lines) in &self.x_ticks {
            let at = x_at(*x);
            // A line at the place, or at its end if marks stand side by side.
            let line = if self.lines { at } else { x_at(*x + step / 2.0) };
            writeln!(out, r##"<path d="M{line:.1} {TOP}V{BOTTOM}" stroke="#ddd"/>"##)?;
            for (line, y) in lines.iter().zip([20.0, 37.0]) {
                let y = BOTTOM + y;
                writeln!(out, r#"<text x="{at:.1}" y="{y}" text-anchor="middle">{}</text>"#, Escaped(line))?;
            }
        }
        writeln!(out, r##"<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#000"/>"##)?;
        let (middle, below) = ((LEFT + RIGHT) / 2.0, BOTTOM + 62.0);
        writeln!(out, r#"<text x="{middle}" y="{below}" text-anchor="middle">{}</text>"#, Escaped(self.x_name))?;
        let middle = (TOP + BOTTOM) / 2.0;
        writeln!(
            out,
            r#"<text transform="translate(22 {middle}) rotate(-90)" text-anchor="middle">{}</text>"#,
            Escaped(self.y_name)
        )?;
        // Ours is drawn last, over the others.
        let ours = |series: &&Series| series.mechanism.kind() == Kind::Ours;
        let others = self.series.iter().filter(|series| !ours(series));
        for series in others.chain(self.series.iter().filter(ours)) {
            let look = look(series.mechanism);
            // Without lines, marks of a place stand side by side.
            let aside = if self.lines { 0.0 } else { series.aside() * (x_at(step) - x_at(0.0)) };
            let places: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| (x_at(*x) + aside, y_at(*y))).collect();
            if self.lines {
                look.line(out, &places)?;
            }
            places.iter().try_for_each(|(x, y)| look.mark(out, *x, *y))?;
        }
        self.legend(out)?;
        out.push_str("</svg>\n");
        Ok(svg)
    }

    /// In the order of the last points, the highest first, as the eye finds them.
    fn legend(&self, out: &mut String) -> fmt::Result {
        let mut order: Vec<&Series> = self.series.iter().collect();
        let last = |series: &Series| series.points.last().map_or((0.0, 0.0), |(x, y)| (*x, *y));
        order.sort_by(|one, other| last(other).1.total_cmp(&last(one).1));
        for (n, series) in order.into_iter().enumerate() {
            let (x, y) = (RIGHT + 24.0, TOP + 8.0 + 22.0 * n as f64);
            let look = look(series.mechanism);
            if self.lines {
                look.line(out, &[(x, y), (x + 34.0, y)])?;
            }
            look.mark(out, x + 17.0, y)?;
            let weight = if series.mechanism.kind() == Kind::Ours { "bold" } else { "normal" };
            let name = Escaped(series.mechanism.name());
            writeln!(out, r#"<text x="{}" y="{}" font-weight="{weight}">{name}</text>"#, x + 44.0, y + 4.5)?;
        }
        Ok(())
    }
}

impl Look {
    fn line(&self, out: &mut String, places: &[(f64, f64)]) -> fmt::Result {
        let Look { colour, width, dashes, .. } = self;
        write!(
            out,
            r#"<polyline fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}" points=""#
        )?;
        places.iter().try_for_each(|(x, y)| write!(out, "{x:.1},{y:.1} "))?;
        writeln!(out, r#""/>"#)
    }

    fn mark(&self, out: &mut String, x: f64, y: f64) -> fmt::Result {
        let colour = self.colour;
        let r = 2.5 + self.width / 2.0;
        let corners: &[(f64, f64)] = match self.mark {
            Mark::Circle => {
                return writeln!(out, r#"<circle cx="{x:.1}" cy="{y:.1}" r="{r}" fill="{colour}"/>"#);
            }
            Mark::Square => &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
            Mark::Diamond => &[(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
            Mark::Up => &[(0.0, -1.3), (1.3, 1.0), (-1.3, 1.0)],
            Mark::Down => &[(0.0, 1.3), (1.3, -1.0), (-1.3, -1.0)],
        };
        write!(out, r#"<polygon fill="{colour}" points=""#)?;
        corners.iter().try_for_each(|(dx, dy)| write!(out, "{:.1},{:.1} ", x + r * dx, y + r * dy))?;
        writeln!(out, r#""/>"#)
    }
}

/// Ticks for the values that there are.
fn ticks(mut values: Vec<usize>, label: impl Fn(usize) -> String) -> Ticks {
    values.sort_unstable();
    values.dedup();
    values.into_iter().map(|value| ((value as f64).log2(), vec![label(value)])).collect()
}

fn calls_a_second(calls: f64) -> String {
    match calls {
        _ if calls >= 1e6 => format!("{} M", calls / 1e6),
        _ if calls >= 1e3 => format!("{} k", calls / 1e3),
        _ => calls.to_string(),
    }
}

/// A round time.
fn decade(ns: f64) -> String {
    time(ns).replace(".00", "").replace(".0", "")
}

/// Draws all of them into a folder.
pub fn draw(folder: &Path, results: &Results) -> Result<()> {
    let values = |which: &dyn Fn(&Measured) -> bool, value: fn(&Measured) -> usize| -> Vec<usize> {
        results.cells.iter().filter(|m| m.cell.mechanism.fixed().is_none() && which(m)).map(value).collect()
    };
    let machine = &results.machine;
    let of = |what: &str| format!("{what}; {}, {}, commit {}", machine.processor, machine.kernel, machine.commit);

    let tight = |m: &Measured| m.cell.regime == Regime::Tight && m.cell.in_flight == 1;
    let payload = Chart {
        title: "Time of a call, by payload",
        what: of("calls in a loop, cores free; p50"),
        x_name: "bytes that are sent, summed up by the other process",
        y_name: "time of a call",
        x_ticks: ticks(values(&tight, |m| m.cell.payload), size),
        y_label: decade,
        series: Chart::series(results, tight, |m| Some(((m.cell.payload as f64).log2(), m.figures()?.p50_ns))),
        lines: true,
    };
    let by_regime = |m: &Measured| m.cell.payload == 8 && m.cell.in_flight == 1;
    let place = |regime: Regime| Regime::ALL.iter().position(|other| *other == regime).unwrap_or(0) as f64;
    let regimes = Chart {
        title: "Time of a call, by how busy the cores are",
        what: of("8 bytes, one by one; p50"),
        x_name: "two processes that call, and others that compute, on two cores",
        y_name: "time of a call",
        x_ticks: Regime::ALL.map(|regime| (place(regime), regime.lines().map(str::to_owned).to_vec())).to_vec(),
        y_label: decade,
        series: Chart::series(results, by_regime, |m| Some((place(m.cell.regime), m.figures()?.p50_ns))),
        lines: false,
    };
    let flights = |m: &Measured| m.cell.regime == Regime::Tight && m.cell.payload == 8;
    let throughput = Chart {
        title: "Calls in a second, by how many are in flight",
        what: of("8 bytes, one thread, cores free"),
        x_name: "calls in flight",
        y_name: "calls in a second (k: thousands, M: millions)",
        x_ticks: ticks(values(&flights, |m| m.cell.in_flight), |n| n.to_string()),
        y_label: calls_a_second,
        series: Chart::series(results, flights, |m| {
            Some(((m.cell.in_flight as f64).log2(), 1e9 / m.figures()?.mean_ns))
        }),
        lines: true,
    };
    for (name, chart) in [("latency.svg", payload), ("regimes.svg", regimes), ("throughput.svg", throughput)] {
        if chart.series.is_empty() {
            continue;
        }
        let path = folder.join(name);
        std::fs::write(&path, chart.svg()?).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

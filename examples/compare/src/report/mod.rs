//! What is made of the results.

pub mod json;
pub mod plot;
pub mod table;

/// A time in the unit that suits it, with three digits.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        _ if ns < 1e3 => (ns, "ns"),
        _ if ns < 1e6 => (ns / 1e3, "µs"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let digits = if value < 10.0 && ns >= 1e3 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

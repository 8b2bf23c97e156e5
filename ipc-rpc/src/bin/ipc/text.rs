//! Numbers and foreign texts as they are shown.

use std::time::Duration;

use serde_json::Value;

/// Servers say what they like, but a terminal must not obey it, and what they say stays on its line.
pub fn printable(text: &str) -> String {
    text.replace(['\n', '\t'], " ").replace(is_obeyed, "\u{fffd}")
}

/// The same of a text that has lines of its own.
pub fn lines(text: &str) -> String {
    text.replace(|c: char| is_obeyed(c) && c != '\n' && c != '\t', "\u{fffd}")
}

/// Characters that are not shown: control characters, and those that break lines or turn the order of what follows.
fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control()
}

/// JSON that a terminal can be shown: what is left of such characters is in texts, where it can be written as an escape.
pub fn json(value: &Value, pretty: bool) -> String {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    let is_obeyed = |c: char| is_obeyed(c) && c != '\n';
    if !text.contains(is_obeyed) {
        return text;
    }
    let escaped = |c: char| if is_obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// A time given in seconds, for example `0.5`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "expected a number of seconds, for example 0.5".into())
}

/// Three digits of a number, and its unit with a prefix: `1.23 kB`.
pub fn scaled(value: f64, unit: &str) -> String {
    let (mut value, mut prefix) = (value, 0);
    while value >= 999.5 && prefix + 1 < PREFIXES.len() {
        (value, prefix) = (value / 1000.0, prefix + 1);
    }
    let digits = match value {
        _ if value == value.trunc() && prefix == 0 => 0,
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    let space = if unit.is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{}{unit}", PREFIXES[prefix])
}

const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];

/// So many a second: `0.5`, `1.23k`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".into(),
        ..9.95 => format!("{per_second:.1}"),
        _ => scaled(per_second.round(), ""),
    }
}

/// Bytes, `1.23 MB`.
pub fn bytes(bytes: f64) -> String {
    scaled(bytes, "B")
}

/// A duration, `1.23 µs`, or from a minute on `12 m`.
pub fn time(nanoseconds: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let whole = nanoseconds / SECOND;
    let nanoseconds = nanoseconds as f64;
    match whole {
        60..=7_199 => format!("{} m", whole / 60),
        7_200..=172_799 => format!("{} h", whole / 3600),
        172_800.. => format!("{} d", whole / 86_400),
        _ if nanoseconds < 999.5 => format!("{nanoseconds} ns"),
        _ if nanoseconds < 999.5e3 => scaled(nanoseconds / 1e3, "µs"),
        _ if nanoseconds < 999.5e6 => scaled(nanoseconds / 1e6, "ms"),
        _ => scaled(nanoseconds / 1e9, "s"),
    }
}

/// The same of a duration.
pub fn span(duration: Duration) -> String {
    time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// What there is, or a dash.
pub fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_prefix() {
        let shown = [0.0, 7.0, 1.5, 42.25, 999.4, 999.6, 12_345.0, 1e6, 2.5e20].map(|value| scaled(value, "B"));
        let expected = ["0 B", "7 B", "1.50 B", "42.2 B", "999 B", "1.00 kB", "12.3 kB", "1.00 MB", "250000 PB"];
        assert_eq!(shown, expected);
        assert_eq!([0.0, 0.41, 12.3, 45_600.0].map(rate), ["0", "0.4", "12", "45.6k"]);
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        let shown = [950, 1_234, 999_600, 20_000_000, 59_000_000_000].map(time);
        assert_eq!(shown, ["950 ns", "1.23 µs", "1.00 ms", "20 ms", "59 s"]);
        let shown = [90, 7_300, 200_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(shown, ["1 m", "2 h", "2 d"]);
    }

    #[test]
    fn a_terminal_is_told_nothing() {
        assert_eq!(printable("a\x1b[2J\tb\nshop  ready\r"), "a\u{fffd}[2J b shop  ready\u{fffd}");
        assert_eq!(printable("é\u{202e}x\u{2066}y\u{2028}"), "é\u{fffd}x\u{fffd}y\u{fffd}");
        assert_eq!(lines("a\x1b\tb\nc\u{202e}"), "a\u{fffd}\tb\nc\u{fffd}");
        let value = serde_json::json!({"\u{9b}": "\x1b\n\u{7f}é\u{202e}"});
        let text = json(&value, false);
        assert_eq!(text, r#"{"\u009b":"\u001b\n\u007fé\u202e"}"#);
        for pretty in [false, true] {
            assert_eq!(serde_json::from_str::<Value>(&json(&value, pretty)).unwrap(), value);
        }
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "inf", "NaN", "x", "1e30"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}

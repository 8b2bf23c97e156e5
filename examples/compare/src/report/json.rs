//! One object a line: first the machine, then each kind of calls.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::measure::Figures;
use crate::regime::Regime;
use crate::results::Results;

#[derive(Serialize)]
struct Line<'a> {
    mechanism: &'static str,
    regime: Regime,
    payload: usize,
    in_flight: usize,
    /// None of them if it was not measured, and why.
    #[serde(flatten)]
    figures: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Makes the file, and the folder it is in.
pub fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create(path));
    Ok(BufWriter::new(file.map_err(|error| format!("cannot write {}: {error}", path.display()))?))
}

pub fn write(to: &mut impl Write, results: &Results) -> Result<()> {
    writeln!(to, "{}", serde_json::to_string(&results.machine)?)?;
    for measured in &results.cells {
        let cell = &measured.cell;
        let line = Line {
            mechanism: cell.mechanism.name(),
            regime: cell.regime,
            payload: cell.payload,
            in_flight: cell.in_flight,
            figures: measured.figures(),
            reason: measured.reason.as_deref(),
        };
        writeln!(to, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(to.flush()?)
}

//! A table as plain text.

use std::io::{self, Write};

/// Rows of texts below a header; a column whose head begins with `>` is aligned to the right.
pub struct Table {
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &'static [&'static str]) -> Self {
        Table { head, rows: Vec::new() }
    }

    pub fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let heads: Vec<String> = self.head.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
        let all = || std::iter::once(&heads).chain(&self.rows);
        let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
        for row in all() {
            let mut line = String::new();
            for ((cell, width), head) in row.iter().zip(&widths).zip(self.head) {
                let cell = match head.starts_with('>') {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                };
                line = format!("{line}{cell}  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new(&["NAME", ">CALLS", "STATE"]);
        table.row(vec!["µ".into(), "7".into(), "ready".into()]);
        table.row(vec!["longer".into(), "1234567".into(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let expected = "NAME      CALLS  STATE\nµ             7  ready\nlonger  1234567\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

//! A preview as a table for people.

use std::fmt::{self, Write as _};

use super::{Change, Line, Preview};

impl fmt::Display for Preview {
    /// A table of what changes, then the counts. Ends without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADER: [&str; 8] = ["CODE", "DESTINATION", "CHANGE", "OLD", "NEW", "FROM", "ROW", "LOOK AT"];
        let rows: Vec<[String; 8]> = self.lines.iter().map(cells).collect();
        if !rows.is_empty() {
            let width = |at: usize| rows.iter().map(|r| r[at].chars().count()).chain([HEADER[at].len()]).max().unwrap_or(0);
            let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
            let mut line = |cells: &[&str]| {
                let mut out = String::new();
                for (cell, width) in cells.iter().zip(&widths) {
                    let _ = write!(out, "{cell:width$}  ");
                }
                writeln!(f, "{}", out.trim_end())
            };
            line(&HEADER)?;
            for row in &rows {
                line(&row.each_ref().map(String::as_str))?;
            }
        }
        if self.lines_left_off > 0 {
            writeln!(f, "and {} lines more", self.lines_left_off)?;
        }
        for covered in &self.covered_by_parent_prefix {
            let by: Vec<String> = covered.broken_out_by.iter().map(|b| format!("{} ({}, as {})", b.carrier, b.prefixes, b.example)).collect();
            writeln!(f, "covered_by_parent_prefix: {} {} is broken out by {}", covered.prefix, covered.destination, by.join(", "))?;
        }
        if self.covered_total > self.covered_by_parent_prefix.len() as u64 {
            writeln!(f, "and {} prefixes more that others break out", self.covered_total - self.covered_by_parent_prefix.len() as u64)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if !self.left_out.is_empty() {
            writeln!(f, "columns left out: {}", self.left_out.join(", "))?;
        }
        if self.over > 0 {
            writeln!(f, "{} rows of the sheet are over already: they change nothing", self.over)?;
        }
        let counts: Vec<String> = Change::ALL.iter().map(|c| format!("{} {}", self.count(*c), c.name())).collect();
        writeln!(f, "{}", counts.join(", "))?;
        if !self.flags.is_empty() {
            let flags: Vec<String> = self.flags.iter().map(|(name, n)| format!("{n} {name}")).collect();
            writeln!(f, "look at: {}", flags.join(", "))?;
        }
        let base = self.base_version.as_deref().unwrap_or("nothing");
        write!(f, "deck '{}' ({}, {}): {base} becomes {} with {} rows", self.deck, self.currency, self.mode.name(), self.version, self.rows)
    }
}

fn cells(line: &Line) -> [String; 8] {
    let price = |p: &Option<super::LinePrice>| p.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let flags: Vec<String> = line.flags.iter().map(ToString::to_string).collect();
    let code = if line.origin_group.is_empty() { line.prefix.clone() } else { format!("{} from {}", line.prefix, line.origin_group) };
    [
        code,
        line.destination.clone(),
        line.change.name().to_owned(),
        price(&line.old),
        price(&line.new),
        line.effective.replace(".000000Z", "Z"),
        if line.source.is_empty() { "-".to_owned() } else { line.source.clone() },
        flags.join("; "),
    ]
}

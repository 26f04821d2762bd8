//! Effective windows of one prefix: R-11 says they never overlap.

use super::{
    parse::RawRow,
    problem::{DeckProblems, Warning},
};

/// Closes open windows at their successors, and reports overlaps. `rows` are sorted by origin group, prefix and start.
pub(super) fn settle(rows: &mut [RawRow], problems: &mut DeckProblems, warnings: &mut Vec<Warning>) {
    let mut start = 0;
    while start < rows.len() {
        let of_one = |row: &RawRow| (row.origin, row.prefix) == (rows[start].origin, rows[start].prefix);
        let len = rows[start..].iter().take_while(|row| of_one(row)).count();
        settle_one(&mut rows[start..start + len], problems, warnings);
        start += len;
    }
}

fn settle_one(rows: &mut [RawRow], problems: &mut DeckProblems, warnings: &mut Vec<Warning>) {
    // The row whose window reaches furthest of those before, and an open row that a later one has closed.
    let mut furthest = 0;
    let mut superseded = None;
    for next in 1..rows.len() {
        let (before, row) = (&rows[furthest], &rows[next]);
        if before.from == row.from {
            let both = format!("prefix {} starts at the same time in line {}", row.digits(), before.line);
            problems.add(row.line, "effective_from", both);
        } else if before.to.is_none() {
            superseded = Some(rows[furthest].line);
            rows[furthest].to = Some(rows[next].from);
        } else if before.to > Some(row.from) {
            let both = format!("the window of prefix {} overlaps the one in line {}", row.digits(), before.line);
            problems.add(row.line, "effective_from", both);
        }
        let reach = |row: &RawRow| row.to.unwrap_or(i64::MAX);
        if reach(&rows[next]) >= reach(&rows[furthest]) {
            furthest = next;
        }
    }
    if let (Some(line), Some(RawRow { to: Some(_), line: last, .. })) = (superseded, rows.last()) {
        let digits = rows[0].digits();
        let text = format!("prefix {digits} has no price after this row ends: the open row in line {line} does not come back");
        warnings.push(Warning { line: *last, text });
    }
}

//! A mistake in a file a person wrote: where, what, and what to do.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    pub file: PathBuf,
    /// From 1; 0 when it is about no line.
    pub line: u64,
    /// In characters, from 1; 0 when it is about the line or the file as a whole.
    pub column: u64,
    pub message: String,
}

impl ConfigProblem {
    pub fn of_file(file: &Path, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    /// At a byte offset of the file's text.
    pub fn at_byte(file: &Path, text: &str, offset: usize, message: impl Into<String>) -> ConfigProblem {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = 1 + before.iter().filter(|b| **b == b'\n').count() as u64;
        let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count() as u64;
        ConfigProblem { file: file.to_owned(), line, column, message: message.into() }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The known word a misspelt one most likely means: about a third of its letters may be wrong.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |k: &'a str| (distance(&word.to_lowercase(), k), k);
    let (off, best) = known.into_iter().map(close).min()?;
    (off <= best.len().max(word.len()).div_ceil(3)).then_some(best)
}

/// Edits from one word to the other: insert, delete, replace, swap of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

//! What is wrong with a sheet, all of it at once, by line and column.

use std::fmt;

/// Problems told one by one; the rest are counted.
pub const MAX_PROBLEMS: usize = 1000;

/// One mistake in a deck file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, from 1 (the header); 0 when it is about no line.
    pub line: u64,
    /// Name of the column, `""` when it is about the whole line.
    pub column: String,
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column.as_str()) {
            (0, "") => f.write_str(&self.problem),
            (0, column) => write!(f, "{column}: {}", self.problem),
            (line, "") => write!(f, "line {line}: {}", self.problem),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.problem),
        }
    }
}

/// Something a sheet says that pricing does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// First line it is about.
    pub line: u64,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// Why a deck was refused. Nothing of it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeckProblems {
    pub deck: String,
    /// By line, at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// Problems beyond those.
    pub more: u64,
}

impl DeckProblems {
    pub(super) fn new(deck: &str) -> DeckProblems {
        DeckProblems { deck: deck.to_owned(), problems: Vec::new(), more: 0 }
    }

    pub(super) fn add(&mut self, line: u64, column: &str, problem: impl fmt::Display) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { line, column: column.to_owned(), problem: problem.to_string() });
        } else {
            self.more += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.problems.len() as u64 + self.more
    }
}

impl fmt::Display for DeckProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        write!(f, "deck '{}' was not loaded: {total} problem{}", self.deck, if total == 1 { "" } else { "s" })?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for DeckProblems {}

//! A call as pricing sees it, and what makes a row malformed.

use tollgate_schemas::{number::E164, time::format_rfc3339};

use super::parse_number;
use crate::deck::Dialled;

/// A cell that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Name of the column, `""` when it is about the whole row.
    pub column: &'static str,
    pub problem: String,
}

impl Wrong {
    pub(super) fn new(column: &'static str, problem: impl Into<String>) -> Wrong {
        Wrong { column, problem: problem.into() }
    }
}

/// The cells of a row that matter to its price, whatever file they came from. Times are UTC nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallFields<'a> {
    pub call_id: &'a str,
    pub account: &'a str,
    pub to: &'a str,
    /// `""` = none.
    pub lrn: &'a str,
    /// These four only where the decks ask who calls ([`CallFields::caller`]); `""` = none.
    pub from: &'a str,
    pub jip: &'a str,
    pub lrn_source: &'a str,
    pub cnam_source: &'a str,
    pub setup_ns: i64,
    pub answer_ns: Option<i64>,
    pub end_ns: Option<i64>,
    pub duration_ms: Option<u64>,
}

/// A well-formed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallIn<'a> {
    pub account: &'a str,
    /// What is looked up: the location routing number where there is one, else the called number.
    pub number: E164,
    pub setup_us: i64,
    pub answer_us: Option<i64>,
    /// 0 when not answered.
    pub duration_ms: u64,
}

impl CallIn<'_> {
    /// the answer's time, else the setup's.
    #[inline]
    pub fn priced_at_us(&self) -> i64 {
        self.answer_us.unwrap_or(self.setup_us)
    }

    #[inline]
    pub(super) fn dialled(&self) -> Dialled {
        Dialled::padded(self.number.padded(), self.number.len())
    }

    pub(super) fn priced_at(&self) -> String {
        format_rfc3339(self.priced_at_us())
    }
}

impl<'a> CallFields<'a> {
    /// Checks a row. The first wrong cell is reported, in the order of the form's columns.
    pub fn check(&self) -> Result<CallIn<'a>, Wrong> {
        if self.call_id.is_empty() {
            return Err(Wrong::new("call_id", "empty"));
        }
        if self.account.is_empty() {
            return Err(Wrong::new("account", "empty"));
        }
        let to = parse_number("to", self.to)?;
        if self.answer_ns.is_some_and(|answer| answer < self.setup_ns) {
            return Err(Wrong::new("answer", "before setup"));
        }
        if self.duration_ms.is_none() && self.end_ns.is_some_and(|end| end < self.answer_ns.unwrap_or(self.setup_ns)) {
            let before = if self.answer_ns.is_some() { "before answer" } else { "before setup" };
            return Err(Wrong::new("end", before));
        }
        let number = if self.lrn.is_empty() { to } else { parse_number("lrn", self.lrn)? };
        let duration_ms = match (self.answer_ns, self.duration_ms, self.end_ns) {
            (None, ..) => 0,
            (Some(_), Some(ms), _) => ms,
            // Checked above: not negative. Exact to the nanosecond, then cut.
            (Some(answer), None, Some(end)) => (i128::from(end) - i128::from(answer)) as u64 / 1_000_000,
            (Some(_), None, None) => return Err(Wrong::new("end", "empty, and there is no duration_ms")),
        };
        let us = |ns: i64| ns.div_euclid(1000);
        let (setup_us, answer_us) = (us(self.setup_ns), self.answer_ns.map(us));
        Ok(CallIn { account: self.account, number, setup_us, answer_us, duration_ms })
    }
}

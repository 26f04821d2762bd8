//! A difference with a carrier that is worth arguing about (R-48, FN-05): when one is drafted, until when it may be raised, and
//! how it goes on. States only move along the arrows; a rejected dispute may be escalated or closed.
//!
//! `draft → sent → acknowledged → accepted | rejected → escalated → closed`

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::reconcile::{Cause, Report};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Draft,
    Sent,
    Acknowledged,
    Accepted,
    Rejected,
    Escalated,
    Closed,
}

impl State {
    pub const ALL: [State; 7] = [State::Draft, State::Sent, State::Acknowledged, State::Accepted, State::Rejected, State::Escalated, State::Closed];

    pub fn name(self) -> &'static str {
        match self {
            State::Draft => "draft",
            State::Sent => "sent",
            State::Acknowledged => "acknowledged",
            State::Accepted => "accepted",
            State::Rejected => "rejected",
            State::Escalated => "escalated",
            State::Closed => "closed",
        }
    }

    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Where it may go from here.
    pub fn next(self) -> &'static [State] {
        match self {
            State::Draft => &[State::Sent, State::Closed],
            State::Sent => &[State::Acknowledged, State::Accepted, State::Rejected, State::Escalated],
            State::Acknowledged => &[State::Accepted, State::Rejected, State::Escalated],
            State::Accepted => &[State::Closed],
            State::Rejected => &[State::Escalated, State::Closed],
            State::Escalated => &[State::Accepted, State::Rejected, State::Closed],
            State::Closed => &[],
        }
    }
}

/// What the contract says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// A dispute needs more than this part of what we expect, in 1e-4, and more than this amount, whichever is larger.
    pub percent_e2: i64,
    pub least_e8: i64,
    /// Days after the bill's date within which it may be raised; the last day counts whole.
    pub days: u32,
}

impl Default for Terms {
    /// 1 % or 100, whichever is larger, within 30 days.
    fn default() -> Terms {
        Terms { percent_e2: 100, least_e8: 100 * 100_000_000, days: 30 }
    }
}

/// Money and calls of one cause, as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub cause: String,
    pub calls: u64,
    pub seconds: i64,
    pub amount: String,
}

/// One dispute; amounts are decimal text in `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    pub id: String,
    /// Empty where a customer disputes an invoice of ours.
    pub carrier: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Our invoice, as people see its number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub invoice: String,
    pub currency: String,
    /// `yyyy-mm-dd`.
    pub bill_date: String,
    /// The last day it may be raised.
    pub deadline: String,
    pub amount_billed: String,
    pub amount_expected: String,
    pub amount_disputed: String,
    pub reason: String,
    pub state: State,
    pub evidence: Vec<Evidence>,
    /// SHA-256 of the list of calls behind it.
    pub evidence_sha256: String,
    /// Credited so far, once accepted.
    pub credit: String,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refused {
    #[error("the dispute is {from}: from there it goes to {to}", from = from.name(), to = if next.is_empty() { "nothing more".to_owned() } else { next.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ") })]
    NoSuchStep { from: State, next: &'static [State] },
    #[error("the last day to raise it was {deadline}, today is {today}: it goes out late only with an override")]
    TooLate { deadline: String, today: String },
    #[error("'{0}' is not a date: want yyyy-mm-dd")]
    BadDate(String),
}

/// Days since 1970 of `yyyy-mm-dd`.
fn day(text: &str) -> Result<chrono::NaiveDate, Refused> {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| Refused::BadDate(text.to_owned()))
}

/// FN-05: the last day a bill of that date may be disputed.
pub fn deadline(bill_date: &str, days: u32) -> Result<String, Refused> {
    let last = day(bill_date)?.checked_add_days(chrono::Days::new(days.into())).ok_or_else(|| Refused::BadDate(bill_date.to_owned()))?;
    Ok(last.format("%Y-%m-%d").to_string())
}

/// Whether a difference (theirs − ours) is worth a dispute: more than the threshold.
pub fn is_worth_it(expected_e8: i64, delta_e8: i64, terms: &Terms) -> bool {
    let part = i128::from(expected_e8.unsigned_abs()) * i128::from(terms.percent_e2) / 10_000;
    i128::from(delta_e8) > part.max(i128::from(terms.least_e8))
}

/// Drafts the dispute a comparison calls for; None below the threshold.
pub fn draft(report: &Report, carrier: &str, currency: &str, bill_date: &str, evidence_sha256: &str, terms: &Terms) -> Result<Option<Dispute>, Refused> {
    let deadline = deadline(bill_date, terms.days)?;
    // What they do not bill is no reason to pay them less elsewhere.
    let against: Vec<(Cause, super::reconcile::Sum)> = report.by_cause.iter().filter(|(_, s)| s.amount_e8 > 0).map(|(c, s)| (*c, *s)).collect();
    let disputed: i64 = against.iter().fold(0, |sum, (_, s)| sum.saturating_add(s.amount_e8));
    if !is_worth_it(report.ours.amount_e8, report.delta_e8(), terms) {
        return Ok(None);
    }
    let amount = tollgate_schemas::money::format_amount;
    let evidence: Vec<Evidence> = against
        .iter()
        .map(|(cause, s)| Evidence { cause: cause.name().to_owned(), calls: s.calls, seconds: s.seconds, amount: amount(s.amount_e8) })
        .collect();
    let main = against.iter().max_by_key(|(_, s)| s.amount_e8).map_or("", |(c, _)| c.name());
    let seed = format!("{carrier}\n{bill_date}\n{evidence_sha256}");
    let id = tollgate_schemas::id::Id::of(&blake3::hash(seed.as_bytes()).as_bytes()[..16]);
    Ok(Some(Dispute {
        id: id.to_string(),
        carrier: carrier.to_owned(),
        account: String::new(),
        invoice: String::new(),
        currency: currency.to_owned(),
        bill_date: bill_date.to_owned(),
        deadline,
        amount_billed: amount(report.theirs.amount_e8),
        amount_expected: amount(report.ours.amount_e8),
        amount_disputed: amount(disputed),
        reason: format!("{main}: billed {} above what our records give", amount(report.delta_e8())),
        state: State::Draft,
        evidence,
        evidence_sha256: evidence_sha256.to_owned(),
        credit: "0.000000".to_owned(),
    }))
}

impl Dispute {
    /// Not settled: what is disputed is apart from what is owed.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Draft | State::Sent | State::Acknowledged | State::Escalated)
    }

    /// The dispute one step on. `today`: `yyyy-mm-dd`; sending after the deadline needs `late_override`.
    pub fn step(&self, to: State, today: &str, late_override: bool) -> Result<Dispute, Refused> {
        if !self.state.next().contains(&to) {
            return Err(Refused::NoSuchStep { from: self.state, next: self.state.next() });
        }
        if to == State::Sent && !late_override && day(today)? > day(&self.deadline)? {
            return Err(Refused::TooLate { deadline: self.deadline.clone(), today: today.to_owned() });
        }
        Ok(Dispute { state: to, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corrections::reconcile::Sum;

    const E8: i64 = 100_000_000;

    fn report(ours: i64, theirs: i64) -> Report {
        let mut report = crate::corrections::reconcile::reconcile(&[], &mut [], &Default::default());
        report.ours = Sum { calls: 1, seconds: 60, amount_e8: ours };
        report.theirs = Sum { calls: 1, seconds: 60, amount_e8: theirs };
        report.by_cause.insert(Cause::Rate, Sum { calls: 1, seconds: 0, amount_e8: theirs - ours });
        report
    }

    #[test]
    fn r_48_below_the_threshold_there_is_no_dispute_and_above_it_one_with_evidence() {
        for (ours, over_e4, disputed) in [
            (20_000, 90, false),  // 0.9 %: 180
            (20_000, 110, true),  // 1.1 %: 220
            (20_000, 100, false), // exactly the threshold is not above it
            (5_000, 110, false),  // 1.1 %, but only 55: 100 is the larger limit
            (5_000, 201, true),   // 100.5
            (20_000, -500, false), // they ask for less
        ] {
            let theirs = ours * E8 + ours * over_e4 * E8 / 10_000;
            let found = draft(&report(ours * E8, theirs), "cheap", "USD", "2026-03-01", "ab", &Terms::default()).expect("dates");
            assert_eq!(found.is_some(), disputed, "{ours} with {over_e4} hundredths of a percent more");
            if let Some(d) = found {
                assert_eq!(d.state, State::Draft);
                assert_eq!(d.evidence[0].cause, "rate");
                assert_eq!(d.deadline, "2026-03-31");
            }
        }
    }

    #[test]
    fn fn_05_the_clock_counts_days_over_the_ends_of_months() {
        for (bill, days, last) in [
            ("2026-01-31", 30, "2026-03-02"), ("2024-01-31", 30, "2024-03-01"), ("2026-02-28", 30, "2026-03-30"),
            ("2026-12-15", 30, "2027-01-14"), ("2026-03-31", 60, "2026-05-30"), ("2026-11-30", 90, "2027-02-28"),
            ("2024-02-29", 365, "2025-02-28"),
        ] {
            assert_eq!(deadline(bill, days).as_deref(), Ok(last), "{bill} + {days}");
        }
        assert!(deadline("2026-02-30", 30).is_err());
    }

    #[test]
    fn fn_05_a_late_dispute_is_refused_unless_overridden() {
        let d = draft(&report(1_000 * E8, 2_000 * E8), "cheap", "USD", "2026-01-31", "ab", &Terms::default()).expect("dates").expect("draft");
        assert!(d.step(State::Sent, "2026-03-02", false).is_ok(), "the last day counts");
        assert_eq!(
            d.step(State::Sent, "2026-03-03", false),
            Err(Refused::TooLate { deadline: "2026-03-02".to_owned(), today: "2026-03-03".to_owned() })
        );
        assert_eq!(d.step(State::Sent, "2026-03-03", true).map(|d| d.state), Ok(State::Sent));
    }

    #[test]
    fn r_48_states_go_only_along_the_arrows() {
        let d = draft(&report(1_000 * E8, 2_000 * E8), "cheap", "USD", "2026-01-31", "ab", &Terms::default()).expect("dates").expect("draft");
        for from in State::ALL {
            for to in State::ALL {
                let step = Dispute { state: from, ..d.clone() }.step(to, "2026-02-01", false);
                assert_eq!(step.is_ok(), from.next().contains(&to), "{from:?} to {to:?}");
            }
        }
        assert!(State::Closed.next().is_empty());
    }
}

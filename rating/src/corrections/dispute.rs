//! A difference with a carrier that is worth arguing about (R-48, FN-05): when one is drafted, until when it may be raised, and
//! how it goes on. States only move along the arrows; a rejected dispute may be escalated or closed.
//!
//! `draft → sent → acknowledged → accepted | rejected → escalated → closed`

use serde::{Deserialize, Serialize};
use thiserror::Error;

use tollgate_schemas::money::{format_amount, parse_scaled};

use super::reconcile::Report;

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
    /// What of the bill is above our records on calls where it is, and below on others: the one is not set off against the other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub amount_overbilled: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub amount_underbilled: String,
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
    #[error("{what} is '{text}': want an amount {want}")]
    BadAmount { what: &'static str, text: String, want: &'static str },
    #[error("{what} {amount} is more than the {most} that is {of}: it is taken only with an override (amount_override)")]
    TooMuch { what: &'static str, amount: String, of: &'static str, most: String },
    #[error("a credit is of a dispute that is accepted, not of one that is {}", to.name())]
    NoCredit { to: State },
}

impl Refused {
    /// Of a dispute what is wrong; empty = not of one field.
    pub fn field(&self) -> &'static str {
        match self {
            Refused::BadAmount { what, .. } | Refused::TooMuch { what, .. } => what,
            _ => "",
        }
    }
}

/// A step that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub to: State,
    /// `yyyy-mm-dd`.
    pub today: &'a str,
    /// What is credited, of one that is accepted.
    pub credit: Option<&'a str>,
    /// Sending it after its last day.
    pub late_override: bool,
    /// Crediting more than is disputed.
    pub amount_override: bool,
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

/// Whether what is overbilled is worth a dispute: more than the threshold.
pub fn is_worth_it(expected_e8: i64, overbilled_e8: i64, terms: &Terms) -> bool {
    let part = i128::from(expected_e8.unsigned_abs()) * i128::from(terms.percent_e2) / 10_000;
    i128::from(overbilled_e8) > part.max(i128::from(terms.least_e8))
}

/// Drafts the dispute a comparison calls for; None below the threshold.
pub fn draft(report: &Report, carrier: &str, currency: &str, bill_date: &str, evidence_sha256: &str, terms: &Terms) -> Result<Option<Dispute>, Refused> {
    let deadline = deadline(bill_date, terms.days)?;
    // What they do not bill is no reason to pay them more elsewhere: the two are not set off.
    let over_e8 = report.overbilled.amount_e8;
    if !is_worth_it(report.ours.amount_e8, over_e8, terms) {
        return Ok(None);
    }
    let amount = format_amount;
    let evidence: Vec<Evidence> = report
        .over_by_cause
        .iter()
        .map(|(cause, s)| Evidence { cause: cause.name().to_owned(), calls: s.calls, seconds: s.seconds, amount: amount(s.amount_e8) })
        .collect();
    let main = report.over_by_cause.iter().max_by_key(|(_, s)| s.amount_e8).map_or("", |(c, _)| c.name());
    let under = match report.underbilled.amount_e8 {
        0 => String::new(),
        under_e8 => format!("; {} below on {} other calls is not set off", amount(under_e8), report.underbilled.calls),
    };
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
        amount_disputed: amount(over_e8),
        amount_overbilled: amount(over_e8),
        amount_underbilled: amount(report.underbilled.amount_e8),
        reason: format!("{main}: billed {} above what our records give on {} calls{under}", amount(over_e8), report.overbilled.calls),
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

    /// Whether it can be: something is disputed, and no more than was billed but with `amount_override`.
    pub fn check(&self, amount_override: bool) -> Result<(), Refused> {
        day(&self.bill_date)?;
        day(&self.deadline)?;
        let billed = positive("amount_billed", &self.amount_billed, 0, "of 0 or more")?;
        let disputed = positive("amount_disputed", &self.amount_disputed, 1, "above 0")?;
        if disputed > billed && !amount_override {
            return Err(Refused::TooMuch { what: "amount_disputed", amount: format_amount(disputed), of: "billed", most: format_amount(billed) });
        }
        Ok(())
    }

    /// The dispute one step on. Sending after the deadline, and a credit of more than is disputed, need their overrides.
    pub fn step(&self, step: &Step<'_>) -> Result<Dispute, Refused> {
        let Step { to, today, .. } = *step;
        if !self.state.next().contains(&to) {
            return Err(Refused::NoSuchStep { from: self.state, next: self.state.next() });
        }
        if to == State::Sent && !step.late_override && day(today)? > day(&self.deadline)? {
            return Err(Refused::TooLate { deadline: self.deadline.clone(), today: today.to_owned() });
        }
        let mut next = Dispute { state: to, ..self.clone() };
        if let Some(credit) = step.credit {
            if to != State::Accepted && !(to == State::Closed && self.state == State::Accepted) {
                return Err(Refused::NoCredit { to });
            }
            let credited = positive("credit", credit, 0, "of 0 or more")?;
            let disputed = positive("amount_disputed", &self.amount_disputed, 0, "of 0 or more")?;
            if credited > disputed && !step.amount_override {
                return Err(Refused::TooMuch { what: "credit", amount: format_amount(credited), of: "disputed", most: format_amount(disputed) });
            }
            next.credit = format_amount(credited);
        }
        Ok(next)
    }
}

fn positive(what: &'static str, text: &str, least_e8: i64, want: &'static str) -> Result<i64, Refused> {
    parse_scaled(text, 8).ok().filter(|e8| *e8 >= least_e8).ok_or_else(|| Refused::BadAmount { what, text: text.to_owned(), want })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corrections::reconcile::{Cause, Sum};

    const E8: i64 = 100_000_000;

    fn report(ours: i64, theirs: i64) -> Report {
        let mut report = crate::corrections::reconcile::reconcile(&[], &mut [], &Default::default());
        report.ours = Sum { calls: 1, seconds: 60, amount_e8: ours };
        report.theirs = Sum { calls: 1, seconds: 60, amount_e8: theirs };
        let over = Sum { calls: 1, seconds: 0, amount_e8: theirs - ours };
        if over.amount_e8 > 0 {
            report.overbilled = over;
            report.over_by_cause.insert(Cause::Rate, over);
        }
        report
    }

    fn drafted() -> Dispute {
        draft(&report(1_000 * E8, 2_000 * E8), "cheap", "USD", "2026-01-31", "ab", &Terms::default()).expect("dates").expect("draft")
    }

    fn to(to: State, today: &str) -> Step<'_> {
        Step { to, today, credit: None, late_override: false, amount_override: false }
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
        let d = drafted();
        assert!(d.step(&to(State::Sent, "2026-03-02")).is_ok(), "the last day counts");
        assert_eq!(
            d.step(&to(State::Sent, "2026-03-03")),
            Err(Refused::TooLate { deadline: "2026-03-02".to_owned(), today: "2026-03-03".to_owned() })
        );
        let late = Step { late_override: true, ..to(State::Sent, "2026-03-03") };
        assert_eq!(d.step(&late).map(|d| d.state), Ok(State::Sent));
    }

    #[test]
    fn r_48_states_go_only_along_the_arrows() {
        let d = drafted();
        for from in State::ALL {
            for next in State::ALL {
                let step = Dispute { state: from, ..d.clone() }.step(&to(next, "2026-02-01"));
                assert_eq!(step.is_ok(), from.next().contains(&next), "{from:?} to {next:?}");
            }
        }
        assert!(State::Closed.next().is_empty());
    }

    #[test]
    fn r_48_what_is_overbilled_decides_whatever_they_forgot_to_bill() {
        // 220 too much on some calls, 500 not billed on others: together they ask for less than we expect.
        let mut hidden = report(20_000 * E8, 20_220 * E8);
        hidden.theirs.amount_e8 -= 500 * E8;
        hidden.underbilled = Sum { calls: 3, seconds: 180, amount_e8: 500 * E8 };
        let d = draft(&hidden, "cheap", "USD", "2026-03-01", "ab", &Terms::default()).expect("dates").expect("a dispute");
        assert_eq!((d.amount_disputed.as_str(), d.amount_overbilled.as_str(), d.amount_underbilled.as_str()), ("220.000000", "220.000000", "500.000000"));
        assert!(d.reason.contains("500.000000 below on 3 other calls is not set off"), "{}", d.reason);
        assert_eq!(d.check(false), Ok(()));
    }

    #[test]
    fn r_48_more_than_was_billed_is_disputed_only_with_an_override_and_nothing_below_0_at_all() {
        // 1,000 of 2,000 are disputed.
        let with = |amount: &str| Dispute { amount_disputed: amount.to_owned(), ..drafted() };
        for (amount, plain, overridden) in [("1000", true, true), ("2000", true, true), ("2000.000001", false, true), ("999999", false, true), ("0", false, false), ("-5", false, false), ("", false, false)] {
            assert_eq!((with(amount).check(false).is_ok(), with(amount).check(true).is_ok()), (plain, overridden), "{amount}");
        }
        let text = with("999999").check(false).expect_err("more than billed").to_string();
        assert_eq!(text, "amount_disputed 999999.000000 is more than the 2000.000000 that is billed: it is taken only with an override (amount_override)");
    }

    #[test]
    fn r_48_a_credit_is_of_an_accepted_dispute_and_of_no_more_than_is_disputed() {
        let sent = Dispute { state: State::Sent, ..drafted() };
        let credit = |credit, amount_override| Step { credit: Some(credit), amount_override, ..to(State::Accepted, "2026-02-01") };
        assert_eq!(sent.step(&credit("1000", false)).map(|d| d.credit).as_deref(), Ok("1000.000000"));
        assert!(matches!(sent.step(&credit("1000.01", false)), Err(Refused::TooMuch { what: "credit", .. })));
        assert_eq!(sent.step(&credit("1000.01", true)).map(|d| d.credit).as_deref(), Ok("1000.010000"));
        assert!(matches!(sent.step(&credit("-1", true)), Err(Refused::BadAmount { .. })));
        let rejected = Step { to: State::Rejected, ..credit("1", false) };
        assert_eq!(sent.step(&rejected), Err(Refused::NoCredit { to: State::Rejected }));
        let closed = Step { to: State::Closed, ..credit("7", false) };
        assert_eq!(Dispute { state: State::Accepted, ..drafted() }.step(&closed).map(|d| d.credit).as_deref(), Ok("7.000000"));
    }
}

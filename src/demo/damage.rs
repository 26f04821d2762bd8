//! What the attack did and how it ended: from the callers' own clocks, the CDRs' money, and the node's own record of
//! alerts and blocks.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tollgate_schemas::money::format_scaled;

use super::{
    account::Row,
    attack,
    scene::OFFICE,
    ua::caller::{CallRecord, Kind},
};

/// After the first refusal no fraudulent call may be answered but those that were already on their way.
const GRACE: Duration = Duration::from_secs(1);

/// Times count from the first fraudulent answer, milliseconds; none: it never came to that.
#[derive(Debug, Default)]
pub struct Damage {
    pub placed: u64,
    pub answered: u64,
    pub refused: u64,
    /// Answered calls that the node ended.
    pub cut_off: u64,
    /// Answered after the block was in force.
    pub late: u64,
    /// By the node's clock: first critical alert, and its block.
    pub found_ms: Option<i64>,
    pub blocked_ms: Option<i64>,
    /// By the callers' clock: first INVITE refused, last fraudulent call ended.
    pub refused_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    /// What the customer is charged, and what the carrier charges, 1e-8.
    pub lost_e8: i64,
    pub paid_e8: i64,
    /// The attacked customer's other calls after the first refusal: placed, answered, and refused as if they were the attack.
    pub legit: u64,
    pub legit_answered: u64,
    pub legit_refused: u64,
    pub emergency_code: u16,
}

impl Damage {
    /// `found_us`, `blocked_us`: UTC of the first critical alert and its block.
    pub fn measure(calls: &[CallRecord], finals: &[Row], found_us: Option<i64>, blocked_us: Option<i64>) -> Damage {
        let fraud: Vec<&CallRecord> = calls.iter().filter(|c| c.kind == Kind::Fraud).collect();
        let ids: HashSet<&str> = fraud.iter().map(|c| c.call_id.as_str()).collect();
        let rows: Vec<&Row> = finals.iter().filter(|r| ids.contains(r.call_id_in.as_str())).collect();
        let answered: Vec<&&CallRecord> = fraud.iter().filter(|c| c.answered.is_some()).collect();
        let first = answered.iter().filter_map(|c| c.answered).min();
        let refused_at = fraud.iter().filter(|c| is_refused(c)).filter_map(|c| c.ended).min();
        let since = |at: Option<Instant>| Some(at?.saturating_duration_since(first?).as_millis() as u64);
        let first_us = rows.iter().filter_map(|r| micros(&r.answer_ts)).min();
        let after_us = |at: Option<i64>| Some((at? - first_us?) / 1000);
        let after_block = |c: &&CallRecord| refused_at.is_some_and(|at| c.started >= at);
        let legit: Vec<&CallRecord> = calls.iter().filter(|c| c.kind == Kind::Legit && c.customer == OFFICE).filter(after_block).collect();
        Damage {
            placed: fraud.len() as u64,
            answered: answered.len() as u64,
            refused: fraud.iter().filter(|c| is_refused(c)).count() as u64,
            cut_off: answered.iter().filter(|c| c.ended_by_far_side).count() as u64,
            late: answered.iter().filter(|c| refused_at.is_some_and(|at| c.answered > Some(at + GRACE))).count() as u64,
            found_ms: after_us(found_us),
            blocked_ms: after_us(blocked_us),
            refused_ms: since(refused_at),
            ended_ms: since(answered.iter().filter_map(|c| c.ended).max()),
            lost_e8: rows.iter().map(|r| r.sell_e8).sum(),
            paid_e8: rows.iter().map(|r| r.cost_e8).sum(),
            legit: legit.len() as u64,
            legit_answered: legit.iter().filter(|c| c.answered.is_some()).count() as u64,
            legit_refused: legit.iter().filter(|c| is_refused(c)).count() as u64,
            emergency_code: calls.iter().find(|c| c.kind == Kind::Emergency).map_or(0, |c| c.code),
        }
    }

    /// Found, refused, and every call that was up ended by the node; nobody else's calls touched.
    pub fn stopped(&self) -> bool {
        self.answered > 0
            && self.refused > 0
            && self.cut_off == self.answered
            && self.late == 0
            && self.legit_refused == 0
            && self.emergency_code == 200
            && self.found_ms.is_some()
            && self.blocked_ms.is_some()
    }

    /// Tenths of a percent of what it would have cost.
    fn saved(&self) -> i64 {
        let whole = attack::unstopped_e8();
        (whole - self.lost_e8).max(0) * 1000 / whole
    }

    pub fn saved_pct(&self) -> String {
        format_scaled(self.saved(), 1, 1)
    }

    pub fn json(&self) -> Value {
        json!({
            "stopped": self.stopped(),
            "fraudulent_calls": self.placed, "answered": self.answered, "refused": self.refused, "ended_by_node": self.cut_off,
            "answered_after_block": self.late,
            "first_answer_to_alert_ms": self.found_ms,
            "first_answer_to_block_ms": self.blocked_ms,
            "first_answer_to_first_refusal_ms": self.refused_ms,
            "first_answer_to_last_call_ended_ms": self.ended_ms,
            "lost": dollars(self.lost_e8), "paid_to_carriers": dollars(self.paid_e8),
            "would_have_cost": dollars(attack::unstopped_e8()), "would_have_cost_model": attack::model(), "saved_pct": self.saved_pct(),
            "same_customer_calls_after_block": self.legit, "same_customer_answered": self.legit_answered, "same_customer_refused": self.legit_refused,
            "emergency_code": self.emergency_code,
        })
    }
}

/// Cents.
pub fn dollars(e8: i64) -> String {
    format_scaled((e8 + 500_000 * e8.signum()) / 1_000_000, 2, 2)
}

fn is_refused(call: &CallRecord) -> bool {
    call.answered.is_none() && call.code == 403
}

/// RFC 3339 as UTC microseconds.
pub fn micros(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: Kind, code: u16, start_ms: u64, up: Option<(u64, u64)>, cut: bool, zero: Instant) -> CallRecord {
        let at = |ms| zero + Duration::from_millis(ms);
        CallRecord {
            customer: OFFICE,
            kind,
            call_id: format!("{start_ms}"),
            started: at(start_ms),
            answered: up.map(|(from, _)| at(from)),
            ended: Some(up.map_or(at(start_ms + 5), |(_, to)| at(to))),
            code,
            ended_by_far_side: cut,
        }
    }

    fn play(zero: Instant) -> Vec<CallRecord> {
        vec![
            call(Kind::Fraud, 200, 1_000, Some((1_050, 2_100)), true, zero),
            call(Kind::Fraud, 200, 1_500, Some((1_550, 2_120)), true, zero),
            call(Kind::Fraud, 403, 2_045, None, false, zero),
            call(Kind::Legit, 200, 3_000, Some((3_500, 5_000)), false, zero),
            call(Kind::Emergency, 200, 3_100, Some((3_200, 5_200)), false, zero),
        ]
    }

    fn rows() -> Vec<Row> {
        let row = |id: &str, at: &str| Row { call_id_in: id.to_owned(), answer_ts: at.to_owned(), sell_e8: 100_000_000, cost_e8: 80_000_000, ..Row::default() };
        vec![row("1000", "2026-11-22T00:00:01.050000Z"), row("1500", "2026-11-22T00:00:01.550000Z"), row("3000", "2026-11-22T00:00:03.500000Z")]
    }

    #[test]
    fn f_01_the_attack_is_measured_from_its_first_answer() {
        let (zero, found) = (Instant::now(), micros("2026-11-22T00:00:02.000000Z"));
        let damage = Damage::measure(&play(zero), &rows(), found, found.map(|t| t + 1_000));
        assert_eq!((damage.found_ms, damage.blocked_ms, damage.refused_ms, damage.ended_ms), (Some(950), Some(951), Some(1_000), Some(1_070)));
        assert_eq!((damage.lost_e8, damage.paid_e8), (200_000_000, 160_000_000));
        assert_eq!((damage.legit, damage.legit_answered, damage.saved_pct().as_str()), (1, 1, "99.6"));
        assert!(damage.stopped());
    }

    #[test]
    fn an_attack_that_goes_on_is_not_stopped() {
        let (zero, at) = (Instant::now(), micros("2026-11-22T00:00:02.000000Z"));
        let stopped = |calls: &[CallRecord]| Damage::measure(calls, &rows(), at, at).stopped();
        let mut calls = play(zero);
        calls[0].ended_by_far_side = false;
        assert!(!stopped(&calls), "a call the node did not end");
        let mut calls = play(zero);
        calls.push(call(Kind::Fraud, 200, 4_000, Some((4_050, 5_000)), true, zero));
        assert!(!stopped(&calls), "one answered after the block");
        let mut calls = play(zero);
        calls[3] = call(Kind::Legit, 403, 3_000, None, false, zero);
        assert!(!stopped(&calls), "somebody else's call refused");
        let mut calls = play(zero);
        calls[4].code = 403;
        assert!(!stopped(&calls), "an emergency call refused");
        assert!(!Damage::measure(&play(zero), &rows(), None, None).stopped(), "nobody found it");
    }

    #[test]
    fn cents_are_rounded_half_away_from_zero() {
        assert_eq!((dollars(150_500_000).as_str(), dollars(-150_500_000).as_str(), dollars(60_000_000_000).as_str()), ("1.51", "-1.51", "600.00"));
    }
}

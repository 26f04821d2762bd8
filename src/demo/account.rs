//! The books: what callers and carriers saw of every call against the CDRs. Each INVITE a caller sent must be exactly
//! one final CDR, each INVITE a carrier got exactly one attempt CDR, with the same codes and durations.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_schemas::money::parse_scaled;

use super::ua::{caller::CallRecord, carrier::LegRecord};

/// How far two clocks on one call may be apart, milliseconds: the commit before an answer is passed on, and the
/// retransmission that makes up for one lost datagram.
pub const TOLERANCE_MS: u64 = 750;
/// Differences that are told in words.
const SAMPLES: usize = 12;

/// What is read of a CDR.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub call_uuid: String,
    pub call_id_in: String,
    pub call_id_out: String,
    pub account: String,
    pub carrier: String,
    pub disposition: String,
    pub code: u16,
    /// 0: none.
    pub vendor_code: u16,
    pub duration_ms: u64,
    pub answer_ts: String,
    pub count: u64,
    pub sell_e8: i64,
    pub cost_e8: i64,
}

impl Row {
    pub fn read(item: Value) -> anyhow::Result<Row> {
        #[derive(Deserialize)]
        struct Columns {
            call_uuid: String,
            sip_call_id_in: String,
            sip_call_id_out: String,
            account: String,
            carrier: String,
            disposition: String,
            sip_final_code: u16,
            vendor_sip_code: Option<u16>,
            duration_ms: u64,
            answer_ts: Option<String>,
            count: u64,
            sell_amount: String,
            cost_amount: String,
        }
        let c: Columns = serde_json::from_value(item)?;
        Ok(Row {
            sell_e8: parse_scaled(&c.sell_amount, 8).context("sell_amount")?,
            cost_e8: parse_scaled(&c.cost_amount, 8).context("cost_amount")?,
            call_uuid: c.call_uuid,
            call_id_in: c.sip_call_id_in,
            call_id_out: c.sip_call_id_out,
            account: c.account,
            carrier: c.carrier,
            disposition: c.disposition,
            code: c.sip_final_code,
            vendor_code: c.vendor_sip_code.unwrap_or_default(),
            duration_ms: c.duration_ms,
            answer_ts: c.answer_ts.unwrap_or_default(),
            count: c.count,
        })
    }

    fn answered(&self) -> bool {
        self.disposition == "answered"
    }

    /// Call-ID at the carrier; one the proxy passed on unchanged need not be written twice.
    fn call_id_at_carrier(&self) -> &str {
        if self.call_id_out.is_empty() { &self.call_id_in } else { &self.call_id_out }
    }
}

/// What was compared and what did not fit. All `*_wrong` fields 0: every call is accounted for.
#[derive(Debug, Default)]
pub struct Findings {
    pub calls: u64,
    /// Final CDRs, and the calls they stand for.
    pub finals: u64,
    pub finals_count: u64,
    pub legs: u64,
    pub attempts: u64,
    /// Calls that had no end.
    pub hanging_wrong: u64,
    pub missing_wrong: u64,
    pub twice_wrong: u64,
    pub stranger_wrong: u64,
    pub code_wrong: u64,
    pub duration_wrong: u64,
    pub leg_missing_wrong: u64,
    pub leg_twice_wrong: u64,
    pub leg_stranger_wrong: u64,
    pub leg_code_wrong: u64,
    pub leg_duration_wrong: u64,
    /// Largest difference of a duration, milliseconds.
    pub duration_gap_ms: u64,
    pub samples: Vec<String>,
}

impl Findings {
    fn wrongs(&self) -> [(&'static str, u64); 11] {
        [
            ("calls without an end", self.hanging_wrong),
            ("calls without a CDR", self.missing_wrong),
            ("calls with more than one CDR", self.twice_wrong),
            ("CDRs of calls nobody placed", self.stranger_wrong),
            ("CDRs with another outcome than the caller saw", self.code_wrong),
            ("CDRs with another duration than the caller saw", self.duration_wrong),
            ("carriers' INVITEs without an attempt CDR", self.leg_missing_wrong),
            ("carriers' INVITEs with more than one attempt CDR", self.leg_twice_wrong),
            ("attempt CDRs of INVITEs no carrier got", self.leg_stranger_wrong),
            ("attempt CDRs with another code than the carrier sent", self.leg_code_wrong),
            ("attempt CDRs with another duration than the carrier saw", self.leg_duration_wrong),
        ]
    }

    pub fn accounted_for(&self) -> bool {
        self.calls > 0 && self.wrongs().iter().all(|(_, n)| *n == 0)
    }

    /// What is wrong, in words, most important first.
    pub fn problems(&self) -> Vec<String> {
        self.wrongs().iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect()
    }

    pub fn json(&self) -> Value {
        let wrong: serde_json::Map<String, Value> = self.wrongs().iter().filter(|(_, n)| *n > 0).map(|(what, n)| ((*what).to_owned(), (*n).into())).collect();
        json!({
            "final_cdrs": self.finals, "calls_in_final_cdrs": self.finals_count, "carrier_invites": self.legs, "attempt_cdrs": self.attempts,
            "largest_duration_gap_ms": self.duration_gap_ms, "differences": wrong, "samples": self.samples,
        })
    }

    fn sample(&mut self, text: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(text());
        }
    }

    /// True when two durations agree.
    fn gap(&mut self, a: u64, b: u64) -> bool {
        let gap = a.abs_diff(b);
        self.duration_gap_ms = self.duration_gap_ms.max(gap);
        gap <= TOLERANCE_MS
    }
}

/// Compares everything with everything.
pub fn compare(calls: &[CallRecord], legs: &[LegRecord], finals: &[Row], attempts: &[Row]) -> Findings {
    let mut found = Findings {
        calls: calls.len() as u64,
        finals: finals.len() as u64,
        finals_count: finals.iter().map(|r| r.count).sum(),
        legs: legs.len() as u64,
        attempts: attempts.len() as u64,
        ..Findings::default()
    };
    customers(calls, finals, &mut found);
    vendors(legs, attempts, &mut found);
    found
}

fn customers(calls: &[CallRecord], finals: &[Row], found: &mut Findings) {
    let mut rows: HashMap<&str, Vec<&Row>> = HashMap::new();
    // Beyond a rate identical refusals become one counted row: it stands for calls, not for one of them.
    let mut counted: HashMap<(&str, u16), u64> = HashMap::new();
    for row in finals {
        if row.count > 1 {
            *counted.entry((&row.account, row.code)).or_default() += row.count;
        } else {
            rows.entry(&row.call_id_in).or_default().push(row);
        }
    }
    for call in calls {
        let ours = rows.remove(call.call_id.as_str()).unwrap_or_default();
        let Some(ended) = call.ended else {
            found.hanging_wrong += 1;
            let outcome = ours.first().map_or("no CDR".to_owned(), |r| format!("CDR {} has {} {}", r.call_uuid, r.disposition, r.code));
            found.sample(|| format!("call {} of {} has no end; {outcome}", call.call_id, call.customer));
            continue;
        };
        let Some(row) = ours.first() else {
            match counted.get_mut(&(call.customer, call.code)).filter(|n| **n > 0) {
                Some(left) => *left -= 1,
                None => {
                    found.missing_wrong += 1;
                    found.sample(|| format!("call {} of {} ended with {} and has no CDR", call.call_id, call.customer, call.code));
                }
            }
            continue;
        };
        if ours.len() > 1 {
            found.twice_wrong += 1;
            found.sample(|| format!("call {} has {} final CDRs: {}", call.call_id, ours.len(), uuids(&ours)));
        }
        if row.code != call.code || row.answered() != call.answered.is_some() {
            found.code_wrong += 1;
            found.sample(|| format!("call {}: its caller saw {}, CDR {} has {} {}", call.call_id, call.code, row.call_uuid, row.disposition, row.code));
        }
        let lasted = call.answered.map_or(0, |a| ended.saturating_duration_since(a).as_millis() as u64);
        if !found.gap(lasted, row.duration_ms) {
            found.duration_wrong += 1;
            found.sample(|| format!("call {}: its caller saw {lasted} ms, CDR {} has {} ms", call.call_id, row.call_uuid, row.duration_ms));
        }
    }
    found.stranger_wrong += rows.values().map(|r| r.len() as u64).sum::<u64>() + counted.values().sum::<u64>();
    for row in rows.values().flatten() {
        found.sample(|| format!("CDR {}: nobody placed call '{}'", row.call_uuid, row.call_id_in));
    }
}

fn vendors(legs: &[LegRecord], attempts: &[Row], found: &mut Findings) {
    let mut rows: HashMap<(&str, &str), Vec<&Row>> = HashMap::new();
    for row in attempts {
        rows.entry((&row.carrier, row.call_id_at_carrier())).or_default().push(row);
    }
    for leg in legs {
        let ours = rows.remove(&(leg.carrier, leg.call_id.as_str())).unwrap_or_default();
        let Some(row) = ours.first() else {
            found.leg_missing_wrong += 1;
            found.sample(|| format!("INVITE of call {} to {} has no attempt CDR", leg.call_id, leg.carrier));
            continue;
        };
        if ours.len() > 1 {
            found.leg_twice_wrong += 1;
            found.sample(|| format!("INVITE of call {} to {} has {} attempt CDRs: {}", leg.call_id, leg.carrier, ours.len(), uuids(&ours)));
        }
        // Of an attempt it took back itself the node need not wait for the 487 (RFC 3261 §9.1).
        let taken_back = leg.code == 487 && row.vendor_code == 0;
        if leg.code != row.vendor_code && !taken_back {
            found.leg_code_wrong += 1;
            found.sample(|| format!("call {}: {} sent {}, its attempt CDR has {} ({} {})", leg.call_id, leg.carrier, leg.code, row.vendor_code, row.disposition, row.code));
        }
        let lasted = match (leg.answered, leg.ended) {
            (Some(answered), Some(ended)) => ended.saturating_duration_since(answered).as_millis() as u64,
            _ => 0,
        };
        if !found.gap(lasted, row.duration_ms) {
            found.leg_duration_wrong += 1;
            found.sample(|| format!("call {}: {} saw {lasted} ms, its attempt CDR has {} ms", leg.call_id, leg.carrier, row.duration_ms));
        }
    }
    found.leg_stranger_wrong += rows.values().map(|r| r.len() as u64).sum::<u64>();
    for row in rows.values().flatten() {
        found.sample(|| format!("attempt CDR of {}: {} never got an INVITE of call '{}'", row.call_uuid, row.carrier, row.call_id_at_carrier()));
    }
}

fn uuids(rows: &[&Row]) -> String {
    rows.iter().map(|r| r.call_uuid.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::demo::ua::caller::Kind;

    fn call(id: &str, code: u16, ms: Option<u64>) -> CallRecord {
        let started = Instant::now();
        CallRecord {
            customer: "office",
            kind: Kind::Legit,
            call_id: id.to_owned(),
            started,
            answered: ms.map(|_| started),
            ended: Some(started + Duration::from_millis(ms.unwrap_or(0))),
            code,
            ended_by_far_side: false,
        }
    }

    fn leg(id: &str, code: u16, ms: Option<u64>) -> LegRecord {
        let c = call(id, code, ms);
        LegRecord { carrier: "steady", call_id: c.call_id, code, answered: c.answered, ended: c.ended }
    }

    fn row(id: &str, code: u16, ms: u64) -> Row {
        Row {
            call_id_in: id.to_owned(),
            call_id_out: id.to_owned(),
            account: "office".to_owned(),
            carrier: "steady".to_owned(),
            disposition: if code == 200 { "answered" } else { "failed" }.to_owned(),
            code,
            vendor_code: code,
            duration_ms: ms,
            count: 1,
            ..Row::default()
        }
    }

    #[test]
    fn what_agrees_is_accounted_for() {
        let calls = [call("a", 200, Some(4_000)), call("b", 486, None)];
        let legs = [leg("a", 200, Some(4_010)), leg("b", 486, None)];
        let rows = [row("a", 200, 4_100), row("b", 486, 0)];
        let found = compare(&calls, &legs, &rows, &rows);
        assert!(found.accounted_for(), "{found:?}");
        assert_eq!((found.calls, found.finals_count, found.legs, found.duration_gap_ms), (2, 2, 2, 100));
        assert!(!compare(&[], &[], &[], &[]).accounted_for(), "nothing seen proves nothing");
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let (calls, legs) = ([call("a", 200, Some(4_000))], [leg("a", 200, Some(4_000))]);
        let good = row("a", 200, 4_000);
        let wrong = |rows: &[Row]| compare(&calls, &legs, rows, std::slice::from_ref(&good));
        assert_eq!(wrong(&[]).missing_wrong, 1);
        assert_eq!(wrong(&[good.clone(), good.clone()]).twice_wrong, 1);
        assert_eq!(wrong(&[good.clone(), row("z", 486, 0)]).stranger_wrong, 1);
        assert_eq!(wrong(&[row("a", 487, 4_000)]).code_wrong, 1);
        assert_eq!(wrong(&[row("a", 200, 4_000 + TOLERANCE_MS + 1)]).duration_wrong, 1);
        let wrong = |rows: &[Row]| compare(&calls, &legs, std::slice::from_ref(&good), rows);
        assert_eq!(wrong(&[]).leg_missing_wrong, 1);
        assert_eq!(wrong(&[good.clone(), good.clone()]).leg_twice_wrong, 1);
        assert_eq!(wrong(&[good.clone(), row("z", 486, 0)]).leg_stranger_wrong, 1);
        assert_eq!(wrong(&[Row { vendor_code: 503, ..good.clone() }]).leg_code_wrong, 1);
        assert_eq!(wrong(&[row("a", 200, 0)]).leg_duration_wrong, 1);
        let taken_back = |code, seen| compare(&[call("a", 403, None)], &[leg("a", code, None)], &[row("a", 403, 0)], &[row("a", seen, 0)]);
        assert!(taken_back(487, 0).accounted_for() && !taken_back(486, 0).accounted_for() && !taken_back(487, 486).accounted_for());
        let hanging = [CallRecord { ended: None, ..call("a", 0, None) }];
        let found = compare(&hanging, &legs, std::slice::from_ref(&good), std::slice::from_ref(&good));
        assert!(found.hanging_wrong == 1 && !found.accounted_for() && found.problems().len() == 1 && found.samples.len() == 1);
    }

    #[test]
    fn s1_75_refusals_counted_in_one_row_stand_for_that_many_calls() {
        let calls: Vec<_> = (0..5).map(|i| call(&i.to_string(), 403, None)).collect();
        let counted = |count| vec![row("0", 403, 0), Row { call_id_in: String::new(), count, ..row("", 403, 0) }];
        assert!(compare(&calls, &[], &counted(4), &[]).accounted_for());
        assert_eq!(compare(&calls, &[], &counted(3), &[]).missing_wrong, 1);
        assert_eq!(compare(&calls, &[], &counted(6), &[]).stranger_wrong, 2);
    }
}

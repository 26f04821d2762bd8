//! `/v1/reports/cpn`: how much of each customer's traffic came with a valid calling party number.
//!
//! Terms of interconnection take the share "of total calls delivered", and treat traffic otherwise when it is below 90 %. So
//! the denominator is calls that reached a carrier, answered or not: what we refused was delivered to nobody and is counted
//! beside. Test calls are in neither.

use std::collections::BTreeMap;

use futures::FutureExt;
use serde_json::{Map, Value, json};
use tollgate_schemas::{
    cdr,
    store::{CdrFilter, TallyBy, TallyQuery, TallyRow},
    time::format_rfc3339,
};

use super::{csv_of, period, ratio};
use crate::{ApiState, ask::Ask, render, route::Reply};

const DENOMINATOR: &str = "calls handed on towards their destination, answered or not; refused calls are beside, test calls in neither";
/// Columns of figures, in order.
const FIGURES: [&str; 13] = [
    "calls", "valid", "missing", "invalid", "invalid_short", "invalid_long", "invalid_bad_cc", "invalid_other", "cpn_pct", "under_mark",
    "lacking", "refused", "refused_valid",
];

/// What became of one customer's calls.
#[derive(Default, Clone)]
struct Counts {
    calls: u64,
    valid: u64,
    missing: u64,
    /// Of a number that is none: too short, too long, of no country, of another or no class.
    invalid: [u64; 4],
    refused: u64,
    refused_valid: u64,
}

impl Counts {
    fn add(&mut self, row: &TallyRow) {
        let n = row.delivered;
        self.calls += n;
        match row.a_validity.as_str() {
            "valid" => self.valid += n,
            "missing" => self.missing += n,
            "short" => self.invalid[0] += n,
            "long" => self.invalid[1] += n,
            "bad_cc" => self.invalid[2] += n,
            _ => self.invalid[3] += n,
        }
        let refused = row.calls.saturating_sub(n);
        self.refused += refused;
        if row.a_validity == "valid" {
            self.refused_valid += refused;
        }
    }

    /// How many more of its calls would have to be valid for the mark.
    fn lacking(&self, mark_pct: u64) -> u64 {
        let wanted = (u128::from(self.calls) * u128::from(mark_pct)).div_ceil(100);
        u64::try_from(wanted).unwrap_or(u64::MAX).saturating_sub(self.valid)
    }

    fn figures(&self, mark_pct: u64, out: &mut Map<String, Value>) {
        let lacking = self.lacking(mark_pct);
        let [short, long, bad_cc, other] = self.invalid;
        let fields = json!({
            "calls": self.calls,
            "valid": self.valid,
            "missing": self.missing,
            "invalid": short + long + bad_cc + other,
            "invalid_short": short,
            "invalid_long": long,
            "invalid_bad_cc": bad_cc,
            "invalid_other": other,
            "cpn_pct": ratio(self.valid, self.calls, 100),
            "under_mark": lacking > 0,
            "lacking": lacking,
            "refused": self.refused,
            "refused_valid": self.refused_valid,
        });
        if let Value::Object(fields) = fields {
            out.extend(fields);
        }
    }
}

pub(crate) fn report(state: ApiState, ask: Ask) -> Reply {
    async move {
        let caller = ask.caller()?;
        let (since, until) = period(&ask.query, state.now_us())?;
        let mark_pct = ask.query.whole("mark_pct", 90);
        let by_root = ask.query.text("by") == Some("root_account");
        let filter = CdrFilter {
            tenant: caller.tenant.clone(),
            record_type: cdr::FINAL.to_owned(),
            since_us: Some(since),
            until_us: Some(until),
            account: ask.query.owned("account"),
            trunk: ask.query.owned("trunk"),
            ..CdrFilter::default()
        };
        let rows = state.parts.cdrs.tally(TallyQuery { filter, by: TallyBy::Account, ..TallyQuery::default() }).await?;
        let mut parties: BTreeMap<(String, String), Counts> = BTreeMap::new();
        let mut total = Counts::default();
        // Calls of strangers are nobody's.
        for row in rows.iter().filter(|r| !r.party.is_empty()) {
            let account = if by_root { String::new() } else { row.party.clone() };
            parties.entry((account, row.root_account.clone())).or_default().add(row);
            total.add(row);
        }
        let mut parties: Vec<((String, String), Counts)> = parties.into_iter().collect();
        // Who is under the mark comes first, the one that lacks most before the others.
        parties.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.lacking(mark_pct)));
        let names: &[&str] = if by_root { &["root_account"] } else { &["account", "root_account"] };
        let item = |((account, root), counts): &((String, String), Counts)| {
            let mut out = Map::new();
            if !by_root {
                out.insert("account".to_owned(), account.as_str().into());
            }
            out.insert("root_account".to_owned(), root.as_str().into());
            counts.figures(mark_pct, &mut out);
            out
        };
        let items: Vec<Map<String, Value>> = parties.iter().map(item).collect();
        if ask.query.text("format") == Some("csv") {
            let columns: Vec<&str> = names.iter().copied().chain(FIGURES).collect();
            return Ok(csv_of(&columns, &items, "attachment; filename=\"cpn.csv\""));
        }
        let under = items.iter().filter(|item| item["under_mark"] == true).map(|item| item[names[0]].clone());
        let mut totals = Map::new();
        total.figures(mark_pct, &mut totals);
        Ok(render::json_response(&json!({
            "since": format_rfc3339(since),
            "until": format_rfc3339(until),
            "mark_pct": mark_pct,
            "denominator": DENOMINATOR,
            "by": names[0],
            "under": under.collect::<Vec<_>>(),
            "items": items,
            "totals": totals,
            "next_cursor": null,
        })))
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_26_the_share_is_of_delivered_calls_and_the_mark_is_exact() {
        // (valid, missing, invalid by class, mark) → (share, how many lack).
        for (valid, missing, invalid, mark, pct, lacking) in [
            (90, 10, [0; 4], 90, Some("90.00"), 0),
            (89, 11, [0; 4], 90, Some("89.00"), 1),
            (899_999, 100_001, [0; 4], 90, Some("90.00"), 1),
            (8, 0, [1, 0, 0, 0], 90, Some("88.89"), 1),
            (0, 3, [0, 1, 1, 1], 90, Some("0.00"), 6),
            (0, 0, [0; 4], 90, None, 0),
            (1, 0, [0; 4], 100, Some("100.00"), 0),
        ] {
            let mut counts = Counts::default();
            let row = |validity: &str, delivered| TallyRow { a_validity: validity.to_owned(), calls: delivered + 7, delivered, ..TallyRow::default() };
            let classes = ["short", "long", "bad_cc", "unallocated"];
            for (validity, n) in [("valid", valid), ("missing", missing)].into_iter().chain(classes.into_iter().zip(invalid)) {
                counts.add(&row(validity, n));
            }
            let mut out = Map::new();
            counts.figures(mark, &mut out);
            assert_eq!(out["cpn_pct"].as_str(), pct, "{valid} {missing} {invalid:?}");
            assert_eq!((out["lacking"].as_u64(), out["under_mark"].as_bool()), (Some(lacking), Some(lacking > 0)), "{valid} {missing} {invalid:?}");
            let none: u64 = invalid.iter().sum();
            assert_eq!((out["invalid"].as_u64(), out["calls"].as_u64()), (Some(none), Some(valid + missing + none)));
            // What was refused is beside: seven of each of six classes.
            assert_eq!((out["refused"].as_u64(), out["refused_valid"].as_u64()), (Some(42), Some(7)));
        }
    }
}

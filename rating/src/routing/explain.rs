//! The decision as people and programs read it: one row per carrier.

use serde_json::{Value, json};
use tollgate_schemas::{
    money::{format_amount, format_rate},
    v1::RouteChoice,
};

use super::{Judged, RouteDecision, RouteQuery};
use crate::deck::RowRef;

/// A carrier's line in an explanation.
struct Line<'d> {
    /// 0 = left out.
    rank: u32,
    carrier: &'d str,
    row: Option<RowRef<'d>>,
    currency: &'d str,
    expected_cost_e8: Option<i64>,
    reason: &'static str,
    covered: bool,
    judged: Option<Judged>,
}

impl RouteDecision {
    /// Chosen carriers by rank, then the others by name.
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let line = |position, row| Line {
            rank: 0,
            carrier: &self.carrier(position).name,
            row: self.row_of(position, row),
            currency: self.carrier(position).deck.currency(),
            expected_cost_e8: None,
            reason: "chosen",
            covered: false,
            judged: None,
        };
        let chosen = self.order.iter().map(move |c| Line {
            rank: c.rank,
            expected_cost_e8: Some(c.expected_cost_e8),
            covered: c.covered_by_parent_prefix,
            judged: c.judged,
            ..line(c.carrier, c.row)
        });
        let left_out = self.left_out.iter().map(move |l| Line {
            expected_cost_e8: l.expected_cost_e8,
            reason: l.reason.name(),
            covered: l.covered_by_parent_prefix,
            judged: l.judged,
            ..line(l.carrier, l.row)
        });
        chosen.chain(left_out)
    }

    /// The decision as `call.attempted` carries it.
    pub fn choices(&self) -> Vec<RouteChoice> {
        let choice = |line: Line<'_>| RouteChoice {
            score_e8: line.judged.map_or(0, |j| j.score_e8),
            asr_e4: line.judged.map_or(0, |j| j.asr_e4),
            ner_e4: line.judged.map_or(0, |j| j.ner_e4),
            samples: line.judged.map_or(0, |j| j.samples),
            acd_ms: line.judged.map_or(0, |j| j.acd_ms),
            quality: line.judged.map_or(String::new(), |j| j.name().to_owned()),
            quality_class: line.judged.map_or(String::new(), |j| j.class.name().to_owned()),
            carrier: line.carrier.to_owned(),
            rank: line.rank,
            expected_cost_e8: line.expected_cost_e8.unwrap_or(0),
            prefix: line.row.map(|r| r.prefix()).unwrap_or_default(),
            rate_e12: line.row.map_or(0, |r| r.rate_e12()),
            reason: line.reason.to_owned(),
            covered_by_parent_prefix: line.covered,
        };
        self.lines().map(choice).collect()
    }

    /// A table with a header, one line per carrier, columns parted by two spaces.
    pub fn explain_text(&self) -> String {
        let header = ["RANK", "CARRIER", "PREFIX", "DESTINATION", "RATE/MIN", "INCR", "CONNECT", "CUR", "EXPECTED", "REASON"];
        let mut table: Vec<[String; 10]> = vec![header.map(str::to_owned)];
        table.extend(self.lines().map(|line| {
            let row = |text: fn(&RowRef<'_>) -> String| line.row.as_ref().map_or_else(|| "-".to_owned(), text);
            let covered = if line.covered { " (another carrier lists a longer prefix)" } else { "" };
            [
                if line.rank == 0 { "-".to_owned() } else { line.rank.to_string() },
                line.carrier.to_owned(),
                row(|r| r.prefix()),
                row(|r| r.destination().to_owned()),
                row(|r| r.rate_text()),
                row(|r| format!("{}/{}", r.initial_s(), r.increment_s())),
                row(|r| format_rate(r.connect_fee_e12())),
                line.currency.to_owned(),
                line.expected_cost_e8.map_or_else(|| "-".to_owned(), format_amount),
                format!("{}{covered}", line.reason),
            ]
        }));
        let widths: [usize; 10] = std::array::from_fn(|c| table.iter().map(|r| r[c].chars().count()).max().unwrap_or(0));
        let mut out = String::new();
        for row in &table {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }

    /// `{number, at, emergency, carriers: [{rank, carrier, …, reason}]}`; `rank` is null for a carrier left out.
    pub fn explain_json(&self, query: &RouteQuery<'_>) -> Value {
        let carrier = |line: Line<'_>| {
            json!({
                "rank": (line.rank > 0).then_some(line.rank),
                "carrier": line.carrier,
                "prefix": line.row.map(|r| r.prefix()),
                "destination": line.row.map(|r| r.destination()),
                "rate": line.row.map(|r| r.rate_text()),
                "connect_fee": line.row.map(|r| format_rate(r.connect_fee_e12())),
                "initial": line.row.map(|r| r.initial_s()),
                "increment": line.row.map(|r| r.increment_s()),
                "currency": line.currency,
                "expected_cost": line.expected_cost_e8.map(format_amount),
                "reason": line.reason,
                "covered_by_parent_prefix": line.covered,
            })
        };
        json!({
            "number": query.number,
            "at": tollgate_schemas::time::format_rfc3339(query.at_us),
            "emergency": query.emergency,
            "carriers": self.lines().map(carrier).collect::<Vec<_>>(),
        })
    }
}

//! The end of the play: tables for people, one JSON object for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{
    account::Findings,
    attack,
    damage::{Damage, dollars},
};

pub struct Report<'a> {
    pub findings: &'a Findings,
    pub damage: &'a Damage,
    /// The traffic report's rows and totals by account, and by carrier.
    pub customers: &'a Value,
    pub carriers: &'a Value,
    pub seconds: u32,
    pub cps: u32,
    pub seed: u64,
    pub api: String,
}

/// Columns of the traffic tables: (heading, field).
const COLUMNS: [(&str, &str); 9] = [
    ("calls", "bids"),
    ("answered", "answered"),
    ("refused", "refused"),
    ("ASR %", "asr"),
    ("PDD ms", "pdd_ms_p50"),
    ("minutes", "minutes"),
    ("revenue", "revenue"),
    ("cost", "cost"),
    ("margin", "margin"),
];

impl Report<'_> {
    pub fn ok(&self) -> bool {
        self.damage.stopped() && self.findings.accounted_for()
    }

    pub fn json(&self) -> Value {
        json!({
            "accounted_for": self.findings.accounted_for(),
            "attack_stopped": self.damage.stopped(),
            "calls": self.findings.calls,
            "cdrs": self.findings.finals,
            "accounting": self.findings.json(),
            "attack": self.damage.json(),
            "customers": self.customers,
            "carriers": self.carriers,
            "seconds": self.seconds,
            "cps": self.cps,
            "seed": self.seed,
            "api": self.api,
        })
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "\n{}", traffic("customer", "account", self.customers));
        let _ = writeln!(out, "{}", traffic("carrier", "carrier", self.carriers));
        let d = self.damage;
        let after = |ms: Option<i64>| ms.map_or("never".to_owned(), |ms| format!("{}.{:03} s", ms / 1000, ms.rem_euclid(1000)));
        let whole = |ms: Option<u64>| after(ms.and_then(|ms| i64::try_from(ms).ok()));
        let _ = writeln!(out, "The attack (times from its first answered call)");
        for (what, value) in [
            ("found after", after(d.found_ms)),
            ("blocked after", after(d.blocked_ms)),
            ("first INVITE refused after", whole(d.refused_ms)),
            ("last call ended after", whole(d.ended_ms)),
            ("calls answered / ended by the node / refused", format!("{} / {} / {}", d.answered, d.cut_off, d.refused)),
            ("lost (charged to the customer)", format!("${}", dollars(d.lost_e8))),
            ("owed to the carrier for it", format!("${}", dollars(d.paid_e8))),
            ("would have cost", format!("${}", dollars(attack::unstopped_e8()))),
            ("saved", format!("{} %", d.saved_pct())),
            ("same customer's other calls since: answered / placed / refused", format!("{} / {} / {}", d.legit_answered, d.legit, d.legit_refused)),
            ("emergency call from the attacked trunk", if d.emergency_code == 200 { "answered".to_owned() } else { format!("FAILED with {}", d.emergency_code) }),
        ] {
            let _ = writeln!(out, "  {what:<64} {value}");
        }
        let _ = writeln!(out, "  (would have cost: {})", attack::model());
        let f = self.findings;
        let _ = writeln!(out, "\nThe books");
        let _ = writeln!(out, "  {} calls placed, {} final CDRs for {} calls; {} INVITEs at carriers, {} attempt CDRs", f.calls, f.finals, f.finals_count, f.legs, f.attempts);
        let _ = writeln!(out, "  largest difference of a duration: {} ms", f.duration_gap_ms);
        for problem in f.problems().iter().chain(&f.samples) {
            let _ = writeln!(out, "  ! {problem}");
        }
        let verdict = |yes, good: &'static str, bad: &'static str| if yes { good } else { bad };
        let _ = writeln!(
            out,
            "\n{}; {}.",
            verdict(f.accounted_for(), "Every call is accounted for", "NOT every call is accounted for"),
            verdict(d.stopped(), "the attack was stopped", "the attack was NOT stopped as it should be"),
        );
        out
    }
}

/// A table of rows with their sums; names to the left, figures to the right.
fn traffic(title: &str, key: &str, report: &Value) -> String {
    let cell = |row: &Value, field: &str| match &row[field] {
        Value::Null => "-".to_owned(),
        Value::String(s) if matches!(field, "revenue" | "cost" | "margin") => tollgate_schemas::money::parse_scaled(s, 8).map_or(s.clone(), dollars),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let mut table = vec![std::iter::once(title.to_owned()).chain(COLUMNS.iter().map(|c| c.0.to_owned())).collect::<Vec<_>>()];
    let sums = report["totals"].as_array().into_iter().flatten().map(|r| ("all", r));
    let rows = report["items"].as_array().into_iter().flatten().map(|r| (r[key].as_str().unwrap_or_default(), r));
    for (name, row) in rows.chain(sums) {
        // Money of two currencies never adds up, so a name may have several rows; emergency calls have no price at all.
        let name = match row["currency"].as_str().unwrap_or_default() {
            "USD" => name.to_owned(),
            "" => format!("{name} (no price)"),
            other => format!("{name} ({other})"),
        };
        table.push(std::iter::once(name).chain(COLUMNS.iter().map(|c| cell(row, c.1))).collect());
    }
    let width = |i: usize| table.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for row in &table {
        let _ = write!(out, "{:<w$}", row[0], w = widths[0]);
        for (text, w) in row.iter().zip(&widths).skip(1) {
            let _ = write!(out, "  {text:>w$}");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_row_each_and_their_sums() {
        let row = json!({"account": "office", "currency": "USD", "bids": 12, "answered": 7, "refused": 0, "asr": "58.33", "pdd_ms_p50": null, "minutes": "1.20",
            "revenue": "1.234500", "cost": "0.500000", "margin": "0.734500"});
        let text = traffic("customer", "account", &json!({"items": [row], "totals": [row]}));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("office") && lines[2].starts_with("all") && lines[1].contains(" 1.23 ") && lines[1].ends_with("0.73"), "{text}");
        assert!(lines.iter().all(|l| l.chars().count() == lines[0].chars().count()), "{text}");
    }
}

//! Three-way match (FN-10): our expectation, the carrier's CDRs and its invoice, code by code, so that what is wrong is
//! found where it is wrong.

use std::collections::BTreeMap;

use super::{
    Billed, Report,
    layout::{FileProblem, Problems},
};
use tollgate_schemas::money::parse_scaled;

/// One line of a carrier's invoice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillLine {
    pub code: Box<str>,
    pub calls: Option<u64>,
    /// Billed seconds.
    pub seconds: Option<u64>,
    pub rate_e12: Option<i64>,
    pub amount_e8: i64,
}

pub type Bill = Vec<BillLine>;

/// One code on the three sides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeRow {
    pub ours_calls: u64,
    pub ours_s: u64,
    pub ours_e8: i64,
    pub theirs_calls: u64,
    pub theirs_s: u64,
    pub theirs_e8: i64,
    pub billed_e8: i64,
    pub billed_rate_e12: Option<i64>,
    pub ours_rate_e12: Option<i64>,
}

impl CodeRow {
    /// Invoice − our expectation, 1e-8.
    pub fn delta_e8(&self) -> i64 {
        self.billed_e8.saturating_sub(self.ours_e8)
    }
}

/// Reads an invoice: CSV with a code (or prefix, destination) and an amount, and if it has them calls, minutes and rate.
pub fn read_bill(bytes: &[u8]) -> Result<Bill, Problems> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let delimiter = super::layout::delimiter(text);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let mut problems = Problems::default();
    let header = reader.headers().map_err(|e| Problems::one(1, "", e.to_string()))?.clone();
    let find = |names: &[&str]| header.iter().position(|h| names.contains(&super::layout::plain(h).as_str()));
    let code = find(&["code", "prefix", "dialcode", "areacode", "destinationcode"]).or_else(|| find(&["destination", "description", "country", "dest"]));
    let (Some(code), Some(amount)) = (code, find(&["amount", "total", "charge", "cost", "price", "netamount", "value"])) else {
        return Err(Problems::one(1, "", "an invoice needs a column 'code' (or prefix, destination) and a column 'amount'".to_owned()));
    };
    let (calls, minutes) = (find(&["calls", "count", "attempts", "numberofcalls"]), find(&["minutes", "mins", "billedminutes", "duration"]));
    let (seconds, rate) = (find(&["seconds", "billedseconds"]), find(&["rate", "price", "rateperminute", "unitprice"]).filter(|r| *r != amount));
    let comma = delimiter == b';';
    let mut bill = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                problems.push(FileProblem { line: e.position().map_or(0, csv::Position::line), column: String::new(), problem: e.to_string() });
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |at: usize| super::layout::decimal_text(record.get(at).unwrap_or_default(), comma);
        let number = |at: usize, places: u32| parse_scaled(&cell(at), places).map_err(|e| e.to_string());
        match number(amount, 8) {
            Ok(amount_e8) => {
                let optional = |at: Option<usize>, places| at.and_then(|at| number(at, places).ok());
                bill.push(BillLine {
                    code: record.get(code).unwrap_or_default().trim_start_matches('+').into(),
                    calls: optional(calls, 0).and_then(|n| u64::try_from(n).ok()),
                    seconds: optional(seconds, 0).or_else(|| optional(minutes, 6).map(|m| (m * 60 + 500_000) / 1_000_000)).and_then(|n| u64::try_from(n).ok()),
                    rate_e12: optional(rate, 12),
                    amount_e8,
                });
            }
            Err(problem) => problems.push(FileProblem { line, column: header.get(amount).unwrap_or_default().to_owned(), problem }),
        }
    }
    if problems.is_empty() { Ok(bill) } else { Err(problems) }
}

/// Lays the three side by side. Their CDRs count under the code our paired call was priced by, since only few files name
/// one; invoice lines under theirs, found among ours by name.
pub fn three_way(ours: &[Billed], theirs: &[Billed], report: &Report, bill: &Bill) -> BTreeMap<Box<str>, CodeRow> {
    let mut rows: BTreeMap<Box<str>, CodeRow> = BTreeMap::new();
    for call in ours.iter().filter(|c| c.bills()) {
        let row = rows.entry(call.code.clone()).or_default();
        row.ours_calls += 1;
        row.ours_s += call.billed_s.unwrap_or_else(|| call.seconds());
        row.ours_e8 = row.ours_e8.saturating_add(call.amount_e8);
        row.ours_rate_e12 = row.ours_rate_e12.or(call.rate_e12);
    }
    for finding in &report.findings {
        let Some(their) = finding.theirs.map(|t| &theirs[t as usize]) else { continue };
        let code = finding.ours.map_or(&their.code, |o| &ours[o as usize].code);
        let row = rows.entry(code.clone()).or_default();
        row.theirs_calls += 1;
        row.theirs_s += their.billed_s.unwrap_or_else(|| their.seconds());
        row.theirs_e8 = row.theirs_e8.saturating_add(their.amount_e8);
    }
    for line in bill {
        let row = rows.entry(line.code.clone()).or_default();
        row.billed_e8 = row.billed_e8.saturating_add(line.amount_e8);
        row.billed_rate_e12 = row.billed_rate_e12.or(line.rate_e12);
    }
    rows
}

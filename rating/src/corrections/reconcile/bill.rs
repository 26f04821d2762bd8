//! Three-way match (FN-10): our expectation, the carrier's CDRs and its invoice, code by code, so that what is wrong is
//! found where it is wrong.

use std::collections::BTreeMap;

use tollgate_schemas::money::parse_scaled;

use super::{
    Billed, Currency, Report,
    decimals::signs,
    layout::{FileProblem, Problems},
};
use crate::sheet::{DecimalSign, decimal, whole_text};

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

/// Reads an invoice: CSV with a code (or prefix, destination) and an amount, and if it has them calls, minutes, rate and currency.
/// `currency`: what the comparison is in; a line in another is a problem.
pub fn read_bill(bytes: &[u8], currency: Currency) -> Result<Bill, Problems> {
    let text = whole_text(bytes).map_err(|e| Problems::one(1, "", e.to_string()))?;
    let delimiter = super::layout::delimiter(&text);
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
    let its_currency = find(&["currency", "currencycode", "cur", "ccy"]);
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => rows.push(record),
            Err(e) => problems.push(FileProblem { line: e.position().map_or(0, csv::Position::line), column: String::new(), problem: e.to_string() }),
        }
    }
    let numbers: Vec<usize> = [Some(amount), calls, minutes, seconds, rate].into_iter().flatten().collect();
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let signs = signs(&names, &rows, &numbers, None, delimiter == b';', 0).map_err(|all| all.into_iter().for_each(|p| problems.push(p))).unwrap_or_default();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut bill = Vec::new();
    for record in &rows {
        let line = record.position().map_or(0, csv::Position::line);
        let number = |at: usize, places: u32| {
            let (text, sign) = (record.get(at).unwrap_or_default(), numbers.iter().position(|n| *n == at).map_or(DecimalSign::Point, |n| signs[n]));
            let (number, currency) = decimal(text, sign);
            let number = number.ok_or_else(|| format!("'{text}' is no number"))?;
            Ok::<_, String>((parse_scaled(&number, places).map_err(|e| e.to_string())?, currency))
        };
        let mut wrong = |column: usize, problem: String| problems.push(FileProblem { line, column: names.get(column).cloned().unwrap_or_default(), problem });
        let (amount_e8, in_amount) = match number(amount, 8) {
            Ok(read) => read,
            Err(problem) => {
                wrong(amount, problem);
                continue;
            }
        };
        let said = its_currency.and_then(|at| record.get(at)).filter(|c| !c.is_empty()).map(str::to_uppercase).or_else(|| in_amount.map(str::to_owned));
        if let Some(other) = said.filter(|c| c != currency.code()) {
            wrong(its_currency.unwrap_or(amount), format!("the line is in {other}, the comparison in {}: compare in the invoice's currency (--currency {other})", currency.code()));
            continue;
        }
        let optional = |at: Option<usize>, places| at.and_then(|at| number(at, places).ok()).map(|n| n.0);
        bill.push(BillLine {
            code: record.get(code).unwrap_or_default().trim_start_matches('+').into(),
            calls: optional(calls, 0).and_then(|n| u64::try_from(n).ok()),
            seconds: optional(seconds, 0).or_else(|| optional(minutes, 6).map(|m| (m * 60 + 500_000) / 1_000_000)).and_then(|n| u64::try_from(n).ok()),
            rate_e12: optional(rate, 12),
            amount_e8,
        });
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

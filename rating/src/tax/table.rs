//! The built-in engine: dated rows by country and region.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use thiserror::Error;
use tollgate_schemas::{
    control,
    money::{AMOUNT_PLACES, BadDecimal, parse_scaled, round_amount},
    v1::Rounding,
};

use super::{NOTE, TaxEngine, TaxError, TaxLine, TaxQuery};

const MILLION: i128 = 1_000_000;
const E8: i128 = 100_000_000;

/// A row that cannot be, with its place in the document.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadTax {
    #[error("country: '{0}' is not a country: want two letters, as DE")]
    Country(String),
    #[error("rows[{at}].{field}: '{text}' is not one of {want}")]
    Word { at: usize, field: &'static str, text: String, want: &'static str },
    #[error("rows[{at}].rate: {problem}")]
    Rate { at: usize, problem: BadDecimal },
    #[error("rows[{at}].rate: want 0 or more, at most 100 percent")]
    Range { at: usize },
    #[error("rows[{at}].{field}: '{text}' is not a date: want YYYY-MM-DD")]
    Date { at: usize, field: &'static str, text: String },
    #[error("rows[{at}]: '{code}' overlaps rows[{other}] in time")]
    Overlap { at: usize, other: usize, code: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Millionths, of everything or of the assessable part.
    Percent { rate_e6: i64, interstate: bool },
    PerLine { amount_e8: i64 },
    Share { share_e6: i64 },
}

#[derive(Debug, Clone)]
struct Row {
    code: String,
    kind: Kind,
    reverse_charge: bool,
    resale_exempt: bool,
    from_us: i64,
    until_us: i64,
}

#[derive(Debug, Clone)]
struct Table {
    country: String,
    region: Option<String>,
    rows: Vec<Row>,
}

/// All tax tables, immutable.
#[derive(Debug, Clone, Default)]
pub struct TaxTables {
    tables: Vec<Table>,
}

impl TaxTables {
    /// Compiles the documents, or gives every mistake by the document's name.
    pub fn compile(documents: &BTreeMap<String, control::Tax>) -> Result<TaxTables, Vec<(String, BadTax)>> {
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        for (name, document) in documents {
            let mut wrong = |bad| problems.push((name.clone(), bad));
            if document.country.len() != 2 || !document.country.bytes().all(|b| b.is_ascii_uppercase()) {
                wrong(BadTax::Country(document.country.clone()));
            }
            let rows: Vec<Row> = document.rows.iter().enumerate().filter_map(|(at, row)| compile_row(at, row, &mut wrong)).collect();
            for (at, row) in rows.iter().enumerate() {
                let overlaps = |other: &Row| other.code == row.code && other.from_us < row.until_us && row.from_us < other.until_us;
                if let Some(other) = rows[..at].iter().position(overlaps) {
                    wrong(BadTax::Overlap { at, other, code: row.code.clone() });
                }
            }
            tables.push(Table { country: document.country.clone(), region: document.region.clone(), rows });
        }
        if problems.is_empty() { Ok(TaxTables { tables }) } else { Err(problems) }
    }
}

fn compile_row(at: usize, row: &control::TaxRow, wrong: &mut dyn FnMut(BadTax)) -> Option<Row> {
    let mut day = |field, text: &Option<String>, without| match text.as_deref() {
        None => Some(without),
        Some(text) => {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|d| d.and_hms_opt(0, 0, 0));
            if day.is_none() {
                wrong(BadTax::Date { at, field, text: text.to_owned() });
            }
            day.map(|d| d.and_utc().timestamp_micros())
        }
    };
    let (from_us, until_us) = (day("from", &row.from, i64::MIN), day("until", &row.until, i64::MAX));
    // Percent with four places: 64.9 % is 649,000 millionths.
    let places = if row.kind == "per_line" { AMOUNT_PLACES } else { 4 };
    let rate = match parse_scaled(&row.rate, places) {
        Ok(rate) if rate < 0 || row.kind != "per_line" && rate > 1_000_000 => {
            wrong(BadTax::Range { at });
            None
        }
        Ok(rate) => Some(rate),
        Err(problem) => {
            wrong(BadTax::Rate { at, problem });
            None
        }
    };
    let interstate = match row.base.as_str() {
        "all" => Some(false),
        "interstate" => Some(true),
        text => {
            wrong(BadTax::Word { at, field: "base", text: text.to_owned(), want: "all, interstate" });
            None
        }
    };
    let kind = match (row.kind.as_str(), rate, interstate) {
        ("percent", Some(rate_e6), Some(interstate)) => Some(Kind::Percent { rate_e6, interstate }),
        ("per_line", Some(amount_e8), _) => Some(Kind::PerLine { amount_e8 }),
        ("share", Some(share_e6), _) => Some(Kind::Share { share_e6 }),
        ("percent" | "per_line" | "share", ..) => None,
        (text, ..) => {
            wrong(BadTax::Word { at, field: "kind", text: text.to_owned(), want: "percent, per_line, share" });
            None
        }
    };
    Some(Row {
        code: row.code.clone(),
        kind: kind?,
        reverse_charge: row.reverse_charge,
        resale_exempt: row.resale_exempt,
        from_us: from_us?,
        until_us: until_us?,
    })
}

impl TaxEngine for TaxTables {
    fn lines(&self, query: &TaxQuery<'_>) -> Result<Vec<TaxLine>, TaxError> {
        let of_place = |t: &&Table| t.country == query.country && t.region.as_ref().is_none_or(|r| r == query.region);
        let tables: Vec<&Table> = self.tables.iter().filter(of_place).collect();
        if tables.is_empty() {
            return Err(TaxError::NoTable { country: query.country.to_owned() });
        }
        let rows = || tables.iter().flat_map(|t| &t.rows).filter(|r| r.from_us <= query.at_us && query.at_us < r.until_us);
        let harbour = rows().find_map(|r| match r.kind {
            Kind::Share { share_e6 } => Some(share_e6),
            _ => None,
        });
        let share_e6 = query.interstate_e6.map(i64::from).or(harbour);
        let certified = query.certificate_until_us.is_some_and(|until| query.at_us < until);
        let mut lines = Vec::new();
        for row in rows() {
            let reason = match () {
                () if row.reverse_charge && query.valid_vat_id && query.country != query.seller_country => "reverse charge",
                () if row.resale_exempt && certified => "resale certificate",
                () => "",
            };
            let per_line_e8 = if let Kind::PerLine { amount_e8 } = row.kind { Some(amount_e8) } else { None };
            let (base, rate_e6, amount_e8) = match row.kind {
                Kind::Share { .. } => continue,
                Kind::PerLine { amount_e8 } => (0, 0, amount_e8.saturating_mul(i64::from(query.lines))),
                Kind::Percent { rate_e6, interstate: false } => {
                    let exact = i128::from(query.amount_e8) * i128::from(rate_e6);
                    (query.amount_e8, rate_e6, round_amount(exact, MILLION * E8, query.places, Rounding::HalfUp))
                }
                Kind::Percent { rate_e6, interstate: true } => {
                    let share = share_e6.ok_or_else(|| TaxError::NoShare { country: query.country.to_owned(), code: row.code.clone() })?;
                    let part = i128::from(query.amount_e8) * i128::from(share);
                    // The base is shown rounded; the amount is of the exact one.
                    let base = round_amount(part, MILLION * E8, AMOUNT_PLACES, Rounding::HalfUp);
                    (base, rate_e6, round_amount(part * i128::from(rate_e6), MILLION * MILLION * E8, query.places, Rounding::HalfUp))
                }
            };
            let amount_e8 = if reason.is_empty() { amount_e8 } else { 0 };
            lines.push(TaxLine { code: row.code.clone(), base_e8: base, rate_e6, per_line_e8, amount_e8, reason, note: NOTE });
        }
        Ok(lines)
    }
}

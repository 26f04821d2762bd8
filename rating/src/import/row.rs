//! One code's terms as an import brings them, and the form they travel in.
//!
//! The form is CSV with a header line: the columns of a deck, `effective_from` may be `now`, then `change`
//! (`set`, `close`, `block`), `claimed` (what the sheet calls the change), `previous_rate` and `source` (where in the sheet). A
//! last column `currency`, the same in every row, is there where the sheet names one and the form does not travel beside it.

use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;
use tollgate_schemas::{
    money::{RATE_PLACES, format_scaled, parse_scaled},
    number::E164,
    time::{format_rfc3339, parse_rfc3339},
};

use crate::deck::JurisdictionRates;
pub use crate::sheet::Start;

/// What a row does to its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The code has this price.
    Set,
    /// The code's price ends; a shorter prefix of the deck takes its numbers over.
    Close,
    /// Its numbers are refused, whatever a shorter prefix says.
    Block,
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Action::Set => "set",
            Action::Close => "close",
            Action::Block => "block",
        }
    }
}

/// A row of an import. Text that repeats is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    pub prefix: E164,
    /// Empty for a caller of any group.
    pub origin_group: Arc<str>,
    pub destination: Arc<str>,
    /// Per minute, with the places it was written with; none only for what is closed or blocked.
    pub rate: Option<(i64, u8)>,
    pub jurisdiction: JurisdictionRates,
    pub connect_fee_e12: i64,
    pub initial_s: u32,
    pub increment_s: u32,
    pub from: Start,
    /// First microsecond no longer in force.
    pub to: Option<i64>,
    pub route_class: Arc<str>,
    pub action: Action,
    /// What the sheet calls the change, in our words; empty when it says nothing.
    pub claimed: &'static str,
    /// What the sheet says the price was.
    pub previous_e12: Option<i64>,
    /// Where in the sheet.
    pub source: Arc<str>,
}

impl ImportRow {
    /// The price of a minute as written.
    pub fn rate_text(&self) -> String {
        self.rate.map_or_else(String::new, |(e12, places)| format_scaled(e12, RATE_PLACES, places.into()))
    }
}

/// The words a sheet's change may come to.
pub const CLAIMS: [&str; 7] = ["", "new", "increased", "decreased", "unchanged", "closed", "blocked"];

const HEADER: [&str; 17] = [
    "prefix", "destination", "rate", "connect_fee", "initial", "increment", "effective_from", "effective_to", "interrate", "intrarate",
    "ijrate", "route_class", "origin_group", "change", "claimed", "previous_rate", "source",
];

/// The column behind [`HEADER`], where it is there.
const CURRENCY: &str = "currency";

/// Whether a file is rows in this form, and not a deck or a carrier's sheet.
pub fn is_rows(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    let plain = HEADER.join(",");
    line == plain.as_bytes() || line == format!("{plain},{CURRENCY}").as_bytes()
}

/// Rows as CSV. `currency`: the sheet's, as a column of its own; none = it travels beside the rows.
pub fn write_rows(rows: &[ImportRow], currency: Option<&str>) -> String {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::with_capacity(rows.len() * 96));
    let price = |p: Option<i64>| p.map_or_else(String::new, |e12| format_scaled(e12, RATE_PLACES, 0));
    // Into memory, which does not fail.
    let _ = writer.write_record(HEADER.into_iter().chain(currency.map(|_| CURRENCY)));
    for row in rows {
        let from = match row.from {
            Start::Now => "now".to_owned(),
            Start::At(us) => format_rfc3339(us),
        };
        let cells = [
            row.prefix.digits(), &row.destination, &row.rate_text(), &price(Some(row.connect_fee_e12).filter(|f| *f != 0)),
            &row.initial_s.to_string(), &row.increment_s.to_string(), &from, &row.to.map_or_else(String::new, format_rfc3339),
            &price(row.jurisdiction.inter_e12), &price(row.jurisdiction.intra_e12), &price(row.jurisdiction.indeterminate_e12),
            &row.route_class, &row.origin_group, row.action.name(), row.claimed, &price(row.previous_e12), &row.source,
        ];
        let _ = writer.write_record(cells.into_iter().chain(currency));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// A row of the form that is not one. Programs write the form: the first mistake is told.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("rows, line {line}, {column}: {problem}")]
pub struct BadRow {
    pub line: usize,
    pub column: &'static str,
    pub problem: String,
}

/// Reads what [`write_rows`] writes: the rows, and the currency where there is a column of it.
pub fn read_rows(text: &str) -> Result<(Vec<ImportRow>, Option<String>), BadRow> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let bad = |line: usize, column: usize, problem: String| BadRow { line, column: HEADER.get(column).copied().unwrap_or(""), problem };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut shared = Shared::default();
    let (mut rows, mut currency): (Vec<ImportRow>, Option<String>) = (Vec::new(), None);
    for (line, record) in (1..).zip(reader.records()) {
        let record = record.map_err(|e| bad(line, HEADER.len(), e.to_string()))?;
        if line == 1 {
            if record.iter().take(HEADER.len()).ne(HEADER) || record.iter().skip(HEADER.len()).any(|name| name != CURRENCY) {
                return Err(bad(line, 0, format!("want the columns {}", HEADER.join(","))));
            }
            continue;
        }
        let cell = |at: usize| record.get(at).unwrap_or_default();
        if let Some(code) = record.get(HEADER.len())
            && currency.get_or_insert_with(|| code.to_owned()) != code
        {
            return Err(BadRow { line, column: CURRENCY, problem: format!("'{code}', and '{}' in rows before: a deck has one currency", currency.unwrap_or_default()) });
        }
        let price = |at: usize| match cell(at) {
            "" => Ok(None),
            text => parse_scaled(text, RATE_PLACES).map_err(|e| e.to_string()).and_then(|p| if p < 0 { Err("below 0".to_owned()) } else { Ok(Some(p)) }).map_err(|e| bad(line, at, e)),
        };
        let seconds = |at: usize| cell(at).parse::<u32>().map_err(|e| bad(line, at, format!("'{}': {e}", cell(at))));
        let time = |at: usize| parse_rfc3339(cell(at)).map_err(|e| bad(line, at, e.to_string()));
        let action = [Action::Set, Action::Close, Action::Block].into_iter().find(|a| a.name() == cell(13)).ok_or_else(|| bad(line, 13, "want set, close or block".to_owned()))?;
        let rate = price(2)?.map(|e12| (e12, cell(2).split_once('.').map_or(0, |(_, f)| f.len().min(12) as u8)));
        if rate.is_none() && action == Action::Set {
            return Err(bad(line, 2, "empty: want the price of a minute".to_owned()));
        }
        rows.push(ImportRow {
            prefix: E164::parse(cell(0)).map_err(|e| bad(line, 0, e.to_string()))?,
            destination: shared.get(cell(1)),
            rate,
            connect_fee_e12: price(3)?.unwrap_or(0),
            initial_s: seconds(4)?,
            increment_s: seconds(5)?,
            from: if cell(6) == "now" { Start::Now } else { Start::At(time(6)?) },
            to: if cell(7).is_empty() { None } else { Some(time(7)?) },
            jurisdiction: JurisdictionRates { inter_e12: price(8)?, intra_e12: price(9)?, indeterminate_e12: price(10)? },
            route_class: shared.get(cell(11)),
            origin_group: shared.get(&cell(12).to_lowercase()),
            action,
            claimed: CLAIMS.into_iter().find(|c| *c == cell(14)).ok_or_else(|| bad(line, 14, format!("want one of {}", CLAIMS[1..].join(", "))))?,
            previous_e12: price(15)?,
            source: shared.get(cell(16)),
        });
    }
    Ok((rows, currency))
}

/// Equal texts, once.
#[derive(Default)]
pub(crate) struct Shared(std::collections::HashSet<Arc<str>>);

impl Shared {
    pub fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

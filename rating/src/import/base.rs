//! The deck in force as the rows of its file, by code: what a merge reads and edits. Columns it does not know travel along.

use std::{collections::{BTreeMap, HashMap}, sync::Arc};

use chrono_tz::Tz;
use csv::StringRecord;
use tollgate_schemas::{
    money::{RATE_PLACES, parse_scaled},
    number::E164,
    time::format_rfc3339,
};

use super::{ImportRow, LinePrice, Shared};
use crate::deck::dates;

/// A code and the callers it holds for.
pub(super) type Key = (E164, Arc<str>);

/// A row of the file, with the window it is in force.
#[derive(Debug, Clone)]
pub(super) struct BaseRow {
    /// Which record.
    pub at: usize,
    pub from: i64,
    /// The end it has or its successor gives it.
    pub to: i64,
    /// The end is written in the file.
    pub ends: bool,
    pub price: LinePrice,
}

pub(super) struct Base {
    header: Vec<String>,
    records: Vec<StringRecord>,
    pub rows: BTreeMap<Key, Vec<BaseRow>>,
}

/// The columns a new file has.
const HEADER: [&str; 14] = [
    "prefix", "destination", "rate", "connect_fee", "initial", "increment", "effective_from", "effective_to", "interrate", "intrarate", "ijrate",
    "route_class", "origin_group", "blocked",
];

impl Base {
    pub fn empty() -> Base {
        Base { header: Vec::new(), records: Vec::new(), rows: BTreeMap::new() }
    }

    /// Reads a file that compiles; a row that does not read is a fault of the deck in force.
    pub fn read(csv: &[u8], zone: Tz) -> Result<Base, String> {
        let csv = csv.strip_prefix(b"\xef\xbb\xbf").unwrap_or(csv);
        let reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(csv);
        let mut base = Base::empty();
        let mut shared = Shared::default();
        for record in reader.into_records() {
            let record = record.map_err(|e| e.to_string())?;
            if base.header.is_empty() {
                base.header = record.iter().map(str::to_ascii_lowercase).collect();
                continue;
            }
            let at = base.records.len();
            let cell = |name: &str| base.header.iter().position(|h| h == name).and_then(|at| record.get(at)).unwrap_or_default();
            let wrong = |what: &str| format!("row {} of the deck in force has no {what}", at + 2);
            let time = |name: &str| match cell(name) {
                "" => Ok(None),
                text => dates::parse(text, zone).map(Some).map_err(|e| e.to_string()),
            };
            let price = |name: &str| match cell(name) {
                "" => Ok(None),
                text => parse_scaled(text, RATE_PLACES).map(Some).map_err(|e| e.to_string()),
            };
            let prefix = E164::parse(cell("prefix")).map_err(|e| e.to_string())?;
            let (from, to) = (time("effective_from")?.unwrap_or(i64::MIN), time("effective_to")?);
            let rate = price("rate")?;
            let price = LinePrice {
                rate_e12: rate.unwrap_or(0),
                rate_places: cell("rate").split_once('.').map_or(0, |(_, f)| f.len().min(RATE_PLACES as usize) as u8),
                connect_fee_e12: price("connect_fee")?.unwrap_or(0),
                initial_s: cell("initial").parse().map_err(|_| wrong("initial"))?,
                increment_s: cell("increment").parse().map_err(|_| wrong("increment"))?,
                inter_e12: price("interrate")?,
                intra_e12: price("intrarate")?,
                indeterminate_e12: price("ijrate")?,
                blocked: ["true", "yes", "1"].iter().any(|w| w.eq_ignore_ascii_case(cell("blocked"))),
                route_class: shared.get(cell("route_class")),
                destination: shared.get(cell("destination")),
            };
            let key = (prefix, shared.get(&cell("origin_group").to_lowercase()));
            let row = BaseRow { at, from, to: to.unwrap_or(i64::MAX), ends: to.is_some(), price };
            base.rows.entry(key).or_default().push(row);
            base.records.push(record);
        }
        for rows in base.rows.values_mut() {
            rows.sort_unstable_by_key(|r| r.from);
            for at in 1..rows.len() {
                let next = rows[at].from;
                rows[at - 1].to = rows[at - 1].to.min(next);
            }
        }
        Ok(base)
    }

    /// The file with rows cut at new ends, without those dropped, and with the new ones.
    pub fn write(&self, ends: &HashMap<usize, i64>, dropped: &HashMap<usize, ()>, added: &[(ImportRow, i64, Option<i64>)]) -> Vec<u8> {
        let mut header: Vec<String> = self.header.clone();
        for name in HEADER {
            if !header.iter().any(|h| h == name) {
                header.push(name.to_owned());
            }
        }
        let end_at = header.iter().position(|h| h == "effective_to").unwrap_or(header.len());
        // Into memory, which does not fail.
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::with_capacity((self.records.len() + added.len()) * 64));
        let _ = writer.write_record(&header);
        for (at, record) in self.records.iter().enumerate().filter(|(at, _)| !dropped.contains_key(at)) {
            let end = ends.get(&at).map(|us| format_rfc3339(*us));
            let cells = (0..header.len()).map(|column| match &end {
                Some(end) if column == end_at => end.as_str(),
                _ => record.get(column).unwrap_or_default(),
            });
            let _ = writer.write_record(cells);
        }
        for (row, from, to) in added {
            let cells = cells_of(row, *from, *to);
            let in_order = header.iter().map(|name| HEADER.iter().position(|h| h == name).map_or("", |at| cells[at].as_str()));
            let _ = writer.write_record(in_order);
        }
        writer.into_inner().unwrap_or_default()
    }
}

fn cells_of(row: &ImportRow, from: i64, to: Option<i64>) -> [String; HEADER.len()] {
    let price = |p: Option<i64>| p.map_or_else(String::new, |e12| tollgate_schemas::money::format_scaled(e12, RATE_PLACES, 0));
    let blocked = row.action == super::Action::Block;
    [
        row.prefix.digits().to_owned(),
        row.destination.to_string(),
        row.rate_text(),
        price(Some(row.connect_fee_e12)),
        row.initial_s.to_string(),
        row.increment_s.to_string(),
        if from == i64::MIN { String::new() } else { format_rfc3339(from) },
        to.map_or_else(String::new, format_rfc3339),
        price(row.jurisdiction.inter_e12),
        price(row.jurisdiction.intra_e12),
        price(row.jurisdiction.indeterminate_e12),
        row.route_class.to_string(),
        row.origin_group.to_string(),
        if blocked { "true".to_owned() } else { String::new() },
    ]
}

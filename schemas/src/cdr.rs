//! The CDR: one row for each attempt and one for the call (domain §4.1). `cdr.tsv` is its only definition.

pub use crate::v1::Cdr;
use crate::{id::Id, money, time};

/// Version of the column table, in `schema_version`.
pub const SCHEMA_VERSION: u32 = 3;

/// `record_type` of the two kinds of rows.
pub const FINAL: &str = "final";
pub const ATTEMPT: &str = "attempt";

include!(concat!(env!("OUT_DIR"), "/columns.rs"));

/// How a column is stored and shown. Numbers of money and time are scaled integers (see `crate::money`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Uuid,
    Str,
    Bool,
    U32,
    U64,
    /// UTC microseconds.
    Ts,
    /// 1e-8 of the currency's unit; Decimal(18,8) in stores.
    Money,
    /// 1e-12 of the unit per minute; Decimal(20,12) in stores.
    Rate,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    Uuid(&'a [u8]),
    Str(&'a str),
    Bool(bool),
    U32(u32),
    U64(u64),
    Ts(i64),
    Money(i64),
    Rate(i64),
}

pub struct Column {
    pub tag: u32,
    /// The name used everywhere: event JSON, API, exports, tables.
    pub name: &'static str,
    pub ty: ColumnType,
    /// May be unknown (null), which is not zero.
    pub optional: bool,
    /// The [`SCHEMA_VERSION`] that brought it.
    pub since: u32,
    /// Row of the domain's field list, as `C-041`.
    pub source: &'static str,
    pub meaning: &'static str,
    pub get: for<'a> fn(&'a Cdr) -> Value<'a>,
    /// A value of another type than the column's is ignored.
    pub set: fn(&mut Cdr, Value<'_>),
}

/// The column of that name.
pub fn column(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|c| c.name == name)
}

impl Value<'_> {
    /// The cell as text, as in CSV: empty for null, decimals and times in full.
    pub fn text(&self, out: &mut String) {
        use std::fmt::Write;
        let _ = match *self {
            Value::Null => Ok(()),
            Value::Uuid(b) => write!(out, "{}", Id::of(b)),
            Value::Str(s) => out.write_str(s),
            Value::Bool(b) => write!(out, "{b}"),
            Value::U32(n) => write!(out, "{n}"),
            Value::U64(n) => write!(out, "{n}"),
            Value::Ts(us) => out.write_str(&time::format_rfc3339(us)),
            Value::Money(e8) => out.write_str(&money::format_amount(e8)),
            Value::Rate(e12) => out.write_str(&money::format_rate(e12)),
        };
    }

    pub fn json(&self) -> serde_json::Value {
        match *self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => b.into(),
            Value::U32(n) => n.into(),
            Value::U64(n) => n.into(),
            _ => {
                let mut s = String::new();
                self.text(&mut s);
                s.into()
            }
        }
    }
}

impl Cdr {
    /// The row as a JSON object with every column, in the table's order.
    pub fn json(&self) -> serde_json::Value {
        serde_json::Value::Object(COLUMNS.iter().map(|c| (c.name.to_owned(), (c.get)(self).json())).collect())
    }

    /// The row as a line of CSV with these columns.
    pub fn csv_row(&self, columns: &[&'static Column], out: &mut String) {
        let mut text = String::new();
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            text.clear();
            (column.get)(self).text(&mut text);
            crate::csv_text::cell(&text, column.ty == ColumnType::Str, out);
        }
        out.push_str("\r\n");
    }

    /// As the event that brought the row shows it: without the columns its writer did not have.
    pub fn event_json(&self) -> serde_json::Value {
        let had = COLUMNS.iter().filter(|c| c.since <= self.schema_version.max(1));
        serde_json::Value::Object(had.map(|c| (c.name.to_owned(), (c.get)(self).json())).collect())
    }

    /// Hash of every column but the processing time: equal for equal facts, on every store.
    pub fn content_hash(&self) -> [u8; 32] {
        use prost::Message;
        let mut facts = self.clone();
        facts.ingest_ts = None;
        *blake3::hash(&facts.encode_to_vec()).as_bytes()
    }

    pub fn is_final(&self) -> bool {
        self.record_type == FINAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_proto_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/tollgate/v1/cdr.proto");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, CDR_PROTO).expect("write");
        }
        assert_eq!(std::fs::read_to_string(path).expect(path), CDR_PROTO, "run once with UPDATE_GOLDEN=1 and review the diff");
    }

    #[test]
    fn every_column_sets_what_it_gets() {
        let mut cdr = Cdr::default();
        for c in COLUMNS {
            let v = match c.ty {
                ColumnType::Uuid => Value::Uuid(&[7; 16]),
                ColumnType::Str => Value::Str("x"),
                ColumnType::Bool => Value::Bool(true),
                ColumnType::U32 => Value::U32(5),
                ColumnType::U64 => Value::U64(6),
                ColumnType::Ts => Value::Ts(1_700_000_000_000_000),
                ColumnType::Money => Value::Money(250_000),
                ColumnType::Rate => Value::Rate(10_000_000_000),
            };
            (c.set)(&mut cdr, v);
            assert_eq!((c.get)(&cdr), v, "{}", c.name);
        }
        let json = cdr.json();
        assert_eq!(json["sell_amount"], "0.002500");
        assert_eq!(json["invite_ts"], "2023-11-14T22:13:20.000000Z");
        assert_eq!(json["call_uuid"], "07070707-0707-0707-0707-070707070707");
    }
}

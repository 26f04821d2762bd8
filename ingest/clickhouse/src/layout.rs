//! How a CDR column is stored. Made from the one column table (`tollgate_schemas::cdr::COLUMNS`): every column is in the
//! table under its own name, and columns that mostly follow from another are stored as what differs from it, in a column
//! with the suffix `_x`, beside an ALIAS column that gives the value back to whoever reads the table with SQL.
//!
//! | form | stored as | read as |
//! |---|---|---|
//! | `Plain` | the value, with the codec of its type | itself |
//! | `Halves` | `call_hi`, `call_lo`: ids are minted in sequence, so halves compress where 16 random bytes do not | UUID |
//! | `Near` | the value minus what is expected of it, wrapping at 64 bits; null stays null | expectation + difference |
//! | `Ending` | text that ends like another column: what stands before it, then byte 1 | that, then the other column |
//! | `Begun` | text that another column begins with: the length in digits, then byte 2 | so much of the other column |
//!
//! Text that is neither and happens to end in bytes 1, 2 or 3 gets a byte 3 behind it: every value comes back as it was.

mod near;

use std::sync::LazyLock;

use tollgate_schemas::cdr::{COLUMNS, Column, ColumnType, column};

pub use near::Near;

pub const SAME: char = '\u{1}';
pub const LENGTH: char = '\u{2}';
pub const AS_IS: char = '\u{3}';

#[derive(Clone, Copy)]
pub enum Form {
    Plain,
    Halves,
    Near(&'static Near),
    Ending(&'static Column),
    Begun(&'static Column),
}

/// A column as stored.
pub struct Stored {
    pub column: &'static Column,
    pub form: Form,
    /// The columns in the table, with type and codec: one, or two for `Halves`.
    pub parts: Vec<Part>,
    /// The ALIAS column's type and expression, unless the value is stored itself.
    pub alias: Option<(String, String)>,
}

pub struct Part {
    pub name: String,
    pub ty: String,
    pub codec: &'static str,
}

/// Texts with too many values for a dictionary.
const FREE_TEXT: &[&str] = &[
    "sip_call_id_in", "from_tag", "to_tag", "sip_call_id_out", "a_number_raw", "a_number_e164", "a_presentation_number",
    "b_number_raw", "b_number_e164", "b_number_out", "route_explain", "attempts_summary", "margin_pct",
];

/// (column, the column it ends like).
const ENDINGS: &[(&str, &str)] = &[
    ("sip_call_id_out", "sip_call_id_in"),
    ("a_number_raw", "a_number_e164"),
    ("a_presentation_number", "a_number_e164"),
    ("b_number_raw", "b_number_e164"),
    ("b_number_out", "b_number_e164"),
];

/// (column, the column that begins with it).
const BEGUN: &[(&str, &str)] = &[("sell_prefix", "b_number_e164"), ("cost_prefix", "b_number_e164")];

/// In the order rows are written and read: a column comes after the one it leans on.
pub static STORED: LazyLock<Vec<Stored>> = LazyLock::new(|| {
    let mut all: Vec<Stored> = COLUMNS.iter().map(stored).collect();
    all.sort_by_key(|s| !matches!(s.form, Form::Plain | Form::Halves));
    all
});

fn stored(c: &'static Column) -> Stored {
    let base = |pairs: &[(&str, &'static str)]| pairs.iter().find(|(name, _)| *name == c.name).and_then(|(_, base)| column(base));
    let form = if c.name == "call_uuid" {
        Form::Halves
    } else if let Some(near) = near::of(c.name) {
        Form::Near(near)
    } else if let Some(base) = base(ENDINGS).filter(|_| !c.optional) {
        Form::Ending(base)
    } else if let Some(base) = base(BEGUN).filter(|_| !c.optional) {
        Form::Begun(base)
    } else {
        Form::Plain
    };
    let part = |name: String, ty: &str, codec| Part { name, ty: ty.to_owned(), codec };
    let beside = || format!("{}_x", c.name);
    let null = |ty: &str| if c.optional { format!("Nullable({ty})") } else { ty.to_owned() };
    let (parts, alias) = match form {
        Form::Plain => (vec![part(c.name.to_owned(), &sql_type(c), plain_codec(c))], None),
        Form::Halves => (
            vec![part("call_hi".into(), "UInt64", "Delta(8), ZSTD(3)"), part("call_lo".into(), "UInt64", "Delta(8), T64, ZSTD(3)")],
            Some(("UUID".to_owned(), "reinterpretAsUUID(bitOr(bitShiftLeft(toUInt128(call_lo), 64), toUInt128(call_hi)))".to_owned())),
        ),
        Form::Near(near) => {
            let part = part(beside(), &null("Int64"), near.codec);
            (vec![part], Some((sql_type(c), near.sql(c))))
        }
        Form::Ending(base) => {
            let x = beside();
            let given = format!(
                "multiIf(endsWith({x}, '\\x01'), concat(substring({x}, 1, length({x}) - 1), {base}), \
                 endsWith({x}, '\\x03'), substring({x}, 1, length({x}) - 1), {x})",
                base = base.name
            );
            // Two or three prefixes in use (`+`, `00`), or the whole where the two differ.
            (vec![part(x, "String", "ZSTD(3)")], Some(("String".to_owned(), given)))
        }
        Form::Begun(base) => {
            let x = beside();
            let given = format!(
                "multiIf(endsWith({x}, '\\x02'), substring({base}, 1, toUInt64OrZero(substring({x}, 1, length({x}) - 1))), \
                 endsWith({x}, '\\x03'), substring({x}, 1, length({x}) - 1), {x})",
                base = base.name
            );
            (vec![part(x, "LowCardinality(String)", "ZSTD(3)")], Some(("String".to_owned(), given)))
        }
    };
    Stored { column: c, form, parts, alias }
}

/// The type as the server prints it.
pub fn sql_type(c: &Column) -> String {
    let ty = match c.ty {
        ColumnType::Uuid => "UUID",
        ColumnType::Str if FREE_TEXT.contains(&c.name) => "String",
        ColumnType::Str => "LowCardinality(String)",
        ColumnType::Bool => "Bool",
        ColumnType::U32 => "UInt32",
        ColumnType::U64 => "UInt64",
        ColumnType::Ts => "DateTime64(6, 'UTC')",
        ColumnType::Money => "Decimal(18, 8)",
        ColumnType::Rate => "Decimal(20, 12)",
    };
    match (c.optional, ty) {
        (false, ty) => ty.to_owned(),
        (true, "LowCardinality(String)") => "LowCardinality(Nullable(String))".to_owned(),
        (true, ty) => format!("Nullable({ty})"),
    }
}

fn plain_codec(c: &Column) -> &'static str {
    match c.name {
        // Long and alike: a higher level finds what a lower one misses.
        "route_explain" | "attempts_summary" => return "ZSTD(9)",
        "event_first_offset" => return "Delta(8), T64, ZSTD(3)",
        _ => {}
    }
    match c.ty {
        ColumnType::Ts => "Delta(8), T64, ZSTD(3)",
        ColumnType::U32 | ColumnType::U64 | ColumnType::Money => "T64, ZSTD(3)",
        ColumnType::Uuid | ColumnType::Str | ColumnType::Bool | ColumnType::Rate => "ZSTD(3)",
    }
}

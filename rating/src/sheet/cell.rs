//! Cells as a file's reader gives them, and where they stand.

use std::{fmt, sync::Arc};

use chrono::NaiveDateTime;
use rust_decimal::{Decimal, RoundingStrategy};
use tollgate_schemas::money::RATE_PLACES;

/// One cell. A formula is its saved value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    /// As a workbook keeps numbers; it becomes decimal text before anything is counted with it.
    Number(f64),
    /// A number and the words its format shows beside it: `€`, `US$`, ` cents`. `¤` is the currency of whoever looks at it.
    Shown(f64, Arc<str>),
    Date(NaiveDateTime),
    Bool(bool),
    /// `#REF!`, `#N/A` …
    Error(String),
}

impl Cell {
    pub fn is_blank(&self) -> bool {
        match self {
            Cell::Empty => true,
            Cell::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }
}

impl Cell {
    /// As a CSV file would have it: numbers with a decimal point that no thousand could be (`1.2340`), of the first days of the epoch
    /// only the time, as durations and times of day are kept.
    pub(crate) fn as_csv(&self) -> String {
        match self {
            Cell::Number(number) => {
                let text = Shortest::of(*number).text;
                if text.split_once('.').is_some_and(|(_, f)| f.len() == 3) { format!("{text}0") } else { text }
            }
            Cell::Date(at) => {
                let days = (at.date() - chrono::NaiveDate::from_ymd_opt(1899, 12, 31).unwrap_or_default()).num_days();
                match days {
                    ..0 | 1000.. if at.time() == chrono::NaiveTime::MIN => at.format("%Y-%m-%d").to_string(),
                    ..0 | 1000.. => at.format("%Y-%m-%d %H:%M:%S").to_string(),
                    _ => format!("{}:{}", days * 24 + i64::from(chrono::Timelike::hour(at)), at.format("%M:%S")),
                }
            }
            other => Value::of(other).to_string(),
        }
    }
}

/// A cell by value, so that equal ones are kept once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) enum Value {
    #[default]
    Empty,
    Text(Box<str>),
    /// Bits of the float.
    Number(u64),
    Shown(u64, Box<str>),
    Date(NaiveDateTime),
    Error(Box<str>),
}

impl Value {
    pub fn of(cell: &Cell) -> Value {
        match cell {
            Cell::Empty => Value::Empty,
            Cell::Text(text) if text.trim().is_empty() => Value::Empty,
            // As a spreadsheet exports them to CSV.
            Cell::Text(text) if ["#REF!", "#N/A", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"].contains(&text.trim()) => Value::Error(text.trim().into()),
            Cell::Text(text) => Value::Text(text.trim().into()),
            Cell::Number(number) => Value::Number(number.to_bits()),
            Cell::Shown(number, words) if words.trim().is_empty() => Value::Number(number.to_bits()),
            Cell::Shown(number, words) => Value::Shown(number.to_bits(), words.trim().into()),
            Cell::Date(date) => Value::Date(*date),
            Cell::Bool(yes) => Value::Text(if *yes { "yes" } else { "no" }.into()),
            Cell::Error(text) => Value::Error(text.as_str().into()),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Value::Empty
    }

    /// Text of a code, or what a spreadsheet has made of it.
    pub fn digits_or_text(&self) -> Result<String, String> {
        match self {
            Value::Empty => Ok(String::new()),
            Value::Text(text) => Ok(text.trim_start_matches('\'').to_string()),
            Value::Number(bits) | Value::Shown(bits, _) => {
                let number = f64::from_bits(*bits);
                if number.fract() != 0.0 || !(0.0..1e15).contains(&number) {
                    let text = Shortest::of(number).text;
                    return Err(format!("'{text}' is a number, not a code: was it a list that the spreadsheet took for a decimal? Format the column as text"));
                }
                Ok(format!("{number}"))
            }
            Value::Date(date) => Err(format!("the spreadsheet has made the date {} of this code: format the column as text and enter it again", date.format("%Y-%m-%d"))),
            Value::Error(text) => Err(format!("the formula's value is {text}: mend it, or enter the code itself")),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Empty => Ok(()),
            Value::Text(text) | Value::Error(text) => f.write_str(text),
            Value::Number(bits) | Value::Shown(bits, _) => f.write_str(&Shortest::of(f64::from_bits(*bits)).text),
            Value::Date(date) => write!(f, "{}", date.format("%Y-%m-%d %H:%M:%S")),
        }
    }
}

/// A workbook's number as decimal text.
pub(super) struct Shortest {
    pub text: String,
    /// The float has more digits than anybody typed: 15 digits are what a spreadsheet itself shows.
    pub rounded: bool,
}

impl Shortest {
    /// Significant digits people type; more are the trace of a calculation.
    const TYPED: usize = 12;

    pub fn of(number: f64) -> Shortest {
        let text = format!("{number}");
        if significant(&text) <= Shortest::TYPED {
            return Shortest { text, rounded: false };
        }
        let fifteen = format!("{number:.14e}").parse().unwrap_or(number);
        Shortest { text: format!("{fifteen}"), rounded: true }
    }
}

fn significant(text: &str) -> usize {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len()
}

/// Cut to the places a price has, half up; true when something was cut.
pub(super) fn to_places(text: &str) -> Option<(String, bool)> {
    let value = Decimal::from_str_exact(text).or_else(|_| text.parse::<Decimal>()).ok()?;
    let cut = value.round_dp_with_strategy(RATE_PLACES, RoundingStrategy::MidpointAwayFromZero);
    Some((cut.to_string(), cut != value))
}

/// `A`, `B` … `Z`, `AA` …: column 0 is `A`.
pub fn letters(column: usize) -> String {
    let mut left = column + 1;
    let mut out = Vec::new();
    while left > 0 {
        out.push(b'A' + ((left - 1) % 26) as u8);
        left = (left - 1) / 26;
    }
    out.reverse();
    String::from_utf8_lossy(&out).into_owned()
}

/// The other way; `None` for what is no column's name.
pub(super) fn column_of(letters: &str) -> Option<usize> {
    let ok = (1..=3).contains(&letters.len()) && letters.bytes().all(|b| b.is_ascii_uppercase());
    ok.then(|| letters.bytes().fold(0, |n, b| n * 26 + usize::from(b - b'A') + 1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_a_float_is_taken_by_its_shortest_decimal_form() {
        for (number, text, rounded) in [
            (0.0123, "0.0123", false),
            (0.1 + 0.2, "0.3", true),
            (0.00045, "0.00045", false),
            (1e-7, "0.0000001", false),
            (1.0 / 3.0, "0.333333333333333", true),
            (44.0, "44", false),
            (0.07 * 1.1, "0.077", true),
        ] {
            let short = Shortest::of(number);
            assert_eq!((short.text.as_str(), short.rounded), (text, rounded), "{number:?}");
        }
        assert_eq!(to_places("0.3333333333333333"), Some(("0.333333333333".to_owned(), true)));
    }

    #[test]
    fn columns_have_their_spreadsheet_names() {
        for (column, name) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")] {
            assert_eq!((letters(column).as_str(), column_of(name)), (name, Some(column)));
        }
        assert_eq!(column_of("Rate"), None);
    }
}

//! Prices as sheets write them. Which sign is the decimal one is a property of the file: a cell like `1,234` is only
//! understood once others, or its maker, have said so.

use tollgate_schemas::money::{RATE_PLACES, parse_scaled};

use super::{
    cell::{Shortest, Value, to_places},
    columns::currency_in,
    mapping::DecimalSign,
    units,
};

/// A price read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Price {
    pub e12: i64,
    /// Places it was written with.
    pub places: u8,
    pub note: Option<Note>,
    /// A currency in the cell itself, or in what its format shows.
    pub currency: Option<&'static str>,
    /// What the format shows that is no currency known here: `¤`, `¥`.
    pub sign: Option<Box<str>>,
    /// The cell or its format says something else than whole units a minute.
    pub odd_unit: bool,
}

/// What was done to a price that its sender should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Note {
    /// A float of many digits.
    Float,
    /// `1.2E-03`.
    Scientific,
    /// More than twelve places.
    Cut,
}

impl Note {
    pub fn text(self) -> &'static str {
        match self {
            Note::Float => "prices are floats of more than 12 digits, as formulas leave them: taken by their shortest decimal form",
            Note::Scientific => "prices are in scientific form: taken as written, check that the spreadsheet has not rounded them",
            Note::Cut => "prices have more than 12 decimal places: rounded half up to 12",
        }
    }
}

/// What a cell says of the decimal sign.
pub(super) fn evidence(value: &Value) -> Option<DecimalSign> {
    let Value::Text(text) = value else { return None };
    let number = bare(text).0;
    let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+' | 'e')) && number.contains(|c: char| c.is_ascii_digit());
    sign_of(&number).0.filter(|_| plain)
}

/// What stands before or after a number and is no part of it.
const AROUND: [&str; 8] = ["us$", "$", "€", "£", "/minute", "/min", "per minute", "per min"];
/// Thousands apart by spaces or apostrophes: Swiss and French habit.
const PARTS: [char; 6] = [' ', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '’'];

/// The decimal sign a number of any file shows, and whether it could be either.
pub(crate) fn sign_shown(text: &str) -> (Option<DecimalSign>, bool) {
    sign_of(&bare(text).0)
}

/// An amount of any file as [`parse_scaled`] reads it, and the currency in it: without currency and groups, `(1.00)` as −1.00.
/// None: it is no number with that decimal sign.
pub(crate) fn decimal(text: &str, sign: DecimalSign) -> (Option<String>, Option<&'static str>) {
    let inner = text.trim().strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let (number, currency) = bare(inner.unwrap_or(text));
    let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+')) && !(inner.is_some() && number.starts_with(['-', '+']));
    let read = in_points(&number, Some(sign)).ok().filter(|_| plain);
    (read.map(|n| if inner.is_some() { format!("-{n}") } else { n }), currency)
}

/// The digits and signs of a price, and its currency. Anything else in it stays, and is then no number.
fn bare(text: &str) -> (String, Option<&'static str>) {
    let currency = currency_in(text);
    let lower = text.to_lowercase();
    let code = currency.unwrap_or("usd").to_lowercase();
    let mut rest = lower.trim();
    loop {
        let around = || AROUND.into_iter().chain([code.as_str()]);
        let shorter = around().find_map(|a| rest.strip_suffix(a)).or_else(|| around().find_map(|a| rest.strip_prefix(a)));
        match shorter {
            Some(shorter) => rest = shorter.trim(),
            None => break,
        }
    }
    (ungrouped(rest).unwrap_or_else(|| rest.to_owned()), currency)
}

/// Without the signs that part thousands, where they part groups of three and are all the same one.
fn ungrouped(text: &str) -> Option<String> {
    let sign = text.chars().find(|c| PARTS.contains(c))?;
    let end = text.find(['.', ',']).unwrap_or(text.len());
    let (whole, fraction) = text.split_at(end);
    let groups: Vec<&str> = whole.trim_start_matches(['-', '+']).split(sign).collect();
    let digits = |g: &&str| !g.is_empty() && g.bytes().all(|b| b.is_ascii_digit());
    let ok = groups.iter().all(digits) && groups[0].len() <= 3 && !groups[0].starts_with('0') && groups.len() > 1 && groups[1..].iter().all(|g| g.len() == 3) && !fraction.contains(PARTS);
    ok.then(|| format!("{}{fraction}", whole.replace(sign, "")))
}

/// The sign it must be, and whether it could be either.
fn sign_of(text: &str) -> (Option<DecimalSign>, bool) {
    let text = text.split('e').next().unwrap_or(text).trim_start_matches(['-', '+']);
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    match (points, commas) {
        (0, 0) => (None, false),
        (1.., 1..) => {
            let last_is_point = text.rfind('.') > text.rfind(',');
            (Some(if last_is_point { DecimalSign::Point } else { DecimalSign::Comma }), false)
        }
        (2.., 0) => (Some(DecimalSign::Comma), false),
        (0, 2..) => (Some(DecimalSign::Point), false),
        _ => {
            let sign = if points == 1 { DecimalSign::Point } else { DecimalSign::Comma };
            let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
            let grouped = fraction.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0');
            if grouped { (None, true) } else { (Some(sign), false) }
        }
    }
}

/// Reads a price. `sign`: the file's decimal sign, where it is known. `None`: the cell is blank.
pub(super) fn price(value: &Value, sign: Option<DecimalSign>) -> Result<Option<Price>, String> {
    let (mut sign_shown, mut odd_unit) = (None, false);
    let (text, currency, mut note) = match value {
        Value::Empty => return Ok(None),
        Value::Error(text) => return Err(format!("the formula's value is {text}: mend it, or enter the price itself")),
        Value::Date(date) => return Err(format!("the spreadsheet has made the date {} of this price: format the column as a number and enter it again", date.format("%Y-%m-%d"))),
        Value::Number(bits) => {
            let short = Shortest::of(f64::from_bits(*bits));
            (short.text, None, short.rounded.then_some(Note::Float))
        }
        Value::Shown(bits, shown) => {
            let (short, currency) = (Shortest::of(f64::from_bits(*bits)), currency_in(shown));
            let unit = units::parse(shown, true);
            odd_unit = unit.as_ref().map_or(true, |u| u.is_odd());
            // `/min` is no currency.
            let silent = currency.is_none() && unit == Ok(units::Unit::default());
            sign_shown = Some(shown.clone()).filter(|s| silent && s.chars().any(|c| c.is_alphabetic() || (!c.is_ascii() && !c.is_whitespace())));
            (short.text, currency, short.rounded.then_some(Note::Float))
        }
        Value::Text(text) => {
            let (bare, currency) = bare(text);
            if matches!(bare.as_str(), "-" | "n/a") {
                return Ok(None);
            }
            if bare.contains(PARTS) && bare.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',') || PARTS.contains(&c)) {
                return Err(format!("'{text}' has a space or an apostrophe where no thousands part: enter the price without it"));
            }
            (in_points(&bare, sign).map_err(|e| format!("'{text}' {e}"))?, currency, None)
        }
    };
    let text = match text.split_once('e').filter(|(mantissa, _)| mantissa.starts_with(|c: char| c.is_ascii_digit())) {
        Some((mantissa, power)) => {
            note = Some(Note::Scientific);
            scientific(mantissa, power).ok_or_else(|| format!("'{value}' is not a price"))?
        }
        None => text,
    };
    let places = |t: &str| t.split_once('.').map_or(0, |(_, f)| f.len());
    let text = if places(&text) > RATE_PLACES as usize {
        let (cut, lossy) = to_places(&text).ok_or_else(|| format!("'{value}' is not a price"))?;
        if lossy {
            note = Some(Note::Cut);
        }
        cut
    } else {
        text
    };
    let e12 = parse_scaled(&text, RATE_PLACES).map_err(|_| format!("'{value}' is not a price"))?;
    if e12 < 0 {
        return Err(format!("'{value}' is below 0"));
    }
    Ok(Some(Price { e12, places: places(&text).min(RATE_PLACES as usize) as u8, note, currency, sign: sign_shown, odd_unit }))
}

/// The number with `.` as decimal sign and no grouping.
fn in_points(text: &str, sign: Option<DecimalSign>) -> Result<String, String> {
    let (seen, either) = sign_of(text);
    if either && sign.is_none() && text.contains(',') {
        return Err("is a thousand or a decimal, and nothing else in the file tells: say --decimal comma or point".to_owned());
    }
    let sign = sign.or(seen).unwrap_or(DecimalSign::Point);
    let (decimal, group) = match sign {
        DecimalSign::Point => ('.', ','),
        DecimalSign::Comma => (',', '.'),
    };
    let (whole, fraction) = match text.split_once(decimal) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let grouped: Vec<&str> = whole.split(group).collect();
    let threes = grouped.len() == 1 || (grouped[1..].iter().all(|g| g.len() == 3) && (1..=3).contains(&grouped[0].trim_start_matches(['-', '+']).len()) && !grouped[0].starts_with('0'));
    if !threes || fraction.is_some_and(|f| f.contains([decimal, group])) {
        return Err(format!("is not a number with '{decimal}' as decimal sign, as the rest of the file has it (--decimal says otherwise)"));
    }
    let whole = grouped.concat();
    Ok(fraction.map_or_else(|| whole.clone(), |f| format!("{whole}.{f}")))
}

/// `1.2`, `-03` → `0.0012`, by moving the point.
fn scientific(mantissa: &str, power: &str) -> Option<String> {
    let power: i32 = power.trim_start_matches('+').parse().ok().filter(|p| (-18..=12).contains(p))?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let point = whole.len() as i32 + power;
    Some(if point <= 0 {
        format!("0.{}{digits}", "0".repeat(-point as usize))
    } else if point as usize >= digits.len() {
        format!("{digits}{}", "0".repeat(point as usize - digits.len()))
    } else {
        format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
    })
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::money::format_scaled;

    use super::*;

    fn read(text: &str, sign: Option<DecimalSign>) -> String {
        match price(&Value::Text(text.into()), sign) {
            Ok(Some(p)) => format_scaled(p.e12, 12, p.places.into()),
            Ok(None) => String::new(),
            Err(e) => e,
        }
    }

    #[test]
    fn r_14_prices_are_read_with_the_files_decimal_sign() {
        use DecimalSign::{Comma, Point};
        for (text, sign, want) in [
            ("0.0123", None, "0.0123"), ("0,0123", None, "0.0123"), ("0,012", None, "0.012"), ("1,234", Some(Comma), "1.234"), ("1,234", Some(Point), "1234"), ("1.234", None, "1.234"), ("1.234", Some(Comma), "1234"),
            ("1,234.5", None, "1234.5"), ("1.234,5", None, "1234.5"), ("1'234.50", None, "1234.50"), ("$0.01", None, "0.01"), ("0,05 €", None, "0.05"), ("USD 0.0040", None, "0.0040"), ("0.01/min", None, "0.01"),
            ("1.2E-03", None, "0.0012"), ("4e-4", None, "0.0004"), (".5", None, "0.5"), ("-", None, ""), ("0.0100", None, "0.0100"), ("0.12345678901234", None, "0.123456789012"), ("1 234.5", None, "1234.5"), ("-", None, ""), ("N/A", None, ""), ("EUR 1 234,5", None, "1234.5"),
        ] {
            assert_eq!(read(text, sign), want, "{text} {sign:?}");
        }
        for (text, sign, part) in [
            ("1,234", None, "--decimal"), ("free", None, "not a price"), ("-0.01", None, "below 0"), ("0.012", Some(Comma), "','"), ("0,5", Some(Point), "'.'"), ("1.2.3", None, "as decimal sign"), ("1e99", None, "not a price"),
            // Neither thousands nor a decimal sign.
            ("0 05", None, "no thousands part"), ("0'05", None, "no thousands part"), ("1 2 3", None, "no thousands part"), ("0.012 345", None, "no thousands part"), ("1'234 567", None, "no thousands part"), ("0€05", None, "not a price"), ("1.2 ct", None, "not a price"),
        ] {
            assert!(read(text, sign).contains(part), "{text}: {}", read(text, sign));
        }
    }

    #[test]
    fn r_14_a_float_with_many_digits_is_flagged() {
        let note = |n: f64| price(&Value::Number(n.to_bits()), None).map(|p| p.map(|p| (format_scaled(p.e12, 12, 0), p.note)));
        assert_eq!(note(0.0123), Ok(Some(("0.0123".to_owned(), None))));
        assert_eq!(note(0.1 + 0.2), Ok(Some(("0.3".to_owned(), Some(Note::Float)))));
        let shown = |words: &str| price(&Value::Shown(0.5f64.to_bits(), words.into()), None).map(|p| p.map(|p| (p.currency, p.sign.is_some(), p.odd_unit)));
        for (words, want) in [("€", (Some("EUR"), false, false)), ("US$", (Some("USD"), false, false)), ("¤", (None, true, false)), ("kr", (None, true, false)), ("/min", (None, false, false)), ("cents", (None, false, true)), ("$/sec", (Some("USD"), false, true))] {
            assert_eq!(shown(words), Ok(Some(want)), "{words}");
        }
        assert_eq!(note(1.0 / 3.0), Ok(Some(("0.333333333333".to_owned(), Some(Note::Cut)))));
    }
}

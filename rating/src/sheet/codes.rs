//! Code cells: lists, ranges, and what spreadsheets do to digits.

use tollgate_schemas::number::E164;

use super::{cell::{Shortest, Value}, mapping::{AreaZero, Spaces}};

/// Codes one cell may stand for.
pub(super) const MAX_CODES: usize = 10_000;

/// How digits are written in this sheet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    pub spaces: Option<Spaces>,
    pub area_zero: Option<AreaZero>,
}

/// Digits of every code of a cell, country codes and international prefixes as written. Blank cells give none.
fn expand(value: &Value, list_by_space: bool, style: Style) -> Result<Vec<String>, String> {
    let text = match value {
        Value::Empty => return Ok(Vec::new()),
        Value::Text(text) => text.trim_start_matches('\'').to_string(),
        Value::Number(bits) => {
            let number = f64::from_bits(*bits);
            if number.fract() != 0.0 || !(0.0..1e15).contains(&number) {
                let text = Shortest::of(number).text;
                return Err(format!("'{text}' is a number, not a code: was it a list that the spreadsheet took for a decimal? Format the column as text"));
            }
            format!("{number}")
        }
        Value::Date(date) => {
            return Err(format!("the spreadsheet has made the date {} of this code: format the column as text and enter it again", date.format("%Y-%m-%d")));
        }
        Value::Error(text) => return Err(format!("the formula's value is {text}: mend it, or enter the code itself")),
    };
    let mut out = Vec::new();
    for part in text.split([',', ';', '/', '|', '\n', '\r', '&']).map(str::trim).filter(|p| !p.is_empty()) {
        for one in by_space(part, list_by_space, style)? {
            range(&one, &mut out)?;
            if out.len() > MAX_CODES {
                return Err(format!("more than {MAX_CODES} codes in one cell: split it, or give a shorter prefix"));
            }
        }
    }
    if out.is_empty() { Err(format!("'{text}' is not a code: want digits")) } else { Ok(out) }
}

/// `44 20` is one code or two: only a plus, or the sheet's maker, says which.
fn by_space(part: &str, list_by_space: bool, style: Style) -> Result<Vec<String>, String> {
    let words: Vec<&str> = part.split_whitespace().collect();
    let range = part.split_once('-').or_else(|| part.split_once('–'));
    if words.len() < 2 || range.is_some_and(|(a, b)| a.split_whitespace().count() == 1 && b.split_whitespace().count() == 1) {
        return Ok(vec![words.concat()]);
    }
    match style.spaces {
        Some(Spaces::Join) => Ok(vec![words.concat()]),
        Some(Spaces::List) => Ok(words.iter().map(|w| (*w).to_owned()).collect()),
        None if part.starts_with('+') && words[1..].iter().all(|w| !w.starts_with('+')) => Ok(vec![words.concat()]),
        None if list_by_space => Ok(words.iter().map(|w| (*w).to_owned()).collect()),
        None => Err(format!("'{part}' is one code with spaces, or several: say which in the mapping file (spaces: join or list)")),
    }
}

/// `5510-5512`, short `5510-12`, or one code; `1-242` is one code as North America writes it.
fn range(text: &str, out: &mut Vec<String>) -> Result<(), String> {
    let bad = || format!("'{text}' is not a code: want digits, a list 38,39 or a range 5510-5512");
    let text = text.strip_suffix(".0").unwrap_or(text);
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if looks_scientific(text) {
        return Err(format!("the spreadsheet has rounded this code to '{text}', its digits are lost: format the column as text and enter it again"));
    }
    let Some((from, to)) = text.split_once(['-', '–']) else {
        let code = text.strip_prefix('+').unwrap_or(text).trim_matches(['(', ')', '.']);
        let code = code.replace(['(', ')'], "");
        if !digits(&code) {
            return Err(bad());
        }
        out.push(code);
        return Ok(());
    };
    let (from, to) = (from.trim().trim_start_matches('+'), to.trim().trim_start_matches('+'));
    if !digits(from) || !digits(to) {
        return Err(bad());
    }
    if to.len() > from.len() {
        // 1-242, 44-7911: parts of one code.
        out.push(format!("{from}{to}"));
        return Ok(());
    }
    // Digits only, so the cut falls between characters.
    let (head, low) = from.split_at(from.len() - to.len());
    let (Ok(low), Ok(high)) = (low.parse::<u64>(), to.parse::<u64>()) else { return Err(bad()) };
    if low > high {
        return Err(format!("the range '{text}' runs backwards"));
    }
    if (high - low) as usize >= MAX_CODES {
        return Err(format!("the range '{text}' has more than {MAX_CODES} codes: give shorter prefixes"));
    }
    out.extend((low..=high).map(|n| format!("{head}{n:0width$}", width = to.len())));
    Ok(())
}

fn looks_scientific(text: &str) -> bool {
    text.split_once(['e', 'E']).is_some_and(|(mantissa, power)| {
        mantissa.starts_with(|c: char| c.is_ascii_digit()) && mantissa.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',') && power.trim_start_matches(['+', '-']).parse::<u8>().is_ok()
    })
}

/// Prefixes of a cell of whole codes.
pub(super) fn whole(value: &Value, style: Style) -> Result<Vec<E164>, String> {
    expand(value, false, style)?.iter().map(|code| prefix(code)).collect()
}

/// Prefixes of a country's cell and its areas' cell; no area is the country whole.
pub(super) fn joined(country: &Value, areas: &Value, style: Style) -> Result<Vec<E164>, String> {
    let countries = expand(country, false, style)?;
    let [country] = countries.as_slice() else {
        return Err(format!("'{country}' is not one country code"));
    };
    let country = country.strip_prefix("00").unwrap_or(country);
    let areas = expand(areas, true, style)?;
    if areas.is_empty() {
        return Ok(vec![prefix(country)?]);
    }
    let join = |area: &String| {
        let area = match (area.strip_prefix('0'), style.area_zero) {
            // Italy's numbers keep their zero.
            (Some(_), Some(AreaZero::Keep)) => area.as_str(),
            (Some(_), None) if country == "39" => area.as_str(),
            (Some(rest), Some(AreaZero::Drop)) => rest,
            (Some(_), None) => return Err(format!("area code '{area}' of {country} starts with 0: if that is the national prefix say so in the mapping file (area_zero: drop or keep)")),
            (None, _) => area.as_str(),
        };
        prefix(&format!("{country}{area}"))
    };
    areas.iter().map(join).collect()
}

fn prefix(code: &str) -> Result<E164, String> {
    let code = code.strip_prefix("00").unwrap_or(code);
    E164::parse(code).map_err(|e| {
        let zero = if code.starts_with('0') { ", without national or international prefix" } else { "" };
        format!("{e}: want the prefix of an E.164 number{zero}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Value {
        Value::Text(t.into())
    }

    fn codes(value: &Value) -> String {
        match whole(value, Style::default()) {
            Ok(codes) => codes.iter().map(|c| c.digits().to_owned()).collect::<Vec<_>>().join(" "),
            Err(e) => e,
        }
    }

    #[test]
    fn r_14_code_cells_are_lists_ranges_and_prefixes() {
        for (cell, want) in [
            ("44", "44"), ("+44", "44"), ("0044", "44"), ("38,39", "38 39"), ("38; 39/40", "38 39 40"), ("5510-5512", "5510 5511 5512"), ("5510-12", "5510 5511 5512"), ("1-242", "1242"),
            ("4420,4478-4479", "4420 4478 4479"), ("998-999", "998 999"), ("'0031", "31"), ("44.0", "44"), ("+44 20", "4420"), ("31\n32", "31 32"), ("509 – 510", "509 510"),
        ] {
            assert_eq!(codes(&text(cell)), want, "{cell}");
        }
        assert_eq!(codes(&Value::Number(8801f64.to_bits())), "8801");
    }

    #[test]
    fn r_14_what_a_spreadsheet_has_done_to_a_code_is_refused_with_the_mend() {
        for (cell, part) in [
            (text("4.4791E+11"), "rounded this code"), (text("44 20"), "spaces: join or list"), (text("5512-5510"), "backwards"), (text("044"), "starts with 0"), (text("abc"), "not a code"),
            (text("100000-999999"), "more than 10000"), (text("1234567890123456"), "more than 15"), (Value::Number(38.39f64.to_bits()), "took for a decimal"), (Value::Error("#REF!".into()), "#REF!"),
            (Value::Date(chrono::NaiveDate::from_ymd_opt(2026, 1, 5).unwrap().and_hms_opt(0, 0, 0).unwrap()), "date 2026-01-05"),
        ] {
            assert!(codes(&cell).contains(part), "{cell:?}: {}", codes(&cell));
        }
    }

    #[test]
    fn r_14_country_and_area_codes_are_joined() {
        let join = |c: &str, a: &str, style| joined(&text(c), &if a.is_empty() { Value::Empty } else { text(a) }, style).map(|all| all.iter().map(|c| c.digits().to_owned()).collect::<Vec<_>>().join(" "));
        let none = Style::default();
        assert_eq!(join("44", "", none), Ok("44".to_owned()));
        assert_eq!(join("+44", "20,7911-7913", none), Ok("4420 447911 447912 447913".to_owned()));
        assert_eq!(join("33", "6 7", none), Ok("336 337".to_owned()));
        assert_eq!(join("39", "06", none), Ok("3906".to_owned()));
        assert!(join("44", "020", none).is_err_and(|e| e.contains("area_zero")));
        assert_eq!(join("44", "020", Style { area_zero: Some(AreaZero::Drop), ..none }), Ok("4420".to_owned()));
        assert!(join("44,45", "1", none).is_err());
    }
}

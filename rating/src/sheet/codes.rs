//! Code cells: lists, ranges, and what spreadsheets do to digits.

use tollgate_schemas::number::E164;

use super::{cell::Value, mapping::{AreaZero, Commas, Spaces}};
use crate::import::country;

/// Codes one cell may stand for.
pub(super) const MAX_CODES: usize = 10_000;

/// How digits are written in this sheet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    pub spaces: Option<Spaces>,
    pub area_zero: Option<AreaZero>,
    pub commas: Option<Commas>,
}

/// Digits of every code of a cell, country codes and international prefixes as written. Blank cells give none. `areas`: of a column
/// of area codes, where lists are the rule.
fn expand(value: &Value, areas: bool, style: Style) -> Result<Vec<String>, String> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let mut text = value.digits_or_text()?;
    if grouped(&text) {
        match style.commas {
            Some(Commas::List) => {}
            Some(Commas::Join) => text.retain(|c| c.is_ascii_digit()),
            None if is_list(&text, areas) => {}
            None => return Err(format!("'{text}' is a list of codes, or one that a spreadsheet has parted by thousands: say which in the mapping file (commas: list or join)")),
        }
    }
    let parts: Vec<&str> = text.split([',', ';', '/', '|', '\n', '\r', '&']).map(str::trim).filter(|p| !p.is_empty()).collect();
    let head = if areas { None } else { shared_country(&text, &parts)? };
    let mut out = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let whole;
        let part = match head {
            Some(head) if at > 0 => {
                whole = format!("{head}{part}");
                whole.as_str()
            }
            _ => part,
        };
        for one in by_space(part, areas, style)? {
            range(&one, areas, &mut out)?;
            if out.len() > MAX_CODES {
                return Err(format!("more than {MAX_CODES} codes in one cell: split it, or give a shorter prefix"));
            }
        }
    }
    if out.is_empty() { Err(format!("'{text}' is not a code: want digits")) } else { Ok(out) }
}

/// `1,868`: digits in threes, as a spreadsheet parts thousands.
pub(super) fn grouped(text: &str) -> bool {
    let mut groups = text.split(',').map(str::trim);
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().is_some_and(|g| (1..=3).contains(&g.len()) && digits(g) && !g.starts_with('0'));
    let mut rest = groups.peekable();
    first && rest.peek().is_some() && rest.all(|g| g.len() == 3 && digits(g))
}

/// Codes of one country of which none is the beginning of another, or areas of one length: nobody parts a number like that.
fn is_list(text: &str, areas: bool) -> bool {
    let codes: Vec<&str> = text.split(',').map(str::trim).collect();
    let country = |code: &str| if code.starts_with('1') { "1".to_owned() } else { country::of_digits(code) };
    let apart = || codes.iter().enumerate().all(|(at, a)| codes.iter().enumerate().all(|(other, b)| at == other || !a.starts_with(b)));
    if areas { codes.iter().all(|c| c.len() == 3) } else { codes.iter().all(|c| country(c) == country(codes[0])) && apart() }
}

/// `1-809, 829, 849`: the country's code stands once, before the first area. The mend where it is not sure.
fn shared_country<'t>(text: &str, parts: &[&'t str]) -> Result<Option<&'t str>, String> {
    let Some((first, rest)) = parts.split_first().filter(|(_, rest)| !rest.is_empty()) else { return Ok(None) };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let first = first.trim_start_matches('+');
    let joined = first.split_once(['-', '–', ' ']).map(|(a, b)| (a.trim(), b.trim())).filter(|(a, b)| digits(a) && digits(b) && b.len() > a.len() && country::is_code(a));
    let bare = |len: usize| rest.iter().all(|p| digits(p) && p.len() == len);
    match joined {
        Some(("1", area)) if bare(area.len()) && rest.iter().all(|p| !p.starts_with('1')) => Ok(Some("1")),
        Some((cc, _)) if rest.iter().all(|p| p.trim_start_matches('+').starts_with(cc)) => Ok(None),
        Some((cc, _)) => Err(format!("'{text}' begins with the country's code {cc}, and what follows does not: write each code whole, or country and areas in columns of their own")),
        None if first.len() == 4 && first.starts_with('1') && digits(first) && rest.iter().any(|p| digits(p) && p.len() == 3 && !p.starts_with('1')) => {
            Err(format!("'{text}' is codes of several countries, or area codes of +1 whose 1 stands once: write each code whole"))
        }
        None => Ok(None),
    }
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
fn range(text: &str, areas: bool, out: &mut Vec<String>) -> Result<(), String> {
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
        if areas || !country::is_code(from) {
            return Err(format!("'{text}' is a range whose ends have not as many digits, or one code in parts: write a range with ends of one length, or the code without '-'"));
        }
        out.push(format!("{from}{to}"));
        return Ok(());
    }
    // 5510-12 is short for 5510-5512; 44200-4421 has two whole codes of one country. 44-79 is a range over countries, or UK 79.
    let own = if from.starts_with(['1', '7']) { &from[..1] } else { &from[..from.len().min(2)] };
    if !areas && to.len() < from.len() && 2 * to.len() > from.len() && to.starts_with(own) {
        return Err(format!("the ends of '{text}' are two whole codes, or the second is short for the end of the first: write both with as many digits"));
    }
    if !areas && from != to && from.len() < 3 && to.len() == from.len() && (country::is_code(from) || country::is_code(to)) {
        return Err(format!("'{text}' is a range of countries, or one code in parts: write the countries as a list, or the code without '-'"));
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
            // One country, none of which begins another: a list. The country's code once, before areas of one length.
            ("316,317", "316 317"), ("1-809, 829, 849", "1809 1829 1849"), ("1-809,1-829", "1809 1829"), ("38128,37744,383", "38128 37744 383"), ("447400-403", "447400 447401 447402 447403"), ("12010-12", "12010 12011 12012"),
        ] {
            assert_eq!(codes(&text(cell)), want, "{cell}");
        }
        assert_eq!(codes(&Value::Number(8801f64.to_bits())), "8801");
    }

    #[test]
    fn r_14_what_a_spreadsheet_has_done_to_a_code_is_refused_with_the_mend() {
        for (cell, part) in [
            (text("4.4791E+11"), "rounded this code"), (text("44 20"), "spaces: join or list"), (text("5512-5510"), "backwards"), (text("044"), "starts with 0"), (text("abc"), "not a code"),
            (text("1,868"), "commas: list or join"), (text("44,441"), "commas: list or join"), (text("49,151"), "commas: list or join"), (text("44-7911, 7912"), "write each code whole"), (text("1809, 829"), "whose 1 stands once"),
            (text("44200-4421"), "two whole codes"), (text("99-101"), "ends of one length"), (text("44-79"), "range of countries"),
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
        assert_eq!(join("1", "201,202", none), Ok("1201 1202".to_owned()));
        assert!(join("44", "1,481", none).is_err_and(|e| e.contains("commas")));
        assert_eq!(join("44", "1,481", Style { commas: Some(Commas::Join), ..none }), Ok("441481".to_owned()));
    }
}

//! Codes as North America writes them: an area code and an exchange, without the country's 1 (NANPA, `NPA-NXX`).

use tollgate_schemas::number::E164;

use super::{cell::Value, codes::{Style, grouped}, mapping::Commas};

/// Ranges longer than this are no sheet's.
const MAX_RANGE: u32 = 10_000;

/// Prefixes of a cell of NPA-NXX codes, `201-200` as well as `201200`; each gets the country's 1.
pub(super) fn codes(value: &Value, style: Style) -> Result<Vec<E164>, String> {
    let text = value.digits_or_text()?;
    let mut out = Vec::new();
    for part in list(&text, style)? {
        let tokens: Vec<&str> = part.split(|c: char| !c.is_ascii_digit()).filter(|t| !t.is_empty()).collect();
        if part.chars().any(|c| !c.is_ascii_digit() && !matches!(c, ' ' | '-' | '–' | '(' | ')' | '.' | '/' | '+' | '\'')) {
            return Err(bad(part));
        }
        match tokens.as_slice() {
            [from, to] if from.len() >= 6 && from.len() == to.len() => range(part, from, to, &mut out)?,
            [whole] => out.push(one(part, whole)?),
            ["1", rest @ ..] | rest if rest.iter().map(|t| t.len()).eq([3, 3]) || rest.iter().map(|t| t.len()).eq([3, 3, 1]) || rest.iter().map(|t| t.len()).eq([3, 3, 4]) || rest.iter().map(|t| t.len()).eq([3]) => out.push(one(part, &rest.concat())?),
            _ => return Err(bad(part)),
        }
    }
    Ok(out)
}

/// Prefixes of an area code's cell and its exchanges' cell; no exchange is the area whole.
pub(super) fn joined(npa: &Value, nxx: &Value, style: Style) -> Result<Vec<E164>, String> {
    let areas = codes(npa, style)?;
    let [area] = areas.as_slice() else { return Err(format!("'{npa}' is not one area code")) };
    if area.digits().len() != 4 {
        return Err(format!("'{npa}' is not an area code: want three digits, the exchange stands in its own column"));
    }
    if nxx.is_empty() {
        return Ok(areas);
    }
    let text = nxx.digits_or_text()?;
    let mut out = Vec::new();
    for part in list(&text, style)? {
        let exchange = |text: &str| Some(text.trim()).filter(|t| matches!(t.len(), 3 | 4) && t.bytes().all(|b| b.is_ascii_digit())).map(|t| format!("{}{t}", area.digits()));
        match part.split_once(['-', '–']) {
            Some((from, to)) => match (exchange(from), exchange(to)) {
                (Some(from), Some(to)) if from.len() == to.len() => range(part, &from, &to, &mut out)?,
                _ => return Err(format!("'{part}' is not an exchange: want three digits, or a range 200-209")),
            },
            None => out.push(one(part, &exchange(part).ok_or_else(|| format!("'{part}' is not an exchange: want three digits, or a range 200-209"))?)?),
        }
    }
    Ok(out)
}

fn list<'t>(text: &'t str, style: Style) -> Result<Vec<&'t str>, String> {
    if grouped(text) && style.commas != Some(Commas::List) {
        return Err(format!("'{text}' is a list, or one number that the spreadsheet has parted: say commas: list in the mapping file, or format the column as text"));
    }
    Ok(text.split([',', ';', '|', '\n', '\r', '&']).map(str::trim).filter(|p| !p.is_empty()).collect())
}

fn bad(part: &str) -> String {
    format!("'{part}' is not a North American code: want NPANXX or NPA-NXX, with or without a 1 before it; if the column has codes of other countries say codes: e164 in the mapping file")
}

/// Three digits of an area, with or without more, and the country's 1 where it is missing.
fn one(part: &str, digits: &str) -> Result<E164, String> {
    let rest = if matches!(digits.len(), 1 | 4 | 7 | 8 | 11) { digits.strip_prefix('1').unwrap_or(digits) } else { digits };
    let starts = |at: usize| rest.as_bytes().get(at).is_none_or(|b| (b'2'..=b'9').contains(b));
    let ok = (digits == "1" || matches!(rest.len(), 3 | 6 | 7 | 10)) && rest.bytes().all(|b| b.is_ascii_digit()) && starts(0) && starts(3);
    if ok { E164::parse(&format!("1{rest}")).map_err(|e| e.to_string()) } else { Err(bad(part)) }
}

fn range(part: &str, from: &str, to: &str, out: &mut Vec<E164>) -> Result<(), String> {
    let (Ok(low), Ok(high)) = (from.parse::<u64>(), to.parse::<u64>()) else { return Err(bad(part)) };
    if low > high {
        return Err(format!("the range '{part}' runs backwards"));
    }
    if high - low >= u64::from(MAX_RANGE) {
        return Err(format!("the range '{part}' has more than {MAX_RANGE} codes: give area codes"));
    }
    for n in low..=high {
        out.push(one(part, &n.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_npa_nxx_codes_get_the_countrys_1() {
        let of = |text: &str| codes(&Value::Text(text.into()), Style::default()).map(|all| all.iter().map(|c| c.digits().to_owned()).collect::<Vec<_>>().join(" "));
        for (text, want) in [
            ("201200", "1201200"), ("201-200", "1201200"), ("201 200", "1201200"), ("(201) 200", "1201200"), ("201/200", "1201200"), ("1201200", "1201200"), ("1-201-200", "1201200"), ("2012001", "12012001"), ("201-200-1", "12012001"),
            ("201", "1201"), ("1201", "1201"), ("201200;201201", "1201200 1201201"), ("201200-201202", "1201200 1201201 1201202"), ("1", "1"), ("2012005555", "12012005555"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(want), "{text}");
        }
        for (text, part) in [("44", "not a North American"), ("101200", "not a North American"), ("201100", "not a North American"), ("201200-299", "not a North American"), ("201,200", "commas: list"), ("201202-201200", "backwards"), ("52555", "codes: e164")] {
            assert!(of(text).is_err_and(|e| e.contains(part)), "{text}");
        }
        let joined = |a: &str, b: &str| joined(&Value::Text(a.into()), &if b.is_empty() { Value::Empty } else { Value::Text(b.into()) }, Style::default()).map(|all| all.iter().map(|c| c.digits().to_owned()).collect::<Vec<_>>().join(" "));
        assert_eq!(joined("201", "200-202").as_deref(), Ok("1201200 1201201 1201202"));
        assert_eq!(joined("201", "").as_deref(), Ok("1201"));
        assert!(joined("201200", "200").is_err() && joined("201", "100").is_err() && joined("201", "20").is_err());
        assert_eq!(codes(&Value::Number(201_200f64.to_bits()), Style::default()).map(|c| c[0].digits().to_owned()).as_deref(), Ok("1201200"));
    }
}

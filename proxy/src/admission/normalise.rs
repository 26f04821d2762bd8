//! Dialled strings → E.164, by the trunk's number plan (R-01, S1-05). Every reading that the plan allows is made; a
//! number comes out only when all that could exist agree. What cannot be read is refused by the name of the rule,
//! and nothing is guessed.

use arrayvec::ArrayVec;
use tollgate_schemas::{control::NumberPlan, number::E164};

use super::classify::{CallerValidity, MAX_DIGITS, MIN_DIGITS, Tables};

/// Longest dialled string that is read; a number has 15 digits and separators, the rest is abuse.
const MAX_DIALLED: usize = 64;
/// Digits kept of one reading.
const MAX_READ: usize = 24;

/// Names of the rules applied, in order.
pub type Rules = ArrayVec<&'static str, 6>;

/// A number, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    pub number: E164,
    pub rules: Rules,
    /// Whether the number can exist: an assigned country code, a possible length, and the plan's own bounds for the
    /// plan's own country.
    pub valid: bool,
}

/// The rule that failed, as `norm.too_short`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct NormError {
    pub rule: &'static str,
}

const fn fail<T>(rule: &'static str) -> Result<T, NormError> {
    Err(NormError { rule })
}

/// A dialled string without escapes, separators and parameters: digits, `*`, `#`, and a `+` in front or not.
#[derive(Debug, Clone)]
pub struct Dialled {
    text: arrayvec::ArrayString<MAX_DIALLED>,
    /// Country code of a global `phone-context` (RFC 3966 §5.1.5).
    context: Option<arrayvec::ArrayString<MAX_DIGITS>>,
    rules: Rules,
}

impl Dialled {
    /// Takes the user part of a URI apart: percent escapes (RFC 3261 §19.1.2), `;` parameters, visual separators.
    pub fn read(raw: &str) -> Result<Dialled, NormError> {
        let (number, params) = match raw.split_once(';') {
            Some((number, params)) => (number, Some(params)),
            None => (raw, None),
        };
        let mut out = Dialled { text: arrayvec::ArrayString::new(), context: None, rules: Rules::new() };
        if let Some(params) = params {
            out.rules.push("params");
            out.read_context(params)?;
        }
        let (mut escaped, mut separated) = (false, false);
        let mut bytes = number.bytes();
        while let Some(b) = bytes.next() {
            let b = if b == b'%' {
                escaped = true;
                match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                    (Some(high), Some(low)) => high << 4 | low,
                    _ => return fail("norm.bad_escape"),
                }
            } else {
                b
            };
            match b {
                b'0'..=b'9' | b'*' | b'#' => {}
                b'+' if out.text.is_empty() => {}
                // RFC 3966 §5.1.1, and the blank people paste.
                b'-' | b'.' | b'(' | b')' | b' ' => {
                    separated = true;
                    continue;
                }
                _ => return fail("norm.not_digits"),
            }
            if out.text.try_push(char::from(b)).is_err() {
                return fail("norm.too_long");
            }
        }
        if escaped {
            out.rules.push("unescape");
        }
        if separated {
            out.rules.push("separators");
        }
        if out.text.is_empty() || out.text.as_str() == "+" { fail("norm.empty") } else { Ok(out) }
    }

    /// What was dialled, as emergency strings are compared: the whole of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn read_context(&mut self, params: &str) -> Result<(), NormError> {
        for param in params.split(';') {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            if !name.eq_ignore_ascii_case("phone-context") {
                continue;
            }
            // A domain as context says whose plan the number is in: the trunk's, as for every number without one.
            let Some(global) = value.strip_prefix('+') else { continue };
            let mut digits = arrayvec::ArrayString::new();
            for c in global.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')) {
                if !c.is_ascii_digit() || digits.try_push(c).is_err() {
                    return fail("norm.phone_context");
                }
            }
            self.context = Some(digits);
        }
        Ok(())
    }
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|d| d as u8)
}

/// [`Dialled::read`] and [`resolve`] in one.
pub fn normalise(tables: &Tables, plan: &NumberPlan, dialled: &str) -> Result<Normalised, NormError> {
    resolve(tables, plan, &Dialled::read(dialled)?)
}

/// A reading of a dialled string: the number it would be.
struct Reading {
    /// At most so many that it shows when they are too many.
    digits: arrayvec::ArrayString<MAX_READ>,
    rule: &'static str,
    /// The number can exist.
    valid: bool,
    /// The plan names the form outright, so that an impossible number is still what was dialled.
    explicit: bool,
}

/// Makes the number. Of the plan's readings, those that can exist must agree; when none can exist, an outright
/// international form is kept as it is, marked not valid.
pub fn resolve(tables: &Tables, plan: &NumberPlan, dialled: &Dialled) -> Result<Normalised, NormError> {
    let text = dialled.text.as_str();
    if text.contains(['*', '#']) {
        return fail("norm.not_digits");
    }
    if let Some(context) = &dialled.context
        && !text.starts_with('+')
        && (plan.country_code.is_empty() || context.as_str() != plan.country_code)
    {
        return fail("norm.phone_context");
    }
    let readings = readings(tables, plan, text, dialled.context.is_some());
    let mut chosen: Option<&Reading> = None;
    for reading in readings.iter().filter(|r| r.valid) {
        match chosen {
            Some(other) if other.digits != reading.digits => return fail("norm.ambiguous"),
            Some(_) => {}
            None => chosen = Some(reading),
        }
    }
    let Some(reading) = chosen.or_else(|| readings.iter().find(|r| r.explicit)) else {
        return fail(why_none(plan, text, &readings));
    };
    if reading.digits.starts_with('0') {
        return fail("norm.leading_zero");
    }
    if reading.digits.len() > MAX_DIGITS {
        return fail("norm.too_long");
    }
    if reading.digits.len() < MIN_DIGITS {
        return fail("norm.too_short");
    }
    let Ok(number) = E164::parse(&reading.digits) else { return fail("norm.not_digits") };
    let mut rules = dialled.rules.clone();
    rules.push(reading.rule);
    Ok(Normalised { number, rules, valid: reading.valid })
}

/// Every reading the plan allows, the most outright first.
/// `in_context`: a `phone-context` says that the number is one of the plan's country.
fn readings(tables: &Tables, plan: &NumberPlan, text: &str, in_context: bool) -> ArrayVec<Reading, 5> {
    let mut out = ArrayVec::new();
    let mut add = |country: &str, rest: &str, rule, explicit| {
        let mut digits = arrayvec::ArrayString::<MAX_READ>::new();
        for part in [country, rest] {
            // ASCII digits: any cut is between characters. What does not fit is longer than any number.
            let fits = part.len().min(MAX_READ - digits.len());
            digits.push_str(&part[..fits]);
        }
        let valid = can_exist(tables, plan, &digits);
        out.push(Reading { digits, rule, valid, explicit });
    };
    if let Some(rest) = text.strip_prefix('+') {
        add("", rest, "plus", true);
        return out;
    }
    let international = plan.international_prefixes.iter().filter(|p| !p.is_empty() && text.starts_with(p.as_str())).max_by_key(|p| p.len());
    if let Some(prefix) = international {
        add("", &text[prefix.len()..], "international_prefix", true);
    }
    if !plan.country_code.is_empty() {
        let prefixed = if plan.national_prefix.is_empty() { None } else { text.strip_prefix(plan.national_prefix.as_str()) };
        match prefixed {
            // A number that starts with the prefix once more is not national: 0044 is not 0 and 044.
            Some(rest) if !rest.starts_with(plan.national_prefix.as_str()) => add(&plan.country_code, rest, "national_prefix", false),
            None if in_context => add(&plan.country_code, text, "phone_context", false),
            None if plan.national_prefix.is_empty() && !plan.bare_is_e164 => add(&plan.country_code, text, "national", false),
            _ => {}
        }
        if text.starts_with(plan.country_code.as_str()) {
            add("", text, "own_country", false);
        }
    }
    // E.164 has no leading zero; a string with a prefix of the plan's is not bare.
    if plan.bare_is_e164 && international.is_none() && !in_context && !text.starts_with('0') {
        add("", text, "bare_e164", true);
    }
    out
}

/// Whether a number can exist, with the plan's own bounds for its own country.
fn can_exist(tables: &Tables, plan: &NumberPlan, digits: &str) -> bool {
    tables.can_exist(digits) && bounds(tables, plan, digits).contains(&digits.len())
}

/// Lengths, country code included, that a number starting like this may have.
fn bounds(tables: &Tables, plan: &NumberPlan, digits: &str) -> std::ops::RangeInclusive<usize> {
    let country = tables.country_digits(digits).unwrap_or(0);
    if country > 0 && digits[..country] == plan.country_code {
        let own = country + usize::from(plan.national_min)..=country + usize::from(plan.national_max);
        return *own.start().max(&MIN_DIGITS)..=*own.end().min(&MAX_DIGITS);
    }
    tables.lengths(digits)
}

/// Why no reading can exist: too short, too long, or not a form of the plan's.
fn why_none(plan: &NumberPlan, text: &str, readings: &[Reading]) -> &'static str {
    let min = plan.country_code.len() + usize::from(plan.national_min);
    let max = plan.country_code.len() + usize::from(plan.national_max);
    if readings.is_empty() {
        return match text.len() {
            n if n < usize::from(plan.national_min).max(MIN_DIGITS) => "norm.too_short",
            n if n > MAX_DIGITS => "norm.too_long",
            _ => "norm.no_form",
        };
    }
    if readings.iter().all(|r| r.digits.len() < min) {
        "norm.too_short"
    } else if readings.iter().all(|r| r.digits.len() > max) {
        "norm.too_long"
    } else {
        "norm.not_in_plan"
    }
}

/// The caller's number: its validity, and the number when it is valid.
pub fn caller(tables: &Tables, plan: &NumberPlan, user: Option<&str>) -> (CallerValidity, Option<E164>) {
    let Some(raw) = user.filter(|u| !u.is_empty()) else { return (CallerValidity::Missing, None) };
    let dialled = match Dialled::read(raw) {
        Ok(dialled) => dialled,
        Err(NormError { rule: "norm.too_long" }) => return (CallerValidity::Long, None),
        // A name or `anonymous` is no number.
        Err(_) => return (CallerValidity::Missing, None),
    };
    let digits = dialled.text().bytes().filter(u8::is_ascii_digit).count();
    if digits < 5 {
        return (CallerValidity::Short, None);
    }
    match resolve(tables, plan, &dialled) {
        Ok(n) if tables.country_digits(n.number.digits()).is_none() => (CallerValidity::BadCountry, None),
        Ok(n) if n.valid => (CallerValidity::Valid, Some(n.number)),
        Ok(n) => {
            let (len, bounds) = (n.number.digits().len(), bounds(tables, plan, n.number.digits()));
            // Of the right length and yet impossible: the area does not exist.
            (if len < *bounds.start() { CallerValidity::Short } else if len > *bounds.end() { CallerValidity::Long } else { CallerValidity::BadCountry }, None)
        }
        Err(NormError { rule: "norm.too_short" }) => (CallerValidity::Short, None),
        Err(NormError { rule: "norm.too_long" }) => (CallerValidity::Long, None),
        Err(_) => (CallerValidity::BadCountry, None),
    }
}

#[cfg(test)]
mod tests;

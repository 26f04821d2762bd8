//! What a number is: country code, coarse type, risk, and whether it can exist. The tables are data
//! beside this file: `country_codes.tsv` (E.164's assigned codes), `number_types.tsv` (coarse, where the numbering
//! plan says so publicly) and `high_risk.tsv` (ranges commonly abused for revenue share, with why).

use tollgate_schemas::number::E164;
pub use tollgate_schemas::parties::CallerValidity;

use super::prefixes::PrefixMap;

const COUNTRY_CODES: &str = include_str!("classify/country_codes.tsv");
const NUMBER_TYPES: &str = include_str!("classify/number_types.tsv");
const HIGH_RISK: &str = include_str!("classify/high_risk.tsv");

/// Shortest number with its country code that any plan holds (Niue, Saint Helena), and E.164's longest.
pub const MIN_DIGITS: usize = 7;
pub const MAX_DIGITS: usize = 15;

/// `b_number_type` (C-033), as coarse as the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberType {
    Fixed,
    Mobile,
    Special,
    Premium,
    TollFree,
    Satellite,
    Unknown,
}

impl NumberType {
    pub fn name(self) -> &'static str {
        match self {
            NumberType::Fixed => "fixed",
            NumberType::Mobile => "mobile",
            NumberType::Special => "special",
            NumberType::Premium => "premium",
            NumberType::TollFree => "tollfree",
            NumberType::Satellite => "satellite",
            NumberType::Unknown => "unknown",
        }
    }

    fn from_name(name: &str) -> Option<NumberType> {
        use NumberType::{Fixed, Mobile, Premium, Satellite, Special, TollFree, Unknown};
        [Fixed, Mobile, Special, Premium, TollFree, Satellite, Unknown].into_iter().find(|t| t.name() == name)
    }
}

/// What the tables say of a called number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Digits of the country code; 0 = no assigned code starts the number.
    pub country_digits: u8,
    pub kind: NumberType,
    /// On the risk list, or satellite.
    pub high_risk: bool,
}

impl Class {
    /// The country calling code; empty when unknown.
    pub fn country<'a>(&self, number: &'a E164) -> &'a str {
        &number.digits()[..usize::from(self.country_digits)]
    }
}

/// The built-in tables and what the operator added to them. Compiled with the policy.
#[derive(Debug, Clone)]
pub struct Tables {
    countries: PrefixMap<()>,
    types: PrefixMap<NumberType>,
    risks: PrefixMap<()>,
}

impl Tables {
    pub fn builtin() -> Tables {
        let mut tables = Tables { countries: PrefixMap::default(), types: PrefixMap::default(), risks: PrefixMap::default() };
        for row in rows(COUNTRY_CODES) {
            tables.countries.put(row[0], ());
        }
        for row in rows(NUMBER_TYPES) {
            if let Some(kind) = row.get(1).and_then(|name| NumberType::from_name(name)) {
                tables.types.put(row[0], kind);
            }
        }
        for row in rows(HIGH_RISK) {
            tables.risks.put(row[0], ());
        }
        tables
    }

    /// Adds an operator's own high-risk prefix (digits); false when it is not one.
    pub fn add_risk(&mut self, prefix: &str) -> bool {
        self.risks.put(prefix, ())
    }

    /// Length of the assigned country code that starts these digits.
    pub fn country_digits(&self, digits: &str) -> Option<usize> {
        self.countries.longest(digits).map(|(len, ())| len)
    }

    pub fn class(&self, number: &E164) -> Class {
        let digits = number.digits();
        let kind = self.types.longest(digits).map_or(NumberType::Unknown, |(_, kind)| kind);
        Class {
            country_digits: self.country_digits(digits).unwrap_or(0) as u8,
            kind,
            high_risk: kind == NumberType::Satellite || self.risks.longest(digits).is_some(),
        }
    }

    /// Lengths, country code included, that numbers starting like this may have: +1 and +7, which many countries
    /// share, have ten digits behind the code.
    pub fn lengths(&self, digits: &str) -> std::ops::RangeInclusive<usize> {
        match digits.as_bytes().first() {
            Some(b'1' | b'7') => 11..=11,
            _ => MIN_DIGITS..=MAX_DIGITS,
        }
    }

    /// Whether a number can exist, as far as is known of every country: an assigned code, a possible length, and in
    /// +1 an area and an exchange that do not start with 0 or 1.
    pub fn can_exist(&self, digits: &str) -> bool {
        let b = digits.as_bytes();
        self.country_digits(digits).is_some()
            && self.lengths(digits).contains(&b.len())
            && (b[0] != b'1' || b[1] > b'1' && b[4] > b'1')
    }
}

/// Rows of a table without its heading. Tests check that every row is one.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()).filter(|row| !row[0].is_empty())
}

#[cfg(test)]
mod tests;

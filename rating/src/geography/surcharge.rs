//! Surcharges by origin: tables of {origin group, destination, per minute, per call, dates, legs}. Of one table at
//! most one row applies to a call: the one whose destination is named most narrowly, then whose origin is. Tables add up.
//! A per-minute part belongs to the usage line, a per-call part is a line of its own, once per answered call.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_schemas::{
    control,
    money::{BadDecimal, RATE_PLACES, parse_scaled},
    v1::{Fee, FeeOn, Surcharge, Terms},
};

use super::origin::{Origin, OriginGroups, date};
use crate::deck::RowRef;

/// Which of a call's legs a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    Sell,
    Cost,
}

/// A row that cannot be, with its place in the document.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadSurcharge {
    #[error("rows[{at}].{field}: there is no origin group '{group}'")]
    Group { at: usize, field: &'static str, group: String },
    #[error("rows[{at}].{field}: {problem}")]
    Price { at: usize, field: &'static str, problem: BadDecimal },
    #[error("rows[{at}].{field}: below 0")]
    Negative { at: usize, field: &'static str },
    #[error("rows[{at}].{field}: '{text}' is not a date: want YYYY-MM-DD")]
    Date { at: usize, field: &'static str, text: String },
    #[error("rows[{at}]: until is not after from")]
    Empty { at: usize },
    #[error("rows[{at}].legs: '{leg}' is no leg: want sell or cost")]
    Leg { at: usize, leg: String },
    #[error("rows[{at}].prefixes: '{prefix}' is not a prefix: want 1 to 15 digits")]
    Prefix { at: usize, prefix: String },
    #[error("currency: '{0}' is not a currency: want three letters, as USD")]
    Currency(String),
    #[error("rows: none")]
    NoRows,
}

#[derive(Debug, Clone)]
struct Row {
    /// None = every caller.
    origin: Option<u16>,
    /// A group of called numbers.
    dest_group: Option<u16>,
    prefixes: Vec<String>,
    destinations: Vec<String>,
    per_minute_e12: i64,
    per_call_e12: i64,
    from_us: i64,
    until_us: i64,
    sell: bool,
    cost: bool,
}

#[derive(Debug, Clone)]
struct Table {
    name: String,
    currency: String,
    /// Empty = every deck in the currency.
    decks: Vec<String>,
    rows: Vec<Row>,
}

/// All surcharge tables, immutable.
#[derive(Debug, Clone, Default)]
pub struct Surcharges {
    tables: Vec<Table>,
}

/// What surcharges add to one leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adders {
    pub surcharges: Vec<Surcharge>,
    pub fees: Vec<Fee>,
}

impl Adders {
    /// Puts them into a leg's terms.
    pub fn add_to(self, terms: &mut Terms) {
        terms.surcharges.extend(self.surcharges);
        terms.fees.extend(self.fees);
    }
}

impl Surcharges {
    /// Checks and compiles the documents, or gives every mistake by the document's name.
    pub fn compile(documents: &BTreeMap<String, control::Surcharge>, groups: &OriginGroups) -> Result<Surcharges, Vec<(String, BadSurcharge)>> {
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        for (name, document) in documents {
            let mut wrong = |bad| problems.push((name.clone(), bad));
            if document.currency.len() != 3 || !document.currency.bytes().all(|b| b.is_ascii_uppercase()) {
                wrong(BadSurcharge::Currency(document.currency.clone()));
            }
            if document.rows.is_empty() {
                wrong(BadSurcharge::NoRows);
            }
            let rows = document.rows.iter().enumerate().map(|(at, row)| compile_row(at, row, groups, &mut wrong)).collect();
            tables.push(Table { name: name.clone(), currency: document.currency.clone(), decks: document.decks.clone(), rows });
        }
        if problems.is_empty() { Ok(Surcharges { tables }) } else { Err(problems) }
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// When any row comes into force or goes out of it.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> + '_ {
        self.tables.iter().flat_map(|t| &t.rows).flat_map(|r| [r.from_us, r.until_us])
    }

    /// What is added to a leg priced by this deck. `origin`: the caller's groups, `to`: the called number's.
    pub fn adders(&self, leg: Leg, call: &Call<'_>) -> Adders {
        let mut out = Adders::default();
        for table in &self.tables {
            if table.currency != call.currency || !(table.decks.is_empty() || table.decks.iter().any(|d| d == call.deck)) {
                continue;
            }
            let narrowest = table.rows.iter().filter_map(|row| Some((row.narrowness(leg, call)?, row))).max_by_key(|(narrow, _)| *narrow);
            let Some((_, row)) = narrowest else { continue };
            if row.per_minute_e12 != 0 {
                out.surcharges.push(Surcharge { name: table.name.clone(), per_minute_e12: row.per_minute_e12 });
            }
            if row.per_call_e12 != 0 {
                out.fees.push(Fee { name: table.name.clone(), amount_e12: row.per_call_e12, on: FeeOn::Answer.into() });
            }
        }
        out
    }

    /// The per-minute parts alone, summed, for comparing carriers; nothing is allocated.
    pub fn per_minute_e12(&self, leg: Leg, call: &Call<'_>) -> i64 {
        let applies = |t: &&Table| t.currency == call.currency && (t.decks.is_empty() || t.decks.iter().any(|d| d == call.deck));
        self.tables
            .iter()
            .filter(applies)
            .filter_map(|t| t.rows.iter().filter_map(|row| Some((row.narrowness(leg, call)?, row))).max_by_key(|(narrow, _)| *narrow))
            .map(|(_, row)| row.per_minute_e12)
            .fold(0, i64::saturating_add)
    }
}

/// A call's leg as surcharges see it.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub deck: &'a str,
    pub currency: &'a str,
    /// Destination group of the deck's row.
    pub destination: &'a str,
    /// E.164 digits of the called number.
    pub number: &'a str,
    pub origin: &'a Origin,
    /// Origin groups the called number would be of.
    pub to: &'a Origin,
    pub at_us: i64,
}

/// What comparing carriers needs to count surcharges in.
#[derive(Debug, Clone, Copy)]
pub struct Surcharged<'a> {
    pub surcharges: &'a Surcharges,
    pub origin: &'a Origin,
    pub to: &'a Origin,
    /// E.164 digits of the called number.
    pub number: &'a str,
    pub at_us: i64,
}

impl Surcharged<'_> {
    /// What a minute of the row costs more, 1e-12.
    pub fn per_minute_e12(&self, row: &RowRef<'_>) -> i64 {
        let deck = row.deck();
        let call = Call {
            deck: deck.name(),
            currency: deck.currency(),
            destination: row.destination(),
            number: self.number,
            origin: self.origin,
            to: self.to,
            at_us: self.at_us,
        };
        self.surcharges.per_minute_e12(Leg::Cost, &call)
    }
}

impl Row {
    /// How narrowly the row fits: destination first, then origin; None = it does not.
    fn narrowness(&self, leg: Leg, call: &Call<'_>) -> Option<(u16, u16)> {
        let for_leg = match leg {
            Leg::Sell => self.sell,
            Leg::Cost => self.cost,
        };
        if !for_leg || call.at_us < self.from_us || call.at_us >= self.until_us {
            return None;
        }
        // A member by prefix is narrower than a complement, that narrower than everybody.
        let origin = match self.origin {
            None => 0,
            Some(group) => u16::from(call.origin.has(group)?) + 1,
        };
        let named = !self.prefixes.is_empty() || !self.destinations.is_empty() || self.dest_group.is_some();
        if !named {
            return Some((0, origin));
        }
        let by_prefix = self.prefixes.iter().filter(|p| call.number.starts_with(p.as_str())).map(|p| p.len() as u16 + 1).max();
        // A deck's own destination group is as narrow as it gets.
        let by_destination = self.destinations.iter().any(|d| d == call.destination).then_some(u16::MAX);
        let by_group = self.dest_group.and_then(|g| call.to.has(g)).map(|len| u16::from(len) + 1);
        Some(([by_prefix, by_destination, by_group].into_iter().flatten().max()?, origin))
    }
}

fn compile_row(at: usize, row: &control::SurchargeRow, groups: &OriginGroups, wrong: &mut dyn FnMut(BadSurcharge)) -> Row {
    let mut group = |field, name: &Option<String>| {
        let name = name.as_ref()?;
        let found = groups.position(name);
        if found.is_none() {
            wrong(BadSurcharge::Group { at, field, group: name.clone() });
        }
        found
    };
    let (origin, dest_group) = (group("origin_group", &row.origin_group), group("dest_group", &row.dest_group));
    let mut price = |field, text: &str| match parse_scaled(text, RATE_PLACES) {
        Ok(price) if price < 0 => {
            wrong(BadSurcharge::Negative { at, field });
            0
        }
        Ok(price) => price,
        Err(problem) => {
            wrong(BadSurcharge::Price { at, field, problem });
            0
        }
    };
    let (per_minute_e12, per_call_e12) = (price("per_minute", &row.per_minute), price("per_call", &row.per_call));
    let mut day = |field, text: &Option<String>, without| match text.as_deref() {
        None => without,
        Some(text) => date(text).unwrap_or_else(|| {
            wrong(BadSurcharge::Date { at, field, text: text.to_owned() });
            without
        }),
    };
    let (from_us, until_us) = (day("from", &row.from, i64::MIN), day("until", &row.until, i64::MAX));
    if until_us <= from_us {
        wrong(BadSurcharge::Empty { at });
    }
    for leg in row.legs.iter().filter(|l| !matches!(l.as_str(), "sell" | "cost")) {
        wrong(BadSurcharge::Leg { at, leg: leg.clone() });
    }
    let prefixes: Vec<String> = row.prefixes.iter().map(|p| p.strip_prefix('+').unwrap_or(p).to_owned()).collect();
    for prefix in prefixes.iter().filter(|p| p.is_empty() || p.len() > 15 || !p.bytes().all(|b| b.is_ascii_digit())) {
        wrong(BadSurcharge::Prefix { at, prefix: prefix.clone() });
    }
    let of = |leg: &str| row.legs.is_empty() || row.legs.iter().any(|l| l == leg);
    Row {
        origin,
        dest_group,
        prefixes,
        destinations: row.destinations.clone(),
        per_minute_e12,
        per_call_e12,
        from_us,
        until_us,
        sell: of("sell"),
        cost: of("cost"),
    }
}

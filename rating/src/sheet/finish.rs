//! The file has been seen whole: what its signs mean is decided, then every row is read.

mod cells;
mod increments;
mod joined;
mod whole;

use std::{collections::{BTreeMap, HashMap}, sync::Arc};

use foldhash::fast::FixedState;
use tollgate_schemas::number::E164;

use super::{
    Canonical, Column, DateOrder, DecimalSign, Mapping, Remark, SheetProblems,
    cell::Value,
    codes, dates,
    numbers::{self, Price},
    reader::{Raw, SheetReader, SheetState, header_text},
    units::PRICES,
};
use crate::{
    deck::JurisdictionRates,
    import::{Action, ImportRow, Shared, Start},
};

/// Codes one file may come to, lists and ranges expanded.
const MAX_CODES: usize = 5_000_000;
const MAX_DESTINATION: usize = 128;
const MAX_LABEL: usize = 64;

const DATES: [Column; 2] = [Column::EffectiveFrom, Column::EffectiveTo];

type Memo<T> = HashMap<u32, Result<T, String>, FixedState>;

/// What rows share while they are read.
struct Reading<'a> {
    sheets: &'a [SheetState],
    values: &'a [Value],
    mapping: &'a Mapping,
    zone: chrono_tz::Tz,
    epoch_1904: bool,
    decimal: Option<DecimalSign>,
    order: Option<DateOrder>,
    style: codes::Style,
    prices: Memo<Option<Price>>,
    dates: Memo<Option<Start>>,
    /// Of ends that count through the day.
    ends: Memo<Option<Start>>,
    seconds: Memo<(u32, u32)>,
    shared: Shared,
    problems: SheetProblems,
    /// Things worth a look: how often, and where first.
    notes: BTreeMap<String, (u64, Remark)>,
    currency: Option<(String, String)>,
    default_start: Option<Result<Start, String>>,
    default_increments: Option<(u32, u32)>,
    default_currency: Option<String>,
    /// Codes by destination, of a sheet of their own.
    joined: Option<joined::Joined>,
}

pub(super) fn finish(mut reader: SheetReader, values: &[Value]) -> Result<Canonical, SheetProblems> {
    let decimal = reader.mapping.decimal.or_else(|| majority(&reader.rows, values, &PRICES, numbers::evidence, [DecimalSign::Point, DecimalSign::Comma]));
    let order = reader.mapping.dates.or_else(|| majority(&reader.rows, values, &DATES, dates::evidence, [DateOrder::Dmy, DateOrder::Mdy]));
    (reader.explained.decimal, reader.explained.dates) = (decimal, order);
    let mut reading = Reading {
        sheets: &reader.sheets,
        values,
        mapping: &reader.mapping,
        zone: reader.zone,
        epoch_1904: reader.epoch_1904,
        decimal,
        order,
        style: codes::Style { spaces: reader.mapping.spaces, area_zero: reader.mapping.area_zero, commas: reader.mapping.commas },
        prices: Memo::default(),
        dates: Memo::default(),
        ends: Memo::default(),
        seconds: Memo::default(),
        shared: Shared::default(),
        problems: std::mem::take(&mut reader.problems),
        notes: BTreeMap::new(),
        currency: None,
        default_start: None,
        default_increments: None,
        default_currency: None,
        joined: None,
    };
    reading.defaults();
    if reading.mapping.codes_sheet.is_some() {
        reading.take_codes(&reader.code_rows);
    }
    let mut rows: Vec<ImportRow> = Vec::with_capacity(reader.rows.len());
    for raw in &reader.rows {
        reading.row(raw, &mut rows);
        if rows.len() > MAX_CODES {
            let text = format!("the rows come to more than {MAX_CODES} codes: split the file");
            reading.problem(raw, None, text);
            break;
        }
    }
    reading.without_rates();
    reading.duplicates(&mut rows);
    let Reading { mut problems, notes, currency, .. } = reading;
    if problems.total() > 0 {
        // Codes come sheet by sheet, rows in order; what the file as a whole lacks comes first.
        let sheet_at = |name: &str| reader.sheets.iter().position(|s| s.name == name);
        problems.problems.sort_by_key(|p| (sheet_at(&p.sheet), p.row, p.column.len(), p.column.clone()));
        return Err(problems);
    }
    let mut warnings = reader.warnings;
    warnings.extend(notes.into_iter().map(|(text, (count, place))| {
        let text = if count == 1 { text } else { format!("{text} ({count} cells, first here)") };
        Remark { text, ..place }
    }));
    let currency = currency.map(|(code, _)| code);
    reader.explained.currency.clone_from(&currency);
    Ok(Canonical { rows, currency, explained: reader.explained, warnings })
}

/// What most rows say; the others are then told one by one.
fn majority<T: Copy + PartialEq>(rows: &[Raw], values: &[Value], columns: &[Column], of: impl Fn(&Value) -> Option<T>, kinds: [T; 2]) -> Option<T> {
    let mut seen: HashMap<u32, Option<T>, FixedState> = HashMap::default();
    let mut counts = [0u64; 2];
    for raw in rows {
        for column in columns {
            let id = raw.cells[*column as usize];
            if id == 0 {
                continue;
            }
            let said = *seen.entry(id).or_insert_with(|| of(&values[id as usize]));
            for (count, kind) in counts.iter_mut().zip(kinds) {
                *count += u64::from(said == Some(kind));
            }
        }
    }
    match counts {
        [0, 0] => None,
        [first, second] => Some(if second > first { kinds[1] } else { kinds[0] }),
    }
}

impl Reading<'_> {
    /// What the mapping says for rows that say nothing.
    fn defaults(&mut self) {
        let mapping = self.mapping;
        if let Some(text) = &mapping.effective_from {
            let read = dates::read(&Value::Text(text.trim().into()), self.order, self.zone, false, false);
            let start = read.and_then(|r| r.map(|r| r.start).ok_or_else(|| "empty".to_owned()));
            if let Err(e) = &start {
                self.problems.add(Remark::new("", 0, None, format!("effective_from: {e}")));
            }
            self.default_start = Some(start);
        }
        if let Some(text) = &mapping.increments {
            match increments::pair(text) {
                Ok(both) => self.default_increments = Some(both),
                Err(e) => self.problems.add(Remark::new("", 0, None, format!("increments: {e}"))),
            }
        }
        if let Some(code) = &mapping.currency {
            if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) {
                self.default_currency = Some(code.clone());
            } else {
                self.problems.add(Remark::new("", 0, None, format!("currency: '{code}' is not three capital letters, as USD")));
            }
        }
    }

    fn value(&self, raw: &Raw, column: Column) -> &Value {
        &self.values[raw.cells[column as usize] as usize]
    }

    fn has(&self, raw: &Raw, column: Column) -> bool {
        self.place(raw, column).is_some()
    }

    fn place(&self, raw: &Raw, column: Column) -> Option<usize> {
        self.sheets[usize::from(raw.sheet)].header.as_ref()?.at(column)
    }

    fn remark(&self, raw: &Raw, column: Option<Column>, text: impl std::fmt::Display) -> Remark {
        let sheet = &self.sheets[usize::from(raw.sheet)];
        let place = column.and_then(|c| self.place(raw, c)).map(|at| (at, header_text(sheet, at)));
        Remark::new(&sheet.name, raw.row.into(), place, text)
    }

    fn problem(&mut self, raw: &Raw, column: Option<Column>, text: impl std::fmt::Display) {
        let remark = self.remark(raw, column, text);
        self.problems.add(remark);
    }

    fn note(&mut self, raw: &Raw, column: Option<Column>, text: &str) {
        match self.notes.get_mut(text) {
            Some((count, _)) => *count += 1,
            None => {
                let remark = self.remark(raw, column, "");
                self.notes.insert(text.to_owned(), (1, remark));
            }
        }
    }

    /// Reads one row into its codes; every wrong cell is told.
    fn row(&mut self, raw: &Raw, out: &mut Vec<ImportRow>) {
        let before = self.problems.total();
        let (action, claimed) = self.action(raw);
        let codes = self.codes(raw);
        let destination = self.destination(raw);
        let rates = [Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate].map(|c| self.price(raw, c));
        let [rate, inter, intra, indeterminate] = &rates;
        let e12 = |p: &Option<Price>| p.as_ref().map(|p| p.e12);
        let jurisdiction = JurisdictionRates { inter_e12: e12(inter), intra_e12: e12(intra), indeterminate_e12: e12(indeterminate) };
        // A US sheet has no rate of its own: a call whose jurisdiction nobody knows is priced as indeterminate.
        let written = rate.as_ref().or(indeterminate.as_ref()).or(inter.as_ref()).or(intra.as_ref());
        let rate = written.map(|p| (p.e12, p.places));
        if rate.is_none() && action == Action::Set && before == self.problems.total() {
            let column = [Column::Rate, Column::Interrate].into_iter().find(|c| self.has(raw, *c)).unwrap_or(Column::Rate);
            self.problem(raw, Some(column), "empty: want the price of a minute, or a change that says closed or blocked");
        }
        let other_times = self.other_times(raw, rate.map(|(e12, _)| e12));
        let connect_fee = self.price(raw, Column::ConnectFee);
        let previous = self.price(raw, Column::PreviousRate);
        let increments = self.increments(raw, action);
        let from = self.start(raw);
        let to = match self.end(raw) {
            Some(Start::At(us)) => Some(us),
            Some(Start::Now) => {
                self.problem(raw, Some(Column::EffectiveTo), "an end that is now: say closed as the change, or leave the row out");
                None
            }
            None => None,
        };
        if let (Some(Start::At(from)), Some(to)) = (from, to)
            && to <= from
        {
            self.problem(raw, Some(Column::EffectiveTo), "not after the date it is effective from");
        }
        let prices: Vec<&Price> = rates.iter().chain([&connect_fee, &previous]).chain(&other_times).flatten().collect();
        self.currency(raw, &prices);
        if action == Action::Set && self.mapping.codes.is_none() && jurisdiction != JurisdictionRates::default()
            && let Some(stranger) = codes.iter().find(|c| !c.digits().starts_with('1'))
        {
            let column = [Column::Prefix, Column::CountryCode].into_iter().find(|c| self.has(raw, *c));
            self.problem(raw, column, format!("{} is no code of +1 and has prices by US jurisdiction: say in the mapping file codes: npa_nxx (the country's 1 is missing) or codes: e164 (it is right)", stranger.digits()));
        }
        let origin_group = self.group(raw);
        let mut route_class = self.label(raw, Column::RouteClass, MAX_LABEL);
        if let (true, Some(class)) = (route_class.is_empty(), &self.mapping.route_class) {
            route_class = self.shared.get(class);
        }
        let (Some((initial_s, increment_s)), Some(from)) = (increments, from) else { return };
        if before != self.problems.total() {
            return;
        }
        let source: Arc<str> = self.remark(raw, None, "").place().into();
        let row = |prefix: E164, destination: Arc<str>| ImportRow {
            prefix,
            origin_group: origin_group.clone(),
            destination,
            rate,
            jurisdiction,
            connect_fee_e12: connect_fee.as_ref().map_or(0, |p| p.e12),
            initial_s,
            increment_s,
            from,
            to,
            route_class: route_class.clone(),
            action,
            claimed,
            previous_e12: previous.as_ref().map(|p| p.e12),
            source: source.clone(),
        };
        for code in codes {
            let destination = if destination.is_empty() { self.shared.get(code.digits()) } else { destination.clone() };
            out.push(row(code, destination));
        }
    }
}

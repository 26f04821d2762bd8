//! The file has been seen whole: what its signs mean is decided, then every row is read.

use std::{collections::{BTreeMap, HashMap}, sync::Arc};

use foldhash::fast::FixedState;
use tollgate_schemas::number::E164;

use super::{
    Canonical, Column, DateOrder, DecimalSign, Mapping, Remark, SheetProblems,
    cell::Value,
    codes, columns, dates,
    numbers::{self, Note, Price},
    reader::{Raw, SheetReader, SheetState, header_text},
};
use crate::{
    deck::JurisdictionRates,
    import::{Action, ImportRow, Shared, Start},
};

/// Codes one file may come to, lists and ranges expanded.
const MAX_CODES: usize = 5_000_000;
/// A day, as decks have it.
const MAX_SECONDS: u32 = 86_400;
const MAX_DESTINATION: usize = 128;
const MAX_LABEL: usize = 64;

const PRICES: [Column; 8] = [Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate, Column::ConnectFee, Column::PreviousRate, Column::OffPeak, Column::Weekend];
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
    seconds: Memo<(u32, u32)>,
    shared: Shared,
    problems: SheetProblems,
    /// Things worth a look: how often, and where first.
    notes: BTreeMap<String, (u64, Remark)>,
    currency: Option<(String, String)>,
    default_start: Option<Result<Start, String>>,
    default_increments: Option<(u32, u32)>,
    default_currency: Option<String>,
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
        style: codes::Style { spaces: reader.mapping.spaces, area_zero: reader.mapping.area_zero },
        prices: Memo::default(),
        dates: Memo::default(),
        seconds: Memo::default(),
        shared: Shared::default(),
        problems: std::mem::take(&mut reader.problems),
        notes: BTreeMap::new(),
        currency: None,
        default_start: None,
        default_increments: None,
        default_currency: None,
    };
    reading.defaults();
    let mut rows: Vec<ImportRow> = Vec::with_capacity(reader.rows.len());
    for raw in &reader.rows {
        reading.row(raw, &mut rows);
        if rows.len() > MAX_CODES {
            let text = format!("the rows come to more than {MAX_CODES} codes: split the file");
            reading.problem(raw, None, text);
            break;
        }
    }
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
            let read = dates::read(&Value::Text(text.trim().into()), self.order, self.zone, false);
            let start = read.and_then(|r| r.map(|r| r.start).ok_or_else(|| "empty".to_owned()));
            if let Err(e) = &start {
                self.problems.add(Remark::new("", 0, None, format!("effective_from: {e}")));
            }
            self.default_start = Some(start);
        }
        if let Some(text) = &mapping.increments {
            match pair(text) {
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
        let [rate, inter, intra, indeterminate] = rates;
        let e12 = |p: &Option<Price>| p.as_ref().map(|p| p.e12);
        let jurisdiction = JurisdictionRates { inter_e12: e12(&inter), intra_e12: e12(&intra), indeterminate_e12: e12(&indeterminate) };
        // A US sheet has no rate of its own: a call whose jurisdiction nobody knows is priced as indeterminate.
        let written = rate.or(indeterminate).or(inter).or(intra);
        let rate = written.as_ref().map(|p| (p.e12, p.places));
        if rate.is_none() && action == Action::Set && before == self.problems.total() {
            let column = [Column::Rate, Column::Interrate].into_iter().find(|c| self.has(raw, *c)).unwrap_or(Column::Rate);
            self.problem(raw, Some(column), "empty: want the price of a minute, or a change that says closed or blocked");
        }
        self.other_times(raw, rate.map(|(e12, _)| e12));
        let connect_fee = self.price(raw, Column::ConnectFee);
        let previous = self.price(raw, Column::PreviousRate);
        let increments = self.increments(raw, action);
        let from = self.start(raw);
        let to = match self.date(raw, Column::EffectiveTo) {
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
        self.currency(raw, written.as_ref().and_then(|p| p.currency));
        let origin_group = self.label(raw, Column::OriginGroup, MAX_LABEL);
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

    fn codes(&mut self, raw: &Raw) -> Vec<E164> {
        let (prefix, country, area) = (self.value(raw, Column::Prefix), self.value(raw, Column::CountryCode), self.value(raw, Column::AreaCode));
        let by_prefix = self.has(raw, Column::Prefix);
        let read = if by_prefix { codes::whole(prefix, self.style) } else { codes::joined(country, area, self.style) };
        let column = if by_prefix { Column::Prefix } else if area.is_empty() { Column::CountryCode } else { Column::AreaCode };
        match read {
            Ok(codes) if codes.is_empty() => self.problem(raw, Some(column), "empty: want a code"),
            Ok(codes) => {
                // Where the sheet has country codes too, whole codes begin with them.
                if by_prefix && let Ok(countries) = codes::whole(country, self.style)
                    && let [country] = countries.as_slice()
                    && let Some(stranger) = codes.iter().find(|c| !c.digits().starts_with(country.digits()))
                {
                    let text = format!("{} does not begin with the row's country code {}: if the column is what follows it, map it as area_code", stranger.digits(), country.digits());
                    self.problem(raw, Some(column), text);
                }
                return codes;
            }
            Err(e) => self.problem(raw, Some(column), e),
        }
        Vec::new()
    }

    fn destination(&mut self, raw: &Raw) -> Arc<str> {
        let mut name = words(self.value(raw, Column::Destination));
        let country = words(self.value(raw, Column::Country));
        if !country.is_empty() && !name.to_lowercase().contains(&country.to_lowercase()) {
            name = format!("{country} {name}").trim_end().to_owned();
        }
        if name.is_empty() {
            match &self.mapping.destination {
                Some(default) => name.clone_from(default),
                None if self.has(raw, Column::Destination) => self.note(raw, Some(Column::Destination), "no destination: the code stands for it"),
                None => {}
            }
        }
        if name.chars().count() > MAX_DESTINATION {
            self.problem(raw, Some(Column::Destination), format!("more than {MAX_DESTINATION} characters"));
        }
        self.shared.get(&name)
    }

    fn label(&mut self, raw: &Raw, column: Column, max: usize) -> Arc<str> {
        let text = words(self.value(raw, column));
        if text.chars().count() > max {
            self.problem(raw, Some(column), format!("more than {max} characters"));
        }
        self.shared.get(&text)
    }

    fn price(&mut self, raw: &Raw, column: Column) -> Option<Price> {
        let id = raw.cells[column as usize];
        if id == 0 || self.price_is_word(id) {
            return None;
        }
        let read = match self.prices.get(&id) {
            Some(read) => read.clone(),
            None => {
                let read = numbers::price(&self.values[id as usize], self.decimal);
                self.prices.insert(id, read.clone());
                read
            }
        };
        match read {
            Ok(price) => {
                if let Some(note) = price.as_ref().and_then(|p| p.note) {
                    self.note_price(raw, column, note);
                }
                price
            }
            Err(e) => {
                self.problem(raw, Some(column), e);
                None
            }
        }
    }

    fn note_price(&mut self, raw: &Raw, column: Column, note: Note) {
        self.note(raw, Some(column), note.text());
    }

    /// `closed` where the rate stands.
    fn price_is_word(&self, id: u32) -> bool {
        matches!(&self.values[id as usize], Value::Text(text) if change(text).is_some_and(|(action, _)| action != Action::Set))
    }

    /// A sheet's peak and off-peak rates are one tariff only where they are equal.
    fn other_times(&mut self, raw: &Raw, rate: Option<i64>) {
        for column in [Column::OffPeak, Column::Weekend] {
            let other = self.price(raw, column).map(|p| p.e12);
            if other.is_some() && other != rate {
                self.problem(raw, Some(column), "another price than the rate: a deck's rows have one price; put times of day in the deck document, or import each as its own deck");
            }
        }
    }

    fn action(&mut self, raw: &Raw) -> (Action, &'static str) {
        let said = self.value(raw, Column::Change).to_string();
        let rate = raw.cells[Column::Rate as usize];
        let blocked = words(self.value(raw, Column::Blocked)).to_lowercase();
        match blocked.as_str() {
            "" | "no" | "false" | "0" | "n" | "-" => {}
            "yes" | "true" | "1" | "y" | "x" | "blocked" => return (Action::Block, "blocked"),
            other => self.problem(raw, Some(Column::Blocked), format!("'{other}' is neither yes nor no")),
        }
        if said.is_empty() {
            let word = Some(&self.values[rate as usize]).filter(|_| self.price_is_word(rate)).map(ToString::to_string);
            return word.and_then(|w| change(&w)).unwrap_or((Action::Set, ""));
        }
        change(&said).unwrap_or_else(|| {
            self.problem(raw, Some(Column::Change), format!("'{said}' is no change that is known: want new, increased, decreased, unchanged, closed or blocked"));
            (Action::Set, "")
        })
    }

    fn increments(&mut self, raw: &Raw, action: Action) -> Option<(u32, u32)> {
        let (both, initial, next) = (raw.cells[Column::Increments as usize], raw.cells[Column::Initial as usize], raw.cells[Column::Increment as usize]);
        let nothing = both == 0 && initial == 0 && next == 0;
        if nothing {
            // What is closed or blocked costs nothing.
            let free = (action != Action::Set).then_some((1, 1));
            let default = self.default_increments.or(free);
            if default.is_none() {
                let column = [Column::Increments, Column::Initial].into_iter().find(|c| self.has(raw, *c));
                self.problem(raw, column, "no increments: say them with --increments, as 60/60 (first/next seconds)");
            }
            return default;
        }
        if both != 0 {
            return self.pair(raw, Column::Increments, both);
        }
        let mut first = self.pair(raw, Column::Initial, initial).map(|(f, _)| f);
        let mut second = self.pair(raw, Column::Increment, next).map(|(_, n)| n);
        // One of two, where the sheet has both columns, is a hole.
        match (initial, next) {
            (0, _) if self.default_increments.is_some() => first = self.default_increments.map(|(f, _)| f),
            (_, 0) if self.default_increments.is_some() => second = self.default_increments.map(|(_, n)| n),
            (0, _) => self.problem(raw, Some(Column::Initial), "empty: want the first seconds"),
            (_, 0) => {
                let column = if self.has(raw, Column::Increment) { Column::Increment } else { Column::Initial };
                self.problem(raw, Some(column), "no next increment beside the first: say them with --increments, as 60/60, or map the column");
            }
            _ => {}
        }
        if second == Some(0) {
            self.problem(raw, Some(Column::Increment), "an increment of 0 seconds: want 1 or more");
            return None;
        }
        Some((first?, second?))
    }

    fn pair(&mut self, raw: &Raw, column: Column, id: u32) -> Option<(u32, u32)> {
        if id == 0 {
            return None;
        }
        let read = match self.seconds.get(&id) {
            Some(read) => read.clone(),
            None => {
                let value = &self.values[id as usize];
                let read = match value {
                    Value::Date(date) => Err(format!("the spreadsheet has made the date {} of these increments: format the column as text", date.format("%Y-%m-%d"))),
                    other => pair(&other.to_string()),
                };
                self.seconds.insert(id, read.clone());
                read
            }
        };
        match read {
            Ok((first, next)) if next == 0 && column == Column::Increments => {
                self.problem(raw, Some(column), format!("'{first}/{next}': an increment of 0 seconds: want 1 or more"));
                None
            }
            Ok(pair) => Some(pair),
            Err(e) => {
                self.problem(raw, Some(column), e);
                None
            }
        }
    }

    fn start(&mut self, raw: &Raw) -> Option<Start> {
        if raw.cells[Column::EffectiveFrom as usize] != 0 {
            return self.date(raw, Column::EffectiveFrom);
        }
        match &self.default_start {
            Some(Ok(start)) => Some(*start),
            Some(Err(_)) => None,
            None => {
                let column = Some(Column::EffectiveFrom).filter(|c| self.has(raw, *c));
                self.problem(raw, column, "no date it is effective from: say --effective DATE or --effective now");
                None
            }
        }
    }

    fn date(&mut self, raw: &Raw, column: Column) -> Option<Start> {
        let id = raw.cells[column as usize];
        if id == 0 {
            return None;
        }
        let read = match self.dates.get(&id) {
            Some(read) => read.clone(),
            None => {
                let read = dates::read(&self.values[id as usize], self.order, self.zone, self.epoch_1904);
                if matches!(&read, Ok(Some(r)) if r.serial) {
                    self.note(raw, Some(column), "a bare number taken for a spreadsheet's date");
                }
                let read = read.map(|r| r.map(|r| r.start));
                self.dates.insert(id, read.clone());
                read
            }
        };
        read.unwrap_or_else(|e| {
            self.problem(raw, Some(column), e);
            None
        })
    }

    /// One deck, one currency: the column's, the price's own, the header's, the mapping's.
    fn currency(&mut self, raw: &Raw, in_price: Option<&'static str>) {
        let said = self.value(raw, Column::Currency).to_string();
        let (code, column) = if said.is_empty() {
            let of_sheet = self.sheets[usize::from(raw.sheet)].currency;
            match in_price.or(of_sheet).map(str::to_owned).or_else(|| self.default_currency.clone()) {
                Some(code) => (code, Column::Rate),
                None => return,
            }
        } else {
            let upper = said.trim().to_uppercase();
            let code = columns::currency_in(&upper).map(str::to_owned).unwrap_or(upper);
            if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase()) {
                return self.problem(raw, Some(Column::Currency), format!("'{said}' is not a currency: want three letters, as USD"));
            }
            (code, Column::Currency)
        };
        if let Some(wanted) = self.default_currency.clone().filter(|w| *w != code) {
            return self.problem(raw, Some(column), format!("the price is in {code}, wanted is {wanted}"));
        }
        match &self.currency {
            None => {
                let place = self.remark(raw, None, "").place();
                self.currency = Some((code, place));
            }
            Some((first, place)) if *first != code => {
                let text = format!("the price is in {code}, in row {place} it is {first}: a deck has one currency; import them as two decks");
                self.problem(raw, Some(column), text);
            }
            Some(_) => {}
        }
    }

    /// Equal rows count once; two prices of one code from one date cannot both be.
    fn duplicates(&mut self, rows: &mut Vec<ImportRow>) {
        let mut seen: HashMap<(E164, Arc<str>, Start), usize, FixedState> = HashMap::default();
        let mut repeated: Vec<bool> = vec![false; rows.len()];
        let mut clashes = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            match seen.entry((row.prefix, row.origin_group.clone(), row.from)) {
                std::collections::hash_map::Entry::Vacant(v) => {
                    v.insert(at);
                }
                std::collections::hash_map::Entry::Occupied(first) => {
                    let first = &rows[*first.get()];
                    let same = ImportRow { source: first.source.clone(), destination: first.destination.clone(), claimed: first.claimed, ..row.clone() } == *first;
                    if same {
                        repeated[at] = true;
                    } else {
                        clashes.push((at, first.source.clone()));
                    }
                }
            }
        }
        for (at, first) in clashes {
            let row = &rows[at];
            let (sheet, number) = split(&row.source);
            let text = format!("code {} from the same date stands in row {first} with other terms: leave one of them out", row.prefix.digits());
            self.problems.add(Remark::new(sheet, number, None, text));
        }
        if let Some(first) = repeated.iter().position(|r| *r) {
            let (sheet, number) = split(&rows[first].source);
            let count = repeated.iter().filter(|r| **r).count();
            let text = "a code that is there already with the same terms: counted once".to_owned();
            self.notes.insert(text, (count as u64, Remark::new(sheet, number, None, "")));
        }
        let mut repeated = repeated.into_iter();
        rows.retain(|_| !repeated.next().unwrap_or(false));
    }
}

/// A row's source as its sheet and number.
fn split(source: &str) -> (&str, u64) {
    let (sheet, row) = source.rsplit_once('!').unwrap_or(("", source));
    (sheet, row.parse().unwrap_or(0))
}

/// Text on one line, single spaces.
fn words(value: &Value) -> String {
    value.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `60/60`, `30/6`, `1/1/1`, or one number for both.
fn pair(text: &str) -> Result<(u32, u32), String> {
    let bad = || format!("'{text}' is not increments: want first/next seconds, as 60/60 or 30/6");
    let parts: Vec<&str> = text.split(['/', '+', ':', '-']).map(|p| p.trim().trim_end_matches("sec").trim_end_matches('s').trim_end_matches(".0").trim()).collect();
    let numbers: Vec<u32> = parts.iter().map(|p| p.parse().ok().filter(|n| *n <= MAX_SECONDS)).collect::<Option<_>>().ok_or_else(bad)?;
    match numbers.as_slice() {
        [both] => Ok((*both, *both)),
        [first, next] => Ok((*first, *next)),
        // The third is the rest of the call where it repeats the second, or a grace of none.
        [first, next, third] if *third == 0 || third == next => Ok((*first, *next)),
        [_, _, _] => Err(format!("'{text}' has a third number: a grace belongs in the deck document, not in a row; write first/next")),
        _ => Err(bad()),
    }
}

/// What a sheet calls a change.
fn change(text: &str) -> Option<(Action, &'static str)> {
    let plain = columns::plain(text);
    let first = |words: &[&str]| words.iter().any(|w| plain.starts_with(w));
    Some(match plain.as_str() {
        "" if text.trim() == "+" => (Action::Set, "increased"),
        "" if text.trim() == "-" => (Action::Set, "decreased"),
        "" if text.trim() == "=" => (Action::Set, "unchanged"),
        "" => return None,
        _ if first(&["close", "delet", "remov", "discont", "terminat", "cancel", "withdraw", "expired", "end", "geschlossen", "cerrad", "ferme"]) => (Action::Close, "closed"),
        _ if first(&["block", "barred", "forbid", "gesperrt", "bloque"]) => (Action::Block, "blocked"),
        _ if first(&["unchang", "no change", "not chang", "nochange", "same", "current", "constant", "active", "nc"]) => (Action::Set, "unchanged"),
        _ if first(&["new", "add", "neu", "nuevo", "open"]) => (Action::Set, "new"),
        _ if first(&["inc", "up", "higher", "rise", "raise"]) => (Action::Set, "increased"),
        _ if first(&["dec", "down", "lower", "reduc"]) => (Action::Set, "decreased"),
        _ if first(&["chang", "updat", "modif", "edit"]) => (Action::Set, ""),
        _ => match plain.as_str() {
            "n" => (Action::Set, "new"),
            "i" => (Action::Set, "increased"),
            "d" => (Action::Set, "decreased"),
            "u" | "s" => (Action::Set, "unchanged"),
            "c" => (Action::Close, "closed"),
            "b" => (Action::Block, "blocked"),
            _ => return None,
        },
    })
}

//! One cell after the other: codes, names, prices, changes, dates.

use std::sync::Arc;

use tollgate_schemas::number::E164;

use super::{MAX_DESTINATION, MAX_LABEL, Reading};
use crate::{
    import::{Action, Start},
    sheet::{
        Column, EndDay,
        cell::Value,
        codes, columns, dates, nanp,
        numbers::{self, Note, Price},
        reader::{Raw, header_text},
        units,
    },
};

impl Reading<'_> {
    pub(super) fn codes(&mut self, raw: &Raw) -> Vec<E164> {
        let (prefix, country, area) = (self.value(raw, Column::Prefix), self.value(raw, Column::CountryCode), self.value(raw, Column::AreaCode));
        let (by_prefix, by_npa) = (self.has(raw, Column::Prefix), self.has(raw, Column::Npa));
        let own = by_prefix || by_npa || self.has(raw, Column::CountryCode);
        if self.joined.is_some() && (!own || (prefix.is_empty() && country.is_empty() && area.is_empty())) {
            return self.joined_codes(raw);
        }
        let npa_style = self.sheets[usize::from(raw.sheet)].header.as_ref().is_some_and(|h| h.npa);
        let (read, column) = match () {
            () if by_prefix && npa_style => (nanp::codes(prefix, self.style), Column::Prefix),
            () if by_prefix => (codes::whole(prefix, self.style), Column::Prefix),
            () if by_npa => {
                let (npa, nxx) = (self.value(raw, Column::Npa), self.value(raw, Column::Nxx));
                (nanp::joined(npa, nxx, self.style), if nxx.is_empty() { Column::Npa } else { Column::Nxx })
            }
            () => (codes::joined(country, area, self.style), if area.is_empty() { Column::CountryCode } else { Column::AreaCode }),
        };
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

    pub(super) fn destination(&mut self, raw: &Raw) -> Arc<str> {
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

    pub(super) fn label(&mut self, raw: &Raw, column: Column, max: usize) -> Arc<str> {
        let text = words(self.value(raw, column));
        if text.chars().count() > max {
            self.problem(raw, Some(column), format!("more than {max} characters"));
        }
        self.shared.get(&text)
    }

    pub(super) fn price(&mut self, raw: &Raw, column: Column) -> Option<Price> {
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
            Ok(None) => None,
            Ok(Some(price)) => {
                if price.odd_unit && !self.mapping.units.contains_key(&column) {
                    self.problem(raw, Some(column), format!("the cell's format shows cents or seconds: {}", units::ask(column)));
                    return None;
                }
                let factor = self.sheets[usize::from(raw.sheet)].factors[column as usize];
                let Some((e12, places, exact)) = factor.apply(price.e12, price.places) else {
                    self.problem(raw, Some(column), "a larger price than can be");
                    return None;
                };
                if let Some(note) = if exact { price.note } else { Some(Note::Cut) } {
                    self.note_price(raw, column, note);
                }
                Some(Price { e12, places, ..price })
            }
            Err(e) => {
                self.problem(raw, Some(column), e);
                None
            }
        }
    }

    pub(super) fn note_price(&mut self, raw: &Raw, column: Column, note: Note) {
        self.note(raw, Some(column), note.text());
    }

    /// `closed` where the rate stands.
    pub(super) fn price_is_word(&self, id: u32) -> bool {
        matches!(&self.values[id as usize], Value::Text(text) if change(text).is_some_and(|(action, _)| action != Action::Set))
    }

    /// A sheet's peak and off-peak rates are one tariff only where they are equal.
    pub(super) fn other_times(&mut self, raw: &Raw, rate: Option<i64>) -> [Option<Price>; 2] {
        [Column::OffPeak, Column::Weekend].map(|column| {
            let other = self.price(raw, column);
            if other.as_ref().is_some_and(|p| Some(p.e12) != rate) {
                self.problem(raw, Some(column), "another price than the rate: a deck's rows have one price; put times of day in the deck document, or import each as its own deck");
            }
            other
        })
    }

    pub(super) fn action(&mut self, raw: &Raw) -> (Action, &'static str) {
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

    pub(super) fn start(&mut self, raw: &Raw) -> Option<Start> {
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

    /// When a row ends: the first instant it is not in force.
    pub(super) fn end(&mut self, raw: &Raw) -> Option<Start> {
        let column = Column::EffectiveTo;
        let id = raw.cells[column as usize];
        if id == 0 {
            return None;
        }
        let sheet = &self.sheets[usize::from(raw.sheet)];
        let header = self.place(raw, column).map_or("", |at| header_text(sheet, at));
        // A column found by its letter has no name to go by.
        let by = self.mapping.end_day.or_else(|| columns::ends_by(header));
        let day = matches!(dates::read(&self.values[id as usize], self.order, self.zone, self.epoch_1904, false), Ok(Some(r)) if r.day);
        match by {
            None if day => {
                let text = format!("'{}' may be the last day of the price, or the first one without it: say end_day: included or excluded in the mapping file", self.values[id as usize]);
                self.problem(raw, Some(column), text);
                None
            }
            None | Some(EndDay::Excluded) => self.date(raw, column),
            Some(EndDay::Included) => {
                if day {
                    self.note(raw, Some(column), "an end without a time counts through that day (end_day: excluded in a mapping says otherwise)");
                }
                let read = self.ends.get(&id).cloned().unwrap_or_else(|| {
                    let read = dates::read(&self.values[id as usize], self.order, self.zone, self.epoch_1904, true).map(|r| r.map(|r| r.start));
                    self.ends.insert(id, read.clone());
                    read
                });
                read.unwrap_or_else(|e| {
                    self.problem(raw, Some(column), e);
                    None
                })
            }
        }
    }

    /// Groups are known by their names in small letters.
    pub(super) fn group(&mut self, raw: &Raw) -> Arc<str> {
        let group = self.label(raw, Column::OriginGroup, MAX_LABEL);
        if group.chars().any(char::is_uppercase) { self.shared.get(&group.to_lowercase()) } else { group }
    }

    pub(super) fn date(&mut self, raw: &Raw, column: Column) -> Option<Start> {
        let id = raw.cells[column as usize];
        if id == 0 {
            return None;
        }
        let read = match self.dates.get(&id) {
            Some(read) => read.clone(),
            None => {
                let read = dates::read(&self.values[id as usize], self.order, self.zone, self.epoch_1904, false);
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
}

/// Text on one line, single spaces.
pub(super) fn words(value: &Value) -> String {
    value.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
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

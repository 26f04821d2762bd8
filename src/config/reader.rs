//! TOML with positions, read key by key; mistakes are collected and defaults stand in, so that all are found.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::{Range, RangeInclusive},
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{ConfigProblem, nearest};

/// The file and what was found wrong in it.
pub struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    /// With the byte offset, for their order.
    problems: RefCell<Vec<(usize, ConfigProblem)>>,
}

impl<'a> Reader<'a> {
    pub fn new(path: &'a Path, text: &'a str) -> Reader<'a> {
        Reader { path, text, problems: RefCell::default() }
    }

    pub fn wrong(&self, offset: usize, message: impl Into<String>) {
        let problem = ConfigProblem::at_byte(self.path, self.text, offset, message);
        self.problems.borrow_mut().push((offset, problem));
    }

    /// In the order of the file.
    pub fn into_problems(self) -> Vec<ConfigProblem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(offset, _)| *offset);
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    pub fn root<'s>(&'s self, table: &'s DeTable<'s>) -> Section<'s> {
        Section { reader: self, name: String::new(), at: 0, table: Some(table), known: Cell::default() }
    }
}

/// One table of the file, or one that is not there and has all defaults. Say which keys there are by reading them,
/// then [`Section::finish`] reports the others.
pub struct Section<'s> {
    reader: &'s Reader<'s>,
    /// `sip.timers`; empty at the top.
    name: String,
    at: usize,
    table: Option<&'s DeTable<'s>>,
    known: Cell<Vec<&'static str>>,
}

/// A text and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Text<'s> {
    pub value: &'s str,
    pub at: usize,
}

impl<'s> Section<'s> {
    /// Byte offset of the section's head.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn wrong(&self, at: usize, message: impl Into<String>) {
        self.reader.wrong(at, message);
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn value(&self, key: &'static str) -> Option<&'s Spanned<DeValue<'s>>> {
        let mut known = self.known.take();
        known.push(key);
        self.known.set(known);
        self.table?.iter().find(|(k, _)| k.get_ref().as_ref() == key).map(|(_, v)| v)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, want: &str) {
        self.wrong(value.span().start, format!("{} is {}: want {want}", self.path(key), article(value.get_ref())));
    }

    /// Where a key's value stands, if it is there.
    pub fn place(&self, key: &'static str) -> Option<Range<usize>> {
        Some(self.value(key)?.span())
    }

    /// A whole number of `unit` in a range.
    pub fn whole(&self, key: &'static str, range: RangeInclusive<u64>, unit: &str, default: u64) -> u64 {
        let Some(value) = self.value(key) else { return default };
        let want = || format!("a whole number {} to {}{}{unit}", range.start(), range.end(), if unit.is_empty() { "" } else { " " });
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_type(key, value, &want());
            return default;
        };
        match i128::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(n) if u64::try_from(n).is_ok_and(|n| range.contains(&n)) => n as u64,
            _ => {
                self.wrong(value.span().start, format!("{} is {}: want {}", self.path(key), digits.as_str(), want()));
                default
            }
        }
    }

    pub fn text(&self, key: &'static str, want: &str) -> Option<Text<'s>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Text { value: text, at: value.span().start }),
            _ => {
                self.wrong_type(key, value, want);
                None
            }
        }
    }

    /// A list of texts; a lone text where a list is wanted is a mistake that says so.
    pub fn texts(&self, key: &'static str, want: &str) -> Vec<Text<'s>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, &format!("a list of {want}, in [ ]"));
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => out.push(Text { value: text, at: item.span().start }),
                _ => self.wrong_type(key, item, &format!("a list of {want}")),
            }
        }
        out
    }

    pub fn address(&self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(text) = self.text(key, "an address in quotes, as \"127.0.0.1:5060\"") else { return default };
        text.value.parse().unwrap_or_else(|_| {
            let message = format!(
                "{} is \"{}\", which is no address: want IP:PORT, as \"127.0.0.1:5060\" or \"[::1]:5060\" (port 0: any free one)",
                self.path(key),
                text.value
            );
            self.wrong(text.at, message);
            default
        })
    }

    /// One of `known`, the first when it is not there; anything else is a mistake.
    pub fn one_of(&self, key: &'static str, known: &[&'static str]) -> &'static str {
        let first = known.first().copied().unwrap_or_default();
        let quoted = || known.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(", ");
        let Some(text) = self.text(key, &format!("one of {}", quoted())) else { return first };
        known.iter().copied().find(|k| *k == text.value).unwrap_or_else(|| {
            let meant = nearest(text.value, known.iter().copied()).map_or(String::new(), |m| format!("did you mean '{m}'? "));
            self.wrong(text.at, format!("{} is \"{}\": {meant}want one of {}", self.path(key), text.value, quoted()));
            first
        })
    }

    /// True or false.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        match value.get_ref() {
            DeValue::Boolean(flag) => *flag,
            _ => {
                self.wrong_type(key, value, "true or false");
                default
            }
        }
    }

    pub fn section(&self, key: &'static str) -> Section<'s> {
        let name = self.path(key);
        let known = Cell::default();
        match self.value(key).map(|v| (v, v.get_ref())) {
            Some((value, DeValue::Table(table))) => {
                Section { reader: self.reader, name, at: value.span().start, table: Some(table), known }
            }
            other => {
                if let Some((value, _)) = other {
                    self.wrong_type(key, value, &format!("a table, as [{name}]"));
                }
                Section { reader: self.reader, name, at: self.at, table: None, known }
            }
        }
    }

    /// An array of tables, `[[name]]`.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'s>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let want = format!("tables, as [[{}]]", self.path(key));
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(key, value, &want);
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::Table(table) => {
                    out.push(Section { reader: self.reader, name: self.path(key), at, table: Some(table), known: Cell::default() });
                }
                _ => self.wrong_type(key, item, &want),
            }
        }
        out
    }

    /// Reports every key nobody asked for.
    pub fn finish(self) {
        let known = self.known.take();
        for (key, _) in self.table.into_iter().flatten() {
            let word = key.get_ref().as_ref();
            if known.contains(&word) {
                continue;
            }
            let place = if self.name.is_empty() { "at the top".to_owned() } else { format!("in [{}]", self.name) };
            let mend = match nearest(word, known.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("there are {}", known.join(", ")),
            };
            self.reader.wrong(key.span().start, format!("there is no '{word}' {place}: {mend}"));
        }
    }
}

/// What a value is, in words.
fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

//! Rows of cells in; the canonical rows out. Nothing is decided about a cell before the file has been seen whole.

use std::{collections::HashMap, fmt, ops::ControlFlow};

use chrono_tz::Tz;
use foldhash::fast::FixedState;

use super::{
    Canonical, Column, Explained, ExplainedColumn, ExplainedSheet, Mapping, Remark, SheetProblems,
    cell::{Cell, Value, letters},
    columns::{currency_in, is_neutral},
    finish,
    header::{self, HEAD_ROWS, Header, Part},
    units::{self, Factor},
};

/// Rows of rates one file may have: four times the largest deck met, and about half a gigabyte while it is read.
pub const MAX_ROWS: usize = 4_000_000;
/// Longest cell. A quote left open makes longer ones.
const MAX_CELL: usize = 8_192;
/// Titles and remarks that are told.
const MAX_RUMOURS: usize = 5;

/// Columns that a row keeps.
pub(super) const KEPT: usize = Column::Ignored as usize;

/// One row, its cells by number of their value.
pub(super) struct Raw {
    pub sheet: u16,
    pub row: u32,
    pub cells: [u32; KEPT],
}

pub(super) struct SheetState {
    pub name: String,
    pub header: Option<Header>,
    pub currency: Option<&'static str>,
    /// What each price column is in.
    pub factors: [Factor; Column::COUNT],
    /// Where its rows are: with rates, or codes to be joined to rates.
    part: Part,
    /// Titles and remarks that speak of cents or of seconds: row, column, text.
    rumours: Vec<(u64, usize, String)>,
    /// Rows in which columns that are asked about say something: column, row, text; the first of each.
    asked_at: Vec<(usize, u64, String)>,
    hidden: bool,
    asked: bool,
    /// Rows before the header is found.
    head: Vec<(u64, Vec<Cell>)>,
    last_head: bool,
    rows: u64,
    blank: u64,
    remarks: u64,
}

/// Takes a file's cells, sheet by sheet and row by row.
pub struct SheetReader {
    pub(super) mapping: Mapping,
    pub(super) zone: Tz,
    pub(super) epoch_1904: bool,
    pub(super) sheets: Vec<SheetState>,
    ids: HashMap<Value, u32, FixedState>,
    pub(super) rows: Vec<Raw>,
    /// Of a sheet of codes.
    pub(super) code_rows: Vec<Raw>,
    pub(super) problems: SheetProblems,
    pub(super) warnings: Vec<Remark>,
    pub(super) explained: Explained,
    /// Of a reader that only keeps cells.
    pub(super) plain: Option<Vec<super::PlainSheet>>,
}

impl SheetReader {
    /// `zone`: of dates without a time, where the mapping names none.
    pub fn new(mapping: Mapping, zone: Tz) -> SheetReader {
        let mut problems = SheetProblems::default();
        let zone = match mapping.timezone.as_deref().map(str::parse::<Tz>) {
            Some(Ok(zone)) => zone,
            Some(Err(_)) => {
                let text = format!("the mapping's timezone '{}' is no name of the IANA list, as Europe/Amsterdam", mapping.timezone.as_deref().unwrap_or_default());
                problems.add(Remark::new("", 0, None, text));
                zone
            }
            None => zone,
        };
        let mut ids: HashMap<Value, u32, FixedState> = HashMap::default();
        ids.insert(Value::Empty, 0);
        SheetReader { mapping, zone, epoch_1904: false, sheets: Vec::new(), ids, rows: Vec::new(), code_rows: Vec::new(), problems, warnings: Vec::new(), explained: Explained::default(), plain: None }
    }

    /// The next sheet. Its name is empty for a CSV file.
    pub fn begin(&mut self, name: &str, hidden: bool) {
        self.end();
        let listed = self.mapping.sheets.iter().any(|s| s.trim().eq_ignore_ascii_case(name.trim()));
        let of_codes = self.mapping.codes_sheet.as_ref().is_some_and(|s| s.trim().eq_ignore_ascii_case(name.trim()));
        let part = if of_codes { Part::Codes } else if self.mapping.codes_sheet.is_some() { Part::Rates } else { Part::CodesAndRates };
        let asked = name.is_empty() || listed || of_codes || (self.mapping.sheets.is_empty() && !hidden);
        let state = SheetState {
            name: name.to_owned(),
            header: None,
            currency: None,
            factors: [Factor::ONE; Column::COUNT],
            part,
            rumours: Vec::new(),
            asked_at: Vec::new(),
            hidden,
            asked,
            head: Vec::new(),
            last_head: false,
            rows: 0,
            blank: 0,
            remarks: 0,
        };
        self.sheets.push(state);
    }

    /// The workbook's bare numbers count days from 1904, not 1900.
    pub fn counts_from_1904(&mut self) {
        self.epoch_1904 = true;
    }

    /// Whether the sheet begun is read at all.
    pub fn wants_rows(&self) -> bool {
        self.sheets.last().is_some_and(|s| s.asked && (s.header.is_some() || s.head.len() < HEAD_ROWS))
    }

    /// A row of the sheet begun; `number` from 1. Break: nothing more is taken from this sheet.
    pub fn row(&mut self, number: u64, cells: &[Cell]) -> ControlFlow<()> {
        let Some(sheet) = self.sheets.last_mut().filter(|s| s.asked) else { return ControlFlow::Break(()) };
        if cells.iter().all(Cell::is_blank) {
            sheet.blank += 1;
            return ControlFlow::Continue(());
        }
        if self.keep(number, cells) {
            return ControlFlow::Continue(());
        }
        let Some(sheet) = self.sheets.last_mut() else { return ControlFlow::Break(()) };
        if sheet.header.is_none() {
            if self.mapping.header_row == Some(0) {
                sheet.header = Some(header::without(&self.mapping));
                self.header_found();
            } else {
                let before = sheet.head.last().filter(|(n, _)| *n + 1 == number).map(|(_, cells)| cells.as_slice());
                match header::find(number, before, cells, &self.mapping, sheet.part) {
                    Some(header) => {
                        sheet.header = Some(header);
                        sheet.last_head = true;
                        self.header_found();
                    }
                    None if sheet.head.len() >= HEAD_ROWS => return ControlFlow::Break(()),
                    None => sheet.head.push((number, cells.to_vec())),
                }
                return ControlFlow::Continue(());
            }
        }
        self.data(number, cells)
    }

    /// Title lines above the header may name the currency.
    fn header_found(&mut self) {
        let Some(sheet) = self.sheets.last_mut() else { return };
        let Some(header) = &sheet.header else { return };
        let titles = sheet.head.iter().flat_map(|(_, cells)| cells.iter()).filter_map(|c| match c {
            Cell::Text(text) => currency_in(text),
            _ => None,
        });
        let titles: Vec<&'static str> = titles.collect();
        let one = titles.first().copied().filter(|first| titles.iter().all(|t| t == first));
        sheet.currency = header.currency.or(one);
        for (row, cells) in std::mem::take(&mut sheet.head) {
            hear(&mut sheet.rumours, row, &cells);
        }
    }

    fn data(&mut self, number: u64, cells: &[Cell]) -> ControlFlow<()> {
        let at = self.sheets.len() - 1;
        let sheet = &mut self.sheets[at];
        let Some(header) = &mut sheet.header else { return ControlFlow::Continue(()) };
        let second_line = std::mem::take(&mut sheet.last_head);
        if header.repeats(cells) {
            if second_line {
                header.continued(cells, &self.mapping);
            }
            return ControlFlow::Continue(());
        }
        let cell = |column: Column| header.at(column).and_then(|at| cells.get(at)).filter(|c| !c.is_blank());
        let named = |columns: &[Column]| columns.iter().any(|c| cell(*c).is_some());
        let of_codes = sheet.part == Part::Rates && cell(Column::Destination).is_some();
        let has_code = of_codes || named(&[Column::Prefix, Column::CountryCode, Column::AreaCode, Column::Npa, Column::Nxx]);
        let has_price = named(&[Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate]);
        let said = cells.iter().filter(|c| !c.is_blank()).count();
        let only_words = said == 1 && cells.iter().any(|c| matches!(c, Cell::Text(t) if !t.chars().next().is_some_and(|c| c.is_ascii_digit() || c == '+')));
        if (!has_code && !has_price) || only_words {
            sheet.remarks += 1;
            hear(&mut sheet.rumours, number, cells);
            return ControlFlow::Continue(());
        }
        for at in &header.asked {
            let text = cells.get(*at).map(|cell| Value::of(cell).to_string()).unwrap_or_default();
            if !sheet.asked_at.iter().any(|(column, ..)| column == at) && !is_neutral(&header.texts[*at], &text) {
                sheet.asked_at.push((*at, number, text));
            }
        }
        if self.rows.len() + self.code_rows.len() >= MAX_ROWS {
            let text = format!("more than {MAX_ROWS} rows of rates: split the file");
            self.problems.add(Remark::new(&sheet.name, number, None, text));
            return ControlFlow::Break(());
        }
        let mut raw = Raw { sheet: at as u16, row: number as u32, cells: [0; KEPT] };
        for (column, place) in header.places.iter().enumerate().take(KEPT) {
            let Some((place, cell)) = place.and_then(|p| Some((p, cells.get(p)?))) else { continue };
            if let Cell::Text(text) = cell
                && text.len() > MAX_CELL
            {
                let header = header.texts.get(place).map_or("", String::as_str);
                self.problems.add(Remark::new(&sheet.name, number, Some((place, header)), format!("more than {MAX_CELL} characters (is a quote left open?)")));
                continue;
            }
            let value = Value::of(cell);
            raw.cells[column] = match self.ids.get(&value) {
                Some(id) => *id,
                None => {
                    let id = self.ids.len() as u32;
                    self.ids.insert(value, id);
                    id
                }
            };
        }
        sheet.rows += 1;
        if sheet.part == Part::Codes { &mut self.code_rows } else { &mut self.rows }.push(raw);
        ControlFlow::Continue(())
    }

    /// A formula without a saved value, or anything else a file's reader finds, by sheet, row (from 1) and column (from 0).
    pub fn problem_at(&mut self, row: u64, column: usize, text: impl fmt::Display) {
        let (name, header) = self.sheets.last().map_or(("", ""), |s| (s.name.as_str(), header_text(s, column)));
        self.problems.add(Remark::new(name, row, Some((column, header)), text));
    }

    /// Something to look at, in the sheet begun.
    pub fn warn_at(&mut self, row: u64, column: usize, text: impl fmt::Display) {
        let (name, header) = self.sheets.last().map_or(("", ""), |s| (s.name.as_str(), header_text(s, column)));
        self.warnings.push(Remark::new(name, row, Some((column, header)), text));
    }

    /// Whether a column of the sheet begun is one that rows are made of.
    pub fn is_used(&self, column: usize) -> bool {
        let header = self.sheets.last().and_then(|s| s.header.as_ref());
        self.plain.is_some() || header.is_some_and(|h| h.places.iter().take(KEPT).any(|p| *p == Some(column)))
    }

    /// The file cannot be read on.
    pub fn refuse(&mut self, text: impl fmt::Display) {
        let name = self.sheets.last().map_or(String::new(), |s| s.name.clone());
        self.problems.add(Remark::new(&name, 0, None, text));
    }

    /// What prices are in, sheet by sheet; what has to be asked becomes a problem.
    fn settle_units(&mut self) {
        let of_notes: Vec<(String, u64, usize, String)> = {
            let heads = self.sheets.iter().filter(|s| s.header.is_none() && s.asked);
            heads.flat_map(|s| {
                let mut heard = Vec::new();
                s.head.iter().for_each(|(row, cells)| hear(&mut heard, *row, cells));
                heard.into_iter().map(|(row, at, text)| (s.name.clone(), row, at, text)).collect::<Vec<_>>()
            }).collect()
        };
        for sheet in &mut self.sheets {
            let pounds = self.mapping.currency.as_deref().or(sheet.currency).is_none_or(|c| c == "GBP");
            let Some(header) = &mut sheet.header else { continue };
            let rumour = !sheet.rumours.is_empty() || !of_notes.is_empty();
            let (factors, problems) = units::settle(header, &self.mapping, rumour, pounds);
            sheet.factors = factors;
            if problems.is_empty() {
                continue;
            }
            header.problems.extend(problems);
            for (name, row, at, text) in sheet.rumours.iter().map(|(row, at, text)| (&sheet.name, row, at, text)).chain(of_notes.iter().map(|(n, r, a, t)| (n, r, a, t))) {
                self.problems.add(Remark::new(name, *row, Some((*at, "")), format!("'{text}' speaks of cents or seconds: what prices are in is to be said in the mapping file (units)")));
            }
        }
    }

    /// The sheet of codes, where one visible sheet has codes and another rates, each with destinations.
    fn two_sheets(&self) -> Option<&str> {
        let of = |part: Part| {
            let fits = move |s: &&SheetState| s.asked && s.head.iter().any(|(row, cells)| header::find(*row, None, cells, &self.mapping, part).is_some());
            self.sheets.iter().find(fits)
        };
        of(Part::Rates).and(of(Part::Codes)).map(|s| s.name.as_str())
    }

    fn end(&mut self) {
        let Some(sheet) = self.sheets.last_mut() else { return };
        sheet.head.truncate(HEAD_ROWS);
    }

    /// The rows, or everything that is wrong.
    pub fn finish(mut self) -> Result<Canonical, SheetProblems> {
        self.end();
        for name in &self.mapping.sheets {
            if !self.sheets.iter().any(|s| s.name.trim().eq_ignore_ascii_case(name.trim())) {
                let there: Vec<&str> = self.sheets.iter().map(|s| s.name.as_str()).collect();
                self.problems.add(Remark::new("", 0, None, format!("there is no sheet '{name}'; there are: {}", there.join(", "))));
            }
        }
        self.settle_units();
        for name in &self.mapping.ignore {
            if !self.sheets.iter().flat_map(|s| &s.header).any(|h| h.ignored.contains(name)) && self.sheets.iter().any(|s| s.header.is_some()) {
                self.problems.add(Remark::new("", 0, None, format!("the mapping leaves out '{name}' (ignore): no header has such a column")));
            }
        }
        if let Some(name) = &self.mapping.codes_sheet
            && !self.sheets.iter().any(|s| s.part == Part::Codes && s.header.is_some())
        {
            self.problems.add(Remark::new("", 0, None, format!("codes_sheet: there is no sheet '{name}' whose header names a code and a destination")));
        }
        for sheet in &self.sheets {
            self.explained.sheets.push(explain(sheet));
            for (column, row, text) in &sheet.asked_at {
                let header = header_text(sheet, *column);
                let text = format!("'{header}' is '{text}' here and has no place in a row: say in the mapping file what it is (columns: {{ connect_fee: \"{header}\" }}, or effective_to, rate …), or that it is of no matter (ignore: [\"{header}\"])");
                self.problems.add(Remark::new(&sheet.name, *row, Some((*column, header)), text));
            }
            for (column, text) in sheet.header.iter().flat_map(|h| &h.problems) {
                let header = sheet.header.as_ref();
                let place = column.map(|at| (at, header.map_or("", |h| h.texts.get(at).map_or("", String::as_str))));
                self.problems.add(Remark::new(&sheet.name, header.map_or(0, |h| h.row), place, text));
            }
            for at in sheet.header.iter().flat_map(|h| &h.passed_over) {
                let header = sheet.header.as_ref();
                let text = "not used: another column says the same, and better";
                self.warnings.push(Remark::new(&sheet.name, header.map_or(0, |h| h.row), Some((*at, header_text(sheet, *at))), text));
            }
        }
        if self.sheets.iter().all(|s| s.header.is_none()) {
            if let Some(codes) = self.two_sheets() {
                let text = format!("codes and rates are on different sheets: say codes_sheet: \"{codes}\" in a mapping file, and they are joined by the name of the destination");
                self.problems.add(Remark::new("", 0, None, text));
            }
            let nearest = self.sheets.iter().filter(|s| s.asked).map(nearest);
            for (name, row, text) in nearest.collect::<Vec<_>>() {
                self.problems.add(Remark::new(&name, row, None, text));
            }
            if self.sheets.iter().all(|s| !s.asked) {
                self.problems.add(Remark::new("", 0, None, "the file has no visible sheet"));
            }
        } else if self.rows.is_empty() && self.problems.total() == 0 {
            let first = self.sheets.iter().find(|s| s.header.is_some());
            let (name, row) = first.map_or(("", 0), |s| (s.name.as_str(), s.header.as_ref().map_or(0, |h| h.row)));
            self.problems.add(Remark::new(name, row, None, "a header, but no rows of rates below it"));
        }
        let mut values: Vec<(u32, Value)> = std::mem::take(&mut self.ids).into_iter().map(|(value, id)| (id, value)).collect();
        values.sort_unstable_by_key(|(id, _)| *id);
        let values: Vec<Value> = values.into_iter().map(|(_, value)| value).collect();
        finish::finish(self, &values)
    }
}

/// What a title or a remark says of units.
fn hear(rumours: &mut Vec<(u64, usize, String)>, row: u64, cells: &[Cell]) {
    for (at, cell) in cells.iter().enumerate() {
        if let Cell::Text(text) = cell
            && rumours.len() < MAX_RUMOURS
            && text.len() < MAX_CELL
            && units::spoken_of(text)
        {
            rumours.push((row, at, text.trim().to_owned()));
        }
    }
}

pub(super) fn header_text(sheet: &SheetState, column: usize) -> &str {
    sheet.header.as_ref().and_then(|h| h.texts.get(column)).map_or("", String::as_str)
}

fn explain(sheet: &SheetState) -> ExplainedSheet {
    let used_as = match &sheet.header {
        Some(_) if sheet.part == Part::Codes => "codes",
        Some(_) => "rates",
        None if sheet.asked => "notes",
        None if sheet.hidden => "hidden",
        None => "not asked for",
    };
    let column = |(at, text): (usize, &String)| {
        let column = sheet.header.as_ref().and_then(|h| h.meanings.get(at).copied().flatten());
        (!text.is_empty() || column.is_some()).then(|| ExplainedColumn { letter: letters(at), header: text.clone(), column: column.filter(|c| *c != Column::Ignored) })
    };
    ExplainedSheet {
        name: sheet.name.clone(),
        used_as,
        header_row: sheet.header.as_ref().map_or(0, |h| h.row),
        columns: sheet.header.iter().flat_map(|h| h.texts.iter().enumerate()).filter_map(column).collect(),
        rows: sheet.rows,
        blank: sheet.blank,
        remarks: sheet.remarks,
    }
}

/// The row that comes closest to a header, and what it lacks.
fn nearest(sheet: &SheetState) -> (String, u64, String) {
    let known = |cells: &[Cell]| cells.iter().filter(|c| matches!(c, Cell::Text(t) if super::columns::recognise(t).is_some())).count();
    let best = sheet.head.iter().max_by_key(|(number, cells)| (known(cells), std::cmp::Reverse(*number))).filter(|(_, cells)| known(cells) > 0);
    match best {
        Some((number, cells)) => {
            let names: Vec<String> = cells.iter().filter_map(|c| match c {
                Cell::Text(t) => super::columns::recognise(t).map(|c| format!("'{}' as {}", t.trim(), c.name())),
                _ => None,
            }).collect();
            (sheet.name.clone(), *number, format!("no header: this row comes nearest with {}, but a header names a code and a rate; say where it is in a mapping file (header_row, columns)", names.join(", ")))
        }
        None if sheet.head.is_empty() => (sheet.name.clone(), 0, "empty: want a header and rows".to_owned()),
        None => (sheet.name.clone(), 0, format!("no header in the first {HEAD_ROWS} rows: a header names a code and a rate; say where it is in a mapping file (header_row, columns)")),
    }
}

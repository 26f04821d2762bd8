//! Where the header is, and which column is which.

use super::{
    CodePlan, Column, Mapping,
    cell::{Cell, column_of, letters},
    columns::{currency_in, is_weighty, plain, recognise},
    units::PRICES,
};

/// Rows of a sheet that are searched for a header.
pub(super) const HEAD_ROWS: usize = 60;

/// The header of a sheet of rates.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub row: u64,
    /// Where each column is.
    pub places: [Option<usize>; Column::COUNT],
    /// What each cell says.
    pub texts: Vec<String>,
    /// What each cell means.
    pub meanings: Vec<Option<Column>>,
    /// What is wrong with it, by column.
    pub problems: Vec<(Option<usize>, String)>,
    /// Columns that stand back for a better one.
    pub passed_over: Vec<usize>,
    /// Columns without a meaning that matter to a price all the same.
    pub asked: Vec<usize>,
    pub currency: Option<&'static str>,
    /// Codes are North America's, without the country's 1.
    pub npa: bool,
    /// What each cell says in both lines of a header.
    whole: Vec<String>,
    /// What the mapping leaves out and this header has.
    pub ignored: Vec<String>,
}

fn text_of(cell: Option<&Cell>) -> &str {
    match cell {
        Some(Cell::Text(text)) => text.trim(),
        _ => "",
    }
}

/// The header that this row is, alone or as the second line of two. `None` when it is none.
pub(super) fn find(row: u64, before: Option<&[Cell]>, cells: &[Cell], mapping: &Mapping, part: Part) -> Option<Header> {
    if let Some(wanted) = mapping.header_row.filter(|r| *r > 0) {
        let texts: Vec<String> = cells.iter().map(|c| text_of(Some(c)).to_owned()).collect();
        return (wanted == row).then(|| build(row, texts.clone(), texts, mapping));
    }
    let alone: Vec<String> = cells.iter().map(|c| text_of(Some(c)).to_owned()).collect();
    let header = build(row, alone.clone(), alone, mapping);
    if header.suffices(part) {
        return Some(header);
    }
    let before = before?;
    let width = cells.len().max(before.len());
    let (mut texts, mut whole) = (Vec::with_capacity(width), Vec::with_capacity(width));
    for at in 0..width {
        let (above, below) = (text_of(before.get(at)), text_of(cells.get(at)));
        let both = format!("{above} {below}");
        whole.push(both.trim().to_owned());
        let best = [both.trim(), below, above].into_iter().find(|t| recognise(t).is_some());
        texts.push(best.unwrap_or(both.trim()).to_owned());
    }
    let header = build(row, texts, whole, mapping);
    header.suffices(part).then_some(header)
}

/// What a sheet has to name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    CodesAndRates,
    /// Joined by the destination, from two sheets.
    Codes,
    Rates,
}

/// A sheet without a header, read by letters.
pub(super) fn without(mapping: &Mapping) -> Header {
    build(0, Vec::new(), Vec::new(), mapping)
}

fn build(row: u64, texts: Vec<String>, whole: Vec<String>, mapping: &Mapping) -> Header {
    let mut header = Header {
        row,
        places: [None; Column::COUNT],
        meanings: vec![None; texts.len()],
        problems: Vec::new(),
        passed_over: Vec::new(),
        asked: Vec::new(),
        currency: None,
        npa: false,
        whole,
        ignored: Vec::new(),
        texts,
    };
    let mut left_out = Vec::new();
    for said in &mapping.ignore {
        let by_text = header.texts.iter().position(|t| !t.is_empty() && plain(t) == plain(said));
        if let Some(at) = by_text.or_else(|| column_of(said.trim()).filter(|at| row == 0 || *at < header.texts.len())) {
            left_out.push(at);
            header.ignored.push(said.clone());
        }
    }
    for (column, said) in &mapping.columns {
        let by_text = header.texts.iter().position(|t| !t.is_empty() && plain(t) == plain(said));
        match by_text.or_else(|| column_of(said.trim())) {
            Some(at) => header.place(*column, at),
            None => header.problems.push((None, format!("the mapping says {} is '{said}': the header has no such column", column.name()))),
        }
    }
    let mapped: Vec<usize> = header.places.iter().flatten().copied().collect();
    for at in 0..header.texts.len() {
        if mapped.contains(&at) {
            continue;
        }
        if left_out.contains(&at) {
            header.meanings[at] = Some(Column::Ignored);
            continue;
        }
        let Some(column) = recognise(&header.texts[at]) else {
            if is_weighty(&header.texts[at]) {
                header.asked.push(at);
            }
            continue;
        };
        match header.places[column as usize] {
            _ if column == Column::Ignored => header.meanings[at] = Some(column),
            None => header.place(column, at),
            // The mapping goes first.
            Some(first) if mapped.contains(&first) => header.passed_over.push(at),
            Some(first) => header.second(column, first, at),
        }
    }
    header.settle();
    if header.places[Column::Npa as usize].is_some() {
        // The last digit of a block of a thousand.
        header.asked.extend((0..header.texts.len()).filter(|at| header.meanings[*at].is_none() && matches!(plain(&header.texts[*at]).as_str(), "x" | "block id" | "thousands block" | "block")));
    }
    let named = header.at(Column::Prefix).is_some_and(|at| plain(header.whole_text(at)).split(' ').any(|w| w.starts_with("npa")));
    header.npa = mapping.codes.map_or(named || header.npa, |plan| plan == CodePlan::NpaNxx);
    header
}

impl Header {
    fn place(&mut self, column: Column, at: usize) {
        self.places[column as usize] = Some(at);
        if self.meanings.len() <= at {
            self.meanings.resize(at + 1, None);
            self.texts.resize(at + 1, String::new());
        }
        self.meanings[at] = Some(column);
    }

    /// Two cells mean one column.
    fn second(&mut self, column: Column, first: usize, second: usize) {
        let is_new = |at: usize| plain(&self.texts[at]).split(' ').any(|w| w == "new");
        let money = matches!(column, Column::Rate | Column::Interrate | Column::Intrarate | Column::Ijrate | Column::ConnectFee | Column::Prefix | Column::Initial | Column::Increment | Column::Increments);
        match (is_new(first), is_new(second)) {
            (false, true) => {
                self.meanings[first] = None;
                self.passed_over.push(first);
                self.place(column, second);
            }
            (true, false) => self.passed_over.push(second),
            _ if money => {
                let text = format!("columns {} ('{}') and {} ('{}') both look like {}: say which in a mapping file (columns)", letters(first), self.texts[first], letters(second), self.texts[second], column.name());
                self.problems.push((Some(second), text));
            }
            _ if column == Column::EffectiveFrom && plain(&self.texts[first]) == "date" => {
                self.meanings[first] = None;
                self.passed_over.push(first);
                self.place(column, second);
            }
            _ => self.passed_over.push(second),
        }
    }

    /// What a column means depends on its neighbours.
    fn settle(&mut self) {
        let moved = |header: &mut Header, from: Column, to: Column| {
            if let (Some(at), None) = (header.places[from as usize], header.places[to as usize]) {
                header.places[from as usize] = None;
                header.place(to, at);
            }
        };
        let has = |header: &Header, column: Column| header.places[column as usize].is_some();
        if !has(self, Column::Prefix) && has(self, Column::Npa) && !has(self, Column::Nxx) {
            moved(self, Column::Npa, Column::Prefix);
            self.npa = true;
        }
        if !has(self, Column::Prefix) && !has(self, Column::Npa) && !(has(self, Column::CountryCode) && has(self, Column::AreaCode)) {
            moved(self, Column::AreaCode, Column::Prefix);
            moved(self, Column::CountryCode, Column::Prefix);
        }
        moved(self, Column::Country, Column::Destination);
        if has(self, Column::Initial) && !has(self, Column::Increment) {
            moved(self, Column::Increments, Column::Increment);
        }
        if !has(self, Column::Initial) {
            moved(self, Column::Increment, Column::Increments);
        }
        for column in PRICES {
            let Some(at) = self.places[column as usize] else { continue };
            match (self.currency, currency_in(self.whole_text(at))) {
                (Some(first), Some(other)) if first != other => {
                    let text = format!("'{}' is in {other}, another column in {first}: a deck has one currency; import them as two decks, or leave one out (ignore)", self.whole_text(at));
                    self.problems.push((Some(at), text));
                }
                (None, found) => self.currency = found,
                _ => {}
            }
        }
    }

    /// Names a code and a rate, or that of them which its sheet is for, and the destination.
    pub fn suffices(&self, part: Part) -> bool {
        let has = |columns: &[Column]| columns.iter().any(|c| self.places[*c as usize].is_some());
        let codes = has(&[Column::Prefix, Column::CountryCode, Column::Npa]);
        let rates = has(&[Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate]);
        match part {
            Part::CodesAndRates => codes && rates,
            Part::Codes => codes && has(&[Column::Destination]),
            Part::Rates => rates && has(&[Column::Destination]),
        }
    }

    /// What a column's header says, in both lines of one.
    pub fn whole_text(&self, at: usize) -> &str {
        self.whole.get(at).map_or("", String::as_str)
    }

    pub fn at(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    /// Whether a row below only carries the header on: `Peak`, `Off-peak` under `Rate`, or the header again on a new page.
    pub fn repeats(&self, cells: &[Cell]) -> bool {
        let mut said = 0;
        let all = cells.iter().enumerate().all(|(at, cell)| match cell {
            cell if cell.is_blank() => true,
            Cell::Text(text) => {
                said += 1;
                recognise(text).is_some() || self.texts.get(at).is_some_and(|t| t == text.trim())
            }
            _ => false,
        });
        all && said > 0
    }

    /// The columns that a second line names anew.
    pub fn continued(&mut self, cells: &[Cell], mapping: &Mapping) {
        let mut texts = self.texts.clone();
        texts.resize(texts.len().max(cells.len()), String::new());
        let mut whole = std::mem::take(&mut self.whole);
        whole.resize(texts.len(), String::new());
        for (at, (text, whole)) in texts.iter_mut().zip(&mut whole).enumerate() {
            let below = text_of(cells.get(at));
            if !below.is_empty() && recognise(below).is_some() {
                *text = below.to_owned();
            }
            *whole = format!("{whole} {below}").trim().to_owned();
        }
        *self = build(self.row, texts, whole, mapping);
    }
}

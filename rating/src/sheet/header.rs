//! Where the header is, and which column is which.

use super::{
    Column, Mapping,
    cell::{Cell, column_of, letters},
    columns::{currency_in, plain, recognise},
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
    pub currency: Option<&'static str>,
}

fn text_of(cell: Option<&Cell>) -> &str {
    match cell {
        Some(Cell::Text(text)) => text.trim(),
        _ => "",
    }
}

/// The header that this row is, alone or as the second line of two. `None` when it is none.
pub(super) fn find(row: u64, before: Option<&[Cell]>, cells: &[Cell], mapping: &Mapping) -> Option<Header> {
    if let Some(wanted) = mapping.header_row.filter(|r| *r > 0) {
        return (wanted == row).then(|| build(row, cells.iter().map(|c| text_of(Some(c)).to_owned()).collect(), mapping));
    }
    let alone: Vec<String> = cells.iter().map(|c| text_of(Some(c)).to_owned()).collect();
    let header = build(row, alone, mapping);
    if header.suffices() {
        return Some(header);
    }
    let before = before?;
    let width = cells.len().max(before.len());
    let mut texts = Vec::with_capacity(width);
    for at in 0..width {
        let (above, below) = (text_of(before.get(at)), text_of(cells.get(at)));
        let both = format!("{above} {below}");
        let best = [both.trim(), below, above].into_iter().find(|t| recognise(t).is_some());
        texts.push(best.unwrap_or(both.trim()).to_owned());
    }
    let header = build(row, texts, mapping);
    header.suffices().then_some(header)
}

/// A sheet without a header, read by letters.
pub(super) fn without(mapping: &Mapping) -> Header {
    build(0, Vec::new(), mapping)
}

fn build(row: u64, texts: Vec<String>, mapping: &Mapping) -> Header {
    let mut header = Header {
        row,
        places: [None; Column::COUNT],
        meanings: vec![None; texts.len()],
        problems: Vec::new(),
        passed_over: Vec::new(),
        currency: None,
        texts,
    };
    for (column, said) in &mapping.columns {
        let by_text = header.texts.iter().position(|t| !t.is_empty() && plain(t) == plain(said));
        match by_text.or_else(|| column_of(said.trim())) {
            Some(at) => header.place(*column, at),
            None => header.problems.push((None, format!("the mapping says {} is '{said}': the header has no such column", column.name()))),
        }
    }
    let mapped: Vec<usize> = header.places.iter().flatten().copied().collect();
    for at in 0..header.texts.len() {
        let Some(column) = recognise(&header.texts[at]).filter(|_| !mapped.contains(&at)) else { continue };
        match header.places[column as usize] {
            _ if column == Column::Ignored => header.meanings[at] = Some(column),
            None => header.place(column, at),
            // The mapping goes first.
            Some(first) if mapped.contains(&first) => header.passed_over.push(at),
            Some(first) => header.second(column, first, at),
        }
    }
    header.settle();
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
        if !has(self, Column::Prefix) && !(has(self, Column::CountryCode) && has(self, Column::AreaCode)) {
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
        self.currency = [Column::Rate, Column::Interrate, Column::ConnectFee].into_iter().filter_map(|c| self.places[c as usize]).find_map(|at| currency_in(&self.texts[at]));
    }

    /// Names a code and a rate.
    pub fn suffices(&self) -> bool {
        let has = |columns: &[Column]| columns.iter().any(|c| self.places[*c as usize].is_some());
        has(&[Column::Prefix, Column::CountryCode]) && has(&[Column::Rate, Column::Interrate, Column::Intrarate, Column::Ijrate])
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
        for (at, text) in texts.iter_mut().enumerate() {
            let below = text_of(cells.get(at));
            if !below.is_empty() && recognise(below).is_some() {
                *text = below.to_owned();
            }
        }
        *self = build(self.row, texts, mapping);
    }
}

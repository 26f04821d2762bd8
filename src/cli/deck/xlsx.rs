//! Workbooks, cell by cell, into rating's reader of sheets. A workbook is bounded before it is unpacked.

mod format;
mod parts;

use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    ops::ControlFlow,
    path::Path,
};

use anyhow::{Context as _, bail};
use calamine::{DataRef, Reader as _, SheetVisible, Xlsx, open_workbook};
use chrono::NaiveDate;
use tollgate_rating::sheet::{Cell, SheetReader};

use parts::{Parts, Shown};

/// Largest file, and the most its parts may say they unpack to. Shared texts are held in memory, sheets are not.
const MAX_FILE: u64 = 256 << 20;
const MAX_UNPACKED: u64 = 2 << 30;
const MAX_COLUMNS: usize = 16_384;

/// Reads every sheet that the reader wants.
pub fn feed(path: &Path, reader: &mut SheetReader) -> anyhow::Result<()> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_FILE {
        bail!("{} has {size} bytes: a workbook may have {MAX_FILE}; save the sheet of rates as CSV, which may be larger", path.display());
    }
    let unpacked = unpacked(path).with_context(|| format!("{} is no workbook that can be read", path.display()))?;
    if unpacked > MAX_UNPACKED {
        bail!("{} unpacks to {unpacked} bytes: a workbook may have {MAX_UNPACKED}; save the sheet of rates as CSV, which may be larger", path.display());
    }
    let mut parts = Parts::open(path).with_context(|| format!("{} is no workbook that can be read", path.display()))?;
    let mut book: Xlsx<BufReader<File>> = open_workbook(path).with_context(|| format!("{} is no workbook that can be read", path.display()))?;
    let sheets: Vec<(String, bool)> = book.sheets_metadata().iter().map(|s| (s.name.clone(), s.visible != SheetVisible::Visible)).collect();
    for (name, hidden) in sheets {
        reader.begin(&name, hidden);
        if reader.wants_rows()
            && let Err(e) = parts.sheet(&name).and_then(|shown| feed_sheet(&mut book, &name, shown, reader))
        {
            reader.refuse(format!("cannot be read: {e:#}"));
        }
    }
    Ok(())
}

fn feed_sheet(book: &mut Xlsx<BufReader<File>>, name: &str, mut shown: Shown, reader: &mut SheetReader) -> anyhow::Result<()> {
    let mut formulas = Formulas::default();
    {
        let mut cells = book.worksheet_cells_reader(name)?;
        while let Some(cell) = cells.next_formula()? {
            if !cell.get_value().is_empty() {
                formulas.at.push(cell.get_position());
            }
        }
    }
    formulas.at.sort_unstable();
    let mut cells = book.worksheet_cells_reader(name)?;
    let mut row: Vec<Cell> = Vec::new();
    let mut at: Option<u32> = None;
    while let Some(cell) = cells.next_cell()? {
        let (number, column) = cell.get_position();
        if let Some(before) = at.filter(|b| *b != number) {
            if flush(reader, before, &row, &mut formulas).is_break() {
                return Ok(());
            }
            row.clear();
        }
        at = Some(number);
        let at = column as usize;
        if at >= MAX_COLUMNS {
            bail!("a cell in column {at}: a sheet has {MAX_COLUMNS}");
        }
        if row.len() <= at {
            row.resize(at + 1, Cell::Empty);
        }
        row[at] = match (plain(cell.get_value(), reader), shown.of(number, column)) {
            (Cell::Number(number), Some(words)) => Cell::Shown(number, words.clone()),
            (cell, _) => cell,
        };
    }
    if let Some(last) = at {
        let _ = flush(reader, last, &row, &mut formulas);
    }
    for (column, row, count) in formulas.seen {
        if reader.is_used(column) {
            reader.warn_at(row, column, format!("{count} cells of this column are formulas: their saved values are taken"));
        }
    }
    Ok(())
}

/// Where formulas stand.
#[derive(Default)]
struct Formulas {
    /// Rows and columns from 0, in order.
    at: Vec<(u32, u32)>,
    next: usize,
    /// Column, its first row, and how many.
    seen: Vec<(usize, u64, u64)>,
}

fn flush(reader: &mut SheetReader, number: u32, row: &[Cell], formulas: &mut Formulas) -> ControlFlow<()> {
    let line = u64::from(number) + 1;
    let flow = reader.row(line, row);
    while let Some((_, column)) = formulas.at.get(formulas.next).copied().filter(|(r, _)| *r <= number) {
        formulas.next += 1;
        let column = column as usize;
        if row.get(column).is_none_or(Cell::is_blank) && reader.is_used(column) {
            reader.problem_at(line, column, "a formula without a saved value: open the workbook, let it calculate, and save it");
        }
        match formulas.seen.iter_mut().find(|(c, ..)| *c == column) {
            Some((_, _, count)) => *count += 1,
            None => formulas.seen.push((column, line, 1)),
        }
    }
    flow
}

fn plain(value: &DataRef<'_>, reader: &mut SheetReader) -> Cell {
    match value {
        DataRef::Empty => Cell::Empty,
        DataRef::Int(n) => Cell::Number(*n as f64),
        DataRef::Float(n) => Cell::Number(*n),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Cell::Text(text.clone()),
        DataRef::SharedString(text) => Cell::Text((*text).to_owned()),
        DataRef::Bool(yes) => Cell::Bool(*yes),
        DataRef::DateTime(date) => {
            let (year, month, day, hour, minute, second, _) = date.to_ymd_hms_milli();
            let local = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into()).and_then(|d| d.and_hms_opt(hour.into(), minute.into(), second.into()));
            // The library keeps the workbook's epoch to itself: a date that is four years later than its number has the one of 1904.
            let years = (date.as_f64() / 365.2425 + 1900.0).floor();
            if f64::from(year) - years > 2.0 {
                reader.counts_from_1904();
            }
            local.map_or(Cell::Number(date.as_f64()), Cell::Date)
        }
        DataRef::Error(error) => Cell::Error(error.to_string()),
    }
}

/// What the parts of a ZIP file say they unpack to, from its central directory (APPNOTE 4.3.12, 4.3.16).
fn unpacked(path: &Path) -> anyhow::Result<u64> {
    const END: u32 = 0x0605_4b50;
    const ENTRY: u32 = 0x0201_4b50;
    let mut file = File::open(path)?;
    let len = file.seek(SeekFrom::End(0))?;
    let tail_at = len.saturating_sub(66_000);
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let u32_at = |bytes: &[u8], at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let u16_at = |bytes: &[u8], at: usize| bytes.get(at..at + 2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
    let end = (0..tail.len().saturating_sub(21)).rev().find(|at| u32_at(&tail, *at) == Some(END)).context("its end is missing: was it cut in transfer?")?;
    let (size, start) = u32_at(&tail, end + 12).zip(u32_at(&tail, end + 16)).context("its directory is broken")?;
    if start == u32::MAX || u64::from(start) + u64::from(size) > len {
        bail!("its directory is broken, or it is larger than 4 GB");
    }
    file.seek(SeekFrom::Start(start.into()))?;
    let mut directory = vec![0; size as usize];
    file.read_exact(&mut directory)?;
    let (mut at, mut total) = (0, 0u64);
    while u32_at(&directory, at) == Some(ENTRY) {
        let part = u32_at(&directory, at + 24).context("its directory is broken")?;
        total += if part == u32::MAX { MAX_UNPACKED + 1 } else { part.into() };
        let lengths: Option<Vec<usize>> = [28, 30, 32].into_iter().map(|o| u16_at(&directory, at + o)).collect();
        at += 46 + lengths.context("its directory is broken")?.iter().sum::<usize>();
    }
    Ok(total)
}

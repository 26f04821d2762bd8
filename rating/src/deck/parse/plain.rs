//! Sheets without a quote, which are most: lines are records and commas part cells, so that a sheet can be cut at any line
//! and its pieces be read on several threads. What a row means is [`Sheet::read_row`]'s, here as elsewhere; where a
//! piece finds anything wrong, the sheet is read once more from the start, for problems are told in the file's order.

use std::thread;

use csv::ReaderBuilder;
use memchr::{memchr, memchr_iter};

use super::{RawRow, Sheet, id_of, text_id};
use crate::cells::{Cells, Line, is_plain, plain_lines};

/// A piece smaller than this is not worth a thread.
const SMALLEST_PIECE: usize = 64 << 10;

/// Reads the whole sheet, or leaves it untouched and says false.
pub(super) fn read(sheet: &mut Sheet, bytes: &[u8], threads: usize) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Lines of 4 GB would be no lines.
    if sheet.problems.total() > 0 || u32::try_from(bytes.len()).is_err() || !is_plain(bytes) {
        return false;
    }
    let Some(body) = memchr(b'\n', bytes) else { return false };
    let (header, body) = (&bytes[..body], &bytes[body + 1..]);
    let mut record = csv::ByteRecord::new();
    let read = ReaderBuilder::new().has_headers(false).from_reader(header).read_byte_record(&mut record);
    let mut first = sheet.piece();
    if !matches!(read, Ok(true)) || !first.read_header(&record, 1) {
        return false;
    }
    let pieces = cut(body, threads);
    let mut sheets: Vec<Sheet> = pieces.iter().map(|_| first.piece()).collect();
    thread::scope(|scope| {
        let mut work: Vec<_> = pieces.iter().zip(&mut sheets).collect();
        let own = work.pop();
        for (piece, sheet) in work {
            scope.spawn(|| sheet.read_lines(piece));
        }
        if let Some((piece, sheet)) = own {
            sheet.read_lines(piece);
        }
    });
    let currency = sheets.iter().find_map(|s| s.currency.clone());
    let one = |s: &Sheet| s.currency.as_ref().map(|c| &c.0).is_none_or(|code| Some(code) == currency.as_ref().map(|c| &c.0));
    if !sheets.iter().all(|s| s.problems.total() == 0 && one(s)) || sheets.iter().all(|s| s.rows.is_empty()) {
        return false;
    }
    let mut sheets = sheets.into_iter();
    let Some(all) = sheets.next() else { return false };
    let name = std::mem::replace(&mut sheet.problems.deck, String::new());
    *sheet = all;
    sheet.problems.deck = name;
    let mut lines = 1 + memchr_iter(b'\n', pieces[0]).count() as u64;
    for row in &mut sheet.rows {
        row.line += 1;
    }
    for (line, _) in &mut sheet.jurisdictions {
        *line += 1;
    }
    for (piece, text) in sheets.zip(&pieces[1..]) {
        sheet.append(piece, lines);
        lines += memchr_iter(b'\n', text).count() as u64;
    }
    sheet.currency = currency;
    true
}

/// Into at most `threads` pieces of whole lines.
fn cut(body: &[u8], threads: usize) -> Vec<&[u8]> {
    let count = threads.clamp(1, 1 + body.len() / SMALLEST_PIECE);
    let mut pieces = Vec::with_capacity(count);
    let mut rest = body;
    for left in (1..=count).rev() {
        let about = rest.len() / left;
        let end = if left == 1 { rest.len() } else { memchr(b'\n', &rest[about..]).map_or(rest.len(), |at| about + at + 1) };
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

impl Sheet {
    /// An empty one with the same columns.
    fn piece(&self) -> Sheet {
        Sheet { places: self.places, width: self.width, ..Sheet::new("", self.zone) }
    }

    /// Reads lines, counted from 1, until something is wrong.
    fn read_lines(&mut self, text: &[u8]) {
        for (number, line) in plain_lines(text) {
            let line = Line::split(line);
            if line.count() != self.width {
                self.problems.add(number, "", "another count of cells");
            } else if let Some(row) = self.read_row(&line, number) {
                self.rows.push(row);
            }
            if self.problems.total() > 0 {
                return;
            }
        }
    }

    /// Takes over what the next piece, which begins after `lines` lines, found.
    fn append(&mut self, piece: Sheet, lines: u64) {
        let texts: Vec<u32> = super::by_id(piece.texts).iter().map(|text| text_id(&mut self.texts, text)).collect();
        let kinds: Vec<u32> = super::by_id(piece.kinds)
            .iter()
            .map(|kind| id_of(&mut self.kinds, super::Kind { route_class: texts[kind.route_class as usize], ..*kind }))
            .collect();
        self.rows.reserve(piece.rows.len());
        self.rows.extend(piece.rows.into_iter().map(|row| RawRow {
            line: row.line + lines,
            origin: texts[row.origin as usize],
            destination: texts[row.destination as usize],
            kind: kinds[row.kind as usize],
            ..row
        }));
        self.jurisdictions.extend(piece.jurisdictions.into_iter().map(|(line, rates)| (line + lines, rates)));
    }
}

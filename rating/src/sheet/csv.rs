//! CSV of every sort into a [`SheetReader`]. The file is read once, in pieces: its size is bounded by rows, not by memory.

use std::{borrow::Cow, io::{self, Cursor, Read}};

use ::csv::{ByteRecord, ReaderBuilder};

use super::{
    Cell, SheetReader, header,
    text::{Encoding, FromUtf16, from_windows_1252},
};
use crate::lines::Lines;

/// What is looked at to tell encoding and separator.
const HEAD: usize = 64 * 1024;
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads a whole CSV file. What is wrong with the text comes out of [`SheetReader::finish`]; an error is the input's own.
pub fn feed_csv(mut input: impl Read, reader: &mut SheetReader) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    input.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let (encoding, mark) = Encoding::of(&head);
    let rest = Cursor::new(head.split_off(mark)).chain(input);
    match encoding {
        Encoding::Utf8 => feed_utf8(rest, encoding, reader),
        Encoding::Utf16Le | Encoding::Utf16Be => feed_utf8(FromUtf16::new(rest, encoding == Encoding::Utf16Be), encoding, reader),
    }
}

fn feed_utf8(mut input: impl Read, encoding: Encoding, sheet: &mut SheetReader) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEAD);
    if let Err(e) = input.by_ref().take(HEAD as u64).read_to_end(&mut head) {
        return broken(e, sheet);
    }
    let separator = separator(&head);
    sheet.explained.separator = Some(char::from(separator));
    let mut western = false;
    let input = Cursor::new(head).chain(input);
    let mut csv = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(Lines::new(input));
    let mut record = ByteRecord::new();
    let mut cells: Vec<Cell> = Vec::new();
    sheet.begin("", false);
    loop {
        let start = csv.position().byte();
        match csv.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(e) => match e.into_kind() {
                ::csv::ErrorKind::Io(e) => return broken(e, sheet),
                other => return broken(io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")), sheet),
            },
        }
        let line = csv.get_mut().of_record(start);
        cells.clear();
        cells.extend(record.iter().map(|bytes| {
            let text = std::str::from_utf8(bytes).map_or_else(|_| {
                western = true;
                Cow::Owned(from_windows_1252(bytes))
            }, Cow::Borrowed);
            if text.trim().is_empty() { Cell::Empty } else { Cell::Text(text.into_owned()) }
        }));
        if sheet.row(line, &cells).is_break() {
            break;
        }
    }
    sheet.explained.encoding = Some(match encoding {
        Encoding::Utf8 if western => "Windows-1252",
        Encoding::Utf8 => "UTF-8",
        Encoding::Utf16Le => "UTF-16LE",
        Encoding::Utf16Be => "UTF-16BE",
    });
    Ok(())
}

/// Text that cannot be read is the file's problem; anything else the input's.
fn broken(e: io::Error, sheet: &mut SheetReader) -> io::Result<()> {
    if e.kind() == io::ErrorKind::InvalidData {
        sheet.refuse(e);
        return Ok(());
    }
    Err(e)
}

/// The one under which the head of the file shows most columns; `sep=;` in the first line says it.
fn separator(head: &[u8]) -> u8 {
    if let Some(said) = head.strip_prefix(b"sep=").and_then(|rest| rest.first()) {
        return *said;
    }
    let score = |separator: u8| {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(head);
        let rows = reader.byte_records().take(header::HEAD_ROWS).filter_map(Result::ok);
        let mut widest = 0;
        let found = rows
            .map(|row| {
                widest = widest.max(row.len());
                row.iter().filter(|cell| super::columns::recognise(&String::from_utf8_lossy(cell)).is_some()).count()
            })
            .max();
        (found.unwrap_or(0), widest)
    };
    // The first of equals: a comma.
    SEPARATORS.into_iter().rev().max_by_key(|s| score(*s)).unwrap_or(b',')
}

//! Records of CSV, however they were split. Most files have no quote anywhere: then every line feed ends a record and every
//! comma a cell, which is found several times as fast as by a reader that looks at each byte for quotes.

use csv::ByteRecord;
use memchr::{memchr, memchr_iter};

/// More cells than any header of ours may have.
pub(crate) const MAX_CELLS: usize = 16;

/// A record.
pub(crate) trait Cells<'r>: Copy {
    fn count(self) -> usize;

    /// A cell below [`Cells::count`], and [`MAX_CELLS`], as it is in the file.
    fn cell(self, at: usize) -> &'r [u8];
}

impl<'r> Cells<'r> for &'r ByteRecord {
    fn count(self) -> usize {
        self.len()
    }

    fn cell(self, at: usize) -> &'r [u8] {
        &self[at]
    }
}

/// A line without quotes.
#[derive(Clone, Copy)]
pub(crate) struct Line<'l> {
    pub text: &'l [u8],
    ends: [u32; MAX_CELLS],
    cells: usize,
}

impl<'l> Line<'l> {
    /// Of a text shorter than 4 GB.
    pub(crate) fn split(text: &'l [u8]) -> Line<'l> {
        let mut line = Line { text, ends: [0; MAX_CELLS], cells: 0 };
        for end in memchr_iter(b',', text).chain([text.len()]) {
            if let Some(place) = line.ends.get_mut(line.cells) {
                *place = end as u32;
            }
            line.cells += 1;
        }
        line
    }
}

impl<'l> Cells<'l> for &Line<'l> {
    fn count(self) -> usize {
        self.cells
    }

    fn cell(self, at: usize) -> &'l [u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize + 1);
        &self.text[start..self.ends[at] as usize]
    }
}

/// No quotes, and a carriage return only before a line feed.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    memchr(b'"', bytes).is_none() && memchr_iter(b'\r', bytes).all(|at| bytes.get(at + 1) == Some(&b'\n'))
}

/// Records of a plain text with the number of their line, from 1; blank lines are passed over.
pub(crate) fn plain_lines(text: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let (mut rest, mut number) = (text, 0);
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 1..]);
            number += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                return Some((number, line));
            }
        }
        None
    })
}

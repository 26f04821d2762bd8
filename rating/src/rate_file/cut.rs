//! Cuts CSV into blocks of whole records, so that they can be rated apart from each other.

use std::io::{self, Read};

use memchr::{memchr, memrchr};

/// About how long a block is.
pub(super) const BLOCK: usize = 1 << 20;

/// Longest record. A quote left open swallows the file; this is where that stops.
const MAX_RECORD: usize = 16 << 20;

/// Blocks of `input`, each beginning and ending where a record does; the first without a byte order mark.
pub(super) struct Cutter<R> {
    input: R,
    /// Begins with a record.
    held: Vec<u8>,
    begun: bool,
    ended: bool,
    line: u64,
}

impl<R: Read> Cutter<R> {
    pub(super) fn new(input: R) -> Cutter<R> {
        Cutter { input, held: Vec::new(), begun: false, ended: false, line: 1 }
    }

    fn next_block(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // One byte more than is cut at: what follows a carriage return matters.
            let want = (self.held.len() / BLOCK + 1) * BLOCK;
            let missing = (want - self.held.len()) as u64;
            self.ended = (self.input.by_ref().take(missing).read_to_end(&mut self.held)? as u64) < missing;
            if !self.begun {
                self.begun = true;
                if self.held.starts_with(b"\xef\xbb\xbf") {
                    self.held.drain(..3);
                }
            }
            let end = if self.ended { self.held.len() } else { last_record_end(&self.held) };
            if end > 0 {
                let rest = self.held.split_off(end);
                let block = std::mem::replace(&mut self.held, rest);
                self.line += memchr::memchr_iter(b'\n', &block).count() as u64;
                return Ok(Some(block));
            }
            if self.ended {
                return Ok(None);
            }
            if self.held.len() > MAX_RECORD {
                let problem = format!("the row at line {} is longer than {MAX_RECORD} bytes (is a quote left open?)", self.line);
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
    }
}

impl<R: Read> Iterator for Cutter<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended && self.held.is_empty() {
            return None;
        }
        self.next_block().transpose()
    }
}

/// Where the last record that is there whole ends, 0 when there is none. The bytes begin with a record.
fn last_record_end(bytes: &[u8]) -> usize {
    if memchr(b'"', bytes).is_none() {
        return memrchr(b'\n', bytes).or_else(|| lone_return(bytes)).map_or(0, |at| at + 1);
    }
    // As the reader sees quotes: they count at the start of a cell, and are literal inside one.
    let (mut quoted, mut cell_begins, mut end) = (false, true, 0);
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        at += 1;
        if quoted {
            if *b == b'"' {
                match bytes.get(at) {
                    Some(b'"') => at += 1,
                    _ => quoted = false,
                }
            }
            continue;
        }
        match b {
            b'"' if cell_begins => quoted = true,
            b'\n' => end = at,
            b'\r' if bytes.get(at).is_some_and(|next| *next != b'\n') => end = at,
            _ => {}
        }
        cell_begins = matches!(b, b',' | b'\n' | b'\r');
    }
    end
}

/// Files of old Macs end their records so.
fn lone_return(bytes: &[u8]) -> Option<usize> {
    memrchr(b'\r', &bytes[..bytes.len().saturating_sub(1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_where_a_reader_ends_them() {
        for (bytes, whole) in [
            ("", ""),
            ("a,b\nc", "a,b\n"),
            ("a,b\r\nc", "a,b\r\n"),
            ("a,b\rc,d\re", "a,b\rc,d\r"),
            ("\"a\nb\",c\nd", "\"a\nb\",c\n"),
            ("\"a\nb", ""),
            ("\"a\"\"\nb\"\n\"x", "\"a\"\"\nb\"\n"),
            // A quote inside a cell is a character like any other.
            ("a\"b\nc\"\nd", "a\"b\nc\"\n"),
            ("\"a\"x\"\nb\n\"c", "\"a\"x\"\nb\n"),
        ] {
            assert_eq!(&bytes[..last_record_end(bytes.as_bytes())], whole, "{bytes:?}");
        }
    }

    #[test]
    fn blocks_are_the_file_and_a_quote_left_open_does_not_fill_the_memory() {
        let text: String = (0..300_000).map(|n| format!("{n},\"{n}\n\"\n")).collect();
        let blocks: Vec<Vec<u8>> = Cutter::new(text.as_bytes()).map(|b| b.expect("memory")).collect();
        assert!(blocks.len() > 3 && blocks.iter().all(|b| b.ends_with(b"\"\n")));
        assert_eq!(blocks.concat(), text.as_bytes());
        let endless = io::Read::chain(&b"h\n\"x"[..], io::repeat(b'y'));
        let failed = Cutter::new(endless).find_map(Result::err).expect("an end");
        assert!(failed.to_string().contains("line 2"), "{failed}");
    }
}

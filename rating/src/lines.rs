//! On which line of a CSV file a record stands. The reader's own count comes too early after CRLF and blank lines, and
//! people look for mistakes by line.

use std::io::{self, Read};

/// Longest record. A quote left open swallows the file; this is where that stops.
const MAX_RECORD: usize = 16 << 20;

/// Reads through, keeping what the CSV reader has taken but not yet turned into records.
pub(crate) struct Lines<R> {
    inner: R,
    /// Bytes of the input from `base` on.
    seen: Vec<u8>,
    base: u64,
    /// Of `seen`, what `line` has counted: up to the first byte of the record asked about last.
    at: usize,
    line: u64,
}

impl<R> Lines<R> {
    pub(crate) fn new(inner: R) -> Lines<R> {
        Lines { inner, seen: Vec::new(), base: 0, at: 0, line: 1 }
    }

    /// The line of the record that the reader began to look for at byte `start`. To be asked for every record, after
    /// it was read: what lies before it is forgotten.
    pub(crate) fn of_record(&mut self, start: u64) -> u64 {
        let start = ((start - self.base) as usize).min(self.seen.len());
        let blank = self.seen[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let first = start + blank;
        self.line += self.seen[self.at..first].iter().filter(|b| **b == b'\n').count() as u64;
        self.at = first;
        self.line
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.seen.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        if self.seen.len() > MAX_RECORD {
            let problem = format!("the row after line {} is longer than {MAX_RECORD} bytes (is a quote left open?)", self.line);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let read = self.inner.read(buffer)?;
        self.seen.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use csv::{ByteRecord, ReaderBuilder};

    use super::*;

    fn lines(text: &str, buffer: usize) -> Vec<u64> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(buffer)
            .from_reader(Lines::new(text.as_bytes()));
        let (mut record, mut out) = (ByteRecord::new(), Vec::new());
        loop {
            let start = reader.position().byte();
            if !reader.read_byte_record(&mut record).expect("memory") {
                return out;
            }
            out.push(reader.get_mut().of_record(start));
        }
    }

    #[test]
    fn records_know_the_line_they_start_on() {
        for buffer in [1, 3, 4096] {
            assert_eq!(lines("h,a\r\n1,2\r\n\r\n\r\n5,6\r\n7,8", buffer), [1, 2, 5, 6]);
            assert_eq!(lines("\nh,a\n1,\"2\n2\"\n\n3,4\n", buffer), [2, 3, 6]);
            assert_eq!(lines("h\n\n\nx", buffer), [1, 4]);
        }
    }

    #[test]
    fn a_quote_left_open_does_not_fill_the_memory() {
        let endless = io::Read::chain(&b"h,a\n\"x"[..], io::repeat(b'y'));
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(Lines::new(endless));
        let mut record = ByteRecord::new();
        let failed = loop {
            let start = reader.position().byte();
            match reader.read_byte_record(&mut record) {
                Ok(_) => reader.get_mut().of_record(start),
                Err(e) => break e,
            };
        };
        assert!(failed.to_string().contains("line 1"), "{failed}");
    }
}

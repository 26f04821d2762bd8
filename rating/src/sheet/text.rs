//! Bytes of a CSV file as text: UTF-8 with or without its mark, UTF-16 of either order, Windows-1252.

use std::{borrow::Cow, io::{self, Read}};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Cells that are no UTF-8 are taken for Windows-1252.
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// From the first bytes, and how many of them are the mark.
    pub fn of(head: &[u8]) -> (Encoding, usize) {
        match head {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
            _ => {
                // Without a mark: every other byte of Latin text is zero.
                let zeros = |first: usize| head.iter().skip(first).step_by(2).take(64).filter(|b| **b == 0).count();
                let pairs = (head.len() / 2).min(64);
                match (zeros(0), zeros(1)) {
                    (high, 0) if pairs > 1 && high * 2 > pairs => (Encoding::Utf16Be, 0),
                    (0, high) if pairs > 1 && high * 2 > pairs => (Encoding::Utf16Le, 0),
                    _ => (Encoding::Utf8, 0),
                }
            }
        }
    }
}

/// The text of a whole file. Errors where it is UTF-16 that is broken.
pub(crate) fn whole_text(bytes: &[u8]) -> io::Result<Cow<'_, str>> {
    let (encoding, mark) = Encoding::of(&bytes[..bytes.len().min(1024)]);
    let bytes = &bytes[mark..];
    if encoding == Encoding::Utf8 {
        return Ok(std::str::from_utf8(bytes).map_or_else(|_| Cow::Owned(from_windows_1252(bytes)), Cow::Borrowed));
    }
    let mut text = String::with_capacity(bytes.len() / 2);
    FromUtf16::new(bytes, encoding == Encoding::Utf16Be).read_to_string(&mut text)?;
    Ok(Cow::Owned(text))
}

/// UTF-16 read as UTF-8. A lone surrogate is an error: the file is broken or was cut.
pub(super) struct FromUtf16<R> {
    inner: R,
    big_endian: bool,
    /// Bytes that are no whole character yet, then what is ready.
    pending: Vec<u8>,
    ready: Vec<u8>,
    at: usize,
}

impl<R: Read> FromUtf16<R> {
    pub fn new(inner: R, big_endian: bool) -> FromUtf16<R> {
        FromUtf16 { inner, big_endian, pending: Vec::new(), ready: Vec::new(), at: 0 }
    }

    fn fill(&mut self) -> io::Result<()> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "the file is UTF-16 with a broken character: save it again as CSV in UTF-8");
        let mut chunk = [0u8; 16 * 1024];
        while self.at == self.ready.len() {
            self.ready.clear();
            self.at = 0;
            let read = self.inner.read(&mut chunk)?;
            self.pending.extend_from_slice(&chunk[..read]);
            if read == 0 {
                return if self.pending.is_empty() { Ok(()) } else { Err(broken()) };
            }
            let whole = self.pending.len() / 2;
            let unit = |pair: &[u8]| if self.big_endian { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) };
            let mut units: Vec<u16> = self.pending[..whole * 2].chunks_exact(2).map(unit).collect();
            // The first half of a pair waits for the second.
            if units.last().is_some_and(|u| (0xd800..0xdc00).contains(u)) {
                units.pop();
            }
            self.pending.drain(..units.len() * 2);
            let mut buffer = [0u8; 4];
            for c in char::decode_utf16(units) {
                let c = c.map_err(|_| broken())?;
                self.ready.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for FromUtf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let n = buffer.len().min(self.ready.len() - self.at);
        buffer[..n].copy_from_slice(&self.ready[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Windows-1252, as spreadsheets of western Europe save CSV (the WHATWG index: the five holes are control characters).
pub(super) fn from_windows_1252(bytes: &[u8]) -> String {
    const HIGH: [u16; 32] = [
        0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153,
        0x9d, 0x17e, 0x178,
    ];
    let char_of = |b: &u8| match b {
        0x80..=0x9f => char::from_u32(HIGH[usize::from(b - 0x80)].into()).unwrap_or('\u{fffd}'),
        b => char::from(*b),
    };
    bytes.iter().map(char_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_14_utf_16_is_read_in_either_order_whatever_the_pieces() {
        struct Small<'a>(&'a [u8]);
        impl Read for Small<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(3).min(buffer.len());
                buffer[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        let text = "Côte d'Ivoire;225;0,25 €\n𝕏;1\n";
        for big_endian in [false, true] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(|u| if big_endian { u.to_be_bytes() } else { u.to_le_bytes() }).collect();
            let mut out = String::new();
            FromUtf16::new(Small(&bytes), big_endian).read_to_string(&mut out).unwrap();
            assert_eq!(out, text);
            assert!(FromUtf16::new(&bytes[..bytes.len() - 1], big_endian).read_to_string(&mut out).is_err());
            assert_eq!(Encoding::of(&bytes).0, if big_endian { Encoding::Utf16Be } else { Encoding::Utf16Le });
        }
    }

    #[test]
    fn r_14_windows_1252_has_its_own_signs() {
        assert_eq!(from_windows_1252(b"C\xf4te \x80 \x96 \x93x\x94"), "Côte € – “x”");
    }
}

//! Comma lists. Via, Route, Record-Route, Contact and others are lists of *values*, spread over lines as the sender
//! likes (RFC 3261 §7.3.1): two Vias in one line mean the same as two lines.

use super::scan::Msg;
use super::{Header, Span, lex};

/// One value of a comma list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Where the value stands in the datagram, without blanks and comma.
    pub span: Span,
    /// The value, folding left in place.
    pub bytes: &'a [u8],
    /// The header it belongs to.
    pub header: Header,
    /// Index of its line.
    pub(super) line: u16,
}

/// Iterator over the values of a header, over all its lines. See [`Msg::values`].
#[derive(Clone, Debug)]
pub struct Values<'m, 'a> {
    msg: &'m Msg<'a>,
    header: Header,
    line: usize,
    /// Where in the current line to go on, and the line's end; none before a line is opened.
    rest: Option<(usize, usize)>,
}

impl<'m, 'a> Values<'m, 'a> {
    pub(super) fn new(msg: &'m Msg<'a>, header: Header, line: usize) -> Values<'m, 'a> {
        Values {
            msg,
            header,
            line,
            rest: None,
        }
    }
}

impl<'a> Iterator for Values<'_, 'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (at, end) = match self.rest {
            Some(rest) => rest,
            None => loop {
                let line = self.msg.lines.get(self.line)?;
                if line.header == self.header && line.value_start < line.value_end {
                    break (line.value_start as usize, line.value_end as usize);
                }
                self.line += 1;
            },
        };
        let buf = self.msg.buf;
        let stop = at + value_len(&buf[at..end]);
        let (from, to) = lex::trim(buf, at, stop);
        let value = Value {
            span: Span {
                start: from as u32,
                end: to as u32,
            },
            bytes: &buf[from..to],
            header: self.header,
            line: self.line as u16,
        };
        if stop < end {
            self.rest = Some((stop + 1, end));
        } else {
            self.rest = None;
            self.line += 1;
        }
        Some(value)
    }
}

/// Octets up to the next comma that stands outside quotes and angle brackets. What is never closed goes to the end.
fn value_len(b: &[u8]) -> usize {
    let mut i = 0;
    while let Some(len) = memchr::memchr3(b',', b'"', b'<', &b[i..]) {
        i += len;
        let next = match b[i] {
            b',' => return i,
            b'"' => lex::skip_quoted(b, i),
            _ => memchr::memchr(b'>', &b[i..]).map(|len| i + len + 1),
        };
        match next {
            Some(next) => i = next,
            None => return b.len(),
        }
    }
    b.len()
}

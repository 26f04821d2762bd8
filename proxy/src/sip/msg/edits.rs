//! Changes to a message, kept beside it and written out in one pass.

use super::scan::Msg;
use super::{Header, Span, Value};

/// An ordered list of (range, replacement) over a received message. Ranges are those of [`Span`]. What no edit touches
/// is written bit for bit. Reuse one value for many messages: it keeps its memory.
#[derive(Debug, Default)]
pub struct Edits {
    /// Ordered by `start`; edits at the same place in the order of the calls.
    list: Vec<Edit>,
    /// All replacements, one behind the other.
    text: Vec<u8>,
    /// Values taken out by [`Edits::remove_value`], with the line they stood in.
    cuts: Vec<(u16, Span)>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    start: u32,
    end: u32,
    /// Range of `Edits::text`.
    from: u32,
    to: u32,
    /// The line whose value cuts made this edit, else `NO_LINE`.
    line: u16,
}

const NO_LINE: u16 = u16::MAX;

impl Edits {
    /// An empty list.
    pub fn new() -> Edits {
        Edits::default()
    }

    /// Forgets all edits and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.text.clear();
        self.cuts.clear();
    }

    /// Puts bytes before position `at`.
    pub fn insert(&mut self, at: u32, bytes: &[u8]) {
        self.insert_with(at, |out| out.extend_from_slice(bytes));
    }

    /// Puts before position `at` what `f` appends. `f` must only append.
    pub fn insert_with(&mut self, at: u32, f: impl FnOnce(&mut Vec<u8>)) {
        self.push(Span { start: at, end: at }, NO_LINE, f);
    }

    /// Puts bytes in the place of a range.
    pub fn replace(&mut self, span: Span, bytes: &[u8]) {
        self.push(span, NO_LINE, |out| out.extend_from_slice(bytes));
    }

    /// Puts what `f` appends in the place of a range. `f` must only append.
    pub fn replace_with(&mut self, span: Span, f: impl FnOnce(&mut Vec<u8>)) {
        self.push(span, NO_LINE, f);
    }

    /// Takes out a range.
    pub fn remove(&mut self, span: Span) {
        self.push(span, NO_LINE, |_| {});
    }

    /// Takes one value out of a comma list with its separator, or the whole line once all its values are out.
    pub fn remove_value(&mut self, msg: &Msg<'_>, v: &Value<'_>) {
        let Some(line) = msg.lines.get(v.line as usize) else {
            return;
        };
        if v.span
            == (Span {
                start: line.value_start.into(),
                end: line.value_end.into(),
            })
        {
            return self.push(line_span(msg, v.line as usize), v.line, |_| {});
        }
        // Which separator goes with a value depends on its neighbours, so the line's cuts are made anew.
        self.cuts.push((v.line, v.span));
        self.list.retain(|e| e.line != v.line);
        let mut kept_before = None;
        let mut run = None;
        for value in msg
            .values(v.header)
            .skip_while(|x| x.line < v.line)
            .take_while(|x| x.line == v.line)
        {
            if self.cuts.contains(&(v.line, value.span)) {
                run.get_or_insert(value.span.start);
                continue;
            }
            // Cut values before a kept one go with the separators behind them.
            if let Some(start) = run.take() {
                self.push(
                    Span {
                        start,
                        end: value.span.start,
                    },
                    v.line,
                    |_| {},
                );
            }
            kept_before = Some(value.span.end);
        }
        match (run, kept_before) {
            (Some(_), Some(start)) => self.push(
                Span {
                    start,
                    end: line.value_end.into(),
                },
                v.line,
                |_| {},
            ),
            (Some(_), None) => self.push(line_span(msg, v.line as usize), v.line, |_| {}),
            (None, _) => {}
        }
    }

    /// Takes out every line of a known header.
    pub fn remove_header(&mut self, msg: &Msg<'_>, h: Header) {
        for index in
            (0..msg.lines.len()).filter(|&i| h != Header::Other && msg.lines[i].header == h)
        {
            self.push(line_span(msg, index), NO_LINE, |_| {});
        }
    }

    /// A new header line before the first line of `h`, or right after the start line when there is none. `f` appends
    /// `Name: value` without CRLF.
    pub fn push_line_before(&mut self, msg: &Msg<'_>, h: Header, f: impl FnOnce(&mut Vec<u8>)) {
        let at = msg.line(h).map_or(msg.head, |line| line.start.into());
        self.insert_with(at, |out| {
            f(out);
            out.extend_from_slice(b"\r\n");
        });
    }

    /// A new header line behind all others. `f` appends `Name: value` without CRLF.
    pub fn push_line_last(&mut self, msg: &Msg<'_>, f: impl FnOnce(&mut Vec<u8>)) {
        self.insert_with(msg.blank, |out| {
            f(out);
            out.extend_from_slice(b"\r\n");
        });
    }

    /// Appends the edited message to `out`. CRLFs before the start line and octets behind the message are not
    /// written. Edits may have been made in any order; where a range begins inside an earlier one, what both cover is
    /// gone and both replacements are written. Positions outside the message count as its begin or end.
    pub fn apply(&self, msg: &Msg<'_>, out: &mut Vec<u8>) {
        let buf = msg.buf;
        let mut at = msg.begin as usize;
        out.reserve(buf.len() - at + self.text.len());
        for edit in &self.list {
            let start = (edit.start as usize).min(buf.len());
            if start > at {
                out.extend_from_slice(&buf[at..start]);
                at = start;
            }
            out.extend_from_slice(&self.text[edit.from as usize..edit.to as usize]);
            at = at.max(edit.end as usize).min(buf.len());
        }
        out.extend_from_slice(&buf[at..]);
    }

    fn push(&mut self, span: Span, line: u16, f: impl FnOnce(&mut Vec<u8>)) {
        let from = self.text.len() as u32;
        f(&mut self.text);
        let edit = Edit {
            start: span.start,
            end: span.end.max(span.start),
            from,
            to: self.text.len() as u32,
            line,
        };
        let place = self
            .list
            .iter()
            .rposition(|e| e.start <= edit.start)
            .map_or(0, |i| i + 1);
        self.list.insert(place, edit);
    }
}

/// A header line with its CRLF.
fn line_span(msg: &Msg<'_>, index: usize) -> Span {
    let end = msg
        .lines
        .get(index + 1)
        .map_or(msg.blank, |next| next.start.into());
    Span {
        start: msg.lines[index].start.into(),
        end,
    }
}

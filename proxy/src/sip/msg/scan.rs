//! The one pass over a datagram: start line, header lines, framing.

use arrayvec::ArrayVec;

use super::error::{ParseError, ParseFault};
use super::{Header, Kind, MAX_LINES, MAX_MESSAGE, Method, Span, lex};

/// A message, borrowed from the datagram it came in: where its lines stand, and the first line of each known header.
/// Nothing is allocated; the value is about 1.4 KiB.
#[derive(Clone, Debug)]
pub struct Msg<'a> {
    /// The datagram up to the end of the message.
    pub(super) buf: &'a [u8],
    /// Where the start line begins; not 0 only after leading CRLFs.
    pub(super) begin: u32,
    pub(super) kind: Kind<'a>,
    pub(super) uri: Span,
    /// Where the request line names its version, and whether it is 2.0.
    pub(super) version: (u32, bool),
    /// Where the first header line begins.
    pub(super) head: u32,
    /// Where the empty line begins.
    pub(super) blank: u32,
    pub(super) body: u32,
    pub(super) lines: ArrayVec<Line, MAX_LINES>,
    /// Index of each known header's first line.
    pub(super) first: [u8; Header::KNOWN],
    /// Bit per known header that stands in more than one line.
    pub(super) repeated: u64,
}

/// One header line, folds included. Offsets are `u16` because no message is longer than [`MAX_MESSAGE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub start: u16,
    pub name_end: u16,
    /// The value without blanks around it.
    pub value_start: u16,
    pub value_end: u16,
    pub header: Header,
}

pub(super) const NONE: u8 = u8::MAX;
const _: () =
    assert!(MAX_LINES < NONE as usize && MAX_MESSAGE <= u16::MAX as usize && Header::KNOWN <= 64);

impl<'a> Msg<'a> {
    /// Frames a datagram: one whole message, perhaps after CRLFs, perhaps with octets too many behind it.
    ///
    /// # Errors
    /// [`ParseError`] with the offset of the fault and the status a request may be answered with; faults of responses
    /// and of what is not SIP at all have none and are dropped. [`ParseFault::KeepAlive`] is nobody's fault.
    pub fn parse(buf: &'a [u8]) -> Result<Msg<'a>, ParseError> {
        let mut msg = Msg::unread(buf);
        match msg.read() {
            None => Ok(msg),
            Some(fault) => Err(fault),
        }
    }

    /// What can be read of a request that [`Msg::parse`] refused with a status, or that is refused unread: enough of its
    /// headers to answer it.
    /// The body is empty. None when there is nothing to answer (drop, response, ACK).
    pub fn for_refusal(buf: &'a [u8]) -> Option<Msg<'a>> {
        let mut msg = Msg::unread(buf);
        // One that is only too long for the settings has no fault of its own.
        if let Some(fault) = msg.read() {
            fault.status?;
        }
        if msg.method().is_none_or(|m| m == Method::Ack) {
            return None;
        }
        msg.buf = &msg.buf[..msg.body as usize];
        Some(msg)
    }

    fn unread(buf: &'a [u8]) -> Msg<'a> {
        Msg {
            buf: &buf[..buf.len().min(MAX_MESSAGE + 1)],
            begin: 0,
            kind: Kind::Response {
                status: 0,
                reason: b"",
            },
            uri: Span::default(),
            version: (0, true),
            head: 0,
            blank: 0,
            body: 0,
            lines: ArrayVec::new(),
            first: [NONE; Header::KNOWN],
            repeated: 0,
        }
    }

    /// Reads all that can be read and gives back the first fault.
    fn read(&mut self) -> Option<ParseError> {
        let mut faults = Faults(None);
        if self.buf.len() > MAX_MESSAGE {
            self.buf = &self.buf[..MAX_MESSAGE];
            faults.note(MAX_MESSAGE, Some(513), ParseFault::TooLarge);
        }
        // Framing needs the header section whole; a fault in it leaves the body empty.
        if self.start_line(&mut faults) && self.header_lines(&mut faults) {
            self.frame(&mut faults);
        }
        let response = matches!(self.kind, Kind::Response { .. });
        faults.0.map(|fault| ParseError {
            status: fault.status.filter(|_| !response),
            ..fault
        })
    }

    /// False when there is no start line to go on from.
    fn start_line(&mut self, faults: &mut Faults) -> bool {
        let buf = self.buf;
        let begin = lex::skip_while(buf, 0, |c| c == b'\r' || c == b'\n');
        if buf[begin..].iter().all(|c| matches!(c, 0 | b'\r' | b'\n')) {
            faults.note(0, None, ParseFault::KeepAlive);
            return false;
        }
        self.begin = begin as u32;
        let end = match line_end(buf, begin) {
            Ok(end) => end,
            Err((at, ParseFault::Truncated)) => {
                faults.note(at, None, ParseFault::NotSip);
                return false;
            }
            Err((at, what)) => {
                faults.note(at, None, what);
                return false;
            }
        };
        (self.head, self.blank, self.body) = (end as u32 + 2, end as u32 + 2, end as u32 + 2);
        if is_version(&buf[begin..end]) {
            self.status_line(begin, end, faults)
        } else {
            self.request_line(begin, end, faults)
        }
    }

    fn status_line(&mut self, begin: usize, end: usize, faults: &mut Faults) -> bool {
        let line = &self.buf[begin..end];
        let version = memchr::memchr(b' ', line).unwrap_or(line.len());
        if !line[..version].eq_ignore_ascii_case(b"SIP/2.0") {
            faults.note(begin, None, ParseFault::Version);
            return false;
        }
        let rest = line.get(version + 1..).unwrap_or_default();
        let digits = lex::skip_while(rest, 0, |c| c.is_ascii_digit());
        let status =
            lex::decimal(&rest[..digits]).filter(|n| digits == 3 && (100..700).contains(n));
        let Some(status) = status.filter(|_| matches!(rest.get(3), None | Some(b' '))) else {
            faults.note(begin + version + 1, None, ParseFault::StatusCode);
            return false;
        };
        self.kind = Kind::Response {
            status: status as u16,
            reason: rest.get(4..).unwrap_or_default(),
        };
        true
    }

    fn request_line(&mut self, begin: usize, end: usize, faults: &mut Faults) -> bool {
        let line = &self.buf[begin..end];
        // Blanks after the version are a fault of a SIP request, not a sign of another protocol.
        let trimmed = line.trim_ascii_end();
        let last = memchr::memrchr2(b' ', b'\t', trimmed).map_or(0, |at| at + 1);
        if last == 0 || !is_version(&trimmed[last..]) {
            faults.note(begin, None, ParseFault::NotSip);
            return false;
        }
        let first = memchr::memchr(b' ', line).unwrap_or(0);
        let method = &line[..first];
        let uri = if first + 1 < last {
            &line[first + 1..last - 1]
        } else {
            &line[..0]
        };
        if !lex::all_token(method) {
            faults.note(begin, Some(400), ParseFault::Method);
        }
        if trimmed.len() != line.len() {
            faults.note(begin + trimmed.len(), Some(400), ParseFault::RequestLine);
        }
        if uri.is_empty() || line[last - 1] != b' ' {
            faults.note(begin + last - 1, Some(400), ParseFault::RequestLine);
        }
        if let Some(at) = memchr::memchr2(b' ', b'\t', uri) {
            faults.note(begin + first + 1 + at, Some(400), ParseFault::RequestLine);
        }
        let version = &trimmed[last..];
        let mut numbers = version[4..].split(|&c| c == b'.');
        let number =
            |n: Option<&[u8]>| n.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit));
        if !(number(numbers.next()) && number(numbers.next()) && numbers.next().is_none()) {
            faults.note(begin + last, Some(400), ParseFault::RequestLine);
        }
        let start = (begin + first + 1) as u32;
        self.uri = Span {
            start,
            end: start + uri.len() as u32,
        };
        self.version = (
            (begin + last) as u32,
            version.eq_ignore_ascii_case(b"SIP/2.0"),
        );
        self.kind = Kind::Request {
            method: Method::of(method),
            uri,
        };
        true
    }

    /// False when the header section does not come to its end.
    fn header_lines(&mut self, faults: &mut Faults) -> bool {
        let buf = self.buf;
        let mut at = self.head as usize;
        if matches!(buf.get(at), Some(b' ' | b'\t')) {
            faults.note(at, Some(400), ParseFault::Fold);
        }
        while !buf[at..].starts_with(b"\r\n") {
            let start = at;
            let mut end = line_end(buf, at);
            // A line that begins with a blank goes on from the line before (§7.3.1).
            while let Ok(crlf) = end
                && matches!(buf.get(crlf + 2), Some(b' ' | b'\t'))
            {
                end = line_end(buf, crlf + 2);
            }
            let end = match end {
                Ok(end) => end,
                Err((at, what)) => {
                    faults.note(at, Some(400), what);
                    return false;
                }
            };
            at = end + 2;
            (self.blank, self.body) = (at as u32, at as u32);
            match self.header_line(start, end) {
                Ok(()) => {}
                Err(ParseFault::TooManyLines) => {
                    faults.note(start, Some(513), ParseFault::TooManyLines);
                    return false;
                }
                Err(what) => faults.note(start, Some(400), what),
            }
        }
        (self.blank, self.body) = (at as u32, at as u32 + 2);
        true
    }

    fn header_line(&mut self, start: usize, end: usize) -> Result<(), ParseFault> {
        let buf = self.buf;
        let colon = start + memchr::memchr(b':', &buf[start..end]).ok_or(ParseFault::HeaderLine)?;
        let mut name_end = colon;
        while name_end > start && matches!(buf[name_end - 1], b' ' | b'\t') {
            name_end -= 1;
        }
        let name = &buf[start..name_end];
        let header = Header::of(name);
        if header == Header::Other && !lex::all_token(name) {
            return Err(ParseFault::HeaderLine);
        }
        let (value_start, value_end) = lex::trim(buf, colon + 1, end);
        let index = self.lines.len() as u8;
        let line = Line {
            start: start as u16,
            name_end: name_end as u16,
            value_start: value_start as u16,
            value_end: value_end as u16,
            header,
        };
        self.lines
            .try_push(line)
            .map_err(|_| ParseFault::TooManyLines)?;
        if let Some(first) = self.first.get_mut(header as usize) {
            if *first == NONE {
                *first = index;
            } else {
                self.repeated |= 1 << header as u8;
            }
        }
        Ok(())
    }

    /// Content-Length against what arrived (§18.3): too short a body is a fault, too long a one is cut.
    fn frame(&mut self, faults: &mut Faults) {
        let Some(&Line {
            value_start,
            value_end,
            ..
        }) = self.line(Header::ContentLength)
        else {
            return;
        };
        let at = value_start as usize;
        let digits = &self.buf[at..value_end as usize];
        let there = self.buf.len() - self.body as usize;
        if self.is_repeated(Header::ContentLength) {
            let second = self
                .lines
                .iter()
                .filter(|l| l.header == Header::ContentLength)
                .nth(1);
            faults.note(
                second.map_or(at, |l| l.value_start.into()),
                Some(400),
                ParseFault::LengthRepeated,
            );
        } else if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            faults.note(at, Some(400), ParseFault::LengthNotNumber);
        } else {
            // More digits than a number holds is longer than any datagram.
            match lex::decimal(digits)
                .and_then(|n| usize::try_from(n).ok())
                .filter(|&n| n <= there)
            {
                Some(len) => self.buf = &self.buf[..self.body as usize + len],
                None => faults.note(at, Some(400), ParseFault::LengthBeyondEnd),
            }
        }
    }

    /// The first line of a known header.
    pub(super) fn line(&self, header: Header) -> Option<&Line> {
        self.lines.get(self.first_line(header)?)
    }

    /// The index of a known header's first line; `Other` has none.
    pub(super) fn first_line(&self, header: Header) -> Option<usize> {
        self.first
            .get(header as usize)
            .filter(|&&i| i != NONE)
            .map(|&i| i as usize)
    }

    /// True when a known header stands in more than one line.
    pub(super) fn is_repeated(&self, header: Header) -> bool {
        header != Header::Other && self.repeated & (1 << header as u8) != 0
    }
}

/// The first fault met; later ones may be its consequences.
struct Faults(Option<ParseError>);

impl Faults {
    fn note(&mut self, at: usize, status: Option<u16>, what: ParseFault) {
        self.0.get_or_insert(ParseError {
            offset: at as u32,
            status,
            what,
        });
    }
}

fn is_version(b: &[u8]) -> bool {
    b.get(..4).is_some_and(|b| b.eq_ignore_ascii_case(b"SIP/"))
}

/// The index of the CRLF that ends the line at `from`.
#[inline]
fn line_end(buf: &[u8], from: usize) -> Result<usize, (usize, ParseFault)> {
    let at = from
        + memchr::memchr2(b'\r', b'\n', &buf[from..]).ok_or((buf.len(), ParseFault::Truncated))?;
    if buf[at] == b'\r' && buf.get(at + 1) == Some(&b'\n') {
        Ok(at)
    } else {
        Err((at, ParseFault::LineEnd))
    }
}

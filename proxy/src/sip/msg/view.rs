//! Reading a framed message.

use super::error::{HeaderError, HeaderFault};
use super::scan::Msg;
use super::{
    Header, Kind, Method, NameAddr, Span, Value, Values, Via, lex, parse_name_addr, parse_via,
};

/// `CSeq: seq METHOD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// 0 to 2³¹ - 1 (RFC 3261 §8.1.1.5), so that one more never overflows.
    pub seq: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> Msg<'a> {
    /// The datagram up to the end of the message: octets beyond Content-Length are cut; CRLFs before the start line
    /// are still there, so that every [`Span`] indexes it.
    pub fn bytes(&self) -> &'a [u8] {
        self.buf
    }

    /// The bytes of a span.
    pub fn at(&self, span: Span) -> &'a [u8] {
        self.buf
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Where a slice borrowed from this message stands in it (a tag, a URI's host); none for bytes from elsewhere.
    pub fn span_of(&self, part: &[u8]) -> Option<Span> {
        let start = (part.as_ptr() as usize).checked_sub(self.buf.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= self.buf.len()).then_some(Span {
            start: start as u32,
            end: end as u32,
        })
    }

    /// What the start line says.
    pub fn kind(&self) -> Kind<'a> {
        self.kind
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.kind {
            Kind::Request { method, .. } => Some(method),
            Kind::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.kind {
            Kind::Request { .. } => None,
            Kind::Response { status, .. } => Some(status),
        }
    }

    /// True for a request.
    pub fn is_request(&self) -> bool {
        matches!(self.kind, Kind::Request { .. })
    }

    /// Where the Request-URI stands.
    pub fn uri_span(&self) -> Option<Span> {
        self.is_request().then_some(self.uri)
    }

    /// Where the body stands; empty at the end when there is none.
    pub fn body_span(&self) -> Span {
        Span {
            start: self.body,
            end: self.buf.len() as u32,
        }
    }

    /// Where the empty line before the body begins: the place for a header line at the end.
    pub fn headers_end(&self) -> u32 {
        self.blank
    }

    /// The body, framed by Content-Length or by the datagram's end.
    pub fn body(&self) -> &'a [u8] {
        &self.buf[self.body as usize..]
    }

    /// The value of a header's first line without blanks around it, folding left in place. `Other` has no first line:
    /// see [`Msg::headers`].
    pub fn header(&self, h: Header) -> Option<&'a [u8]> {
        self.header_span(h).map(|span| self.at(span))
    }

    /// Where that value stands.
    pub fn header_span(&self, h: Header) -> Option<Span> {
        self.line(h).map(|l| Span {
            start: l.value_start.into(),
            end: l.value_end.into(),
        })
    }

    /// How many lines a header has.
    pub fn count(&self, h: Header) -> usize {
        match h {
            Header::Other => self.lines.iter().filter(|l| l.header == h).count(),
            _ if !self.is_repeated(h) => usize::from(self.line(h).is_some()),
            _ => self.lines.iter().filter(|l| l.header == h).count(),
        }
    }

    /// The values of a comma-list header over all its lines, in order. Commas in quotes and angle brackets do not
    /// count. A line with nothing in it has no values; nothing between two commas is an empty value.
    /// Use it for headers that are lists: a comma in From, Date or Authorization does not divide.
    pub fn values(&self, h: Header) -> Values<'_, 'a> {
        Values::new(self, h, self.first_line(h).unwrap_or(self.lines.len()))
    }

    /// The first value of a list header.
    pub fn first_value(&self, h: Header) -> Option<Value<'a>> {
        self.values(h).next()
    }

    /// Every header line as (name as written, value without blanks around it), folding left in place.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        self.lines.iter().map(|l| {
            (
                &self.buf[l.start as usize..l.name_end as usize],
                &self.buf[l.value_start as usize..l.value_end as usize],
            )
        })
    }

    /// The lines of [`Msg::headers`], each with the header it is (compact names resolved).
    pub fn headers_known(&self) -> impl Iterator<Item = (Header, &'a [u8], &'a [u8])> + '_ {
        self.lines
            .iter()
            .zip(self.headers())
            .map(|(line, (name, value))| (line.header, name, value))
    }

    /// Call-ID: visible ASCII without blanks (RFC 3261 §25.1 `callid`, taken liberally).
    pub fn call_id(&self) -> Result<&'a [u8], HeaderError> {
        let span = self.needed(Header::CallId)?;
        let id = self.at(span);
        match id.iter().position(|c| !c.is_ascii_graphic()) {
            _ if id.is_empty() => Err(self.bad(Header::CallId, span.start, HeaderFault::Token)),
            Some(at) => Err(self.bad(Header::CallId, span.start + at as u32, HeaderFault::Token)),
            None => Ok(id),
        }
    }

    /// CSeq, leading zeros allowed.
    pub fn cseq(&self) -> Result<CSeq<'a>, HeaderError> {
        let span = self.needed(Header::CSeq)?;
        let b = self.at(span);
        let bad = |at: usize, what| self.bad(Header::CSeq, span.start + at as u32, what);
        let digits = lex::skip_while(b, 0, |c| c.is_ascii_digit());
        let at = lex::skip_lws(b, digits);
        if digits == 0 || at == digits {
            return Err(bad(digits, HeaderFault::NotNumber));
        }
        let seq = lex::decimal(&b[..digits])
            .filter(|&n| n < 1 << 31)
            .ok_or(bad(0, HeaderFault::OutOfRange))?;
        if !lex::all_token(&b[at..]) {
            return Err(bad(at, HeaderFault::Token));
        }
        Ok(CSeq {
            seq: seq as u32,
            method: Method::of(&b[at..]),
        })
    }

    /// From, of its first line, with at most one tag.
    pub fn from(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.party(Header::From)
    }

    /// To, of its first line, with at most one tag.
    pub fn to(&self) -> Result<NameAddr<'a>, HeaderError> {
        self.party(Header::To)
    }

    /// The first Contact; none when there is no Contact or it is `*`.
    pub fn contact(&self) -> Result<Option<NameAddr<'a>>, HeaderError> {
        match self.first_value(Header::Contact) {
            None | Some(Value { bytes: b"*", .. }) => Ok(None),
            Some(value) => address(value).map(Some),
        }
    }

    /// The topmost Via value.
    pub fn top_via(&self) -> Result<Via<'a>, HeaderError> {
        let span = self.needed(Header::Via)?;
        match self.first_value(Header::Via) {
            Some(value) => parse_via(value),
            None => Err(self.bad(Header::Via, span.start, HeaderFault::Token)),
        }
    }

    /// Max-Forwards, 0 to 255 (RFC 3261 §20.22); none when it is not there.
    pub fn max_forwards(&self) -> Result<Option<u32>, HeaderError> {
        let Some(span) = self.header_span(Header::MaxForwards) else {
            return Ok(None);
        };
        let digits = self.at(span);
        let what = match lex::decimal(digits) {
            Some(n) if n <= 255 => return Ok(Some(n as u32)),
            Some(_) => HeaderFault::OutOfRange,
            None => HeaderFault::NotNumber,
        };
        Err(self.bad(Header::MaxForwards, span.start, what))
    }

    fn party(&self, h: Header) -> Result<NameAddr<'a>, HeaderError> {
        let span = self.needed(h)?;
        let party = parse_name_addr(self.at(span)).map_err(|e| e.placed(span.start, Some(h)))?;
        let mut tags = party
            .params
            .iter()
            .filter(|p| p.name.eq_ignore_ascii_case(b"tag"));
        match (tags.next(), tags.next()) {
            (Some(tag), _) if tag.value.is_none() => {
                return Err(self.bad(h, span.start, HeaderFault::EmptyParam));
            }
            // Two tags would make two dialogs of one message, depending on who reads it.
            (_, Some(_)) => return Err(self.bad(h, span.start, HeaderFault::RepeatedParam)),
            _ => {}
        }
        Ok(party)
    }

    /// The first line's value of a mandatory header.
    pub(super) fn needed(&self, h: Header) -> Result<Span, HeaderError> {
        self.header_span(h)
            .ok_or_else(|| self.bad(h, self.blank, HeaderFault::Missing))
    }

    pub(super) fn bad(&self, h: Header, offset: u32, what: HeaderFault) -> HeaderError {
        HeaderError {
            offset,
            status: 400,
            header: Some(h),
            what,
        }
    }
}

/// A list value as an address, its fault placed in the message.
pub(super) fn address(value: Value<'_>) -> Result<NameAddr<'_>, HeaderError> {
    parse_name_addr(value.bytes).map_err(|e| e.placed(value.span.start, Some(value.header)))
}

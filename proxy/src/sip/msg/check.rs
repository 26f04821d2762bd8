//! What must hold before a message is acted on (RFC 3261 §16.3 item 1, §8.1.1, §8.2).

use super::error::{HeaderError, HeaderFault};
use super::scan::Msg;
use super::view::address;
use super::{Header, Kind, MAX_URI, Method, Uri, parse_via};

impl<'a> Msg<'a> {
    /// The checks of a request, cheapest refusal first: version (505), Request-URI length (414) and form, every header
    /// a proxy reads there, once and readable, CSeq's method the request's (400; 501 where the method is unknown too,
    /// RFC 4475 §3.1.2.18). Unknown schemes pass: refusing them with 416 is the business of whoever routes. Elements
    /// of RFC 2543 may leave out Max-Forwards, Contact, the From tag and the branch (RFC 4475 §3.4.1).
    pub fn check_request(&self) -> Result<(), HeaderError> {
        let Kind::Request { method, uri } = self.kind else {
            return Err(start_line(self.begin, 400, HeaderFault::Unexpected));
        };
        let (version_at, version_known) = self.version;
        if !version_known {
            return Err(start_line(version_at, 505, HeaderFault::Version));
        }
        if uri.len() > MAX_URI {
            return Err(start_line(self.uri.start, 414, HeaderFault::TooLong));
        }
        let parsed = Uri::parse(uri).map_err(|e| e.placed(self.uri.start, None))?;
        if let Some(headers) = parsed.headers {
            // The fault is the '?' before them.
            let at = self.uri.end - headers.len() as u32 - 1;
            return Err(start_line(at, 400, HeaderFault::UriHeaders));
        }
        self.check_common()?;
        self.max_forwards()?;
        for value in self.values(Header::Route) {
            address(value)?;
        }
        if self.cseq()?.method != method {
            let status = if matches!(method, Method::Other(_)) {
                501
            } else {
                400
            };
            let at = self.header_span(Header::CSeq).map_or(0, |span| span.start);
            return Err(HeaderError {
                status,
                ..self.bad(Header::CSeq, at, HeaderFault::MethodMismatch)
            });
        }
        Ok(())
    }

    /// The checks of a response. A response with a fault is dropped; `status` says nothing then.
    pub fn check_response(&self) -> Result<(), HeaderError> {
        if self.is_request() {
            return Err(start_line(self.begin, 400, HeaderFault::Unexpected));
        }
        self.check_common()?;
        self.cseq().map(drop)
    }

    /// Via, From, To, Call-ID there and readable, Contact readable, and nothing twice that must stand once.
    fn check_common(&self) -> Result<(), HeaderError> {
        if self.repeated != 0 {
            self.check_single()?;
        }
        self.top_via()?;
        // Every value: a list with an empty one (RFC 4475 §3.1.2.1) would be passed on for the next hop to stumble on.
        for value in self.values(Header::Via).skip(1) {
            parse_via(value)?;
        }
        self.from()?;
        self.to()?;
        self.call_id()?;
        for value in self.values(Header::Contact).filter(|v| v.bytes != b"*") {
            address(value)?;
        }
        Ok(())
    }

    fn check_single(&self) -> Result<(), HeaderError> {
        let Some(h) = Header::SINGLE.into_iter().find(|&h| self.is_repeated(h)) else {
            return Ok(());
        };
        let second = self.lines.iter().filter(|l| l.header == h).nth(1);
        Err(self.bad(
            h,
            second.map_or(0, |l| l.start.into()),
            HeaderFault::Repeated,
        ))
    }
}

fn start_line(offset: u32, status: u16, what: HeaderFault) -> HeaderError {
    HeaderError {
        offset,
        status,
        header: None,
        what,
    }
}

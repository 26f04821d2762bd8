//! Via values (RFC 3261 §20.42, RFC 3581).

use super::error::{HeaderError, HeaderFault};
use super::params::{self, Params};
use super::{Span, Value, lex};

/// One Via value taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// Where the value stands in the datagram.
    pub span: Span,
    /// The transport as received; any token, since lower Vias may name what we do not speak.
    pub transport: &'a [u8],
    /// The sent-by host: name, IPv4, or IPv6 in its brackets.
    pub host: &'a [u8],
    /// The sent-by port, if one is written.
    pub port: Option<u16>,
    /// The branch; none from RFC 2543 elements.
    pub branch: Option<&'a [u8]>,
    /// Where the packet really came from, as an earlier hop noted; IPv6 with or without brackets (RFC 5118 §4.5).
    pub received: Option<&'a [u8]>,
    /// RFC 3581: `Some(None)` asks to be filled in, `Some(Some(port))` was filled in.
    pub rport: Option<Option<u16>>,
    /// Where the whole `rport` parameter stands (without its semicolon), to be filled in.
    pub rport_span: Option<Span>,
    /// Where to send instead of the host.
    pub maddr: Option<&'a [u8]>,
    /// Multicast time to live.
    pub ttl: Option<&'a [u8]>,
    /// Every parameter, the named ones above included.
    pub params: Params<'a>,
}

/// Reads one Via value. Protocol name and version may be any token: an unknown version must still get its answer back
/// (505), and that goes by this Via.
pub fn parse_via<'a>(v: Value<'a>) -> Result<Via<'a>, HeaderError> {
    read(v).map_err(|e| e.placed(v.span.start, Some(v.header)))
}

fn read<'a>(v: Value<'a>) -> Result<Via<'a>, HeaderError> {
    let b = v.bytes;
    let at = slash(b, token(b, 0)?)?;
    let at = slash(b, token(b, at)?)?;
    let transport_end = token(b, at)?;
    let transport = &b[at..transport_end];
    let from = lex::skip_lws(b, transport_end);
    if from == transport_end {
        return Err(HeaderError::here(from, HeaderFault::Host));
    }
    let host_end = lex::host_end(b, from).ok_or(HeaderError::here(from, HeaderFault::Host))?;
    let (port, at) = port(b, host_end)?;
    let mut via = Via {
        span: v.span,
        transport,
        host: &b[from..host_end],
        port,
        branch: None,
        received: None,
        rport: None,
        rport_span: None,
        maddr: None,
        ttl: None,
        params: Params::default(),
    };
    let mut next = at;
    while let Some(param) = params::next(b, next)? {
        next = param.end;
        via.take(&param)?;
    }
    via.params = Params::of_checked(b, at);
    Ok(via)
}

impl<'a> Via<'a> {
    fn take(&mut self, param: &params::Param<'a>) -> Result<(), HeaderError> {
        let is = |name: &[u8]| param.name.eq_ignore_ascii_case(name);
        let slot = match param.name.len() {
            6 if is(b"branch") => &mut self.branch,
            8 if is(b"received") => &mut self.received,
            5 if is(b"maddr") => &mut self.maddr,
            3 if is(b"ttl") => &mut self.ttl,
            5 if is(b"rport") => return self.take_rport(param),
            _ => return Ok(()),
        };
        if param.value.is_none() {
            return Err(HeaderError::here(param.end, HeaderFault::EmptyParam));
        }
        match std::mem::replace(slot, param.value) {
            Some(_) => Err(HeaderError::here(param.start, HeaderFault::RepeatedParam)),
            None => Ok(()),
        }
    }

    fn take_rport(&mut self, param: &params::Param<'a>) -> Result<(), HeaderError> {
        if self.rport.is_some() {
            return Err(HeaderError::here(param.start, HeaderFault::RepeatedParam));
        }
        let port = match param.value {
            None => None,
            Some(digits) => {
                let port = lex::decimal(digits).and_then(|n| u16::try_from(n).ok());
                Some(port.ok_or(HeaderError::here(
                    param.end - digits.len(),
                    HeaderFault::Port,
                ))?)
            }
        };
        let base = self.span.start;
        self.rport = Some(port);
        self.rport_span = Some(Span {
            start: base + param.start as u32,
            end: base + param.end as u32,
        });
        Ok(())
    }
}

fn token(b: &[u8], at: usize) -> Result<usize, HeaderError> {
    let end = lex::skip_while(b, at, lex::is_token);
    if end == at {
        Err(HeaderError::here(at, HeaderFault::Token))
    } else {
        Ok(end)
    }
}

fn slash(b: &[u8], at: usize) -> Result<usize, HeaderError> {
    let at = lex::skip_lws(b, at);
    match b.get(at) {
        Some(b'/') => Ok(lex::skip_lws(b, at + 1)),
        _ => Err(HeaderError::here(at, HeaderFault::Unexpected)),
    }
}

/// The port after a host, blanks around its colon allowed, and where to go on.
fn port(b: &[u8], at: usize) -> Result<(Option<u16>, usize), HeaderError> {
    let colon = lex::skip_lws(b, at);
    if b.get(colon) != Some(&b':') {
        return Ok((None, at));
    }
    let from = lex::skip_lws(b, colon + 1);
    let end = lex::skip_while(b, from, |c| c.is_ascii_digit());
    match lex::decimal(&b[from..end]).and_then(|n| u16::try_from(n).ok()) {
        Some(port) => Ok((Some(port), end)),
        None => Err(HeaderError::here(from, HeaderFault::Port)),
    }
}

//! URIs: sip, sips, tel, urn, and any other scheme unread.

use super::error::{HeaderError, HeaderFault};
use super::lex;
use super::params::Params;

/// A URI's scheme; names are compared in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:` RFC 3261 §19.1.
    Sip,
    /// `sips:` RFC 3261 §19.1.
    Sips,
    /// `tel:` RFC 3966.
    Tel,
    /// `urn:` RFC 8141; emergency services are `urn:service:sos` (RFC 5031).
    Urn,
    /// Any other, as received.
    Other(&'a [u8]),
}

/// A URI taken apart, nothing unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// sip/sips: the user part without password, `;` and `?` kept. tel: the number with its visual separators.
    pub user: Option<&'a [u8]>,
    /// sip/sips: what follows `:` in the user part.
    pub password: Option<&'a [u8]>,
    /// sip/sips: host name, IPv4, or IPv6 in its brackets. Empty for other schemes.
    pub host: &'a [u8],
    /// sip/sips: the port, if one is written.
    pub port: Option<u16>,
    /// sip/sips/tel: the parameters.
    pub params: Params<'a>,
    /// sip/sips: what follows `?`, without it.
    pub headers: Option<&'a [u8]>,
    /// All that follows the scheme's colon: what there is of urn and unknown schemes.
    pub opaque: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Takes a URI apart. Characters that would end a URI in a message (blanks, controls, quotes, angle brackets) are
    /// refused; within the user part all others pass, since dialled strings hold `#` and worse.
    pub fn parse(b: &'a [u8]) -> Result<Uri<'a>, HeaderError> {
        let (scheme, from) = scheme(b)?;
        if let Some(at) = b.iter().position(|&c| !lex::is_uri(c)) {
            return Err(HeaderError::here(at, HeaderFault::Uri));
        }
        if from == b.len() {
            return Err(HeaderError::here(from, HeaderFault::Uri));
        }
        let mut uri = Uri {
            scheme,
            user: None,
            password: None,
            host: b"",
            port: None,
            params: Params::default(),
            headers: None,
            opaque: &b[from..],
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(b, from)?,
            Scheme::Tel => uri.read_tel(b, from)?,
            Scheme::Urn | Scheme::Other(_) => {}
        }
        Ok(uri)
    }

    /// True for `urn:service:sos` and its sub-services such as `urn:service:sos.police` (RFC 5031 §4.1), in any case.
    pub fn is_sos(&self) -> bool {
        const SOS: &[u8] = b"service:sos";
        self.scheme == Scheme::Urn
            && self
                .opaque
                .get(..SOS.len())
                .is_some_and(|s| s.eq_ignore_ascii_case(SOS))
            && matches!(self.opaque.get(SOS.len()), None | Some(b'.'))
    }

    fn read_sip(&mut self, b: &'a [u8], from: usize) -> Result<(), HeaderError> {
        let mut at = from;
        // An '@' may stand only behind the user part, so ';' '?' ':' before it belong to the user (RFC 4475 §3.1.1.9).
        if let Some(len) = memchr::memchr(b'@', &b[from..]) {
            if len == 0 {
                return Err(HeaderError::here(from, HeaderFault::Uri));
            }
            let info = &b[from..from + len];
            match memchr::memchr(b':', info) {
                Some(0) => return Err(HeaderError::here(from, HeaderFault::Uri)),
                Some(colon) => {
                    (self.user, self.password) = (Some(&info[..colon]), Some(&info[colon + 1..]))
                }
                None => self.user = Some(info),
            }
            at = from + len + 1;
        }
        let host_end = lex::host_end(b, at).ok_or(HeaderError::here(at, HeaderFault::Host))?;
        self.host = &b[at..host_end];
        at = host_end;
        if b.get(at) == Some(&b':') {
            let end = lex::skip_while(b, at + 1, |c| c.is_ascii_digit());
            let port = lex::decimal(&b[at + 1..end]).and_then(|n| u16::try_from(n).ok());
            self.port = Some(port.ok_or(HeaderError::here(at + 1, HeaderFault::Port))?);
            at = end;
        }
        let params_end = memchr::memchr(b'?', &b[at..]).map_or(b.len(), |len| at + len);
        if params_end > at && b[at] != b';' {
            let what = if self.port.is_some() {
                HeaderFault::Port
            } else {
                HeaderFault::Host
            };
            return Err(HeaderError::here(at, what));
        }
        self.params = Params::of_uri(b, at, params_end)?;
        self.headers = b.get(params_end + 1..);
        Ok(())
    }

    fn read_tel(&mut self, b: &'a [u8], from: usize) -> Result<(), HeaderError> {
        let number = |c: u8| {
            c.is_ascii_hexdigit() || matches!(c, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#')
        };
        let end = lex::skip_while(b, from, number);
        if end == from || !matches!(b.get(end), None | Some(b';')) {
            return Err(HeaderError::here(end, HeaderFault::Uri));
        }
        self.user = Some(&b[from..end]);
        self.params = Params::of_uri(b, end, b.len())?;
        Ok(())
    }
}

/// The scheme and where the rest starts.
pub(super) fn scheme(b: &[u8]) -> Result<(Scheme<'_>, usize), HeaderError> {
    let end = lex::skip_while(b, 0, |c| {
        c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.')
    });
    if end == 0 || !b[0].is_ascii_alphabetic() || b.get(end) != Some(&b':') {
        return Err(HeaderError::here(end, HeaderFault::Scheme));
    }
    let name = &b[..end];
    let scheme = if name.eq_ignore_ascii_case(b"sip") {
        Scheme::Sip
    } else if name.eq_ignore_ascii_case(b"sips") {
        Scheme::Sips
    } else if name.eq_ignore_ascii_case(b"tel") {
        Scheme::Tel
    } else if name.eq_ignore_ascii_case(b"urn") {
        Scheme::Urn
    } else {
        Scheme::Other(name)
    };
    Ok((scheme, end + 1))
}

//! From, To, Contact, Route and their like: an address with parameters.

use super::error::{HeaderError, HeaderFault};
use super::params::Params;
use super::{lex, uri};

/// `"Display" <uri>;params` or `uri;params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as received, quotes and folding kept.
    pub display: Option<&'a [u8]>,
    /// The URI as received. It has a scheme and no blanks; [`super::Uri::parse`] reads it.
    pub uri: &'a [u8],
    /// The header's parameters. Without angle brackets all parameters are the header's (RFC 3261 §20.10).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.get(b"tag").flatten()
    }
}

/// Reads one address. The display name may be quoted (with anything inside), or tokens; a blank before `<` may be
/// missing (RFC 4475 §3.1.1.6). Blanks inside the angle brackets are refused (§3.1.2.14).
pub fn parse_name_addr(b: &[u8]) -> Result<NameAddr<'_>, HeaderError> {
    let start = lex::skip_lws(b, 0);
    if b.get(start) == Some(&b'"') {
        let end = lex::skip_quoted(b, start).ok_or(HeaderError::here(start, HeaderFault::Quote))?;
        let open = lex::skip_lws(b, end);
        if b.get(open) != Some(&b'<') {
            return Err(HeaderError::here(open, HeaderFault::Unexpected));
        }
        return bracketed(b, Some(&b[start..end]), open);
    }
    // Display names outside quotes are tokens; bytes of UTF-8 are let through, they end nothing.
    let stop = lex::skip_while(b, start, |c| {
        lex::is_token(c) || lex::is_lws(c) || c >= 0x80
    });
    if b.get(stop) == Some(&b'<') {
        let (from, to) = lex::trim(b, start, stop);
        return bracketed(b, (to > from).then(|| &b[from..to]), stop);
    }
    bare(b, start)
}

fn bracketed<'a>(
    b: &'a [u8],
    display: Option<&'a [u8]>,
    open: usize,
) -> Result<NameAddr<'a>, HeaderError> {
    let len =
        memchr::memchr(b'>', &b[open..]).ok_or(HeaderError::here(open, HeaderFault::Bracket))?;
    let close = open + len;
    let uri = &b[open + 1..close];
    check_uri(uri).map_err(|e| e.placed(open as u32 + 1, None))?;
    Ok(NameAddr {
        display,
        uri,
        params: Params::of_header(b, close + 1)?,
    })
}

fn bare(b: &[u8], start: usize) -> Result<NameAddr<'_>, HeaderError> {
    let end = lex::skip_while(b, start, |c| c != b';' && lex::is_uri(c));
    let uri = &b[start..end];
    check_uri(uri).map_err(|e| e.placed(start as u32, None))?;
    if let Some(at) = uri.iter().position(|&c| matches!(c, b'?' | b',')) {
        return Err(HeaderError::here(start + at, HeaderFault::Unbracketed));
    }
    Ok(NameAddr {
        display: None,
        uri,
        params: Params::of_header(b, end)?,
    })
}

/// A scheme, something after it, and no character that no URI has.
fn check_uri(b: &[u8]) -> Result<(), HeaderError> {
    let (_, from) = uri::scheme(b)?;
    let bad = b.iter().position(|&c| !lex::is_uri(c));
    match bad.or((from == b.len()).then_some(from)) {
        Some(at) => Err(HeaderError::here(at, HeaderFault::Uri)),
        None => Ok(()),
    }
}

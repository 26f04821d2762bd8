//! `;name=value` parameters, of headers and of URIs.

use super::error::{HeaderError, HeaderFault};
use super::lex;

/// Parameters as received, from their first `;` on. They were checked when the value around them was parsed, so
/// reading them cannot fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    bytes: &'a [u8],
    /// URI parameters: names are compared with `%HH` escapes undone (RFC 3261 §19.1.4).
    escaped: bool,
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name as received.
    pub name: &'a [u8],
    /// The value as received, quotes kept; none for a parameter without `=`.
    pub value: Option<&'a [u8]>,
    /// Where the name starts, counted from the start of the parameters.
    pub(super) start: usize,
    /// One past the value (or name).
    pub(super) end: usize,
}

impl<'a> Params<'a> {
    /// Checks `b[from..]`: nothing, or parameters to the end with LWS anywhere around `;` and `=`.
    /// Error offsets count from the start of `b`.
    pub(super) fn of_header(b: &'a [u8], from: usize) -> Result<Params<'a>, HeaderError> {
        let mut at = from;
        while let Some(param) = next(b, at)? {
            at = param.end;
        }
        Ok(Params {
            bytes: &b[from..],
            escaped: false,
        })
    }

    /// The same for the parameters of a URI, `b[from..to]`.
    pub(super) fn of_uri(b: &'a [u8], from: usize, to: usize) -> Result<Params<'a>, HeaderError> {
        Params::of_header(&b[..to], from).map(|p| Params { escaped: true, ..p })
    }

    /// Parameters that the caller has walked to the end without error.
    pub(super) fn of_checked(b: &'a [u8], from: usize) -> Params<'a> {
        Params {
            bytes: &b[from..],
            escaped: false,
        }
    }

    /// The parameters as received, from the first `;`; empty when there are none.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        let bytes = self.bytes;
        let mut at = 0;
        std::iter::from_fn(move || {
            let param = next(bytes, at).ok().flatten()?;
            at = param.end;
            Some(param)
        })
    }

    /// The first parameter of a name (any case): none when it is not there, `Some(None)` when it has no value.
    pub fn get(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|p| self.named(p.name, name))
            .map(|p| p.value)
    }

    /// True when the parameter is there, with or without value.
    pub fn has(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    fn named(&self, received: &[u8], name: &[u8]) -> bool {
        if self.escaped && received.contains(&b'%') {
            unescaped(received)
                .map(|b| b.to_ascii_lowercase())
                .eq(name.iter().map(u8::to_ascii_lowercase))
        } else {
            received.eq_ignore_ascii_case(name)
        }
    }
}

/// The text of a quoted string without its quotes (backslashes kept); anything else unchanged.
pub fn unquoted(b: &[u8]) -> &[u8] {
    b.strip_prefix(b"\"")
        .and_then(|b| b.strip_suffix(b"\""))
        .unwrap_or(b)
}

/// The parameter after position `at`, none at the end. Error offsets count from the start of `b`.
pub(super) fn next(b: &[u8], at: usize) -> Result<Option<Param<'_>>, HeaderError> {
    let semi = lex::skip_lws(b, at);
    match b.get(semi) {
        None => return Ok(None),
        Some(b';') => {}
        Some(_) => return Err(HeaderError::here(semi, HeaderFault::Unexpected)),
    }
    let start = lex::skip_lws(b, semi + 1);
    let name_end = lex::skip_while(b, start, |c| lex::is_param(c) && c != b'=');
    if name_end == start {
        return Err(HeaderError::here(start, HeaderFault::EmptyParam));
    }
    let name = &b[start..name_end];
    let equals = lex::skip_lws(b, name_end);
    if b.get(equals) != Some(&b'=') {
        return Ok(Some(Param {
            name,
            value: None,
            start,
            end: name_end,
        }));
    }
    let from = lex::skip_lws(b, equals + 1);
    let end = if b.get(from) == Some(&b'"') {
        lex::skip_quoted(b, from).ok_or(HeaderError::here(from, HeaderFault::Quote))?
    } else {
        lex::skip_while(b, from, lex::is_param)
    };
    if end == from {
        return Err(HeaderError::here(from, HeaderFault::EmptyParam));
    }
    Ok(Some(Param {
        name,
        value: Some(&b[from..end]),
        start,
        end,
    }))
}

/// The bytes of a URI part with `%HH` undone; a `%` that escapes nothing stands for itself.
fn unescaped(b: &[u8]) -> impl Iterator<Item = u8> {
    let hex = |c: Option<&u8>| c.and_then(|&c| char::from(c).to_digit(16));
    let mut i = 0;
    std::iter::from_fn(move || {
        let c = *b.get(i)?;
        i += 1;
        if c == b'%'
            && let (Some(high), Some(low)) = (hex(b.get(i)), hex(b.get(i + 1)))
        {
            i += 2;
            return Some((high * 16 + low) as u8);
        }
        Some(c)
    })
}

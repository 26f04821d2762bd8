//! Character classes and the few scanning verbs that every value reader shares.

const TOKEN: u8 = 1;
const LWS: u8 = 2;
const PARAM: u8 = 4;
const HOST: u8 = 8;
const URI: u8 = 16;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            )
        {
            class |= TOKEN;
        }
        if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
            class |= LWS;
        }
        // Deployed tags and parameters hold more than tokens (`=`, `/`, `@`), so only what would end them is left out.
        if b > b' ' && b != 0x7f && !matches!(b, b';' | b',' | b'"' | b'<' | b'>') {
            class |= PARAM;
        }
        // An underscore is no host name character, but names of internal hosts have it.
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        if b > b' ' && b != 0x7f && !matches!(b, b'"' | b'<' | b'>') {
            class |= URI;
        }
        table[i] = class;
        i += 1;
    }
    table
}

/// RFC 3261 §25.1 `token` characters.
#[inline]
pub(super) fn is_token(b: u8) -> bool {
    CLASS[b as usize] & TOKEN != 0
}

/// Blank, tab, or the CR and LF of a fold (scanning has refused every other CR and LF).
#[inline]
pub(super) fn is_lws(b: u8) -> bool {
    CLASS[b as usize] & LWS != 0
}

/// What may stand in an unquoted parameter value.
#[inline]
pub(super) fn is_param(b: u8) -> bool {
    CLASS[b as usize] & PARAM != 0
}

/// Host name and IPv4 characters.
#[inline]
pub(super) fn is_host(b: u8) -> bool {
    CLASS[b as usize] & HOST != 0
}

/// What may stand in a URI at all: no blanks, controls, quotes or angle brackets.
#[inline]
pub(super) fn is_uri(b: u8) -> bool {
    CLASS[b as usize] & URI != 0
}

/// True for a non-empty token.
pub(super) fn all_token(b: &[u8]) -> bool {
    !b.is_empty() && b.iter().all(|&c| is_token(c))
}

/// Index of the first byte at or after `i` that is not LWS.
#[inline]
pub(super) fn skip_lws(b: &[u8], i: usize) -> usize {
    skip_while(b, i, is_lws)
}

/// Index one past the run of bytes of a class that starts at `i`; `i` may be the end, not beyond it.
#[inline]
pub(super) fn skip_while(b: &[u8], i: usize, class: impl Fn(u8) -> bool) -> usize {
    b[i..]
        .iter()
        .position(|&c| !class(c))
        .map_or(b.len(), |run| i + run)
}

/// The bounds of `b[start..end]` without LWS on either side.
#[inline]
pub(super) fn trim(b: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is_lws(b[start]) {
        start += 1;
    }
    while end > start && is_lws(b[end - 1]) {
        end -= 1;
    }
    (start, end)
}

/// With a double quote at `i`: the index one past its closing quote, or none. Backslashes take the next byte along.
pub(super) fn skip_quoted(b: &[u8], i: usize) -> Option<usize> {
    let mut i = i + 1;
    while i < b.len() {
        let hit = i + memchr::memchr2(b'"', b'\\', &b[i..])?;
        if b[hit] == b'"' {
            return Some(hit + 1);
        }
        i = hit + 2;
    }
    None
}

/// A run of decimal digits as a number; none when empty, not all digits, or above `u64::MAX`.
pub(super) fn decimal(b: &[u8]) -> Option<u64> {
    if b.is_empty() {
        return None;
    }
    b.iter().try_fold(0u64, |n, &c| {
        if !c.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(c - b'0'))
    })
}

/// With a host at `i`: the index one past it. IPv6 stands in brackets, which belong to the host. Addresses are checked
/// for their characters only: whoever needs the address parses it.
pub(super) fn host_end(b: &[u8], i: usize) -> Option<usize> {
    if b.get(i) == Some(&b'[') {
        let end = skip_while(b, i + 1, |c| {
            c.is_ascii_hexdigit() || c == b':' || c == b'.'
        });
        return (end > i + 1 && b.get(end) == Some(&b']')).then_some(end + 1);
    }
    let end = skip_while(b, i, is_host);
    (end > i).then_some(end)
}

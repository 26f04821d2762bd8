//! The SIP message layer: borrowed, lazy, and free of allocation.
//!
//! [`Msg::parse`] reads a datagram once. It decides *framing* (where lines, header section and body begin and end) and
//! remembers where each header line stands; it does not look into header values. Values are read on demand through
//! borrowed views ([`Via`], [`NameAddr`], [`Uri`], [`CSeq`]), so a proxy forwards what it does not read, bit for bit.
//! There are two layers of error for that reason: [`ParseError`] (the bytes cannot be framed) and [`HeaderError`] (one
//! value that somebody asked for is bad). [`Msg::check_request`] and [`Msg::check_response`] ask for all that RFC 3261
//! §16.3 wants checked before a message is acted on.
//!
//! Changes are [`Edits`]: a short list of (range, replacement) over the received bytes, written out in one pass.
//!
//! What is accepted, where RFC 3261 leaves room or deployed elements differ:
//! - Lines end in CRLF. A bare CR or LF in the start line or a header is refused: elements behind us that take a bare
//!   LF for a line end would see other headers than we did.
//! - CRLFs before the start line are skipped (§7.5); a datagram of nothing else is a keep-alive.
//! - Over datagrams a missing Content-Length means "to the end" and octets beyond it are cut (§18.3).
//! - Header names may be in any case or compact and have blanks before the colon; method names are case-sensitive.
//! - Bytes ≥ 0x80 may stand in any value, control characters (NUL too) inside quoted strings.
//! - A status line without the space before an empty reason is read as if the space were there.

mod addr;
mod check;
mod edits;
mod error;
mod header;
mod json;
mod lex;
mod method;
mod params;
mod scan;
mod uri;
mod values;
mod via;
mod view;

pub use addr::{NameAddr, parse_name_addr};
pub use edits::Edits;
pub use error::{HeaderError, HeaderFault, ParseError, ParseFault, ParseOrHeaderError};
pub use header::Header;
pub use json::sip_json;
pub use method::Method;
pub use params::{Param, Params, unquoted};
pub use scan::Msg;
pub use uri::{Scheme, Uri};
pub use values::{Value, Values};
pub use via::{Via, parse_via};
pub use view::CSeq;

/// Largest message in octets: what a UDP datagram can carry. Longer ones are refused with 513.
pub const MAX_MESSAGE: usize = 65_535;
/// Most header lines in one message (folded lines count once). More are refused with 513.
pub const MAX_LINES: usize = 128;
/// Longest Request-URI in octets. Longer ones are refused with 414.
pub const MAX_URI: usize = 2_048;

/// A range of bytes, counted from the first octet of the datagram given to [`Msg::parse`]; it indexes
/// [`Msg::bytes`] too. `end` is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First octet of the range.
    pub start: u32,
    /// One past the last octet.
    pub end: u32,
}

impl Span {
    /// Octets in the range.
    pub fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// True where the range holds no octet.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// What the start line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `METHOD uri SIP/2.0`; the URI as received.
    Request {
        /// The method, case-sensitive.
        method: Method<'a>,
        /// The Request-URI as received.
        uri: &'a [u8],
    },
    /// `SIP/2.0 status reason`; the reason may be empty and need not be UTF-8.
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase as received.
        reason: &'a [u8],
    },
}

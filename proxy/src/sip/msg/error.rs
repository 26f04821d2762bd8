//! The two layers of error: bytes that cannot be framed, and values that cannot be read.

use super::Header;

/// The bytes are no SIP message that can be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct ParseError {
    /// Octets from the start of the datagram to the fault.
    pub offset: u32,
    /// The status a server may answer with ([`super::Msg::for_refusal`] gives the headers for that answer); none means
    /// drop in silence.
    pub status: Option<u16>,
    /// What is wrong.
    pub what: ParseFault,
}

/// Why bytes cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// Nothing but CR, LF or NUL octets: a keep-alive, not an error of anybody.
    #[error("keep-alive without a message")]
    KeepAlive,
    /// Longer than [`super::MAX_MESSAGE`].
    #[error("message is larger than 65535 octets")]
    TooLarge,
    /// More than [`super::MAX_LINES`] header lines.
    #[error("more than 128 header lines")]
    TooManyLines,
    /// The first line is neither a request line nor a status line.
    #[error("start line is not SIP")]
    NotSip,
    /// The method of the request line is not a token.
    #[error("method is not a token")]
    Method,
    /// Not exactly `method SP uri SP version`: extra blanks (RFC 4475 §3.1.2.8 to §3.1.2.10), or a part missing.
    #[error("request line is not METHOD, URI and version with one space between")]
    RequestLine,
    /// The status code is not three digits from 100 to 699.
    #[error("status code is not 100 to 699")]
    StatusCode,
    /// A response of another SIP version.
    #[error("response of an unknown SIP version")]
    Version,
    /// CR without LF or LF without CR.
    #[error("line does not end in CRLF")]
    LineEnd,
    /// A header line without colon, with an empty name or with a name that is no token.
    #[error("header line is not NAME: VALUE")]
    HeaderLine,
    /// The first line after the start line begins with a blank.
    #[error("folded line without a header before it")]
    Fold,
    /// No empty line ends the header section.
    #[error("header section has no end")]
    Truncated,
    /// More than one Content-Length line.
    #[error("Content-Length is repeated")]
    LengthRepeated,
    /// Content-Length is not a run of digits (negative ones too).
    #[error("Content-Length is not a number")]
    LengthNotNumber,
    /// Content-Length is larger than what arrived.
    #[error("Content-Length is larger than the body")]
    LengthBeyondEnd,
}

/// One header's value, or the request line, is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderError {
    /// Octets from the start of the datagram to the fault; from the start of the given bytes where a value was parsed
    /// by itself ([`super::parse_name_addr`], [`super::Uri::parse`]).
    pub offset: u32,
    /// The status to answer a request with (400, 414, 501, 505). A response with such a fault is dropped.
    pub status: u16,
    /// The header; none for the request line, or when a value was parsed by itself.
    pub header: Option<Header>,
    /// What is wrong.
    pub what: HeaderFault,
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// A mandatory header is not there.
    #[error("missing")]
    Missing,
    /// A header that may stand once stands twice.
    #[error("repeated")]
    Repeated,
    /// Not a number, or with more around it.
    #[error("not a number")]
    NotNumber,
    /// A number beyond what the header allows.
    #[error("number is out of range")]
    OutOfRange,
    /// A token is missing or holds other characters.
    #[error("token expected")]
    Token,
    /// Text after the value's end.
    #[error("unexpected text")]
    Unexpected,
    /// A quoted string without its closing quote.
    #[error("quoted string does not end")]
    Quote,
    /// `<` without `>`.
    #[error("'<' without '>'")]
    Bracket,
    /// A parameter without a name or, after `=`, without a value.
    #[error("empty parameter")]
    EmptyParam,
    /// A parameter that may stand once stands twice.
    #[error("parameter is repeated")]
    RepeatedParam,
    /// No URI scheme.
    #[error("URI has no scheme")]
    Scheme,
    /// Empty or with characters that no URI has.
    #[error("not a URI")]
    Uri,
    /// `?` or `,` in a URI outside angle brackets (RFC 3261 §20).
    #[error("URI with '?' or ',' must stand in angle brackets")]
    Unbracketed,
    /// A Request-URI with `?` headers (RFC 3261 §19.1.1).
    #[error("Request-URI carries headers")]
    UriHeaders,
    /// No host, or one with characters that no host has.
    #[error("not a host")]
    Host,
    /// Not a port number.
    #[error("not a port number")]
    Port,
    /// Request-URI longer than [`super::MAX_URI`].
    #[error("URI is too long")]
    TooLong,
    /// The request line says another version than SIP/2.0.
    #[error("SIP version is not 2.0")]
    Version,
    /// CSeq names another method than the request line.
    #[error("method is not the request's")]
    MethodMismatch,
}

impl HeaderError {
    /// A 400 fault in a value parsed by itself.
    pub(super) fn here(offset: usize, what: HeaderFault) -> HeaderError {
        HeaderError {
            offset: offset as u32,
            status: 400,
            header: None,
            what,
        }
    }

    /// The same fault, placed in a message: `base` is where the value starts.
    pub(super) fn placed(self, base: u32, header: Option<Header>) -> HeaderError {
        HeaderError {
            offset: self.offset + base,
            header,
            ..self
        }
    }
}

impl std::error::Error for HeaderError {}

impl std::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(header) = self.header {
            write!(f, "{}: ", header.name())?;
        }
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

/// Either layer's error, for those who want a message whole or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseOrHeaderError {
    /// The bytes cannot be framed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A value is bad.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

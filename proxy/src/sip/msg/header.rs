//! The header names this layer knows, long and compact.

/// A header known by name; `Other` is every other one. The compact forms are those of RFC 3261 §7.3.3 and the RFCs that
/// define the header; [`Header::name`] gives the spelling (`k` Supported, `x` Session-Expires, `o` Event, `r` Refer-To, `y` Identity).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Header {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Route,
    RecordRoute,
    Contact,
    ContentLength,
    ContentType,
    Require,
    ProxyRequire,
    Supported,
    Unsupported,
    Allow,
    Reason,
    RetryAfter,
    PAssertedIdentity,
    PPreferredIdentity,
    RemotePartyId,
    Privacy,
    Diversion,
    UserAgent,
    Server,
    Warning,
    SessionExpires,
    MinSe,
    RSeq,
    RAck,
    Authorization,
    ProxyAuthorization,
    WwwAuthenticate,
    ProxyAuthenticate,
    Identity,
    Expires,
    Date,
    Event,
    ReferTo,
    Other,
}

impl Header {
    /// How many headers are known; also the discriminant of `Other`.
    pub(super) const KNOWN: usize = Header::Other as usize;

    /// The header of a name in any case, long or compact.
    pub fn of(name: &[u8]) -> Header {
        use Header::*;
        let Some(first) = name.first().map(u8::to_ascii_lowercase) else {
            return Other;
        };
        // Length and first letter leave one candidate, in three places two.
        let (one, two) = match (name.len(), first) {
            (1, _) => return Header::of_compact(first),
            (2, b't') => (To, Other),
            (3, b'v') => (Via, Other),
            (4, b'f') => (From, Other),
            (4, b'c') => (CSeq, Other),
            (4, b'r') => (RSeq, RAck),
            (4, b'd') => (Date, Other),
            (5, b'r') => (Route, Other),
            (5, b'a') => (Allow, Other),
            (5, b'e') => (Event, Other),
            (6, b'r') => (Reason, Other),
            (6, b's') => (Server, Other),
            (6, b'm') => (MinSe, Other),
            (7, b'c') => (Contact, CallId),
            (7, b'r') => (Require, Other),
            (7, b'p') => (Privacy, Other),
            (7, b'w') => (Warning, Other),
            (7, b'e') => (Expires, Other),
            (8, b'r') => (ReferTo, Other),
            (8, b'i') => (Identity, Other),
            (9, b's') => (Supported, Other),
            (9, b'd') => (Diversion, Other),
            (10, b'u') => (UserAgent, Other),
            (11, b'u') => (Unsupported, Other),
            (11, b'r') => (RetryAfter, Other),
            (12, b'm') => (MaxForwards, Other),
            (12, b'r') => (RecordRoute, Other),
            (12, b'c') => (ContentType, Other),
            (13, b'p') => (ProxyRequire, Other),
            (13, b'a') => (Authorization, Other),
            (14, b'c') => (ContentLength, Other),
            (15, b's') => (SessionExpires, Other),
            (15, b'r') => (RemotePartyId, Other),
            (16, b'w') => (WwwAuthenticate, Other),
            (18, b'p') => (ProxyAuthenticate, Other),
            (19, b'p') => (PAssertedIdentity, ProxyAuthorization),
            (20, b'p') => (PPreferredIdentity, Other),
            _ => return Other,
        };
        // Nearly everybody writes the usual spelling, and comparing that is one instruction per eight bytes.
        if name == one.name().as_bytes() || name.eq_ignore_ascii_case(one.name().as_bytes()) {
            one
        } else if two != Other && name.eq_ignore_ascii_case(two.name().as_bytes()) {
            two
        } else {
            Other
        }
    }

    fn of_compact(letter: u8) -> Header {
        match letter {
            b'v' => Header::Via,
            b'f' => Header::From,
            b't' => Header::To,
            b'i' => Header::CallId,
            b'm' => Header::Contact,
            b'l' => Header::ContentLength,
            b'c' => Header::ContentType,
            b'k' => Header::Supported,
            b'x' => Header::SessionExpires,
            b'y' => Header::Identity,
            b'o' => Header::Event,
            b'r' => Header::ReferTo,
            _ => Header::Other,
        }
    }

    /// The usual spelling; `?` for `Other`.
    pub const fn name(self) -> &'static str {
        match self {
            Header::Via => "Via",
            Header::From => "From",
            Header::To => "To",
            Header::CallId => "Call-ID",
            Header::CSeq => "CSeq",
            Header::MaxForwards => "Max-Forwards",
            Header::Route => "Route",
            Header::RecordRoute => "Record-Route",
            Header::Contact => "Contact",
            Header::ContentLength => "Content-Length",
            Header::ContentType => "Content-Type",
            Header::Require => "Require",
            Header::ProxyRequire => "Proxy-Require",
            Header::Supported => "Supported",
            Header::Unsupported => "Unsupported",
            Header::Allow => "Allow",
            Header::Reason => "Reason",
            Header::RetryAfter => "Retry-After",
            Header::PAssertedIdentity => "P-Asserted-Identity",
            Header::PPreferredIdentity => "P-Preferred-Identity",
            Header::RemotePartyId => "Remote-Party-ID",
            Header::Privacy => "Privacy",
            Header::Diversion => "Diversion",
            Header::UserAgent => "User-Agent",
            Header::Server => "Server",
            Header::Warning => "Warning",
            Header::SessionExpires => "Session-Expires",
            Header::MinSe => "Min-SE",
            Header::RSeq => "RSeq",
            Header::RAck => "RAck",
            Header::Authorization => "Authorization",
            Header::ProxyAuthorization => "Proxy-Authorization",
            Header::WwwAuthenticate => "WWW-Authenticate",
            Header::ProxyAuthenticate => "Proxy-Authenticate",
            Header::Identity => "Identity",
            Header::Expires => "Expires",
            Header::Date => "Date",
            Header::Event => "Event",
            Header::ReferTo => "Refer-To",
            Header::Other => "?",
        }
    }

    /// Headers that may stand only once (RFC 3261 table 2 and the RFCs of the extensions) and that something here or
    /// downstream acts on, so that two of them would be read differently by different elements.
    pub(super) const SINGLE: [Header; 13] = [
        Header::CallId,
        Header::CSeq,
        Header::From,
        Header::To,
        Header::MaxForwards,
        Header::ContentType,
        Header::SessionExpires,
        Header::MinSe,
        Header::RSeq,
        Header::RAck,
        Header::Expires,
        Header::Event,
        Header::ReferTo,
    ];
}

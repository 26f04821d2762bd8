//! A dialog as the proxy needs it to speak on both its legs (P-60): targets, route sets, CSeq and addresses per side.

use std::net::{IpAddr, SocketAddr};

use tollgate_schemas::v1::SipDialog;

use super::msg::{Header, Msg, NameAddr, Uri, parse_name_addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Caller,
    Callee,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// What is known of one party.
#[derive(Debug, Clone)]
pub struct Party {
    /// Contact URI: the Request-URI of requests to it.
    pub target: Vec<u8>,
    /// Route values between us and it, nearest first.
    pub route_set: Vec<Vec<u8>>,
    /// Highest CSeq it used; 0 before its first request.
    pub cseq: u32,
    /// Where its packets come from.
    pub addr: SocketAddr,
}

#[derive(Debug, Clone)]
pub struct Dialog {
    pub to_tag: Vec<u8>,
    pub caller: Party,
    pub callee: Party,
    /// A 2xx was seen.
    pub confirmed: bool,
    pub acked: bool,
    pub ended: bool,
}

impl Dialog {
    pub fn party(&self, side: Side) -> &Party {
        match side {
            Side::Caller => &self.caller,
            Side::Callee => &self.callee,
        }
    }

    pub fn party_mut(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }

    pub fn record(&self) -> SipDialog {
        SipDialog {
            to_tag: self.to_tag.clone(),
            caller_target: self.caller.target.clone(),
            callee_target: self.callee.target.clone(),
            caller_route_set: self.caller.route_set.clone(),
            callee_route_set: self.callee.route_set.clone(),
            caller_cseq: self.caller.cseq,
            callee_cseq: self.callee.cseq,
            caller_addr: self.caller.addr.to_string(),
            callee_addr: self.callee.addr.to_string(),
            acked: self.acked,
            confirmed: self.confirmed,
            ended: self.ended,
        }
    }

    pub fn from_record(r: &SipDialog) -> Option<Dialog> {
        let party = |target: &[u8], routes: &[Vec<u8>], cseq, addr: &str| {
            Some(Party { target: target.to_vec(), route_set: routes.to_vec(), cseq, addr: addr.parse().ok()? })
        };
        Some(Dialog {
            to_tag: r.to_tag.clone(),
            caller: party(&r.caller_target, &r.caller_route_set, r.caller_cseq, &r.caller_addr)?,
            callee: party(&r.callee_target, &r.callee_route_set, r.callee_cseq, &r.callee_addr)?,
            confirmed: r.confirmed,
            acked: r.acked,
            ended: r.ended,
        })
    }
}

/// The Contact URI of a message; empty when there is none that can be read.
pub fn contact_uri(msg: &Msg<'_>) -> Vec<u8> {
    msg.contact().ok().flatten().map(|c: NameAddr<'_>| c.uri.to_vec()).unwrap_or_default()
}

/// The address a URI names, when it names one by number. Port 5060 unless written (RFC 3263 §4.2).
pub fn uri_addr(uri: &[u8]) -> Option<SocketAddr> {
    let uri = Uri::parse(uri).ok()?;
    Some(SocketAddr::new(host_ip(uri.host)?, uri.port.unwrap_or(5060)))
}

pub fn host_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Route or Record-Route values as they stand.
pub fn route_values(msg: &Msg<'_>, header: Header) -> Vec<Vec<u8>> {
    msg.values(header).map(|v| v.bytes.to_vec()).collect()
}

/// The URI of a Route value.
pub fn route_uri(value: &[u8]) -> Option<&[u8]> {
    parse_name_addr(value).ok().map(|n| n.uri)
}

/// True when the Route value carries `lr` (a loose router, RFC 3261 §16.12).
pub fn is_loose(value: &[u8]) -> bool {
    route_uri(value).and_then(|u| Uri::parse(u).ok()).is_some_and(|u| u.params.has(b"lr"))
}

/// Addresses behind which a NAT hides: not reachable from outside.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_unspecified() || v4.is_link_local() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unspecified() || (v6.segments()[0] & 0xfe00) == 0xfc00,
    }
}

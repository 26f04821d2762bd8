//! Who a datagram is from: parties are CIDRs, optionally with a port; the most specific wins (design §3 point 5). A
//! longer prefix beats a shorter one; at one prefix, with a port beats without.

use std::net::{IpAddr, SocketAddr};

use foldhash::HashMap;

/// A set of addresses, with one port or every port. IPv4 and IPv4-mapped IPv6 are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    v6: bool,
    bits: u128,
    len: u8,
    port: Option<u16>,
}

impl Source {
    /// From `CIDR`, `IP`, `IP:PORT` or `CIDR:PORT`; IPv6 with a port stands in brackets.
    pub fn parse(text: &str) -> Result<Source, String> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Source::host(addr.ip(), Some(addr.port())));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Source::host(ip, None));
        }
        let wrong = || format!("'{text}' is not a source: want CIDR, IP or IP:PORT, as 192.0.2.0/24, 192.0.2.7 or 192.0.2.7:5060");
        let (ip, rest) = text.split_once('/').ok_or_else(wrong)?;
        let ip: IpAddr = ip.trim_start_matches('[').parse().map_err(|_| wrong())?;
        let (len, port) = match rest.split_once(':') {
            Some((len, port)) => (len, Some(port.parse().map_err(|_| wrong())?)),
            None => (rest, None),
        };
        let len: u8 = len.trim_end_matches(']').parse().map_err(|_| wrong())?;
        let host = Source::host(ip, port);
        if len > host.len {
            return Err(wrong());
        }
        if len == 0 {
            return Err(format!("'{text}' is everybody: a party has a prefix of at least 1"));
        }
        let cut = Source { len, ..host };
        let masked = Source { bits: mask(host.bits, len, host.v6), ..cut };
        if masked.bits != host.bits {
            return Err(format!("'{text}' has address bits behind its prefix: write {masked}"));
        }
        Ok(masked)
    }

    /// One address.
    pub fn host(ip: IpAddr, port: Option<u16>) -> Source {
        let (v6, bits) = plain(ip);
        Source { v6, bits, len: if v6 { 128 } else { 32 }, port }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ip: IpAddr = if self.v6 { IpAddr::V6(self.bits.into()) } else { IpAddr::V4((self.bits as u32).into()) };
        let whole = self.len == if self.v6 { 128 } else { 32 };
        match (self.v6, self.port) {
            (true, Some(_)) => write!(f, "[{ip}")?,
            _ => write!(f, "{ip}")?,
        }
        if !whole {
            write!(f, "/{}", self.len)?;
        }
        match (self.v6, self.port) {
            (true, Some(port)) => write!(f, "]:{port}"),
            (false, Some(port)) => write!(f, ":{port}"),
            (_, None) => Ok(()),
        }
    }
}

fn plain(ip: IpAddr) -> (bool, u128) {
    match ip.to_canonical() {
        IpAddr::V4(v4) => (false, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (true, u128::from(v6)),
    }
}

fn mask(bits: u128, len: u8, v6: bool) -> u128 {
    let width = if v6 { 128 } else { 32 };
    let low = u32::from(width - len.min(width));
    if low == 128 { 0 } else { bits >> low << low }
}

/// Sources → who they are. One hash look-up for each prefix length in use, with a port and without.
#[derive(Debug, Clone)]
pub struct Sources<T> {
    map: HashMap<Source, T>,
    /// Prefix lengths in use, longest first, by family; and whether any has a port.
    lens: [Vec<u8>; 2],
    ports: bool,
}

impl<T> Default for Sources<T> {
    fn default() -> Self {
        Sources { map: HashMap::default(), lens: [Vec::new(), Vec::new()], ports: false }
    }
}

impl<T: Copy + PartialEq> Sources<T> {
    /// Puts a source; gives the other party that holds exactly it already, who keeps it.
    pub fn put(&mut self, source: Source, party: T) -> Option<T> {
        if let Some(holder) = self.map.get(&source) {
            return (*holder != party).then_some(*holder);
        }
        self.map.insert(source, party);
        self.ports |= source.port.is_some();
        let lens = &mut self.lens[usize::from(source.v6)];
        if !lens.contains(&source.len) {
            lens.push(source.len);
            lens.sort_unstable_by(|a, b| b.cmp(a));
        }
        None
    }

    pub fn get(&self, addr: SocketAddr) -> Option<T> {
        let (v6, bits) = plain(addr.ip());
        for &len in &self.lens[usize::from(v6)] {
            let any = Source { v6, bits: mask(bits, len, v6), len, port: None };
            if self.ports
                && let Some(party) = self.map.get(&Source { port: Some(addr.port()), ..any })
            {
                return Some(*party);
            }
            if let Some(party) = self.map.get(&any) {
                return Some(*party);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

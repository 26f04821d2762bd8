//! A name server asked over UDP (RFC 6116; the datagrams: `rating/src/portability/enum_dns.rs`). Each question has an id and a port
//! of its own, drawn by chance; only its server's answer to it counts, anything else is passed over until the time is up. The
//! question is repeated once, at half the time.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use tollgate_rating::portability::enum_dns::{self, DnsError, MAX_ANSWER};
use tollgate_schemas::{number::E164, portability::Ported};

use super::{Ask, NoAnswer, millis};
use crate::config::LrnConfig;

pub struct NameServer {
    server: SocketAddr,
    suffix: String,
    timeout: Duration,
}

impl NameServer {
    pub fn new(server: SocketAddr, config: &LrnConfig) -> NameServer {
        NameServer { server, suffix: config.enum_suffix.clone(), timeout: millis(config.timeout_ms) }
    }
}

impl Ask<Ported> for NameServer {
    fn ask(&self, number: &E164) -> Result<Ported, NoAnswer> {
        let at = |e: std::io::Error| NoAnswer::Silent(format!("name server {}: {e}", self.server));
        let mut id = [0; 2];
        getrandom::fill(&mut id).map_err(|e| NoAnswer::Silent(format!("no randomness: {e}")))?;
        let id = u16::from_be_bytes(id);
        let any: IpAddr = if self.server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).map_err(at)?;
        // From here on the kernel drops what is not from the server.
        socket.connect(self.server).map_err(at)?;
        let question = enum_dns::question(id, number, &self.suffix);
        let began = Instant::now();
        let mut buffer = [0; MAX_ANSWER + 1];
        for until in [self.timeout / 2, self.timeout] {
            socket.send(&question).map_err(at)?;
            loop {
                let left = until.saturating_sub(began.elapsed());
                if left.is_zero() {
                    break;
                }
                socket.set_read_timeout(Some(left)).map_err(at)?;
                match socket.recv(&mut buffer) {
                    Ok(n) => match enum_dns::answer(id, number, &self.suffix, &buffer[..n]) {
                        Err(DnsError::NotOurs) => {}
                        answer => return answer.map_err(|e| NoAnswer::Useless(format!("name server {}: {e}", self.server))),
                    },
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                    Err(e) => return Err(at(e)),
                }
            }
        }
        Err(NoAnswer::Silent(format!("name server {}: no answer within {} ms", self.server, self.timeout.as_millis())))
    }
}

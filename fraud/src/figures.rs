//! Figures by keys that span partitions (design §2, keys): which keys there are, and what is counted under them.

// Addresses as values: nothing here opens a socket.
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use tollgate_schemas::v1::{Figure as Published, Personal};

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `carrier|destination group`: attempts, as the carrier sees them (M-01: vendor figures, never mixed with callers').
    CarrierDestination = 0,
    /// The first 6 to 8 digits of the called number: all but the last four where it is that long (F-01: fraudsters change
    /// the number, not the range).
    BRange = 1,
    /// The address calls come from, without its port; of IPv6 the /64.
    SourceIp = 2,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::CarrierDestination, Kind::BRange, Kind::SourceIp];

    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Kind::CarrierDestination => "carrier_destination",
            Kind::BRange => "b_range",
            Kind::SourceIp => "source_ip",
        }
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// What an event about this key is keyed by: it decides where the partials of all source partitions meet.
    pub fn event_key(self, key: &str) -> String {
        format!("{}/{key}", self.name())
    }
}

/// The key of what found no room in a window's table. No real key is this word.
pub const OTHER: &str = "other";

pub fn carrier_destination(carrier: &str, dest_group: &str) -> String {
    format!("{carrier}|{dest_group}")
}

/// None without a number in the clear.
pub fn b_range(personal: Option<&Personal>) -> Option<Box<str>> {
    let digits = personal.filter(|p| p.key_id == 0)?.b_e164.trim_start_matches('+');
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let len = digits.len().saturating_sub(4).clamp(6, 8).min(digits.len());
    Some(digits[..len].into())
}

/// None without an address in the clear.
pub fn source_ip(personal: Option<&Personal>) -> Option<Box<str>> {
    let text = &personal.filter(|p| p.key_id == 0)?.peer_addr;
    let ip = text.parse::<SocketAddr>().map(|a| a.ip()).or_else(|_| text.parse::<IpAddr>()).ok()?;
    Some(match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string().into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)).into()
        }
    })
}

/// What is counted, in the order it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Figure {
    /// Calls let in; of a carrier: attempts sent to it.
    Attempts = 0,
    Answered = 1,
    /// Refused at the door, each counted one by one.
    Refused = 2,
    Ended = 3,
    /// Ended without an answer.
    Failed = 4,
    /// The network did its part: answered, busy, rang without an answer, refused by a person (M-03).
    Reached = 5,
    /// Answered and over within 6 s (M-06).
    Short = 6,
    /// Cancelled by the caller within 6 s of ringing (M-08).
    ShortRing = 7,
    DurationMs = 8,
    PddMs = 9,
    /// Attempts whose PDD is known (M-05).
    PddCount = 10,
    /// Ringing of what nobody answered.
    RingMs = 11,
    /// To destinations of high risk.
    HighRisk = 12,
    /// Different accounts, at most [`MAX_ACCOUNTS`]. An account is in one partition, so these add up over partitions; over
    /// windows they do not.
    Accounts = 13,
}

pub const MAX_ACCOUNTS: usize = 64;
const COUNT: usize = 14;

impl Figure {
    pub const ALL: [Figure; COUNT] = [
        Figure::Attempts, Figure::Answered, Figure::Refused, Figure::Ended, Figure::Failed, Figure::Reached, Figure::Short,
        Figure::ShortRing, Figure::DurationMs, Figure::PddMs, Figure::PddCount, Figure::RingMs, Figure::HighRisk, Figure::Accounts,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Figure::Attempts => "attempts",
            Figure::Answered => "answered",
            Figure::Refused => "refused",
            Figure::Ended => "ended",
            Figure::Failed => "failed",
            Figure::Reached => "reached",
            Figure::Short => "short",
            Figure::ShortRing => "short_ring",
            Figure::DurationMs => "duration_ms",
            Figure::PddMs => "pdd_ms",
            Figure::PddCount => "pdd_count",
            Figure::RingMs => "ring_ms",
            Figure::HighRisk => "high_risk",
            Figure::Accounts => "accounts",
        }
    }

    pub fn from_name(name: &str) -> Option<Figure> {
        Figure::ALL.into_iter().find(|f| f.name() == name)
    }
}

/// Every figure of one key, absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures([i64; COUNT]);

impl Figures {
    pub fn get(&self, figure: Figure) -> i64 {
        self.0[figure as usize]
    }

    /// Sums saturate.
    pub fn add(&mut self, figure: Figure, amount: i64) {
        let sum = &mut self.0[figure as usize];
        *sum = sum.saturating_add(amount);
    }

    pub fn add_all(&mut self, other: &Figures) {
        Figure::ALL.into_iter().for_each(|f| self.add(f, other.get(f)));
    }

    /// As published: zeros are left out.
    pub fn published(&self) -> Vec<Published> {
        let some = Figure::ALL.into_iter().filter(|f| self.get(*f) != 0);
        some.map(|f| Published { name: f.name().to_owned(), value: self.get(f) }).collect()
    }

    /// Figures of a newer program are passed over.
    pub fn of(published: &[Published]) -> Figures {
        let mut figures = Figures::default();
        for one in published {
            if let Some(figure) = Figure::from_name(&one.name) {
                figures.add(figure, one.value);
            }
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_01_a_range_is_the_number_without_its_last_four_digits_within_bounds() {
        for (number, want) in [
            ("442071838750", Some("44207183")),
            ("+5355550001", Some("535555")),
            ("12125550001", Some("1212555")),
            ("9991", Some("9991")),
            ("1234567", Some("123456")),
            ("", None),
            ("sip:bob", None),
        ] {
            let personal = Personal { b_e164: number.to_owned(), ..Personal::default() };
            assert_eq!(b_range(Some(&personal)).as_deref(), want, "{number}");
            assert_eq!(b_range(Some(&Personal { key_id: 1, ..personal })), None, "sealed");
        }
        assert_eq!(b_range(None), None);
    }

    #[test]
    fn an_address_is_a_key_without_its_port_and_ipv6_by_its_network() {
        for (addr, want) in [
            ("192.0.2.7:5060", Some("192.0.2.7")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8:1:2:3:4:5:6]:5061", Some("2001:db8:1:2::/64")),
            ("[::ffff:192.0.2.7]:5060", Some("192.0.2.7")),
            ("", None),
            ("pbx.example", None),
        ] {
            let personal = Personal { peer_addr: addr.to_owned(), ..Personal::default() };
            assert_eq!(source_ip(Some(&personal)).as_deref(), want, "{addr}");
        }
    }

    #[test]
    fn figures_read_back_as_published() {
        let mut figures = Figures::default();
        Figure::ALL.into_iter().enumerate().for_each(|(i, f)| figures.add(f, i as i64));
        assert_eq!(Figures::of(&figures.published()), figures);
        assert_eq!(figures.published().len(), COUNT - 1, "a zero is not sent");
        let newer = [Published { name: "mos".to_owned(), value: 4 }];
        assert_eq!(Figures::of(&newer), Figures::default());
        assert!(Figure::ALL.iter().enumerate().all(|(i, f)| *f as usize == i && Figure::from_name(f.name()) == Some(*f)));
    }
}

//! Ids that are minted where a fact is born, before any log (design §2), and the derived ids of stages' outputs.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use thiserror::Error;

/// 128 bits, printed in UUID shape. A born id is node (48 bits), epoch (32), sequence (48), big endian, so ids of
/// one node sort by time; a derived id is a hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub u128);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not an id: want 32 hex digits in the shape 8-4-4-4-12")]
pub struct BadId(pub String);

impl Id {
    pub const NIL: Id = Id(0);

    pub fn from_bytes(bytes: &[u8]) -> Option<Id> {
        Some(Id(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The id in a protobuf field; anything but 16 bytes is the nil id.
    pub fn of(bytes: &[u8]) -> Id {
        Id::from_bytes(bytes).unwrap_or(Id::NIL)
    }

    /// The node (48 bits) that minted a born id; of a derived id only bits of the hash.
    pub fn node(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The start of that node's process that minted a born id; of a derived id only bits of the hash.
    pub fn epoch(self) -> u32 {
        (self.0 >> 48) as u32
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    /// A draw from 0 to 999,999 that goes by the id alone: what it decides can be decided again. Ids of one node that follow
    /// each other are spread evenly.
    pub fn draw_e6(self) -> u32 {
        let hash = blake3::hash(&self.0.to_be_bytes());
        let mut first = [0u8; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        (u64::from_be_bytes(first) % 1_000_000) as u32
    }

    /// The id of a stage's output: a hash of stage, causing event, rule and ordinal, alike on every backend.
    pub fn derived(stage: &str, cause: Id, rule: &str, ordinal: u32) -> Id {
        let mut h = blake3::Hasher::new();
        for part in [stage.as_bytes(), &cause.0.to_be_bytes(), rule.as_bytes(), &ordinal.to_be_bytes()] {
            h.update(&(part.len() as u32).to_be_bytes());
            h.update(part);
        }
        let mut out = [0u8; 16];
        out.copy_from_slice(&h.finalize().as_bytes()[..16]);
        Id(u128::from_be_bytes(out))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            (v >> 96) as u32,
            (v >> 80) as u16,
            (v >> 64) as u16,
            (v >> 48) as u16,
            v & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Id, BadId> {
        let bad = || BadId(s.to_owned());
        let shape = s.len() == 36 && s.bytes().enumerate().all(|(i, b)| matches!(i, 8 | 13 | 18 | 23) == (b == b'-'));
        if !shape {
            return Err(bad());
        }
        let hex: String = s.chars().filter(|c| *c != '-').collect();
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u128::from_str_radix(&hex, 16).map(Id).map_err(|_| bad())
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Id, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Mints ids for one node and epoch (one process lifetime). Shared by every thread that gives birth to facts.
pub struct Mint {
    node: u64,
    epoch: u32,
    next: AtomicU64,
}

impl Mint {
    /// `node`: 48 random bits made with the data folder; `epoch`: counts up with every start on that folder.
    pub fn new(node: u64, epoch: u32) -> Mint {
        Mint { node: node & 0xffff_ffff_ffff, epoch, next: AtomicU64::new(1) }
    }

    /// The node as 12 hex digits, as it stands in CDRs.
    pub fn node_name(&self) -> String {
        format!("{:012x}", self.node)
    }

    pub fn mint(&self) -> Id {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        Id((u128::from(self.node) << 80) | (u128::from(self.epoch) << 48) | u128::from(seq & 0xffff_ffff_ffff))
    }
}

/// The partition of a key: our own hash modulo a count fixed at creation, alike on every backend (design §2).
pub fn partition_of(key: &str, partitions: u16) -> u16 {
    let hash = blake3::hash(key.as_bytes());
    let mut first = [0u8; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_be_bytes(first) % u64::from(partitions.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_in_uuid_shape_and_parses_back() {
        let mint = Mint::new(0x0123_4567_89ab, 7);
        let id = mint.mint();
        assert_eq!(id.to_string(), "01234567-89ab-0000-0007-000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0123456789ab00000007000000000001", "01234567-89ab-0000-0007-00000000000g", "01234567-89ab-0000-0007-0000000000011"] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_depend_on_every_part() {
        let a = Id::derived("rater", Id(1), "final", 0);
        assert_eq!(a, Id::derived("rater", Id(1), "final", 0));
        for other in [Id::derived("rater", Id(2), "final", 0), Id::derived("rater", Id(1), "fina", 0), Id::derived("fraud", Id(1), "final", 0), Id::derived("rater", Id(1), "final", 1)] {
            assert_ne!(a, other);
        }
    }

    #[test]
    fn a_keys_partition_is_pinned() {
        // A changed hash would scatter an account over partitions after an upgrade: these values are for ever.
        assert_eq!(["acme", "globex", "bench", ""].map(|key| partition_of(key, 16)), [3, 10, 1, 6]);
    }
}

//! Prefix → position, by hashing. A prefix is one `u64`: its digits as a number, times 16, plus their count. A number
//! is looked up by hashing its prefixes of every length some prefix of the deck has, longest first; the probes do not
//! depend on each other, so their cache misses overlap, which a walk down a trie cannot do.

use super::Row;

/// Longest prefix and longest number, digits.
pub(super) const MAX_DIGITS: usize = 15;

/// A prefix of 1 to 15 digits as a key; `None` for anything else.
pub(super) fn key(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let mut value = 0u64;
    for b in digits.bytes() {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(b - b'0');
    }
    Some(value << 4 | digits.len() as u64)
}

pub(super) fn key_len(key: u64) -> usize {
    (key & 15) as usize
}

pub(super) fn digits(key: u64) -> String {
    format!("{:0width$}", key >> 4, width = key_len(key))
}

fn hash(key: u64) -> u64 {
    let wide = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93_u128;
    (wide as u64) ^ (wide >> 64) as u64
}

/// The prefixes of one number, hashed.
pub(super) struct PrefixKeys {
    len: usize,
    /// By count of digits less one.
    keys: [u64; MAX_DIGITS],
    hashes: [u64; MAX_DIGITS],
}

impl PrefixKeys {
    /// Of the leading digits of `number` (a `+` before them is skipped), at most 15.
    pub(super) fn of(number: &str) -> PrefixKeys {
        let mut out = PrefixKeys { len: 0, keys: [0; MAX_DIGITS], hashes: [0; MAX_DIGITS] };
        let mut value = 0u64;
        let body = number.strip_prefix('+').unwrap_or(number);
        for (at, b) in body.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit).enumerate() {
            value = value * 10 + u64::from(b - b'0');
            out.keys[at] = value << 4 | (at as u64 + 1);
            out.hashes[at] = hash(out.keys[at]);
            out.len = at + 1;
        }
        out
    }
}

/// Open addressing; a slot holds 32 bits of hash and a position plus one, 0 is empty. At most 3/4 full.
pub(super) struct PrefixIndex {
    slots: Box<[u64]>,
    /// Bit n: the deck has prefixes of n digits.
    lengths: u16,
}

impl PrefixIndex {
    /// Of `count` different prefixes and what they lead to.
    pub(super) fn build(count: usize, entries: impl Iterator<Item = (u64, u32)>) -> PrefixIndex {
        let capacity = (count * 4 / 3 + 1).next_power_of_two();
        let mut slots = vec![0u64; capacity].into_boxed_slice();
        let mut lengths = 0;
        for (prefix, to) in entries {
            lengths |= 1 << key_len(prefix);
            let hash = hash(prefix);
            let mut slot = hash as usize & (capacity - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (capacity - 1);
            }
            slots[slot] = (hash >> 32) << 32 | (u64::from(to) + 1);
        }
        PrefixIndex { slots, lengths }
    }

    pub(super) fn resident_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Lengths of prefixes this deck has and the number can have, as bits.
    pub(super) fn lengths_within(&self, keys: &PrefixKeys) -> u16 {
        self.lengths & ((1u32 << (keys.len + 1)) - 1) as u16
    }

    /// Where the number's prefix of `len` digits leads; `prefix_of` says which prefix an entry really is of.
    #[inline]
    pub(super) fn find(&self, keys: &PrefixKeys, len: usize, prefix_of: impl Fn(u32) -> u64) -> Option<u32> {
        let (key, hash) = (keys.keys[len - 1], keys.hashes[len - 1]);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.slots[slot & mask];
            if entry == 0 {
                return None;
            }
            let to = (entry as u32).wrapping_sub(1);
            if entry >> 32 == hash >> 32 && prefix_of(to) == key {
                return Some(to);
            }
            slot += 1;
        }
    }
}

/// Each prefix of rows sorted by prefix, with its first row.
pub(super) fn firsts(rows: &[Row]) -> impl Iterator<Item = (u64, u32)> {
    let is_first = |at: &u32| *at == 0 || rows[*at as usize - 1].prefix != rows[*at as usize].prefix;
    (0..rows.len() as u32).filter(is_first).map(|at| (rows[at as usize].prefix, at))
}

/// Takes the longest length out of the bits.
pub(super) fn longest(lengths: &mut u16) -> Option<usize> {
    let len = lengths.checked_ilog2()?;
    *lengths &= !(1 << len);
    Some(len as usize)
}

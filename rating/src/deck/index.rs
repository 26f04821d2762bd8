//! Prefix → row. Prefixes are sorted as digits, and a table by the first digits of a number says where in them to look:
//! a look-up reads one entry of that table, one or two cache lines of prefixes, and the row. A prefix knows the next
//! shorter one of its deck, so the walk from the longest match to shorter ones needs no further search.
//!
//! A key is a prefix as one `u64`: its digits, filled with zeros to [`MAX_DIGITS`], times 256, plus 16 times their count,
//! plus the count of digits of the next shorter prefix. Keys sort as digits do, the shorter prefix first.

use super::ahead::fetch;

/// Longest prefix and longest number, digits.
pub(super) const MAX_DIGITS: usize = 15;

/// No position: there is no shorter prefix.
pub(super) const NONE: u32 = u32::MAX;

const POWERS: [u64; MAX_DIGITS + 1] = {
    let mut all = [1u64; MAX_DIGITS + 1];
    let mut at = 1;
    while at <= MAX_DIGITS {
        all[at] = all[at - 1] * 10;
        at += 1;
    }
    all
};

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
    Some((value * POWERS[MAX_DIGITS - digits.len()]) << 8 | (digits.len() as u64) << 4)
}

pub(super) fn key_len(key: u64) -> usize {
    (key >> 4 & 15) as usize
}

/// The digits as a number.
pub(super) fn number(key: u64) -> u64 {
    (key >> 8) / POWERS[MAX_DIGITS - key_len(key)]
}

pub(super) fn digits(key: u64) -> String {
    format!("{:0width$}", number(key), width = key_len(key))
}

/// A number to look up: its leading digits, at most 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialled {
    /// The key it would have as a prefix, and 15: no key of a prefix of it is greater.
    key: u64,
    /// The first eight digits.
    head: u32,
}

impl Dialled {
    /// Of the leading digits of `number` (a `+` before them is skipped), at most 15.
    pub fn of(number: &str) -> Dialled {
        let body = number.strip_prefix('+').unwrap_or(number);
        let mut padded = [0u8; MAX_DIGITS];
        let mut len = 0;
        for (to, b) in padded.iter_mut().zip(body.bytes().take_while(u8::is_ascii_digit)) {
            *to = b;
            len += 1;
        }
        Dialled::padded(&padded, len)
    }

    /// Of `len` ASCII digits, filled with zero bytes.
    #[inline]
    pub fn padded(digits: &[u8; MAX_DIGITS], len: usize) -> Dialled {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = *digits;
        let head = eight_digits(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        // A zero in front: seven digits.
        let tail = eight_digits(u64::from_le_bytes([0, i, j, k, l, m, n, o]));
        let value = head * POWERS[7] + tail;
        Dialled { key: value << 8 | (len as u64) << 4 | 15, head: head as u32 }
    }

    /// All there is to know of it.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// How many digits there are.
    pub(super) fn len(&self) -> usize {
        (self.key >> 4 & 15) as usize
    }

    /// The key of its prefix of so many digits.
    pub(super) fn prefix_key(&self, len: usize) -> u64 {
        let unit = POWERS[MAX_DIGITS - len];
        (self.value() / unit * unit) << 8 | (len as u64) << 4
    }

    pub(super) fn of_key(key: u64) -> Dialled {
        Dialled { key, head: ((key >> 8) / POWERS[7]) as u32 }
    }

    /// The digits of a prefix, dialled as they are.
    pub(super) fn of_prefix(key: u64) -> Dialled {
        Dialled::of_key(key | 15)
    }

    fn value(&self) -> u64 {
        self.key >> 8
    }
}

/// The number written by eight ASCII digits, the first in the lowest byte; zero bytes count as 0.
#[inline]
fn eight_digits(bytes: u64) -> u64 {
    // Pairs, then fours, then all: three multiplications in place of eight.
    let ones = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones.wrapping_mul(10) + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// A prefix and its next shorter one. 12 bytes: the parts of the words, lest a field of 8 pads it to 16.
#[derive(Clone, Copy)]
struct Entry {
    low: u32,
    high: u32,
    /// Position of the last row of the next shorter prefix, or [`NONE`].
    parent: u32,
}

impl Entry {
    #[inline]
    fn key(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }
}

/// Prefixes of sorted rows; a position is a row's.
pub(super) struct PrefixIndex {
    entries: Box<[Entry]>,
    /// By the first digits: the position of the first prefix that does not sort before them. One more at the end.
    starts: Box<[u32]>,
    /// What the first eight digits are divided by to give the first ones.
    divisor: u32,
}

impl PrefixIndex {
    /// Of keys in their order, a prefix as often as it has rows.
    pub(super) fn build(keys: impl ExactSizeIterator<Item = u64>) -> PrefixIndex {
        let count = keys.len();
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        // Prefixes that the current one starts with, each with the position of its last row.
        let mut open: Vec<(u64, u32)> = Vec::with_capacity(MAX_DIGITS);
        let mut sorted = true;
        for (key, at) in keys.zip(0u32..) {
            sorted &= entries.last().is_none_or(|last| last.key() >> 4 <= key >> 4);
            while let Some(&(last, _)) = open.last()
                && (last == key || !covers(last, key >> 8))
            {
                open.pop();
            }
            let (up, parent) = open.last().map_or((0, NONE), |(key, at)| (key_len(*key) as u64, *at));
            open.push((key, at));
            let key = key | up;
            entries.push(Entry { low: key as u32, high: (key >> 32) as u32, parent });
        }
        assert!(sorted, "keys come in their order");
        let head_digits = head_digits(count);
        let divisor = POWERS[8 - head_digits] as u32;
        let heads = POWERS[head_digits] as usize;
        let mut starts = Vec::with_capacity(heads + 1);
        let mut at = 0;
        for head in 0..heads as u64 {
            let first = (head * u64::from(divisor) * POWERS[7]) << 8;
            while entries.get(at).is_some_and(|e| e.key() < first) {
                at += 1;
            }
            starts.push(at as u32);
        }
        starts.push(count as u32);
        PrefixIndex { entries: entries.into(), starts: starts.into(), divisor }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn resident_bytes(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.starts)
    }

    /// The key of a position.
    #[inline]
    pub(super) fn key(&self, at: u32) -> u64 {
        self.entries[at as usize].key() & !15
    }

    /// Positions between which the number would stand: the first step of a look-up.
    #[inline]
    pub(super) fn bucket(&self, number: &Dialled) -> (u32, u32) {
        let head = (number.head / self.divisor) as usize;
        (self.starts[head], self.starts[head + 1])
    }

    /// Asks memory for what the first step will read.
    #[inline]
    pub(super) fn fetch_bucket(&self, number: &Dialled) {
        fetch(&self.starts, (number.head / self.divisor) as usize);
    }

    /// Asks memory for what the second step will read first.
    #[inline]
    pub(super) fn fetch(&self, (start, end): (u32, u32)) {
        let (start, end) = (start as usize, end as usize);
        fetch(&self.entries, start.saturating_sub(1));
        fetch(&self.entries, start.midpoint(end));
        if end > start + 2 {
            fetch(&self.entries, end - 1);
        }
    }

    /// The last row of the longest prefix of the number: the second step.
    #[inline]
    pub(super) fn longest(&self, number: &Dialled, (start, end): (u32, u32)) -> u32 {
        let (mut at, mut len) = (start as usize, (end - start) as usize);
        while len > 0 {
            let half = len / 2;
            let not_after = self.entries[at + half].key() <= number.key;
            at = if not_after { at + half + 1 } else { at };
            len = if not_after { len - half - 1 } else { half };
        }
        // The last that does not sort after the number: the longest prefix, or one that starts with it.
        if at == 0 { NONE } else { self.covering(number, at as u32 - 1) }
    }

    /// The last row of the longest prefix of the number that is shorter than that of row `at`.
    #[inline]
    pub(super) fn shorter(&self, number: &Dialled, at: u32) -> u32 {
        let entry = self.entries[at as usize];
        // A prefix of one of the number's prefixes is one of its prefixes.
        if covers(entry.key(), number.value()) { entry.parent } else { self.covering(number, at) }
    }

    /// Up from a prefix to one that the number starts with.
    #[inline]
    fn covering(&self, number: &Dialled, mut at: u32) -> u32 {
        loop {
            let entry = self.entries[at as usize];
            if covers(entry.key(), number.value()) {
                return at;
            }
            let up = (entry.low & 15) as usize;
            let unit = POWERS[MAX_DIGITS - up];
            // Whether the next shorter one covers it is known from here, without reading it.
            if up == 0 || (entry.key() >> 8) / unit == number.value() / unit {
                return entry.parent;
            }
            at = entry.parent;
        }
    }

    /// The row before, when it has the same prefix.
    #[inline]
    pub(super) fn before(&self, at: u32) -> Option<u32> {
        let before = at.checked_sub(1)?;
        (self.key(before) == self.key(at)).then_some(before)
    }
}

/// Whether the prefix starts the number of this value (which does not sort before it).
#[inline]
fn covers(key: u64, value: u64) -> bool {
    value.wrapping_sub(key >> 8) < POWERS[MAX_DIGITS - key_len(key)]
}

/// Digits of the table: about as many entries as prefixes, so that few prefixes share one.
fn head_digits(prefixes: usize) -> usize {
    (1..=6).rev().find(|digits| POWERS[*digits] <= prefixes as u64).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_digits_and_print_them() {
        let sorted = ["1", "10", "100000000000000", "12", "2", "999999999999999"];
        let keys: Vec<u64> = sorted.iter().filter_map(|d| key(d)).collect();
        assert!(keys.is_sorted() && keys.len() == sorted.len());
        assert_eq!(keys.iter().map(|k| digits(*k)).collect::<Vec<_>>(), sorted);
        for bad in ["", "12a", "+1", "1234567890123456"] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_number_is_read_up_to_fifteen_digits() {
        for (text, same) in [("+4420", "4420"), ("4420x9", "4420"), ("1234567890123456", "123456789012345")] {
            assert_eq!(Dialled::of(text), Dialled::of(same), "{text}");
            assert_eq!(Some(Dialled::of(text).key & !15), key(same), "{text}");
        }
        assert_eq!(Dialled::of("").key, 15);
        assert_eq!(Dialled::of("987654321").head, 98_765_432);
    }
}

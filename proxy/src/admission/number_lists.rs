//! Called numbers of subscriptions: on which list a number is, if on any. Entries are whole numbers, prefixes and ranges
//! with dates; a range is kept as the prefixes it is made of, which whole numbers of its length must have.

use std::collections::BTreeMap;

use foldhash::HashMap;
use tollgate_schemas::{
    control::{Listed, ListedNumber, NumberList},
    number::E164,
    time::parse_rfc3339,
};

/// Entries of all lists together, ranges by the prefixes they are made of; more are refused with the documents.
pub const MAX_LISTED: usize = 2_000_000;

/// A mistake in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadNumber {
    /// The document.
    pub list: String,
    /// As `numbers[2].to`; empty for the list as a whole.
    pub field: String,
    pub message: String,
}

/// One entry under its prefix.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Which of [`NumberLists::names`]; in order of kind, then name.
    list: u32,
    /// Digits the whole number has; 0 = any number.
    digits: u8,
    from_us: i64,
    until_us: i64,
}

#[derive(Debug, Default)]
pub struct NumberLists {
    names: Vec<(Listed, String)>,
    /// By the prefix's length and value. Several where dates or lists differ.
    entries: HashMap<(u8, u64), Vec<Entry>>,
    /// Lengths of prefixes there are, one bit each.
    lengths: u16,
}

/// What an entry covers.
struct Cover {
    low: u64,
    high: u64,
    /// Digits of both; and of the whole number, 0 = any.
    length: u8,
    digits: u8,
}

impl NumberLists {
    /// Every list together, or every mistake in them.
    pub fn compile(documents: &BTreeMap<String, NumberList>) -> Result<NumberLists, Vec<BadNumber>> {
        let mut sorted: Vec<(&String, &NumberList)> = documents.iter().collect();
        sorted.sort_by_key(|(name, document)| (document.list, name.as_str()));
        let (mut out, mut problems, mut count) = (NumberLists::default(), Vec::new(), 0usize);
        for (list, (name, document)) in sorted.into_iter().enumerate() {
            out.names.push((document.list, name.clone()));
            for (at, row) in document.numbers.iter().enumerate() {
                let mut wrong = |field: &str, message: String| problems.push(BadNumber { list: name.clone(), field: format!("numbers[{at}].{field}"), message });
                let cover = cover(row, &mut wrong);
                let (from_us, until_us) = (day(row.from.as_ref(), i64::MIN), day(row.until.as_ref(), i64::MAX));
                for (field, text, at) in [("from", &row.from, from_us), ("until", &row.until, until_us)] {
                    if at.is_none() {
                        wrong(field, format!("'{}' is no day: want as 2026-11-20", text.as_deref().unwrap_or_default()));
                    }
                }
                let (Some(cover), Some(from_us), Some(until_us)) = (cover, from_us, until_us) else { continue };
                if from_us >= until_us {
                    wrong("until", "is not after from".to_owned());
                    continue;
                }
                let entry = Entry { list: list as u32, digits: cover.digits, from_us, until_us };
                cover.prefixes(|length, value| {
                    count += 1;
                    if count <= MAX_LISTED {
                        out.entries.entry((length, value)).or_default().push(entry);
                        out.lengths |= 1 << length;
                    }
                });
            }
            if count > MAX_LISTED {
                let message = format!("the lists have more than {MAX_LISTED} entries together, ranges by the prefixes they are made of: fewer, or shorter prefixes");
                problems.push(BadNumber { list: name.clone(), field: "numbers".to_owned(), message });
                break;
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    /// The list a number is on at an instant: the first by kind (test before hot), then by name.
    pub fn find(&self, number: &E164, at_us: i64) -> Option<(Listed, &str)> {
        if self.lengths == 0 {
            return None;
        }
        let digits = number.digits();
        let mut best: Option<u32> = None;
        let mut value = 0;
        for (at, digit) in digits.bytes().enumerate() {
            value = value * 10 + u64::from(digit - b'0');
            let length = at as u8 + 1;
            if self.lengths & 1 << length == 0 {
                continue;
            }
            let entries = self.entries.get(&(length, value)).into_iter().flatten();
            let here = entries.filter(|e| (e.digits == 0 || usize::from(e.digits) == digits.len()) && (e.from_us..e.until_us).contains(&at_us));
            best = here.map(|e| e.list).chain(best).min();
        }
        best.and_then(|list| self.names.get(list as usize)).map(|(list, name)| (*list, name.as_str()))
    }
}

impl Cover {
    /// The prefixes it is made of: length and value.
    fn prefixes(&self, mut each: impl FnMut(u8, u64)) {
        let mut low = self.low;
        loop {
            // The largest block of ten, a hundred, ... that begins here and does not go beyond the end.
            let (mut size, mut length) = (1u64, self.length);
            while length > 1 && low.is_multiple_of(size * 10) && low + (size * 10 - 1) <= self.high {
                size *= 10;
                length -= 1;
            }
            each(length, low / size);
            if low + (size - 1) >= self.high {
                return;
            }
            low += size;
        }
    }
}

/// Midnight UTC of a day; the default where none is given, None where it is no day.
fn day(text: Option<&String>, default: i64) -> Option<i64> {
    text.map_or(Some(default), |text| (text.len() == 10).then(|| parse_rfc3339(&format!("{text}T00:00:00Z")).ok())?)
}

fn cover(row: &ListedNumber, wrong: &mut impl FnMut(&str, String)) -> Option<Cover> {
    let plain = |text: &str| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        // No country's code begins with 0.
        let good = (1..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        good.then(|| digits.parse::<u64>().ok().map(|value| (digits.len() as u8, value)))?
    };
    let bad = |text: &str| format!("'{text}' is no E.164 number: want 1 to 15 digits that do not begin with 0, and * at the end for whatever starts with them");
    let prefix = row.number.strip_suffix('*');
    let Some((length, low)) = plain(prefix.unwrap_or(&row.number)) else {
        wrong("number", bad(&row.number));
        return None;
    };
    let Some(to) = &row.to else {
        return Some(Cover { low, high: low, length, digits: if prefix.is_some() { 0 } else { length } });
    };
    if prefix.is_some() {
        wrong("to", "a prefix has no end: give a whole number and a whole number, or the prefix alone".to_owned());
        return None;
    }
    match plain(to) {
        None => wrong("to", bad(to)),
        Some((other, _)) if other != length => wrong("to", format!("has {other} digits, number has {length}: a range is of numbers of one length")),
        Some((_, high)) if high < low => wrong("to", format!("'{to}' comes before number")),
        Some((_, high)) => return Some(Cover { low, high, length, digits: length }),
    }
    None
}

#[cfg(test)]
mod tests;

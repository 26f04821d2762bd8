//! How the other side writes called numbers: with a technical prefix, an international prefix, without the country
//! code. Learnt by the calls' last digits: the rewriting that explains most numbers that are not ours as they stand.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::Billed;

/// Last digits by which numbers are laid side by side.
const TAIL: u64 = 100_000_000;
/// Numbers looked at; more say nothing new.
const SAMPLE: usize = 20_000;
/// A rewriting must explain so many of the sample, and one in so many of what is unknown.
const LEAST: u64 = 3;
const SHARE: u64 = 20;

/// Rewrites `theirs`' called numbers into our form; gives (put off, put on, calls).
pub(super) fn canonical(ours: &[Billed], theirs: &mut [Billed]) -> Vec<(String, String, u64)> {
    let known: std::collections::HashSet<u64, FixedState> = ours.iter().map(|c| c.b).collect();
    let mut by_tail: HashMap<u64, Vec<u64>, FixedState> = HashMap::default();
    for b in &known {
        let tail = by_tail.entry(b % TAIL).or_default();
        if tail.len() < 8 {
            tail.push(*b);
        }
    }
    let mut votes: HashMap<(String, String), u64, FixedState> = HashMap::default();
    let mut unknown = 0u64;
    for call in theirs.iter().filter(|c| !known.contains(&c.b)).take(SAMPLE) {
        unknown += 1;
        let Some(candidates) = by_tail.get(&(call.b % TAIL)) else { continue };
        for ours in candidates {
            *votes.entry(difference(call.b, *ours)).or_default() += 1;
        }
    }
    let mut rules: Vec<((String, String), u64)> = votes.into_iter().filter(|(_, n)| *n >= LEAST && *n * SHARE >= unknown).collect();
    // The commonest first; of equals the one that changes least.
    rules.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| (a.0.len() + a.1.len()).cmp(&(b.0.len() + b.1.len()))).then_with(|| a.cmp(b)));
    let mut used = vec![0u64; rules.len()];
    for call in theirs.iter_mut().filter(|c| !known.contains(&c.b)) {
        let digits = call.b.to_string();
        let found = rules.iter().enumerate().find_map(|(i, ((off, on), _))| {
            let number = format!("{on}{}", digits.strip_prefix(off.as_str())?).parse().ok()?;
            known.contains(&number).then_some((i, number))
        });
        if let Some((rule, number)) = found {
            call.b = number;
            used[rule] += 1;
        }
    }
    rules.into_iter().zip(used).filter(|(_, n)| *n > 0).map(|(((off, on), _), n)| (off, on, n)).collect()
}

/// What to take off the front of `theirs` and put on to have `ours`.
fn difference(theirs: u64, ours: u64) -> (String, String) {
    let (theirs, ours) = (theirs.to_string(), ours.to_string());
    let common = theirs.bytes().rev().zip(ours.bytes().rev()).take_while(|(a, b)| a == b).count();
    (theirs[..theirs.len() - common].to_owned(), ours[..ours.len() - common].to_owned())
}

/// Digits of a cell: without plus, punctuation, and whatever stands before a `#`; 0 when there are none.
pub(super) fn digits(text: &str) -> u64 {
    let text = text.trim();
    let text = text.rsplit_once('#').map_or(text, |(_, after)| after);
    // sip:442079460000@host
    let text = text.strip_prefix("sip:").unwrap_or(text);
    let text = text.split(['@', ';']).next().unwrap_or_default();
    let plus = text.starts_with('+');
    let mut digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !plus && digits.starts_with("00") {
        digits.drain(..2);
    } else if !plus && digits.starts_with("011") && digits.len() > 12 {
        digits.drain(..3);
    }
    // More than any number has: told apart by its end.
    let from = digits.len().saturating_sub(18);
    digits[from..].parse().unwrap_or(0)
}

//! a carrier is priced by its own longest prefix. Where others break a range out, a call into it is compared across
//! prefixes of different length, which is where disputes come from: the preview says where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::deck::{Deck, Lookup};

/// Prefixes told one by one.
const MAX_COVERED: usize = 200;

/// A prefix that prices numbers for which others have longer ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    pub prefix: String,
    pub destination: String,
    /// Carriers that break it out, with how many longer prefixes and one of them.
    pub broken_out_by: Vec<BrokenOut>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokenOut {
    pub carrier: String,
    pub prefixes: u64,
    pub example: String,
}

/// Prefixes of `deck` that price, at `at_us`, numbers for which another carrier's deck has a longer prefix; those broken out most
/// come first, at most 200, and how many there are in all.
pub fn covered_by_parent(deck: &Deck, others: &[(&str, &Deck)], at_us: i64) -> (Vec<Covered>, u64) {
    let mut found: BTreeMap<String, (String, BTreeMap<&str, (u64, String)>)> = BTreeMap::new();
    for (carrier, other) in others {
        for row in other.rows() {
            let open = row.effective_from_us().is_none_or(|f| f <= at_us) && row.effective_to_us().is_none_or(|t| at_us < t);
            if !open || row.blocked() {
                continue;
            }
            let prefix = row.prefix();
            if let Lookup::Row(own) = deck.lookup(&prefix, at_us)
                && own.prefix_len() < prefix.len()
            {
                let of_own = found.entry(own.prefix()).or_insert_with(|| (own.destination().to_owned(), BTreeMap::new()));
                of_own.1.entry(carrier).or_insert_with(|| (0, prefix)).0 += 1;
            }
        }
    }
    let total = found.len() as u64;
    let mut all: Vec<Covered> = found
        .into_iter()
        .map(|(prefix, (destination, by))| {
            let broken_out_by = by.into_iter().map(|(carrier, (prefixes, example))| BrokenOut { carrier: carrier.to_owned(), prefixes, example }).collect();
            Covered { prefix, destination, broken_out_by }
        })
        .collect();
    all.sort_by_key(|c| (std::cmp::Reverse(c.broken_out_by.iter().map(|b| b.prefixes).sum::<u64>()), c.prefix.clone()));
    all.truncate(MAX_COVERED);
    (all, total)
}

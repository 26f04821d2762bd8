//! Which carriers reach what is sold (S1-85), and over how many upstreams (S1-27): destinations × carriers × class at one instant.
//!
//! A destination is what a sell deck calls it; its prefixes are the deck's rows in force that are not blocked. A carrier covers a
//! prefix when the longest prefix of its own deck has a price; partly, when only longer ones do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::deck::{Deck, Lookup, RowRef};

/// Prefixes without a carrier told by name, for each destination.
const MAX_NAMED: usize = 20;

/// A carrier as far as coverage goes.
pub struct Reach<'a> {
    pub name: &'a str,
    /// Who carries on from it: two carriers with one upstream fail together. Its own name where nobody said.
    pub upstream: &'a str,
    /// Class of its rows that name none.
    pub route_class: &'a str,
    /// Suspended carriers are shown, and cover nothing.
    pub suspended: bool,
    pub deck: &'a Deck,
}

/// Everything that is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// By name.
    pub destinations: Vec<Destination>,
    /// Destinations with a prefix that no carrier covers.
    pub gaps: u64,
    /// Destinations with a prefix that has one upstream.
    pub single_upstream: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub destination: String,
    pub sell_decks: Vec<String>,
    pub prefixes: u64,
    /// By carrier and class; carriers that have nothing of it are left out.
    pub carriers: Vec<Cover>,
    /// Prefixes that no carrier in service covers.
    pub uncovered: u64,
    /// Some of them.
    pub uncovered_prefixes: Vec<String>,
    /// Distinct upstreams of the prefix that has fewest: 0 is a gap, 1 a warning.
    pub diversity: u64,
}

/// What one carrier has of a destination in one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    pub carrier: String,
    pub upstream: String,
    pub route_class: String,
    pub suspended: bool,
    /// Prefixes covered, covered in part, and refused by the carrier's own deck.
    pub covered: u64,
    pub partly: u64,
    pub blocked: u64,
}

fn open(row: &RowRef<'_>, at_us: i64) -> bool {
    row.effective_from_us().is_none_or(|f| f <= at_us) && row.effective_to_us().is_none_or(|t| at_us < t)
}

/// A carrier with its prefixes in order, to see whether one has longer ones.
struct Reached<'a> {
    of: &'a Reach<'a>,
    prefixes: Vec<String>,
}

/// `sold`: the decks that accounts buy from, by name.
pub fn coverage(sold: &[(&str, &Deck)], carriers: &[Reach<'_>], at_us: i64) -> Coverage {
    let reached: Vec<Reached<'_>> = carriers
        .iter()
        .map(|of| {
            let mut prefixes: Vec<String> = of.deck.rows().filter(|r| open(r, at_us) && !r.blocked()).map(|r| r.prefix()).collect();
            prefixes.sort_unstable();
            Reached { of, prefixes }
        })
        .collect();
    let mut groups: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for (name, deck) in sold {
        for row in deck.rows().filter(|r| open(r, at_us) && !r.blocked()) {
            let group = groups.entry(row.destination()).or_default();
            group.0.insert(name);
            group.1.insert(row.prefix());
        }
    }
    let destinations: Vec<Destination> = groups.into_iter().map(|(name, (decks, prefixes))| destination(name, decks, prefixes, &reached, at_us)).collect();
    Coverage {
        gaps: destinations.iter().filter(|d| d.diversity == 0).count() as u64,
        single_upstream: destinations.iter().filter(|d| d.diversity == 1).count() as u64,
        destinations,
    }
}

fn destination(name: &str, decks: BTreeSet<&str>, prefixes: BTreeSet<String>, carriers: &[Reached<'_>], at_us: i64) -> Destination {
    let mut covers: BTreeMap<(&str, String), Cover> = BTreeMap::new();
    let (mut uncovered, mut named, mut diversity) = (0, Vec::new(), u64::MAX);
    for prefix in &prefixes {
        let mut upstreams: BTreeSet<&str> = BTreeSet::new();
        for carrier in carriers {
            let of = carrier.of;
            let class = |row: &RowRef<'_>| if row.route_class().is_empty() { of.route_class.to_owned() } else { row.route_class().to_owned() };
            let (class, count): (String, fn(&mut Cover) -> &mut u64) = match of.deck.lookup(prefix, at_us) {
                Lookup::Row(row) => {
                    if !of.suspended {
                        upstreams.insert(of.upstream);
                    }
                    (class(&row), |c| &mut c.covered)
                }
                Lookup::Blocked(row) => (class(&row), |c| &mut c.blocked),
                _ => {
                    let at = carrier.prefixes.partition_point(|p| p.as_str() < prefix.as_str());
                    match carrier.prefixes.get(at) {
                        Some(longer) if longer.starts_with(prefix.as_str()) => (of.route_class.to_owned(), |c| &mut c.partly),
                        _ => continue,
                    }
                }
            };
            let cover = covers.entry((of.name, class)).or_insert_with_key(|(name, class)| Cover {
                carrier: (*name).to_owned(),
                upstream: of.upstream.to_owned(),
                route_class: class.clone(),
                suspended: of.suspended,
                covered: 0,
                partly: 0,
                blocked: 0,
            });
            *count(cover) += 1;
        }
        if upstreams.is_empty() {
            uncovered += 1;
            if named.len() < MAX_NAMED {
                named.push(prefix.clone());
            }
        }
        diversity = diversity.min(upstreams.len() as u64);
    }
    Destination {
        destination: name.to_owned(),
        sell_decks: decks.into_iter().map(str::to_owned).collect(),
        prefixes: prefixes.len() as u64,
        carriers: covers.into_values().collect(),
        uncovered,
        uncovered_prefixes: named,
        diversity: if diversity == u64::MAX { 0 } else { diversity },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::DeckOptions;

    fn deck(rows: &str) -> Deck {
        let text = format!("prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,route_class,blocked\n{rows}");
        Deck::compile("d", text.as_bytes(), &DeckOptions::default()).expect("deck")
    }

    const AT: i64 = 1_800_000_000_000_000;

    #[test]
    fn s1_85_the_matrix_says_what_nobody_reaches_and_what_hangs_on_one_upstream() {
        let sell = deck("31,Netherlands,0.02,0,1,1,,,,\n316,Netherlands,0.05,0,1,1,,,,\n44,UK,0.02,0,1,1,,,,\n53,Cuba,0.9,0,1,1,,,,\n81,Japan,0.1,0,1,1,,,,\n99,Old,1,0,1,1,2020-01-01,2021-01-01,,\n7,Not sold,,0,1,1,,,,true\n");
        let a = deck("31,NL,0.01,0,1,1,,,premium,\n44,GB,0.01,0,1,1,,,,\n53,CU,,0,1,1,,,,true\n");
        let b = deck("31,NL,0.01,0,1,1,,,,\n447,GB mobile,0.01,0,1,1,,,,\n");
        let c = deck("31,NL,0.01,0,1,1,,,,\n81,JP,0.01,0,1,1,,,,\n");
        let reach = |name, upstream, suspended, deck| Reach { name, upstream, route_class: "standard", suspended, deck };
        let all = |c_suspended| coverage(&[("retail", &sell)], &[reach("a", "a", false, &a), reach("b", "big", false, &b), reach("c", "big", c_suspended, &c)], AT);
        let found = all(false);
        let line = |d: &Destination| {
            let covers: Vec<String> = d.carriers.iter().map(|c| format!("{}/{} {}+{}-{}", c.carrier, c.route_class, c.covered, c.partly, c.blocked)).collect();
            format!("{} {} uncovered {:?} diversity {}: {}", d.destination, d.prefixes, d.uncovered_prefixes, d.diversity, covers.join(", "))
        };
        assert_eq!(
            found.destinations.iter().map(line).collect::<Vec<_>>(),
            [
                "Cuba 1 uncovered [\"53\"] diversity 0: a/standard 0+0-1",
                "Japan 1 uncovered [] diversity 1: c/standard 1+0-0",
                "Netherlands 2 uncovered [] diversity 2: a/premium 2+0-0, b/standard 2+0-0, c/standard 2+0-0",
                "UK 1 uncovered [] diversity 1: a/standard 1+0-0, b/standard 0+1-0",
            ]
        );
        assert_eq!((found.gaps, found.single_upstream), (1, 2));
        // The last carrier for Japan goes: the gap shows.
        assert_eq!((all(true).gaps, all(true).destinations[1].uncovered_prefixes.clone()), (2, vec!["81".to_owned()]));
    }
}

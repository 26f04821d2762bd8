//! Which carriers reach what is sold (S1-85), and over how many upstreams (S1-27): destinations × carriers × class at one instant.
//!
//! A destination is what a sell deck calls it; its prefixes are the deck's rows in force that are not blocked. A carrier covers a
//! prefix when the longest prefix of its own deck has a price; partly, when only longer ones do. That is asked in one place
//! (`Reached::stand`), for the matrix of everything that is sold and prefix by prefix for one account (`cover`); quality, margins and
//! loops are of calls, not of coverage.

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

/// What an account may use; empty = all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buyer<'a> {
    pub carriers: &'a [String],
    pub classes: &'a [String],
}

/// What to warn of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Nobody takes it: calls are refused with `no_route`.
    NoCarrier,
    /// One upstream only, however many carriers: `diversity=1`.
    OneUpstream,
}

impl Gap {
    /// Of so many upstreams.
    pub fn of(upstreams: u64) -> Option<Gap> {
        match upstreams {
            0 => Some(Gap::NoCarrier),
            1 => Some(Gap::OneUpstream),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Gap::NoCarrier => "no_route",
            Gap::OneUpstream => "diversity=1",
        }
    }
}

/// A prefix that is sold and who takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub prefix: String,
    pub destination: String,
    /// Carriers in service that take it, with their classes, by name.
    pub carriers: Vec<(String, String)>,
    pub upstreams: u64,
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

/// What a carrier's deck says of a prefix.
enum Stand<'a> {
    /// With the class of its row.
    Covers(&'a str),
    Blocks(&'a str),
    /// Only longer prefixes have a price.
    Partly,
    Nothing,
}

fn open(row: &RowRef<'_>, at_us: i64) -> bool {
    row.effective_from_us().is_none_or(|f| f <= at_us) && row.effective_to_us().is_none_or(|t| at_us < t)
}

/// A carrier with its prefixes in order, to see whether one has longer ones.
struct Reached<'a> {
    of: &'a Reach<'a>,
    prefixes: Vec<String>,
}

impl<'a> Reached<'a> {
    fn all(carriers: &'a [Reach<'a>], at_us: i64) -> Vec<Reached<'a>> {
        let prefixes = |of: &Reach<'_>| {
            let mut prefixes: Vec<String> = of.deck.rows().filter(|r| open(r, at_us) && !r.blocked()).map(|r| r.prefix()).collect();
            prefixes.sort_unstable();
            prefixes
        };
        carriers.iter().map(|of| Reached { of, prefixes: prefixes(of) }).collect()
    }

    fn stand(&self, prefix: &str, at_us: i64) -> Stand<'a> {
        let of = self.of;
        let class = |row: RowRef<'a>| if row.route_class().is_empty() { of.route_class } else { row.route_class() };
        match of.deck.lookup(prefix, at_us) {
            Lookup::Row(row) => Stand::Covers(class(row)),
            Lookup::Blocked(row) => Stand::Blocks(class(row)),
            _ => {
                let at = self.prefixes.partition_point(|p| p.as_str() < prefix);
                let longer = self.prefixes.get(at).is_some_and(|longer| longer.starts_with(prefix));
                if longer { Stand::Partly } else { Stand::Nothing }
            }
        }
    }
}

/// Who takes each of these sold prefixes (digits, destination) for one buyer: one prefix after the other, what is longer than a
/// prefix is asked for on its own. `each` is called in the order of `sold`.
pub fn cover<'s>(sold: impl Iterator<Item = (&'s str, &'s str)>, carriers: &[Reach<'_>], buyer: Buyer<'_>, at_us: i64, mut each: impl FnMut(Taken)) {
    let allowed = |name: &str, list: &[String]| list.is_empty() || list.iter().any(|n| n == name);
    let reached = Reached::all(carriers, at_us);
    for (prefix, destination) in sold {
        let (mut takers, mut upstreams) = (Vec::new(), BTreeSet::new());
        for carrier in reached.iter().filter(|c| !c.of.suspended && allowed(c.of.name, buyer.carriers)) {
            if let Stand::Covers(class) = carrier.stand(prefix, at_us)
                && allowed(class, buyer.classes)
            {
                takers.push((carrier.of.name.to_owned(), class.to_owned()));
                upstreams.insert(carrier.of.upstream);
            }
        }
        takers.sort();
        each(Taken { prefix: prefix.to_owned(), destination: destination.to_owned(), carriers: takers, upstreams: upstreams.len() as u64 });
    }
}

/// `sold`: the decks that accounts buy from, by name.
pub fn coverage(sold: &[(&str, &Deck)], carriers: &[Reach<'_>], at_us: i64) -> Coverage {
    let reached = Reached::all(carriers, at_us);
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
    let mut covers: BTreeMap<(&str, &str), Cover> = BTreeMap::new();
    let (mut uncovered, mut named, mut diversity) = (0, Vec::new(), u64::MAX);
    for prefix in &prefixes {
        let mut upstreams: BTreeSet<&str> = BTreeSet::new();
        for carrier in carriers {
            let of = carrier.of;
            let (class, count): (&str, fn(&mut Cover) -> &mut u64) = match carrier.stand(prefix, at_us) {
                Stand::Covers(class) => {
                    if !of.suspended {
                        upstreams.insert(of.upstream);
                    }
                    (class, |c| &mut c.covered)
                }
                Stand::Blocks(class) => (class, |c| &mut c.blocked),
                Stand::Partly => (of.route_class, |c| &mut c.partly),
                Stand::Nothing => continue,
            };
            let cover = covers.entry((of.name, class)).or_insert_with_key(|(name, class)| Cover {
                carrier: (*name).to_owned(),
                upstream: of.upstream.to_owned(),
                route_class: (*class).to_owned(),
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
        // The same by prefixes: the two ways are one.
        for destination in &found.destinations {
            let of: Vec<String> = sell.rows().filter(|r| open(r, AT) && !r.blocked() && r.destination() == destination.destination).map(|r| r.prefix()).collect();
            let mut least = u64::MAX;
            cover(of.iter().map(|p| (p.as_str(), "")), &[reach("a", "a", false, &a), reach("b", "big", false, &b), reach("c", "big", false, &c)], Buyer::default(), AT, |t| least = least.min(t.upstreams));
            assert_eq!(least, destination.diversity, "{}", destination.destination);
        }
        // The last carrier for Japan goes: the gap shows.
        assert_eq!((all(true).gaps, all(true).destinations[1].uncovered_prefixes.clone()), (2, vec!["81".to_owned()]));
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    proptest::proptest! {
        /// What coverage says of a prefix is what routing would do with a call to it.
        #[test]
        fn s1_85_a_prefix_is_covered_by_whom_routing_would_try(
            rows in proptest::collection::vec(proptest::collection::vec(("[1-3]{1,3}", 0u8..4), 1..6), 1..4),
            suspended in 0usize..6, allowed in 0usize..4, class in 0usize..3, prefix in "[1-3]{1,4}",
        ) {
            use crate::routing::{CarrierRoutes, RouteQuery, RouteTable};
            let carrier_names = ["a", "b", "c"];
            let decks: Vec<std::sync::Arc<Deck>> = rows.into_iter().map(|rows| {
                let rows: BTreeMap<String, u8> = rows.into_iter().collect();
                let line = |(prefix, kind): (&String, &u8)| match kind {
                    0 => format!("{prefix},x,,0,1,1,,,,true\n"),
                    1 => format!("{prefix},x,0.01,0,1,1,,,premium,\n"),
                    2 => format!("{prefix},x,0.01,0,1,1,2020-01-01,2021-01-01,,\n"),
                    _ => format!("{prefix},x,0.01,0,1,1,,,,\n"),
                };
                std::sync::Arc::new(deck(&rows.iter().map(line).collect::<String>()))
            }).collect();
            let buyer_carriers = if allowed == 3 { names(&["a", "c"]) } else { Vec::new() };
            let classes = [names(&[]), names(&["premium"]), names(&["standard"])][class].clone();
            let reach: Vec<Reach<'_>> = decks.iter().enumerate().map(|(n, deck)| Reach {
                name: carrier_names[n], upstream: if n < 2 { "one" } else { "two" }, route_class: "standard", suspended: n == suspended, deck,
            }).collect();
            let mut taken = Vec::new();
            cover([(prefix.as_str(), "x")].into_iter(), &reach, Buyer { carriers: &buyer_carriers, classes: &classes }, AT, |t| taken.push(t));
            let routes = reach.iter().zip(&decks).map(|(r, deck)| CarrierRoutes {
                route_class: r.route_class.to_owned(), suspended: r.suspended, upstream: r.upstream.to_owned(), ..CarrierRoutes::new(r.name, deck.clone())
            }).collect();
            let table = RouteTable::new(routes).expect("carriers");
            let decision = table.candidates(&RouteQuery { allowed: &buyer_carriers, classes: &classes, max_attempts: 0, ..RouteQuery::new(&prefix, AT) });
            let mut routed: Vec<(String, String)> = decision.order.iter().map(|c| {
                let class = decision.row(c).map(|r| r.route_class().to_owned()).filter(|c| !c.is_empty());
                (decision.name(c).to_owned(), class.unwrap_or_else(|| "standard".to_owned()))
            }).collect();
            routed.sort();
            let networks: BTreeSet<&str> = decision.order.iter().map(|c| decision.carrier(c.carrier).upstream.as_str()).collect();
            proptest::prop_assert_eq!((&taken[0].carriers, taken[0].upstreams), (&routed, networks.len() as u64));
        }
    }
}

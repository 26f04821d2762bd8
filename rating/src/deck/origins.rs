//! Where the caller has a say: rows of origin groups (R-27) and prices by US jurisdiction (R-25).

use tollgate_schemas::money::{BadDecimal, RATE_PLACES, parse_scaled};

use super::{Deck, Dialled, Lookup, RowRef};
use crate::geography::{CallerBy, Judged};

/// What a look-up needs to know of a call beside its number. The default is a caller nobody tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origination<'a> {
    /// The caller's origin groups, the most specific first.
    pub groups: &'a [&'a str],
    /// The call's jurisdiction by the caller's own number, and by its switch's: the deck says which counts.
    pub by_ani: Judged,
    pub by_routing: Judged,
}

impl Origination<'_> {
    /// The verdict that counts for a deck.
    pub fn judged(&self, deck: &Deck) -> Judged {
        match deck.rules.caller {
            CallerBy::Ani => self.by_ani,
            CallerBy::Routing => self.by_routing,
        }
    }
}

/// Fees of look-ups a deck charges, 1e-12 each; 0 = none (R-29).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LookupFees {
    pub lrn_e12: i64,
    pub cnam_e12: i64,
    pub toll_free_e12: i64,
}

impl LookupFees {
    /// Of a deck's document; the field that is wrong, and why.
    pub(super) fn from_spec(spec: &tollgate_schemas::control::LookupFees) -> Result<LookupFees, (&'static str, BadDecimal)> {
        let fee = |field, text: &Option<String>| match text.as_deref().map(|t| parse_scaled(t, RATE_PLACES)) {
            None => Ok(0),
            Some(Ok(fee)) if fee >= 0 => Ok(fee),
            Some(Ok(_)) => Err((field, BadDecimal::Malformed(text.clone().unwrap_or_default()))),
            Some(Err(e)) => Err((field, e)),
        };
        Ok(LookupFees {
            lrn_e12: fee("lrn", &spec.lrn)?,
            cnam_e12: fee("cnam", &spec.cnam)?,
            toll_free_e12: fee("toll_free", &spec.toll_free)?,
        })
    }
}

impl Deck {
    pub fn lookup_fees(&self) -> LookupFees {
        self.fees
    }

    /// Whether rows are told apart by the caller's origin group.
    pub fn has_origins(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Groups of its rows that `known` does not have, with how many rows: they price nobody (R-27).
    pub fn unknown_groups(&self, known: impl Fn(&str) -> bool) -> Vec<(&str, usize)> {
        let groups = self.groups.iter().map(|(group, first, end)| (self.text(*group), (end - first) as usize));
        groups.filter(|(group, _)| !known(group)).collect()
    }

    /// Whether its prices by jurisdiction go by the number of the caller's switch (R-25).
    pub fn by_switch(&self) -> bool {
        self.rules.caller == CallerBy::Routing
    }

    /// As [`Deck::lookup`], for a call of this origination: the longest prefix within the rows of the first of the caller's
    /// groups that has one in force, else the plain rows'.
    pub fn lookup_for(&self, number: &str, at_us: i64, from: &Origination<'_>) -> Lookup<'_> {
        let dialled = Dialled::of(number);
        self.told_apart(&dialled, at_us, from, self.lookup_dialled(&dialled, at_us))
    }

    /// From what the plain rows say to what holds for this caller.
    pub(crate) fn told_apart<'d>(&'d self, number: &Dialled, at_us: i64, from: &Origination<'_>, plain: Lookup<'d>) -> Lookup<'d> {
        let own = || from.groups.iter().find_map(|group| self.of_group(number, at_us, group));
        let found = if self.origins.is_empty() { None } else { own() };
        let judged = from.judged(self);
        match found.unwrap_or(plain) {
            Lookup::Row(row) => Lookup::Row(RowRef { judged, ..row }),
            Lookup::Blocked(row) => Lookup::Blocked(RowRef { judged, ..row }),
            other => other,
        }
    }

    /// The longest prefix among a group's rows with one in force.
    fn of_group(&self, number: &Dialled, at_us: i64, group: &str) -> Option<Lookup<'_>> {
        let (_, first, end) = self.groups.iter().find(|(g, ..)| self.text(*g) == group)?;
        let (first, rows) = (*first as usize, &self.origins[*first as usize..*end as usize]);
        (1..=number.len()).rev().find_map(|len| {
            let key = number.prefix_key(len);
            let at = rows.partition_point(|(prefix, _)| *prefix < key);
            let same = rows[at..].iter().take_while(|(prefix, _)| *prefix == key).count();
            (at..at + same).find_map(|at| {
                let row = (self.len() + first + at) as u32;
                let kind = &self.kinds[self.rows[row as usize].kind()];
                (kind.from <= at_us && at_us < kind.to).then(|| {
                    let blocked = kind.blocked;
                    let row = RowRef { deck: self, row, number: number.key(), at_us, judged: Judged::default() };
                    if blocked { Lookup::Blocked(row) } else { Lookup::Row(row) }
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::{parties::Jurisdiction, time::parse_rfc3339};

    use super::*;
    use crate::deck::{DeckOptions, Lookup};

    const SHEET: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from,effective_to,interrate,intrarate,ijrate,origin_group,blocked\n\
        1212,US NY,0.0100,0,6,6,2026-01-01,,0.0070,0.0090,0.0120,,\n\
        1,US,0.0200,0,6,6,2026-01-01,,,,,,\n\
        33,France,0.0500,0,1,1,2026-01-01,,,,,,\n\
        336,France mobile,0.0800,0,1,1,2026-01-01,,,,,,\n\
        33,France,0.0100,0,1,1,2026-01-01,,,,,EEA,\n\
        336,France mobile,0.0200,0,1,1,2026-01-01,2026-07-01,,,,eea,\n\
        33,France,,0,1,1,2026-01-01,,,,,invalid,yes\n";

    fn deck(rules: crate::geography::Rules) -> Deck {
        Deck::compile("test", SHEET.as_bytes(), &DeckOptions { jurisdiction: rules, ..DeckOptions::default() }).unwrap_or_else(|e| panic!("{e}"))
    }

    fn said(lookup: Lookup<'_>) -> String {
        match lookup {
            Lookup::Row(row) => {
                let terms = row.terms();
                assert_eq!(row.charge(0, 60_000), terms.charge(0, 60_000), "the compiled charge is that of the terms");
                format!("{} {} {} {}", terms.prefix, tollgate_schemas::money::format_rate(terms.rate_e12), terms.jurisdiction, terms.origin_group).trim_end().to_owned()
            }
            Lookup::Blocked(row) => format!("blocked {}", row.prefix()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn r_27_rows_of_the_callers_group_go_before_the_plain_ones() {
        let deck = deck(crate::geography::Rules::default());
        let at = |text: &str| parse_rfc3339(text).expect("a time of the test");
        for (number, when, groups, want) in [
            ("33142345678", "2026-02-01T00:00:00Z", &["eea"][..], "33 0.0100  eea"),
            ("33142345678", "2026-02-01T00:00:00Z", &[], "33 0.0500"),
            ("33142345678", "2026-02-01T00:00:00Z", &["non-eea"], "33 0.0500"),
            ("33142345678", "2026-02-01T00:00:00Z", &["invalid"], "blocked 33"),
            // The longest prefix within the group, while it is in force; then the group's shorter one.
            ("33612345678", "2026-02-01T00:00:00Z", &["eea"], "336 0.0200  eea"),
            ("33612345678", "2026-08-01T00:00:00Z", &["eea"], "33 0.0100  eea"),
            ("33612345678", "2026-08-01T00:00:00Z", &["non-eea"], "336 0.0800"),
            // Before any of it: nothing.
            ("33612345678", "2025-08-01T00:00:00Z", &["eea"], "NotEffective"),
            // The first group that has a row.
            ("33142345678", "2026-02-01T00:00:00Z", &["de", "eea"], "33 0.0100  eea"),
            ("12125550100", "2026-02-01T00:00:00Z", &["eea"], "1212 0.0100"),
        ] {
            let from = Origination { groups, ..Origination::default() };
            assert_eq!(said(deck.lookup_for(number, at(when), &from)), want, "{number} {when} {groups:?}");
        }
    }

    #[test]
    fn r_27_groups_that_nothing_defines_are_told() {
        let deck = deck(crate::geography::Rules::default());
        assert_eq!(deck.unknown_groups(|g| crate::geography::BUILT_IN.contains(&g)), []);
        assert_eq!(deck.unknown_groups(|g| g == "invalid"), [("eea", 2)]);
    }

    #[test]
    fn r_25_the_rows_price_goes_by_the_calls_jurisdiction() {
        use crate::geography::{CallerBy, Rules, Unknown};
        let at = parse_rfc3339("2026-02-01T00:00:00Z").expect("a time of the test");
        let judged = |jurisdiction| Judged { jurisdiction, invalid_caller: false };
        let of = |rules: Rules, number: &str, jurisdiction| {
            let from = Origination { by_ani: judged(jurisdiction), ..Origination::default() };
            said(deck(rules).lookup_for(number, at, &from))
        };
        let plain = Rules::default();
        for (number, jurisdiction, want) in [
            ("12125550100", Jurisdiction::Inter, "1212 0.0070 inter"),
            ("12125550100", Jurisdiction::Intra, "1212 0.0090 intra"),
            ("12125550100", Jurisdiction::Indeterminate, "1212 0.0120 indeterminate"),
            ("12125550100", Jurisdiction::Na, "1212 0.0100"),
            ("12125550100", Jurisdiction::Intl, "1212 0.0100"),
            // A row without prices by jurisdiction has one for all.
            ("13155550100", Jurisdiction::Inter, "1 0.0200"),
        ] {
            assert_eq!(of(plain, number, jurisdiction), want, "{number} {jurisdiction:?}");
        }
        let intrastate = Rules { indeterminate: Unknown::Intrastate, ..plain };
        assert_eq!(of(intrastate, "12125550100", Jurisdiction::Indeterminate), "1212 0.0090 intra");
        // A deck that goes by the caller's switch does not look at its own number.
        let by_switch = Rules { caller: CallerBy::Routing, ..plain };
        assert_eq!(of(by_switch, "12125550100", Jurisdiction::Inter), "1212 0.0100");
    }

    #[test]
    fn r_29_fees_of_look_ups_are_read_from_the_deck() {
        let spec = |json: &str| LookupFees::from_spec(&serde_json::from_str(json).expect("a spec of the test"));
        assert_eq!(spec(r#"{"lrn":"0.0003","toll_free":"0.0002"}"#), Ok(LookupFees { lrn_e12: 300_000_000, cnam_e12: 0, toll_free_e12: 200_000_000 }));
        assert!(spec(r#"{"cnam":"-1"}"#).is_err() && spec(r#"{"lrn":"x"}"#).is_err());
    }
}

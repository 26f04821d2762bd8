//! Origin groups: which groups a number belongs to at an instant, by prefix and dated membership. Built in are
//! `eea` (EU27, IS, LI, NO; the United Kingdom until the end of 2020, and what shares its code never), `non-eea` (every
//! valid number that is not of `eea`) and `invalid` (callers without a valid number). Operators add their own.

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use foldhash::fast::FixedState;
use thiserror::Error;
use tollgate_schemas::{
    control,
    number::E164,
    parties::{CallerValidity, Parties},
};

const EEA: &str = include_str!("eea.tsv");

/// Group of callers without a valid number.
pub const INVALID: &str = "invalid";
/// Groups that are there without a document.
pub const BUILT_IN: [&str; 3] = ["eea", "non-eea", INVALID];
/// Most groups; a caller's groups are kept as bits.
pub const MAX_GROUPS: usize = 1_024;
const MAX_DIGITS: usize = 15;

/// A group that cannot be.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadGroup {
    #[error("'{0}' is built in")]
    BuiltIn(String),
    #[error("members[{at}].prefix: '{prefix}' is not a prefix: want 1 to 15 digits")]
    Prefix { at: usize, prefix: String },
    #[error("{field}: '{text}' is not a date: want YYYY-MM-DD")]
    Date { field: String, text: String },
    #[error("members[{0}].until: not after from")]
    Empties(usize),
    #[error("except: there is no origin group '{0}' with members")]
    Except(String),
    #[error("want members or except, one of them")]
    Neither,
    #[error("more than {MAX_GROUPS} origin groups")]
    TooMany,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    group: u16,
    from_us: i64,
    until_us: i64,
}

/// All groups, immutable.
#[derive(Debug, Clone, Default)]
pub struct OriginGroups {
    names: Vec<String>,
    /// Prefix → memberships.
    members: HashMap<Box<str>, Vec<Member>, FixedState>,
    /// Group, and the group it is the complement of, among valid numbers.
    complements: Vec<(u16, u16)>,
    invalid: u16,
}

/// The groups of one number at one instant, the most specific first: by length of the prefix that made it a member, then
/// by name. Complements come last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    groups: Vec<(u16, u8)>,
}

impl Origin {
    /// Length of the prefix by which the number is in the group, 0 for a complement; None = not a member.
    pub fn has(&self, group: u16) -> Option<u8> {
        self.groups.iter().find(|(g, _)| *g == group).map(|(_, len)| *len)
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Positions of the groups, the most specific first.
    pub fn groups(&self) -> impl Iterator<Item = u16> + '_ {
        self.groups.iter().map(|(g, _)| *g)
    }
}

/// Midnight UTC of `YYYY-MM-DD`.
pub(super) fn date(text: &str) -> Option<i64> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

impl OriginGroups {
    /// The built-in groups and an operator's, or every mistake by the group's name.
    pub fn compile(own: &BTreeMap<String, control::OriginGroup>) -> Result<OriginGroups, Vec<(String, BadGroup)>> {
        let mut out = OriginGroups::default();
        let eea = out.name("eea");
        for (row, line) in EEA.lines().skip(1).filter(|l| !l.is_empty()).enumerate() {
            let mut cells = line.split('\t');
            let (prefix, from, until) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            // A range of a country's code that is not the country: it leaves the group for good.
            let member = match from {
                "never" => Member { group: eea, from_us: i64::MIN, until_us: i64::MIN },
                from => Member { group: eea, from_us: date(from).unwrap_or(i64::MIN), until_us: date(until).unwrap_or(i64::MAX) },
            };
            debug_assert!(!prefix.is_empty(), "row {row}");
            out.members.entry(prefix.into()).or_default().push(member);
        }
        let non_eea = out.name("non-eea");
        out.complements.push((non_eea, eea));
        out.invalid = out.name(INVALID);

        let mut problems = Vec::new();
        for (name, group) in own {
            if out.position(name).is_some() {
                problems.push((name.clone(), BadGroup::BuiltIn(name.clone())));
                continue;
            }
            if out.names.len() == MAX_GROUPS {
                problems.push((name.clone(), BadGroup::TooMany));
                break;
            }
            let at = out.name(name);
            if group.members.is_empty() == group.except.is_none() {
                problems.push((name.clone(), BadGroup::Neither));
            }
            problems.extend(out.add_members(at, &group.members).into_iter().map(|bad| (name.clone(), bad)));
        }
        for (name, group) in own {
            let (Some(except), Some(at)) = (&group.except, out.position(name)) else { continue };
            match out.position(except).filter(|to| own.get(except).is_none_or(|g| g.except.is_none()) && *to != out.invalid && *to != non_eea) {
                Some(to) => out.complements.push((at, to)),
                None => problems.push((name.clone(), BadGroup::Except(except.clone()))),
            }
        }
        if problems.is_empty() { Ok(out) } else { Err(problems) }
    }

    fn name(&mut self, name: &str) -> u16 {
        self.names.push(name.to_owned());
        (self.names.len() - 1) as u16
    }

    fn add_members(&mut self, group: u16, members: &[control::OriginMember]) -> Vec<BadGroup> {
        let mut problems = Vec::new();
        for (at, member) in members.iter().enumerate() {
            let prefix = member.prefix.strip_prefix('+').unwrap_or(&member.prefix);
            if prefix.is_empty() || prefix.len() > MAX_DIGITS || !prefix.bytes().all(|b| b.is_ascii_digit()) {
                problems.push(BadGroup::Prefix { at, prefix: member.prefix.clone() });
            }
            let mut day = |field: &str, text: &Option<String>, without: i64| match text.as_deref() {
                None => without,
                Some(text) => date(text).unwrap_or_else(|| {
                    problems.push(BadGroup::Date { field: format!("members[{at}].{field}"), text: text.to_owned() });
                    without
                }),
            };
            let (from_us, until_us) = (day("from", &member.from, i64::MIN), day("until", &member.until, i64::MAX));
            if until_us <= from_us {
                problems.push(BadGroup::Empties(at));
            }
            self.members.entry(prefix.into()).or_default().push(Member { group, from_us, until_us });
        }
        problems
    }

    /// When a membership begins or ends.
    pub fn boundaries(&self) -> impl Iterator<Item = i64> + '_ {
        self.members.values().flatten().flat_map(|m| [m.from_us, m.until_us])
    }

    /// The group's position, for [`Origin::has`].
    pub fn position(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|n| n.eq_ignore_ascii_case(name)).map(|at| at as u16)
    }

    pub fn name_of(&self, group: u16) -> &str {
        &self.names[usize::from(group)]
    }

    /// The caller's groups.
    pub fn of_caller(&self, parties: &Parties<'_>, at_us: i64) -> Origin {
        match (&parties.a, parties.a_validity) {
            (Some(number), CallerValidity::Valid) => self.of_digits(number.digits(), at_us),
            _ => Origin { groups: vec![(self.invalid, 0)] },
        }
    }

    /// A valid number's groups.
    pub fn of(&self, number: &E164, at_us: i64) -> Origin {
        self.of_digits(number.digits(), at_us)
    }

    pub fn of_digits(&self, digits: &str, at_us: i64) -> Origin {
        let mut groups: Vec<(u16, u8)> = Vec::new();
        // The longest prefix of each group decides, also that the number is not in it at this time: +4415 of the islands
        // is no part of +44.
        let mut seen: Vec<u16> = Vec::new();
        for len in (1..=digits.len().min(MAX_DIGITS)).rev() {
            for member in self.members.get(&digits[..len]).into_iter().flatten() {
                if seen.contains(&member.group) {
                    continue;
                }
                if member.from_us <= at_us && at_us < member.until_us {
                    seen.push(member.group);
                    groups.push((member.group, len as u8));
                } else if self.is_exception(member) {
                    seen.push(member.group);
                }
            }
        }
        groups.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| self.name_of(a.0).cmp(self.name_of(b.0))));
        let plain = groups.len();
        for (group, of) in &self.complements {
            if groups[..plain].iter().all(|(g, _)| g != of) {
                groups.push((*group, 0));
            }
        }
        Origin { groups }
    }

    /// A membership that never holds marks a range left out of a shorter prefix.
    fn is_exception(&self, member: &Member) -> bool {
        member.from_us == i64::MIN && member.until_us == i64::MIN
    }
}

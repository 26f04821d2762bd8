//! A contract as provisioned, compiled: amounts as numbers, dates as days, mistakes by their place.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use tollgate_schemas::{
    control,
    money::{AMOUNT_PLACES, RATE_PLACES, parse_scaled},
};

use super::{Bundle, Cycle, Scope, ShortCharge, ShortPolicy, Step, StepPrice, Volume, VolumeBasis, VolumeMode};
use crate::deck::deck_version;

/// Rules of one sort, at most: a call's bundles are bits of a word.
pub const MAX_RULES: usize = 32;

/// One contract, immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    pub name: String,
    /// First 16 hex digits of the SHA-256 of what was provisioned, every default filled in: on every line it gave.
    pub version: String,
    pub account: String,
    pub currency: String,
    pub from: Option<NaiveDate>,
    pub until: Option<NaiveDate>,
    pub cycle: Cycle,
    /// A cut cycle has its amounts by days.
    pub prorates: bool,
    pub commitment_e8: Option<i64>,
    /// With their price of a cycle, 1e-8.
    pub bundles: Vec<(Bundle, i64)>,
    pub volumes: Vec<Volume>,
    pub short_calls: Option<ShortPolicy>,
    /// As provisioned, for the invoice that names it.
    pub spec: control::Contract,
}

/// A mistake: where in the spec (`volumes[0].steps`; empty = the whole), and what with the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTerm {
    pub path: String,
    pub problem: String,
}

struct Reader(Vec<BadTerm>);

impl Reader {
    fn wrong(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(BadTerm { path: path.into(), problem: problem.into() });
    }

    /// 0 where it is wrong, which is noted.
    fn scaled(&mut self, path: &str, text: &str, places: u32) -> i64 {
        match parse_scaled(text, places) {
            Ok(n) if n >= 0 => return n,
            Ok(_) => self.wrong(path, format!("'{text}' is below 0: want 0 or more")),
            Err(e) => self.wrong(path, e.to_string()),
        }
        0
    }

    fn percent(&mut self, path: &str, text: &str) -> u32 {
        match u32::try_from(self.scaled(path, text, 4)) {
            Ok(e6) if e6 <= 1_000_000 => return e6,
            _ => self.wrong(path, format!("'{text}' is no share: want 0 to 100 percent")),
        }
        0
    }

    fn day(&mut self, path: &str, text: Option<&String>) -> Option<NaiveDate> {
        let text = text?;
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        if day.is_none() {
            self.wrong(path, format!("'{text}' is no day: want YYYY-MM-DD"));
        }
        day
    }

    fn word<T: Copy>(&mut self, path: &str, text: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(path, format!("'{text}' is not one of {}", known.join(", ")));
        }
        found
    }

    fn scope(&mut self, path: &str, destinations: &[String], prefixes: &[String]) -> Scope {
        let plain = |p: &String| p.strip_prefix('+').unwrap_or(p).to_owned();
        for (i, prefix) in prefixes.iter().enumerate() {
            if plain(prefix).is_empty() || !plain(prefix).bytes().all(|b| b.is_ascii_digit()) {
                self.wrong(format!("{path}.prefixes[{i}]"), format!("'{prefix}' is no prefix: want digits"));
            }
        }
        Scope { destinations: destinations.to_vec(), prefixes: prefixes.iter().map(plain).collect() }
    }

    fn bundle(&mut self, at: usize, spec: &control::Bundle) -> (Bundle, i64) {
        let path = format!("bundles[{at}]");
        let left_s = spec.minutes.checked_mul(60).unwrap_or(0);
        if left_s == 0 {
            self.wrong(format!("{path}.minutes"), format!("{} is no number of minutes: want 1 or more, and fewer than the age of the world", spec.minutes));
        }
        let price_e8 = self.scaled(&format!("{path}.price"), &spec.price, AMOUNT_PLACES);
        let scope = self.scope(&path, &spec.destinations, &spec.prefixes);
        (Bundle { name: spec.name.clone(), scope, left_s, weight: spec.weight }, price_e8)
    }

    fn volume(&mut self, at: usize, spec: &control::Volume) -> Option<Volume> {
        let path = format!("volumes[{at}]");
        let modes = [("incremental", VolumeMode::Incremental), ("whole_volume", VolumeMode::WholeVolume)];
        let mode = self.word(&format!("{path}.mode"), &spec.mode, &modes);
        let bases = [("minutes", VolumeBasis::Minutes), ("amount", VolumeBasis::Amount)];
        let basis = self.word(&format!("{path}.basis"), &spec.basis, &bases);
        let steps = spec.steps.iter().enumerate().filter_map(|(i, step)| {
            let path = format!("{path}.steps[{i}]");
            let price = match (&step.rate, &step.discount_pct) {
                (Some(rate), None) => StepPrice::RateE12(self.scaled(&format!("{path}.rate"), rate, RATE_PLACES)),
                (None, Some(percent)) => StepPrice::DiscountE6(self.percent(&format!("{path}.discount_pct"), percent)),
                _ => {
                    self.wrong(path, "want one of rate and discount_pct");
                    return None;
                }
            };
            Some(Step { from: step.from, price })
        });
        let steps: Vec<Step> = steps.collect();
        let scope = self.scope(&path, &spec.destinations, &spec.prefixes);
        let volume = Volume { name: spec.name.clone(), scope, basis: basis?, mode: mode?, steps };
        // Steps that were wrong are told already.
        if volume.steps.len() == spec.steps.len()
            && let Err(e) = volume.check()
        {
            self.wrong(format!("{path}.steps"), e.to_string());
        }
        Some(volume)
    }

    fn short_calls(&mut self, spec: &control::ShortCallPolicy) -> Option<ShortPolicy> {
        let charges = [("all", ShortCharge::All), ("excess", ShortCharge::Excess)];
        Some(ShortPolicy {
            short_ms: u64::from(spec.max_s) * 1000,
            allowance_e6: self.percent("short_calls.allowance_pct", &spec.allowance_pct),
            fee_e8: self.scaled("short_calls.fee", &spec.fee, AMOUNT_PLACES),
            charge: self.word("short_calls.charge", &spec.charge, &charges)?,
            min_calls: spec.min_calls,
        })
    }
}

impl Contract {
    /// Compiles a document, or gives every mistake.
    pub fn compile(name: &str, spec: &control::Contract) -> Result<Contract, Vec<BadTerm>> {
        let mut read = Reader(Vec::new());
        if spec.currency.len() != 3 || !spec.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            read.wrong("currency", format!("'{}' is not a currency: want three letters, as USD", spec.currency));
        }
        let (from, until) = (read.day("from", spec.from.as_ref()), read.day("until", spec.until.as_ref()));
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            read.wrong("until", "is not after from");
        }
        let cycle = read.word("cycle", &spec.cycle, &Cycle::WORDS);
        let prorates = read.word("partial", &spec.partial, &[("prorate", true), ("full", false)]);
        let commitment_e8 = spec.commitment.as_ref().map(|c| read.scaled("commitment", c, AMOUNT_PLACES));
        for (path, rules) in [("bundles", spec.bundles.len()), ("volumes", spec.volumes.len())] {
            if rules > MAX_RULES {
                read.wrong(path, format!("has {rules}: want {MAX_RULES} or fewer"));
            }
        }
        let bundles: Vec<_> = spec.bundles.iter().enumerate().map(|(at, b)| read.bundle(at, b)).collect();
        let volumes: Vec<_> = spec.volumes.iter().enumerate().filter_map(|(at, v)| read.volume(at, v)).collect();
        let mut names: Vec<(String, &str)> = spec.bundles.iter().enumerate().map(|(i, b)| (format!("bundles[{i}].name"), b.name.as_str())).collect();
        names.extend(spec.volumes.iter().enumerate().map(|(i, v)| (format!("volumes[{i}].name"), v.name.as_str())));
        for (at, (path, called)) in names.iter().enumerate() {
            if called.trim().is_empty() {
                read.wrong(path.as_str(), "is empty: lines are told by their names");
            } else if names[..at].iter().any(|(_, other)| other == called) {
                read.wrong(path.as_str(), format!("'{called}' is there already: lines are told by their names"));
            }
        }
        let short_calls = spec.short_calls.as_ref().and_then(|s| read.short_calls(s));
        let (Some(cycle), Some(prorates), true) = (cycle, prorates, read.0.is_empty()) else { return Err(read.0) };
        let version = deck_version(&serde_json::to_vec(spec).unwrap_or_default());
        Ok(Contract {
            name: name.to_owned(),
            version,
            account: spec.account.clone(),
            currency: spec.currency.clone(),
            from,
            until,
            cycle,
            prorates,
            commitment_e8,
            bundles,
            volumes,
            short_calls,
            spec: spec.clone(),
        })
    }

    /// Every pair of one account that holds on the same day: the later by name, and the other.
    pub fn overlaps(all: &BTreeMap<String, Contract>) -> Vec<(&Contract, &Contract)> {
        let holds = |a: &Contract, b: &Contract| a.from.is_none_or(|from| b.until.is_none_or(|until| from < until));
        let mut found = Vec::new();
        for (at, one) in all.values().enumerate() {
            let before = all.values().take(at).filter(|o| o.account == one.account && holds(o, one) && holds(one, o));
            found.extend(before.map(|other| (one, other)));
        }
        found
    }
}

//! What is judged of a key over all partitions. Whole numbers only: a ratio is compared by cross products.
//!
//! | rule | of | speaks when |
//! |---|---|---|
//! | `range_accounts` | number range | in ten minutes several accounts call one range, mostly of high risk (F-01: the attack spread over accounts, each below its own thresholds) |
//! | `range_rush` | number range | within one minute very many accounts call one range, whatever its risk: call-backs to a bait (F-03), or a range nobody has listed yet. Warning only |
//! | `source_failing` | address | in five minutes one address fails for several accounts, without a single answer (F-14, F-15) |
//! | `answer_ratio` | carrier × destination | a carrier's answers to a destination collapse against its own last half hour (M-01, R-37) |
//!
//! Thresholds are sensible defaults, not published facts, but for those cited.

use tollgate_schemas::v1::Feature;

use super::{KEEP_US, Key};
use crate::{
    figures::{Figure, Figures, Kind},
    memo::Severity,
    partials::WINDOW_US,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    RangeAccounts = 0,
    RangeRush = 1,
    SourceFailing = 2,
    AnswerRatio = 3,
}

impl Rule {
    pub const ALL: [Rule; 4] = [Rule::RangeAccounts, Rule::RangeRush, Rule::SourceFailing, Rule::AnswerRatio];

    /// As alerts name it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::RangeAccounts => "range_accounts",
            Rule::RangeRush => "range_rush",
            Rule::SourceFailing => "source_failing",
            Rule::AnswerRatio => "answer_ratio",
        }
    }
}

/// Reached means hit. Pairs are warning and critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Accounts, and calls let in or refused, in ten minutes (F-01 warns at 5 calls of one account).
    pub range_accounts: [i64; 2],
    pub range_calls: [i64; 2],
    /// Accounts and calls in one minute.
    pub rush: [i64; 2],
    /// Accounts (F-14: ten identities of one address), and calls of one address in five minutes.
    pub source_accounts: [i64; 2],
    pub source_calls: i64,
    /// How many times lower than before the answer ratio is.
    pub ratio_falls: [i64; 2],
    /// Attempts of the last five minutes (R-37: at least 30 before a ratio is judged) and of the time before.
    pub ratio_samples: [i64; 2],
    /// Least answer ratio before, percent: one that was always low has nothing to lose.
    pub ratio_before: i64,
    pub cool_down_us: i64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            range_accounts: [3, 5],
            range_calls: [5, 20],
            rush: [20, 60],
            source_accounts: [3, 10],
            source_calls: 20,
            ratio_falls: [2, 5],
            ratio_samples: [30, 100],
            ratio_before: 20,
            cool_down_us: 15 * WINDOW_US,
        }
    }
}

pub struct Hit {
    pub rule: Rule,
    pub severity: Severity,
    pub dest_group: String,
    /// The judged figure first.
    pub features: Vec<Feature>,
    /// For people.
    pub explanation: String,
    pub first_us: i64,
}

const LEVELS: [Severity; 2] = [Severity::Warning, Severity::Critical];

pub(super) fn judge(kind: Kind, name: &str, key: &Key, now_us: i64, t: &Thresholds) -> Vec<Hit> {
    let hits = match kind {
        Kind::BRange => [range_accounts(name, key, now_us, t), range_rush(name, key, now_us, t)],
        Kind::SourceIp => [source_failing(name, key, now_us, t), None],
        Kind::CarrierDestination => [answer_ratio(name, key, now_us, t), None],
    };
    hits.into_iter().flatten().collect()
}

fn calls(figures: &Figures) -> i64 {
    figures.get(Figure::Attempts).saturating_add(figures.get(Figure::Refused))
}

fn feature(name: &str, value: i64, threshold: i64, unit: &str) -> Feature {
    Feature { name: name.to_owned(), value, threshold, unit: unit.to_owned(), counted_at: "window".to_owned() }
}

/// The worst level that holds.
fn worst(holds: impl Fn(usize) -> bool) -> Option<usize> {
    [1, 0].into_iter().find(|level| holds(*level))
}

fn range_accounts(name: &str, key: &Key, now_us: i64, t: &Thresholds) -> Option<Hit> {
    let from_us = now_us - 10 * WINDOW_US;
    let (sum, accounts) = (key.sum(from_us, now_us), key.accounts(from_us, now_us));
    let (calls, risky) = (calls(&sum), sum.get(Figure::HighRisk));
    let level = worst(|l| accounts >= t.range_accounts[l] && calls >= t.range_calls[l] && risky.saturating_mul(2) >= calls)?;
    Some(Hit {
        rule: Rule::RangeAccounts,
        severity: LEVELS[level],
        dest_group: name.to_owned(),
        features: vec![
            feature("accounts", accounts, t.range_accounts[level], "accounts/10 min"),
            feature("calls", calls, t.range_calls[level], "calls/10 min"),
            feature("high_risk", risky, 0, "calls/10 min"),
        ],
        explanation: format!("numbers {name}…: {accounts} accounts made {calls} calls in 10 minutes, {risky} of them high-risk"),
        first_us: key.first_us(from_us),
    })
}

fn range_rush(name: &str, key: &Key, now_us: i64, t: &Thresholds) -> Option<Hit> {
    // Not only the newest window: partitions do not publish at the same time.
    let starts = [now_us - WINDOW_US, now_us - 2 * WINDOW_US];
    let minute = |from_us: i64| (key.accounts(from_us, from_us + WINDOW_US), calls(&key.sum(from_us, from_us + WINDOW_US)), from_us);
    let (accounts, calls, from_us) = starts.into_iter().map(minute).find(|(a, c, _)| *a >= t.rush[0] && *c >= t.rush[1])?;
    Some(Hit {
        rule: Rule::RangeRush,
        severity: Severity::Warning,
        dest_group: name.to_owned(),
        features: vec![
            feature("accounts", accounts, t.rush[0], "accounts/min"),
            feature("calls", calls, t.rush[1], "calls/min"),
        ],
        explanation: format!("numbers {name}…: {accounts} accounts made {calls} calls within one minute"),
        first_us: from_us,
    })
}

fn source_failing(name: &str, key: &Key, now_us: i64, t: &Thresholds) -> Option<Hit> {
    let from_us = now_us - 5 * WINDOW_US;
    let (sum, accounts) = (key.sum(from_us, now_us), key.accounts(from_us, now_us));
    let failed = sum.get(Figure::Failed).saturating_add(sum.get(Figure::Refused));
    let level = worst(|l| accounts >= t.source_accounts[l] && failed >= t.source_calls && sum.get(Figure::Answered) == 0)?;
    Some(Hit {
        rule: Rule::SourceFailing,
        severity: LEVELS[level],
        dest_group: String::new(),
        features: vec![
            feature("accounts", accounts, t.source_accounts[level], "accounts/5 min"),
            feature("failed", failed, t.source_calls, "calls/5 min"),
        ],
        explanation: format!("address {name}: {failed} calls of {accounts} accounts failed in 5 minutes, none was answered"),
        first_us: key.first_us(from_us),
    })
}

/// Of attempts that had their end or their answer, so that calls still ringing are no failures.
fn decided(sum: &Figures) -> i64 {
    sum.get(Figure::Answered).saturating_add(sum.get(Figure::Failed))
}

fn answer_ratio(name: &str, key: &Key, now_us: i64, t: &Thresholds) -> Option<Hit> {
    let from_us = now_us - 5 * WINDOW_US;
    let (recent, before) = (key.sum(from_us, now_us), key.sum(now_us - KEEP_US, from_us));
    let (n, base) = (decided(&recent), decided(&before));
    if n < t.ratio_samples[0] || base < t.ratio_samples[1] {
        return None;
    }
    let (answered, was) = (recent.get(Figure::Answered), before.get(Figure::Answered));
    let wide = |n: i64| i128::from(n);
    if wide(was) * 100 < wide(base) * wide(t.ratio_before) {
        return None;
    }
    // answered / n · falls ≤ was / base
    let level = worst(|l| wide(answered) * wide(base) * wide(t.ratio_falls[l]) <= wide(was) * wide(n))?;
    let percent = |part: i64, whole: i64| i64::try_from(wide(part) * 100 / wide(whole.max(1))).unwrap_or(i64::MAX);
    let (now, then) = (percent(answered, n), percent(was, base));
    let (carrier, dest_group) = name.split_once('|').unwrap_or((name, ""));
    let reached = percent(recent.get(Figure::Reached), n);
    Some(Hit {
        rule: Rule::AnswerRatio,
        severity: LEVELS[level],
        dest_group: dest_group.to_owned(),
        features: vec![
            feature("answer_ratio", now, then / t.ratio_falls[level], "percent"),
            feature("answer_ratio_before", then, t.ratio_before, "percent"),
            feature("attempts", n, t.ratio_samples[0], "attempts/5 min"),
            feature("network_effectiveness", reached, 0, "percent"),
        ],
        explanation: format!("carrier {carrier} to {dest_group}: {now}% of {n} attempts answered in 5 minutes, {then}% of {base} before"),
        first_us: key.first_us(from_us),
    })
}

//! Judging: a key's or a call's value against a rule's thresholds. Reached means hit; critical is looked at before
//! warning; a threshold that is absent is off.

use crate::{
    features::{Feature, spend::Currency},
    keys::Keys,
    memo::{RuleKey, Severity},
    policy::Rule,
};

/// A threshold that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub severity: Severity,
    pub value: i64,
    pub threshold: i64,
    /// Of money; empty otherwise.
    pub currency: Currency,
}

/// The worst threshold that holds.
pub fn worst(rule: &Rule, holds: impl Fn(i64) -> bool) -> Option<(Severity, i64)> {
    let critical = rule.critical.filter(|t| holds(*t)).map(|t| (Severity::Critical, t));
    critical.or_else(|| rule.warning.filter(|t| holds(*t)).map(|t| (Severity::Warning, t)))
}

/// Judges a key by an invite or money rule.
///
/// An account's total is judged by what is left of it after the one worst group that reached the threshold itself: that
/// group is blocked alone, and the total speaks when the attack is wider than one group, at once or one after another.
pub fn judge_key(keys: &Keys, slot: u32, rule: &Rule, now_us: i64) -> Option<Hit> {
    debug_assert!(rule.feature != Feature::CallDuration, "judged per call");
    let key = keys.get(slot)?;
    let id = RuleKey::of(rule);
    let (value, currency) = key.value(id, now_us, None);
    let holds = |threshold: i64| {
        value >= threshold && (!key.total || value - worst_group(keys, key.account, id, now_us, currency, threshold) >= threshold)
    };
    worst(rule, holds).map(|(severity, threshold)| Hit { severity, value, threshold, currency })
}

/// The largest value among the account's groups that reached the threshold by themselves; 0 when none did.
fn worst_group(keys: &Keys, account: u32, rule: RuleKey, now_us: i64, currency: Currency, threshold: i64) -> i64 {
    let hot = keys.accounts[account as usize].hot.iter().filter_map(|slot| keys.get(*slot));
    hot.map(|k| k.value(rule, now_us, Some(currency)).0).filter(|v| *v >= threshold).max().unwrap_or(0)
}

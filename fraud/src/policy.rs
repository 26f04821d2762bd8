//! A fraud policy compiled: names become enums, decimal thresholds integers in their feature's unit, seconds
//! microseconds. Everything wrong with a policy is said at once.

use thiserror::Error;
use tollgate_schemas::{control::{FraudPolicy, FraudRule}, money::BadDecimal};

use crate::{
    destinations::{Classes, Watch},
    features::Feature,
};

/// Rules of one policy at most.
pub const MAX_RULES: usize = 16;
/// Longest spend window: seven days.
pub const MAX_WINDOW_S: u64 = 7 * 86_400;
/// Longest block and cool-down: a year (F-31: every block expires).
pub const MAX_BLOCK_S: u64 = 366 * 86_400;
/// The window in which money is kept when no rule names one, for the loss in alerts.
const DEFAULT_SPAN_US: i64 = 600_000_000;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum PolicyError {
    #[error("rules: {0} of them, want at most {MAX_RULES}")]
    TooManyRules(usize),
    #[error("rules[{rule}].feature: '{name}' is none of concurrent_calls, calls_per_minute, spend, call_duration")]
    Feature { rule: usize, name: String },
    #[error("rules[{rule}].watch: '{name}' is none of all, international, high_risk")]
    Watch { rule: usize, name: String },
    #[error("rules[{rule}].window_s: {got}, want 1 to {MAX_WINDOW_S}")]
    Window { rule: usize, got: u64 },
    #[error("rules[{rule}].{level}: {problem}")]
    Threshold { rule: usize, level: &'static str, problem: BadDecimal },
    #[error("rules[{rule}].{level}: '{text}' would always be reached: want more than 0, or leave it out to turn it off")]
    NotPositive { rule: usize, level: &'static str, text: String },
    #[error("block_scope: '{0}' is none of dest_group, high_risk, international")]
    Scope(String),
    #[error("sip_code: {0}, want 400 to 699")]
    SipCode(u16),
    #[error("{field}: {got}, want at most {MAX_BLOCK_S}")]
    TooLong { field: &'static str, got: u64 },
    #[error("high_risk_prefixes: '{0}' is not a number prefix: want digits, with or without a leading '+'")]
    Prefix(String),
}

/// All that is wrong with one policy.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("fraud policy: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct BadPolicy(pub Vec<PolicyError>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub feature: Feature,
    pub watch: Watch,
    /// Length of the spend window; 60 s for calls per minute.
    pub window_us: i64,
    /// Thresholds in the feature's unit, above 0; reached means hit.
    pub warning: Option<i64>,
    pub critical: Option<i64>,
}

/// What a critical verdict blocks, of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    DestGroup,
    HighRisk,
    International,
}

#[derive(Debug, Clone)]
pub struct Policy {
    pub rules: Vec<Rule>,
    /// 0: critical verdicts raise alerts and block nothing.
    pub block_us: i64,
    pub scope: Scope,
    pub sip_code: u32,
    pub teardown: bool,
    pub cool_down_us: i64,
    /// Digits without plus.
    pub high_risk_prefixes: Vec<Box<str>>,
    pub allow_groups: Vec<Box<str>>,
    /// The longest spend window: how long money is kept.
    pub spend_span_us: i64,
    /// Calls some spend rule watches: theirs is the money that accrues while they run.
    pub spend_classes: Classes,
}

impl Policy {
    /// Exact, or everything that is wrong with it.
    pub fn compile(spec: &FraudPolicy) -> Result<Policy, BadPolicy> {
        let mut wrong = Vec::new();
        if spec.rules.len() > MAX_RULES {
            wrong.push(PolicyError::TooManyRules(spec.rules.len()));
        }
        let rules: Vec<Rule> = spec.rules.iter().enumerate().filter_map(|(i, r)| compile_rule(i, r, &mut wrong)).collect();
        let scope = match spec.block_scope.as_str() {
            "dest_group" => Scope::DestGroup,
            "high_risk" => Scope::HighRisk,
            "international" => Scope::International,
            other => {
                wrong.push(PolicyError::Scope(other.to_owned()));
                Scope::DestGroup
            }
        };
        if !(400..700).contains(&spec.sip_code) {
            wrong.push(PolicyError::SipCode(spec.sip_code));
        }
        for (field, got) in [("block_s", spec.block_s), ("cool_down_s", spec.cool_down_s)] {
            if got > MAX_BLOCK_S {
                wrong.push(PolicyError::TooLong { field, got });
            }
        }
        let mut high_risk_prefixes = Vec::new();
        for text in &spec.high_risk_prefixes {
            let digits = text.strip_prefix('+').unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                wrong.push(PolicyError::Prefix(text.clone()));
            }
            high_risk_prefixes.push(digits.into());
        }
        if !wrong.is_empty() {
            return Err(BadPolicy(wrong));
        }
        let spends = || rules.iter().filter(|r| r.feature == Feature::Spend);
        Ok(Policy {
            block_us: micros(spec.block_s),
            scope,
            sip_code: u32::from(spec.sip_code),
            teardown: spec.teardown,
            cool_down_us: micros(spec.cool_down_s),
            high_risk_prefixes,
            allow_groups: spec.allow_groups.iter().map(|g| g.as_str().into()).collect(),
            spend_span_us: spends().map(|r| r.window_us).max().unwrap_or(DEFAULT_SPAN_US),
            spend_classes: spends().fold(Classes::NONE, |set, r| set.with(r.watch)),
            rules,
        })
    }

    pub fn allows(&self, group: &str) -> bool {
        self.allow_groups.iter().any(|g| **g == *group)
    }
}

fn micros(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn compile_rule(rule: usize, spec: &FraudRule, wrong: &mut Vec<PolicyError>) -> Option<Rule> {
    let feature = Feature::from_name(&spec.feature);
    if feature.is_none() {
        wrong.push(PolicyError::Feature { rule, name: spec.feature.clone() });
    }
    let watch = Watch::from_name(&spec.watch);
    if watch.is_none() {
        wrong.push(PolicyError::Watch { rule, name: spec.watch.clone() });
    }
    let (feature, watch) = (feature?, watch?);
    let window_us = match feature {
        Feature::CallsPerMinute => crate::features::calls_per_minute::SPAN_US,
        _ => {
            if !(1..=MAX_WINDOW_S).contains(&spec.window_s) {
                wrong.push(PolicyError::Window { rule, got: spec.window_s });
            }
            micros(spec.window_s)
        }
    };
    let mut threshold = |level: &'static str, text: &Option<String>| {
        let text = text.as_ref()?;
        match feature.parse_threshold(text) {
            Ok(value) if value > 0 => Some(value),
            Ok(_) => {
                wrong.push(PolicyError::NotPositive { rule, level, text: text.clone() });
                None
            }
            Err(problem) => {
                wrong.push(PolicyError::Threshold { rule, level, problem });
                None
            }
        }
    };
    let (warning, critical) = (threshold("warning", &spec.warning), threshold("critical", &spec.critical));
    Some(Rule { feature, watch, window_us, warning, critical })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_01_the_default_policy_compiles_to_its_figures() {
        let policy = Policy::compile(&FraudPolicy::default()).expect("the default is right");
        let figures: Vec<_> = policy.rules.iter().map(|r| (r.feature.name(), r.warning, r.critical)).collect();
        assert_eq!(
            figures,
            [
                ("concurrent_calls", Some(3), Some(6)),
                ("calls_per_minute", Some(5), Some(20)),
                ("spend", Some(500_000_000), Some(2_500_000_000)),
                ("call_duration", Some(1_800_000), Some(3_600_000)),
            ]
        );
        assert_eq!(policy.spend_span_us, 900_000_000);
    }

    #[test]
    fn every_mistake_of_a_policy_is_said_at_once() {
        let rule = |feature: &str, watch: &str, window_s, critical: &str| FraudRule {
            feature: feature.to_owned(),
            watch: watch.to_owned(),
            window_s,
            warning: None,
            critical: Some(critical.to_owned()),
        };
        let spec = FraudPolicy {
            rules: vec![rule("cals", "all", 60, "1"), rule("spend", "some", 60, "1"), rule("spend", "all", 0, "1e3"), rule("concurrent_calls", "all", 60, "0")],
            block_scope: "world".to_owned(),
            sip_code: 200,
            block_s: u64::MAX,
            high_risk_prefixes: vec!["+53x".to_owned()],
            ..FraudPolicy::default()
        };
        let wrong = Policy::compile(&spec).expect_err("nothing here is right");
        let text = wrong.to_string();
        for part in ["rules[0].feature", "rules[1].watch", "rules[2].window_s", "rules[2].critical", "rules[3].critical", "block_scope", "sip_code", "block_s", "'+53x'"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(wrong.0.len(), 9);
    }
}

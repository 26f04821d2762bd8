//! Documents of kind `fraud_policy`: what is judged, and what a verdict does.

use serde::{Deserialize, Serialize};

/// What the fraud stage judges, for accounts that name this policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FraudPolicy {
    /// Judged per account and destination group.
    pub rules: Vec<FraudRule>,
    /// How long a block made by a critical verdict stands.
    pub block_s: u64,
    /// What a critical verdict blocks: `dest_group`, `high_risk` or `international`, of the account.
    pub block_scope: String,
    pub sip_code: u16,
    pub teardown: bool,
    /// Do not raise the same verdict for the same key again within this time.
    pub cool_down_s: u64,
    /// Number prefixes that are high risk, over the built-in list.
    pub high_risk_prefixes: Vec<String>,
    /// Destination groups that are never judged.
    pub allow_groups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudRule {
    /// `concurrent_calls`, `calls_per_minute`, `spend` or `call_duration`.
    pub feature: String,
    /// `all`, `international` or `high_risk`: which destinations the rule watches.
    #[serde(default = "default_watch")]
    pub watch: String,
    /// Window of `calls_per_minute` (always 60) and `spend`, seconds.
    #[serde(default = "default_window")]
    pub window_s: u64,
    /// Thresholds: calls, money (decimal) or seconds; reached means hit; none = off.
    #[serde(default)]
    pub warning: Option<String>,
    #[serde(default)]
    pub critical: Option<String>,
}

fn default_watch() -> String {
    "all".to_owned()
}
fn default_window() -> u64 {
    600
}

impl Default for FraudPolicy {
    /// F-01's defaults on high-risk destinations.
    fn default() -> FraudPolicy {
        let rule = |feature: &str, window_s, warning: &str, critical: &str| FraudRule {
            feature: feature.to_owned(),
            watch: "high_risk".to_owned(),
            window_s,
            warning: Some(warning.to_owned()),
            critical: Some(critical.to_owned()),
        };
        FraudPolicy {
            rules: vec![
                rule("concurrent_calls", 600, "3", "6"),
                rule("calls_per_minute", 60, "5", "20"),
                rule("spend", 900, "5", "25"),
                rule("call_duration", 600, "1800", "3600"),
            ],
            block_s: 3600,
            block_scope: "dest_group".to_owned(),
            sip_code: 403,
            teardown: true,
            cool_down_s: 60,
            high_risk_prefixes: Vec::new(),
            allow_groups: Vec::new(),
        }
    }
}

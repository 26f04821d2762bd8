//! What a deck adds to the prices of its rows: a contract's modifiers, none of them set by default.

use serde::{Deserialize, Serialize};

/// How calls of a deck are charged beyond rate, connect fee and increments of their row. What each part does, and in which
/// order, is said in [`crate::terms`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tariff {
    /// How a duration becomes whole seconds: `ceil`, `half_up` or `floor`.
    pub seconds: String,
    /// Cut from the duration before that, milliseconds.
    pub tolerance_ms: u32,
    /// Answered calls up to this long cost what an unanswered one does, milliseconds.
    pub grace_ms: u32,
    /// The first seconds have no price; charging begins after them.
    pub free_s: u32,
    /// Least an answered call's usage comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_charge: Option<String>,
    /// Most an answered call's usage comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_charge: Option<String>,
    /// At the maximum the call goes on for nothing, `free`, or is ended, `disconnect`.
    pub at_max: String,
    /// Once of an answered call; a line of its own, as all fees are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_fee: Option<String>,
    /// Of every attempt, answered or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_fee: Option<String>,
    /// Per minute of ringing, to the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ringing_fee: Option<String>,
    /// Once of every call, answered or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_fee: Option<String>,
    /// Other prices from some time into the call on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<TariffStep>,
    /// Other prices by the clock, in the deck's zone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<TimeProfile>,
    /// A row that comes into force while a call is up prices the rest of it.
    pub split_at_change: bool,
}

impl Default for Tariff {
    fn default() -> Tariff {
        Tariff {
            seconds: "ceil".to_owned(),
            tolerance_ms: 0,
            grace_ms: 0,
            free_s: 0,
            min_charge: None,
            max_charge: None,
            at_max: "free".to_owned(),
            answer_fee: None,
            attempt_fee: None,
            ringing_fee: None,
            call_fee: None,
            steps: Vec::new(),
            profiles: Vec::new(),
            split_at_change: false,
        }
    }
}

/// A price from some time into the call on: `rate_factor` or `deck`, one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TariffStep {
    /// Seconds from the answer.
    pub after_s: u32,
    /// Of the price that holds from the answer on: `0.5` halves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_factor: Option<String>,
    /// A deck of the same currency whose own longest prefix gives the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deck: Option<String>,
    /// Seconds; none = as before the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment_s: Option<u32>,
}

/// When another price holds: all of what is given must be so. `rate_factor` or `deck`, one of them, says the price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeProfile {
    /// Shown in explanations.
    pub name: String,
    /// Of the row's price of a minute: `0.5` halves it. Connect fee and increments stay the row's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_factor: Option<String>,
    /// A deck of the same currency whose own longest prefix gives the price, connect fee and increments; where it has no
    /// row in force for a number the row's own price stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deck: Option<String>,
    /// `mon` to `sun`; empty = every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    /// 1 to 12; empty = every month.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<u32>,
    /// 1 to 31; empty = every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<u32>,
    /// `2026-12-25`; empty = every day. A holiday is a profile with dates and a higher weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<String>,
    /// Clock time it begins at, `18:00` or `18:00:00`.
    #[serde(default = "midnight")]
    pub from: String,
    /// Clock time it ends before; `24:00` = the end of the day. Not after `from`: it lasts over midnight.
    #[serde(default = "end_of_day")]
    pub to: String,
    /// Of those that hold, the highest wins; of equals the one that began last.
    #[serde(default)]
    pub weight: i32,
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn end_of_day() -> String {
    "24:00".to_owned()
}

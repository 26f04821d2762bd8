//! Documents of kind `route_policy`: how carriers are chosen.

use serde::{Deserialize, Serialize};

/// How the carriers of a call are chosen and ordered, for accounts that name this policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutePolicy {
    /// `cost`: expected cost of the call, cheapest first. `score`: what the hunt as a whole is expected to earn, quality and
    /// waiting counted in. `quality`: by `metrics`. `weight`: priority, then weight. `penalties`: best first by
    /// multiplicative penalties.
    pub order: String,
    /// What `quality` compares, in this order: `asr`, `ner`, `ccr`, `acd`, `tcd`, `tcc`, `pdd`.
    pub metrics: Vec<String>,
    /// Carriers whose expected cost is within so much of the cheapest one's (money per call, or percent of its cost) are of
    /// like cost: priority, weight and then quality decide between them. None = none are.
    pub delta: Option<String>,
    pub delta_pct: Option<String>,
    /// Percent of calls that go to these carriers first, where they are candidates; together at most 100.
    pub splits: Vec<RouteSplit>,
    pub floors: RouteFloors,
    /// Percent of calls that go first to a carrier of which too little is known or that was demoted, 0 to 5.
    pub exploration_pct: String,
    /// Never any of it: premium traffic is not for trying out.
    pub premium: bool,
    /// Only carriers that guarantee the calling number.
    pub cli_guaranteed: bool,
    /// What a second of the caller's waiting costs, in the currency of the sale; counts in `score`.
    pub delay_price: String,
    /// Carriers tried for one call, within what the account allows; none = that.
    pub max_attempts: Option<u8>,
    /// Classes allowed, within those the account buys; empty = those.
    pub classes: Vec<String>,
}

impl Default for RoutePolicy {
    fn default() -> RoutePolicy {
        RoutePolicy {
            order: "cost".to_owned(),
            metrics: ["ner", "asr", "pdd"].map(str::to_owned).to_vec(),
            delta: None,
            delta_pct: None,
            splits: Vec::new(),
            floors: RouteFloors::default(),
            exploration_pct: "2".to_owned(),
            premium: false,
            cli_guaranteed: false,
            delay_price: "0.0001".to_owned(),
            max_attempts: None,
            classes: Vec::new(),
        }
    }
}

/// A carrier's share of an account's calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSplit {
    pub carrier: String,
    pub percent: u32,
}

/// Under which a carrier gets no call, whatever its price (S1-08). Percent; of a carrier that too little is known of none holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteFloors {
    pub asr: Option<String>,
    pub ner: Option<String>,
    /// Lowest class, as `classes_from_best` orders them.
    pub class: Option<String>,
    pub classes_from_best: Vec<String>,
}

//! How an account's carriers are chosen and ordered: a `route_policy` document, compiled.

use tollgate_schemas::{
    control,
    money::{AMOUNT_PLACES, RATE_PLACES, parse_scaled},
};

use super::penalties::Penalties;

/// most of the traffic that may be used to learn.
const MOST_EXPLORATION_E6: i64 = 50_000;

/// What decides the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// expected cost, cheapest first.
    Cost,
    /// What the hunt as a whole is expected to earn.
    Score,
    /// Metrics, one after the other.
    Quality(Vec<Metric>),
    /// Priority, then weight.
    Weight,
    /// R-38's baseline: best first by multiplicative penalties.
    Penalties(Penalties),
}

impl Order {
    pub fn name(&self) -> &'static str {
        match self {
            Order::Cost => "cost",
            Order::Score => "score",
            Order::Quality(_) => "quality",
            Order::Weight => "weight",
            Order::Penalties(_) => "penalties",
        }
    }
}

/// More is better, but of the post-dial delay. A carrier of which it is not known comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Asr,
    Ner,
    Ccr,
    Acd,
    /// Talk time and number of answered calls.
    Tcd,
    Tcc,
    Pdd,
}

impl Metric {
    pub const ALL: [(&'static str, Metric); 7] = [
        ("asr", Metric::Asr), ("ner", Metric::Ner), ("ccr", Metric::Ccr), ("acd", Metric::Acd), ("tcd", Metric::Tcd), ("tcc", Metric::Tcc),
        ("pdd", Metric::Pdd),
    ];
}

/// What is so little dearer that the price does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    /// 1e-8 of the unit per call.
    Money(i64),
    /// 1e-6 of the cheapest one's cost.
    Part(i64),
}

/// A route policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePolicy {
    pub name: String,
    pub order: Order,
    pub delta: Option<Delta>,
    /// Carriers and their percent of the calls.
    pub splits: Vec<(String, u32)>,
    pub floor_asr_e6: u32,
    pub floor_ner_e6: u32,
    /// Classes at or above the floor; none = no floor.
    pub floor_classes: Option<Vec<String>>,
    /// Of the draws, those that explore; 0 for premium traffic.
    pub exploration_e6: u32,
    pub cli_guaranteed: bool,
    /// A second of waiting, 1e-12 of the unit.
    pub delay_e12: i64,
    pub max_attempts: Option<usize>,
    pub classes: Vec<String>,
}

/// A mistake in a policy: which field, and what.
pub type Mistake = (String, String);

impl RoutePolicy {
    /// Checks and compiles a document; gives every mistake.
    pub fn compile(name: &str, spec: &control::RoutePolicy) -> Result<RoutePolicy, Vec<Mistake>> {
        let mut wrong: Vec<Mistake> = Vec::new();
        let order = match spec.order.as_str() {
            "cost" => Order::Cost,
            "score" => Order::Score,
            "weight" => Order::Weight,
            "penalties" => Order::Penalties(Penalties::default()),
            "quality" => Order::Quality(metrics(&spec.metrics, &mut wrong)),
            other => {
                wrong.push(("order".to_owned(), format!("is '{other}': want cost, score, quality, weight or penalties")));
                Order::Cost
            }
        };
        let mut decimal = |field: &str, text: &str, places: u32, most: i64| match parse_scaled(text, places) {
            Ok(n) if (0..=most).contains(&n) => n,
            Ok(_) => {
                wrong.push((field.to_owned(), format!("is '{text}': want 0 to {}", most / 10i64.pow(places))));
                0
            }
            Err(e) => {
                wrong.push((field.to_owned(), e.to_string()));
                0
            }
        };
        // Percent with four places is 1e-6 of the whole.
        let percent = 100 * 10_000;
        let part = |decimal: &mut dyn FnMut(&str, &str, u32, i64) -> i64, field: &str, text: &Option<String>| text.as_ref().map(|t| decimal(field, t, 4, percent));
        let exploration_e6 = decimal("exploration_pct", &spec.exploration_pct, 4, MOST_EXPLORATION_E6);
        let delta_part = part(&mut decimal, "delta_pct", &spec.delta_pct);
        let floor_asr_e6 = part(&mut decimal, "floors.asr", &spec.floors.asr).unwrap_or(0);
        let floor_ner_e6 = part(&mut decimal, "floors.ner", &spec.floors.ner).unwrap_or(0);
        let delta_money = spec.delta.as_ref().map(|t| decimal("delta", t, AMOUNT_PLACES, i64::MAX));
        let delay_e12 = decimal("delay_price", &spec.delay_price, RATE_PLACES, 1_000_000_000_000_000);
        if delta_money.is_some() && delta_part.is_some() {
            wrong.push(("delta_pct".to_owned(), "stands beside delta: want one of them".to_owned()));
        }
        let share: u64 = spec.splits.iter().map(|s| u64::from(s.percent)).sum();
        if share > 100 {
            wrong.push(("splits".to_owned(), format!("come to {share} percent: want at most 100")));
        }
        for (i, split) in spec.splits.iter().enumerate() {
            if spec.splits[..i].iter().any(|s| s.carrier == split.carrier) {
                wrong.push((format!("splits[{i}].carrier"), format!("'{}' is there twice", split.carrier)));
            }
        }
        let ladder = &spec.floors.classes_from_best;
        let floor_classes = spec.floors.class.as_ref().and_then(|class| match ladder.iter().position(|c| c == class) {
            Some(at) => Some(ladder[..=at].to_vec()),
            None => {
                wrong.push(("floors.class".to_owned(), format!("'{class}' is not in classes_from_best")));
                None
            }
        });
        if spec.max_attempts == Some(0) {
            wrong.push(("max_attempts".to_owned(), "is 0: a call needs one carrier at least".to_owned()));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(RoutePolicy {
            name: name.to_owned(),
            order,
            delta: delta_money.map(Delta::Money).or(delta_part.map(Delta::Part)),
            splits: spec.splits.iter().map(|s| (s.carrier.clone(), s.percent)).collect(),
            floor_asr_e6: floor_asr_e6 as u32,
            floor_ner_e6: floor_ner_e6 as u32,
            floor_classes,
            // neither premium nor traffic whose calling number is guaranteed is for trying out.
            exploration_e6: if spec.premium || spec.cli_guaranteed { 0 } else { exploration_e6 as u32 },
            cli_guaranteed: spec.cli_guaranteed,
            delay_e12,
            max_attempts: spec.max_attempts.map(usize::from),
            classes: spec.classes.clone(),
        })
    }
}

fn metrics(names: &[String], wrong: &mut Vec<Mistake>) -> Vec<Metric> {
    if names.is_empty() {
        wrong.push(("metrics".to_owned(), "is empty: there is nothing to order by".to_owned()));
    }
    let known = |(i, name): (usize, &String)| {
        let found = Metric::ALL.iter().find(|(n, _)| n == name).map(|(_, m)| *m);
        if found.is_none() {
            wrong.push((format!("metrics[{i}]"), format!("is '{name}': want asr, ner, ccr, acd, tcd, tcc or pdd")));
        }
        found
    };
    names.iter().enumerate().filter_map(known).collect()
}

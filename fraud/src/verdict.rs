//! A hit becomes words and facts: an alert, and a block when it is critical (F-30, F-36).

use tollgate_schemas::{
    event::Body,
    id::Id,
    log::Topic,
    stage::Outputs,
    v1::{AlertRaised, BlockPlaced, BlockScope, Event, Feature as Evidence},
};

use crate::{
    destinations::Watch,
    detectors::Hit,
    features::{Feature, spend::Currency},
    keys::{Account, Key},
    memo::{RuleKey, Severity},
    policy::{Policy, Rule, Scope},
};

pub const STAGE: &str = "fraud";

/// Where the verdicts of one input event go. Their ids hash that event, the rule and a count, so they are the same
/// whenever the same events are read again (F-38).
pub struct Verdicts<'a> {
    pub cause: &'a Event,
    pub out: &'a mut Outputs,
    pub partition: u16,
    pub ordinal: u32,
}

impl Verdicts<'_> {
    fn event(&mut self, rule: &str, key: &str, body: Body) -> Event {
        let event = Event::derived(STAGE, self.cause, rule, self.ordinal, body);
        self.ordinal += 1;
        // A tick has no key of its own: the verdict belongs to its account.
        Event { key: key.to_owned(), ..event }
    }

    /// Sends one verdict; gives the block's id, nil when none was placed. The block goes first: it is what stops the loss.
    pub fn send(&mut self, case: &Case<'_>) -> Id {
        let rule = case.rule.feature.name();
        let features = case.evidence();
        let mut block_id = Id::NIL;
        if case.hit.severity == Severity::Critical && case.policy.block_us > 0 {
            // The ordinal makes it this verdict's own; another rule text keeps it apart from the events' ids.
            block_id = Id::derived(STAGE, self.cause.id(), &format!("{rule}/block"), self.ordinal);
            let body = Body::BlockPlaced(BlockPlaced {
                block_id: block_id.to_vec(),
                scope: Some(case.scope()),
                actor: format!("{STAGE}:{rule}"),
                reason: case.explanation(),
                expires_us: case.now_us + case.policy.block_us,
                sip_code: case.policy.sip_code,
                teardown: case.policy.teardown,
                rule: rule.to_owned(),
                evidence: features.clone(),
            });
            let event = self.event(rule, &case.account.root, body);
            self.out.push(Topic::Blocks, 0, event);
        }
        let body = Body::AlertRaised(AlertRaised {
            rule: rule.to_owned(),
            severity: case.hit.severity.name().to_owned(),
            account: case.account.name.to_string(),
            dest_group: case.key.group.to_string(),
            features,
            explanation: case.explanation(),
            block_id: if block_id == Id::NIL { Vec::new() } else { block_id.to_vec() },
            loss_e8: case.loss().1,
            currency: case.loss().0.code().to_owned(),
            first_us: case.first_us(),
            control_position: i64::try_from(self.cause.control_position).unwrap_or(i64::MAX),
            stays_open: false,
        });
        let event = self.event(rule, &case.account.root, body);
        self.out.push(Topic::Alerts, self.partition, event);
        block_id
    }
}

/// All a verdict is about.
pub struct Case<'a> {
    pub policy: &'a Policy,
    pub rule: &'a Rule,
    pub account: &'a Account,
    pub key: &'a Key,
    pub hit: Hit,
    pub now_us: i64,
    /// For a verdict on one call: when it was answered.
    pub answered_us: Option<i64>,
}

impl Case<'_> {
    /// What the block covers, never the whole account: domestic calls stay (F-02), emergency passes every block.
    ///
    /// The total names no group, so it blocks a class: the one its rule watches, and for a rule that watches all calls
    /// high-risk destinations when they carry half of the value or more, international ones otherwise. A group without
    /// a name is blocked like the total, as an empty name in a scope would mean every destination.
    fn scope(&self) -> BlockScope {
        let account = BlockScope { account: self.account.name.to_string(), ..BlockScope::default() };
        let named = !self.key.total && !self.key.group.is_empty();
        match self.policy.scope {
            Scope::DestGroup if named => BlockScope { dest_group: self.key.group.to_string(), ..account },
            Scope::HighRisk if named => BlockScope { high_risk: true, ..account },
            Scope::International if named => BlockScope { international: true, ..account },
            _ => match self.rule.watch {
                Watch::HighRisk => BlockScope { high_risk: true, ..account },
                Watch::International => BlockScope { international: true, ..account },
                Watch::All if self.risky_half() => BlockScope { high_risk: true, ..account },
                Watch::All => BlockScope { international: true, ..account },
            },
        }
    }

    fn risky_half(&self) -> bool {
        let of = |watch| {
            let rule = RuleKey { watch, ..RuleKey::of(self.rule) };
            self.key.value(rule, self.now_us, Some(self.hit.currency)).0
        };
        let (risky, all) = (of(Watch::HighRisk), of(Watch::All));
        risky > 0 && risky >= all - risky
    }

    /// The judged feature first, then what else was known of the key, each with the threshold of the rule that judges
    /// it at this severity; 0 = judged by none.
    fn evidence(&self) -> Vec<Evidence> {
        let judged = evidence(self.rule.feature, self.hit.value, self.hit.threshold, self.hit.currency);
        let others = [Feature::ConcurrentCalls, Feature::CallsPerMinute, Feature::Spend];
        let others = others.into_iter().filter(|f| *f != self.rule.feature).map(|feature| {
            let same = self.policy.rules.iter().find(|r| r.feature == feature && r.watch == self.rule.watch);
            let window_us = same.map_or(self.policy.spend_span_us, |r| r.window_us);
            let (value, currency) = self.key.value(RuleKey { feature, watch: self.rule.watch, window_us }, self.now_us, None);
            let threshold = same.and_then(|r| match self.hit.severity {
                Severity::Warning => r.warning,
                Severity::Critical => r.critical,
            });
            evidence(feature, value, threshold.unwrap_or(0), currency)
        });
        std::iter::once(judged).chain(others).collect()
    }

    /// For people. Names the account and the destination, never a number.
    fn explanation(&self) -> String {
        let (feature, hit) = (self.rule.feature, &self.hit);
        let place = match (self.key.total, &*self.key.group) {
            (true, _) => "all destinations".to_owned(),
            (false, "") => "a destination without a name".to_owned(),
            (false, group) => group.to_owned(),
        };
        let watched = match self.rule.watch {
            Watch::All => "",
            Watch::International => " (international calls)",
            Watch::HighRisk => " (high-risk calls)",
        };
        let unit = match feature {
            Feature::ConcurrentCalls => "calls at once".to_owned(),
            Feature::CallsPerMinute => "calls within a minute".to_owned(),
            Feature::Spend => format!("{} within {} s", hit.currency.code(), self.rule.window_us / 1_000_000),
            Feature::CallDuration => "s in one running call".to_owned(),
        };
        format!(
            "{} to {place}{watched}: {} {unit}, {} from {}",
            self.account.name,
            feature.format(hit.value),
            hit.severity.name(),
            feature.format(hit.threshold)
        )
    }

    /// Money the key's calls owe in the rule's window (the policy's longest, when the rule judges no money).
    fn loss(&self) -> (Currency, i64) {
        let spend = &self.key.lane(self.rule.watch).spend;
        match self.rule.feature {
            Feature::Spend => (self.hit.currency, self.hit.value),
            _ => spend.largest(self.now_us, self.policy.spend_span_us),
        }
    }

    fn first_us(&self) -> i64 {
        self.answered_us.unwrap_or(self.key.lane(self.rule.watch).burst_us)
    }
}

fn evidence(feature: Feature, value: i64, threshold: i64, currency: Currency) -> Evidence {
    let unit = match feature {
        Feature::ConcurrentCalls => "calls".to_owned(),
        Feature::CallsPerMinute => "calls/min".to_owned(),
        Feature::Spend => format!("1e-8 {}", currency.code()).trim_end().to_owned(),
        Feature::CallDuration => "ms".to_owned(),
    };
    Evidence { name: feature.name().to_owned(), value, threshold, unit, counted_at: feature.counted_at().to_owned() }
}

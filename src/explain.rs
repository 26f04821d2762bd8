//! Where a call would go and why, as people and programs read it: the plan a node has, asked what a node would ask it.

use std::sync::MutexGuard;

use serde_json::{Value, json};
use tollgate_proxy::{
    admission::{CallView, Sell, TrunkIx},
    routing::{Plan, RouteQuery, Routes},
    sip::core::Gate,
};
use tollgate_rating::deck::{Lookup, RowRef};
use tollgate_schemas::{
    codec::CodecClass,
    control::{Carrier, Kind, Trunk},
    money::{format_amount, format_rate, format_scaled},
    number::E164,
    parties::{Parties, revenue},
    time::{Now, format_rfc3339},
    v1::{DurationShare, QualityVerdict, RouteChoice},
};

use crate::plan::Registry;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    pub account: String,
    pub from: String,
    pub to: String,
    pub at_us: i64,
    /// Of the call's offer.
    pub codec_class: CodecClass,
    /// Decides splits and exploration; none: as for a call that neither explores nor falls into a split.
    pub draw_e6: Option<u32>,
}

/// The draw that decides nothing: the last one, beyond every share but one of a whole hundred percent.
pub const NO_DRAW: u32 = 999_999;

/// What a node knows beside its documents: which carriers are blocked and full, and when.
#[derive(Clone, Copy)]
pub struct Live<'n> {
    pub gate: &'n dyn Fn() -> MutexGuard<'n, Gate>,
    pub now: Now,
}

/// `{account, from, to, at, codec_class, emergency, routed, why_not, policy, quality_snapshot, durations, draw, sell, carriers: [{rank, carrier, reason, …}]}`.
/// `live`: as a node decides now; none: by the documents alone.
pub fn explain(registry: &Registry, plan: &Plan, ask: &Ask, live: Option<Live<'_>>) -> anyhow::Result<Value> {
    let Some(account) = plan.policy.account_named(&ask.account) else {
        let known = registry.documents.keys().filter(|(k, _)| *k == Kind::Account).map(|(_, n)| n.as_str());
        let meant = crate::config::nearest(&ask.account, known).map_or(String::new(), |m| format!(": did you mean '{m}'?"));
        anyhow::bail!("the documents have no account '{}'{meant}", ask.account);
    };
    let emergency = is_emergency(registry, &ask.account, &ask.to);
    let called = if emergency { None } else { Some(E164::parse(&ask.to).map_err(|e| anyhow::anyhow!("--to {e}"))?) };
    let mut parties = Parties::to(called.as_ref().map_or(ask.to.as_str(), E164::digits));
    if let Ok(a) = E164::parse(&ask.from) {
        parties = parties.from(a);
    }
    let sale = if emergency { Sell::None.into() } else { plan.routing.sell(&ask.account, &parties, ask.at_us) };
    let terms = match &sale.sell {
        Sell::Terms(terms) => Some(terms),
        Sell::Blocked(_) | Sell::None => None,
    };
    let dest_group = terms.map_or("", |t| t.destination.as_str());
    // Of the trunk only its party has a say, and it is not asked here.
    let query = RouteQuery {
        account: &ask.account,
        trunk: TrunkIx(u32::MAX),
        parties: &parties,
        dest_group,
        at_us: ask.at_us,
        emergency,
        codec_class: ask.codec_class,
        revenue: revenue(terms, &sale.tiers),
        draw_e6: ask.draw_e6.unwrap_or(NO_DRAW),
        shut: &[],
    };
    let choices: Routes = match live {
        None => plan.routing.routes(&query),
        Some(live) => {
            let (a, root) = (parties.a.map(|a| a.digits().to_owned()).unwrap_or_default(), &plan.policy.account(account).root);
            let high_risk = called.as_ref().is_some_and(|number| plan.policy.tables().class(number).high_risk);
            let call = CallView {
                emergency, account: &ask.account, root_account: root, trunk: "", dest_group, a_number: &a, b_number: parties.called, source: None, high_risk, international: false,
            };
            plan.open_routes(&query, &call, live.now, live.gate).0
        }
    };
    let lengths = registry.quality.of(dest_group).filter(|known| known.verdict.name == choices.quality_snapshot);
    let priced = emergency || terms.is_some();
    let routed = priced && choices.choices.iter().any(|c| c.rank > 0);
    let why_not = match &sale.sell {
        _ if routed => Value::Null,
        Sell::Blocked(_) => "the account's deck does not sell this destination".into(),
        Sell::None if !emergency => "the account's deck has no price for this number at this time".into(),
        _ => "every carrier is left out".into(),
    };
    let sell = match &sale.sell {
        Sell::Terms(t) | Sell::Blocked(t) => json!({
            "deck": t.deck, "deck_version": t.deck_version, "prefix": t.prefix, "destination": t.destination, "currency": t.currency,
            "rate": format_rate(t.rate_e12), "connect_fee": format_rate(t.connect_fee_e12), "initial": t.initial_s, "increment": t.increment_s,
            "blocked": matches!(sale.sell, Sell::Blocked(_)),
        }),
        Sell::None => Value::Null,
    };
    let carriers: Vec<Value> = choices.choices.iter().map(|c| choice(registry, c, parties.rated(), ask.at_us)).collect();
    Ok(json!({
        "account": ask.account, "from": ask.from, "to": ask.to, "at": format_rfc3339(ask.at_us), "codec_class": class_json(ask.codec_class.name()), "emergency": emergency,
        "routed": routed, "why_not": why_not, "policy": choices.policy,
        "quality_snapshot": (!choices.quality_snapshot.is_empty()).then_some(choices.quality_snapshot),
        "durations": lengths.map(|known| durations(lengths_of(&known.verdict, ask.codec_class.name()))),
        "draw": ask.draw_e6, "sell": sell, "carriers": carriers,
    }))
}

/// A carrier with its place or the reason it is left out.
pub fn choice(registry: &Registry, c: &RouteChoice, number: &str, at_us: i64) -> Value {
    let row = row(registry, c, number, at_us);
    let asked = !c.quality.is_empty();
    let known = c.samples > 0;
    json!({
        "rank": (c.rank > 0).then_some(c.rank), "carrier": c.carrier, "reason": c.reason,
        "expected_cost": (c.rank > 0 || c.expected_cost_e8 != 0).then(|| format_amount(c.expected_cost_e8)),
        "prefix": row.map(|r| r.prefix()), "destination": row.map(|r| r.destination().to_owned()),
        "rate": row.map(|r| r.rate_text()), "connect_fee": row.map(|r| format_rate(r.connect_fee_e12())),
        "initial": row.map(|r| r.initial_s()), "increment": row.map(|r| r.increment_s()),
        "currency": row.map(|r| r.deck().currency().to_owned()), "covered_by_parent_prefix": c.covered_by_parent_prefix,
        "quality": asked.then_some(&c.quality), "quality_class": class_json(&c.quality_class),
        "score": (asked && c.rank > 0).then(|| format_amount(c.score_e8)),
        "asr": known.then(|| percent(c.asr_e4)), "ner": known.then(|| percent(c.ner_e4)),
        "samples": asked.then_some(c.samples), "acd_s": (c.acd_ms > 0).then(|| format_scaled(c.acd_ms as i64, 3, 1)),
    })
}

/// The name of a codec class; null where it is not known, or where all classes are meant.
pub fn class_json(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { name.into() }
}

/// The lengths that calls of a class are expected to have by a verdict: the class's own where it has any.
pub fn lengths_of<'v>(verdict: &'v QualityVerdict, class: &str) -> &'v [DurationShare] {
    let own = verdict.classes.iter().find(|c| c.codec_class == class && !c.durations.is_empty());
    own.map_or(&verdict.durations, |c| &c.durations)
}

/// How long calls are expected to be, by the lengths they had: what costs and the margin guard go by.
pub fn durations(of: &[DurationShare]) -> Vec<Value> {
    of.iter().map(|d| json!({ "mean_s": format_scaled(i64::try_from(d.mean_ms).unwrap_or(i64::MAX), 3, 1), "calls": d.calls })).collect()
}

/// 1e-4 as percent with two places.
pub fn percent(e4: u32) -> String {
    format_scaled(e4.into(), 2, 2)
}

/// Whether a trunk of the account takes this dialled string for an emergency call.
fn is_emergency(registry: &Registry, account: &str, dialled: &str) -> bool {
    let trunks = registry.documents.iter().filter(|((kind, _), _)| *kind == Kind::Trunk);
    trunks
        .filter_map(|(_, spec)| serde_json::from_value::<Trunk>(spec.clone()).ok())
        .any(|trunk| trunk.account == account && trunk.emergency.iter().any(|e| e == dialled))
}

/// The row a choice was made by, for what the choice does not carry; none where no row had a say.
fn row<'c>(registry: &'c Registry, choice: &RouteChoice, number: &str, at_us: i64) -> Option<RowRef<'c>> {
    let spec = registry.documents.get(&(Kind::Carrier, choice.carrier.clone()))?;
    let carrier: Carrier = serde_json::from_value(spec.clone()).ok()?;
    match registry.decks.get(&carrier.deck)?.lookup(number, at_us) {
        Lookup::Row(row) | Lookup::Blocked(row) => Some(row).filter(|r| r.prefix() == choice.prefix),
        Lookup::NotEffective | Lookup::NoPrefix => None,
    }
}

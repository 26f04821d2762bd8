//! Verdicts on carriers' quality: followed from the log for whoever chooses routes here, found again by name for whoever asks how
//! a call was routed, and shown.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_api::ports::{Fault, Replayed, RouteAsk, Routing};
use tollgate_ingest::{WorkerHandle, follow as logs, follow::From};
use tollgate_proxy::{
    admission::{Shut, TrunkIx},
    routing::{Plan, RouteQuery, Routes},
};
use tollgate_rating::quality::Quality;
use tollgate_schemas::{
    codec::CodecClass,
    event::Body,
    id::{Id, partition_of},
    log::{EventLog, Record, Topic},
    money::format_scaled,
    number::E164,
    parties::{Parties, revenue},
    time::{format_rfc3339, parse_rfc3339},
    v1::{CallFacts, CallRouteSkipped, CarrierQuality, ClassQuality, DurationShare, Event, QualityPublished, QualityVerdict, RouteChoice, Terms, Tier},
};

use super::{Shared, ports::{Answer, off}};
use crate::explain::{Ask, Live, choice, class_json, durations, explain, lengths_of, percent};

/// Newest events of each partition that are looked through for verdicts at the start. A destination whose last verdict is older is
/// not known until its next one: its carriers are neutral.
const RECENT: u64 = 8_192;
/// How far apart the time of an event and of what it says may be, and how far out of order events of one partition.
pub const SLACK_US: i64 = 600_000_000;

/// Keeps the newest verdicts for the plans of this process.
pub fn follow(shared: &Shared) -> anyhow::Result<WorkerHandle> {
    let (log, quality) = (shared.log.clone(), shared.owner.quality());
    let applied = quality.clone();
    // From here on nothing is missed; what came before is read behind it, and an older verdict changes nothing.
    let worker = logs::follow(log.clone(), "quality", &[Topic::Quality], From::End, 500, move |_, _, record| {
        applied.apply(&record.event);
    })?;
    for partition in 0..log.partitions() {
        // Where the log is away nothing is known yet: routes are chosen without.
        if let Err(error) = recent(&*log, partition, &quality) {
            tracing::warn!(%error, partition, "no earlier verdicts on carriers");
        }
    }
    Ok(worker)
}

fn recent(log: &dyn EventLog, partition: u16, quality: &Quality) -> anyhow::Result<()> {
    let end = log.end(Topic::Quality, partition);
    let mut next = end.saturating_sub(RECENT);
    while next < end {
        let records = log.read(Topic::Quality, partition, next, 1024)?;
        let Some(last) = records.last() else { return Ok(()) };
        next = last.offset + 1;
        for record in &records {
            quality.apply(&record.event);
        }
    }
    Ok(())
}

/// The first offset from which events are of `at_us` or later, as far as events of a partition are in order.
pub fn seek(log: &dyn EventLog, topic: Topic, partition: u16, at_us: i64) -> anyhow::Result<u64> {
    let (mut low, mut high) = (0, log.end(topic, partition));
    while low < high {
        let middle = low + (high - low) / 2;
        match log.read(topic, partition, middle, 1)?.first() {
            Some(record) if record.event.occurred_us < at_us => low = record.offset + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The event of about this time that is looked for.
fn find<T>(log: &dyn EventLog, topic: Topic, partition: u16, at_us: i64, is: impl Fn(&Record) -> Option<T>) -> anyhow::Result<Option<T>> {
    let mut next = seek(log, topic, partition, at_us - SLACK_US)?;
    loop {
        let records = log.read(topic, partition, next, 1024)?;
        let Some(last) = records.last() else { return Ok(None) };
        if let Some(found) = records.iter().find_map(&is) {
            return Ok(Some(found));
        }
        if records[0].event.occurred_us > at_us + SLACK_US {
            return Ok(None);
        }
        next = last.offset + 1;
    }
}

/// A verdict by its name, from the log.
pub fn verdict(log: &dyn EventLog, dest_group: &str, name: &str) -> anyhow::Result<Option<QualityVerdict>> {
    let Some(seconds) = name.split('-').nth(1).and_then(|s| s.parse::<i64>().ok()) else { return Ok(None) };
    let is = |record: &Record| match &record.event.body {
        Some(Body::QualityPublished(QualityPublished { dest_group: of, judged: Some(verdict), .. })) if verdict.name == name && of == dest_group => Some(verdict.clone()),
        _ => None,
    };
    find(log, Topic::Quality, partition_of(dest_group, log.partitions()), seconds.saturating_mul(1_000_000), is)
}

fn e6(value: u32) -> String {
    percent(value / 100)
}

fn seconds(ms: u64) -> String {
    format_scaled(i64::try_from(ms).unwrap_or(i64::MAX), 3, 1)
}

/// A verdict as people and programs read it. Ratios in percent, times in seconds; what is not known is null.
pub fn json_of(dest_group: &str, verdict: &QualityVerdict, now_us: i64) -> Value {
    let some = |ms: u64| (ms > 0).then(|| seconds(ms));
    let at = |us: i64| (us > 0).then(|| format_rfc3339(us));
    let carrier = |c: &CarrierQuality| {
        let known = c.samples > 0;
        json!({
            "carrier": c.carrier, "state": c.state, "false_answer_suspected": c.fas_until_us > now_us, "false_answer_until": at(c.fas_until_us),
            "samples": c.samples, "window_s": c.window_s,
            "asr": known.then(|| e6(c.asr_e6)), "ner": known.then(|| e6(c.ner_e6)), "ccr": known.then(|| e6(c.ccr_e6)),
            "acd_s": some(c.acd_ms), "acd_counted_s": some(c.acd_capped_ms), "pdd_s": some(c.pdd_ms), "setup_s": some(c.ast_ms),
            "short": known.then(|| e6(c.short_e6)), "false_answer_score": format_scaled(c.fas_score_e2.into(), 2, 2),
            "answered": c.answered, "talk_s": seconds(c.talk_ms), "bad": c.bad, "good": c.good, "demoted_at": at(c.demoted_us),
            "by_window": c.by_window.iter().map(|w| json!({
                "window_s": w.window_s, "attempts": w.attempts, "answered": w.answered, "asr": e6(w.asr_e6), "ner": e6(w.ner_e6),
                "acd_s": some(w.acd_ms), "pdd_s": some(w.pdd_ms), "short": e6(w.short_e6),
            })).collect::<Vec<_>>(),
        })
    };
    let class = |of: &ClassQuality| {
        let known = of.samples > 0;
        json!({
            "codec_class": of.codec_class, "samples": of.samples, "asr": known.then(|| e6(of.asr_e6)), "later": known.then(|| e6(of.later_e6)),
            "pdd_s": some(of.pdd_ms), "carriers": of.carriers.iter().map(carrier).collect::<Vec<_>>(), "durations": durations(&of.durations),
        })
    };
    json!({
        "dest_group": dest_group, "name": verdict.name, "at": format_rfc3339(verdict.at_us),
        "asr": e6(verdict.asr_e6), "later": e6(verdict.later_e6), "pdd_s": some(verdict.pdd_ms),
        "carriers": verdict.carriers.iter().map(carrier).collect::<Vec<_>>(),
        "durations": durations(&verdict.durations), "classes": verdict.classes.iter().map(class).collect::<Vec<_>>(),
    })
}

/// The way back, for `--quality FILE`: what routes are chosen by.
pub fn verdict_of_json(value: &Value) -> Result<(String, QualityVerdict), String> {
    let dest_group = value["dest_group"].as_str().ok_or("a verdict has a dest_group")?.to_owned();
    let scaled = |v: &Value, places| match v {
        Value::Null => Ok(0),
        Value::String(text) => tollgate_schemas::money::parse_scaled(text, places).map_err(|e| e.to_string()),
        other => Err(format!("'{other}' is not a number in quotes")),
    };
    let ratio = |v: &Value| scaled(v, 4).map(|n| n.clamp(0, 1_000_000) as u32);
    let ms = |v: &Value| scaled(v, 3).map(|n| n.max(0) as u64);
    let whole = |v: &Value| v.as_u64().map_or(0, |n| n.min(u32::MAX.into()) as u32);
    let at = |v: &Value| v.as_str().map_or(Ok(0), |t| parse_rfc3339(t).map_err(|e| e.to_string()));
    let carrier = |c: &Value| {
        Ok::<_, String>(CarrierQuality {
            carrier: c["carrier"].as_str().ok_or("a carrier has a name")?.to_owned(),
            state: c["state"].as_str().unwrap_or("neutral").to_owned(),
            fas_until_us: at(&c["false_answer_until"])?,
            samples: whole(&c["samples"]),
            window_s: whole(&c["window_s"]),
            asr_e6: ratio(&c["asr"])?,
            ner_e6: ratio(&c["ner"])?,
            ccr_e6: ratio(&c["ccr"])?,
            acd_ms: ms(&c["acd_s"])?,
            acd_capped_ms: ms(&c["acd_counted_s"])?,
            pdd_ms: ms(&c["pdd_s"])?,
            answered: whole(&c["answered"]),
            talk_ms: ms(&c["talk_s"])?,
            ..CarrierQuality::default()
        })
    };
    let carriers = |of: &Value| of["carriers"].as_array().into_iter().flatten().map(carrier).collect::<Result<Vec<_>, String>>();
    let duration = |d: &Value| Ok::<_, String>(DurationShare { mean_ms: ms(&d["mean_s"])?, calls: whole(&d["calls"]) });
    let durations = |of: &Value| of["durations"].as_array().into_iter().flatten().map(duration).collect::<Result<Vec<_>, String>>();
    let later = |of: &Value| if of["later"].is_null() { Ok(1_000_000) } else { ratio(&of["later"]) };
    let class = |of: &Value| {
        let codec_class = of["codec_class"].as_str().filter(|c| CodecClass::NAMES.contains(c));
        Ok::<_, String>(ClassQuality {
            codec_class: codec_class.ok_or_else(|| format!("{} is no codec class: {}", of["codec_class"], CodecClass::NAMES.join(", ")))?.to_owned(),
            carriers: carriers(of)?,
            durations: durations(of)?,
            samples: whole(&of["samples"]),
            asr_e6: ratio(&of["asr"])?,
            later_e6: later(of)?,
            pdd_ms: ms(&of["pdd_s"])?,
        })
    };
    let verdict = QualityVerdict {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        at_us: at(&value["at"])?,
        carriers: carriers(value)?,
        durations: durations(value)?,
        asr_e6: ratio(&value["asr"])?,
        later_e6: later(value)?,
        pdd_ms: ms(&value["pdd_s"])?,
        classes: value["classes"].as_array().into_iter().flatten().map(class).collect::<Result<_, _>>()?,
    };
    Ok((dest_group, verdict))
}

/// The API's port over routing.
pub struct RoutingPort(pub Arc<Shared>);

impl Routing for RoutingPort {
    fn quality(&self, dest_group: Option<&str>) -> Vec<Value> {
        let now_us = (self.0.clock)().utc_us;
        let all = self.0.owner.quality().all();
        all.iter().filter(|(name, _)| dest_group.is_none_or(|d| d == name)).map(|(name, g)| json_of(name, &g.verdict, now_us)).collect()
    }

    fn explain(&self, ask: RouteAsk) -> Answer<'_, Result<Value, String>> {
        let shared = self.0.clone();
        Box::pin(off(move || {
            let (mut registry, position) = shared.owner.registry();
            let asked = Ask { account: ask.account, from: ask.from, to: ask.to, at_us: ask.at_us, codec_class: ask.codec_class, draw_e6: ask.draw_e6 };
            let internal = |e: anyhow::Error| Fault::Internal(format!("{e:#}"));
            let Some(name) = ask.quality else {
                let gate = || shared.gate();
                let live = Live { gate: &gate, now: (shared.clock)() };
                return Ok(explain(&registry, &shared.owner.plan(), &asked, Some(live)).map_err(|e| e.to_string()));
            };
            // Which destination it is on is said by the price, which does not hang on quality.
            let plain = match explain(&registry, &shared.owner.plan(), &asked, None) {
                Ok(found) => found,
                Err(e) => return Ok(Err(e.to_string())),
            };
            let dest_group = plain["sell"]["destination"].as_str().unwrap_or_default();
            let Some(verdict) = verdict(&*shared.log, dest_group, &name).map_err(internal)? else {
                return Ok(Err(format!("the log has no verdict '{name}' on '{dest_group}'")));
            };
            registry.quality = Quality::default();
            registry.quality.put(dest_group, verdict);
            let plan = registry.compile(position).map_err(|p| Fault::Internal(format!("the plan in force does not compile: {p:?}")))?;
            Ok(explain(&registry, &plan, &asked, None).map_err(|e| e.to_string()))
        }))
    }

    fn replay(&self, call: Id, root_account: &str, at_us: i64) -> Answer<'_, Option<Replayed>> {
        let (shared, root_account) = (self.0.clone(), root_account.to_owned());
        Box::pin(off(move || replay(&shared, call, &root_account, at_us).map_err(|e| Fault::Internal(format!("{e:#}")))))
    }
}

/// What was decided of a call, by the event it began with.
struct Decided {
    facts: CallFacts,
    sell: Option<Terms>,
    tiers: Vec<Tier>,
    policy: String,
    choices: Vec<RouteChoice>,
    quality_snapshot: String,
    draw_e6: u32,
}

impl Decided {
    /// None where nothing was: not a call, or refused before its carriers were asked for.
    fn of(event: &Event) -> Option<Decided> {
        match event.body.clone()? {
            Body::CallAttempted(b) => Some(Decided {
                facts: b.facts.unwrap_or_default(),
                sell: b.sell,
                tiers: b.tiers,
                policy: b.route_policy,
                choices: b.choices,
                quality_snapshot: b.quality_snapshot,
                draw_e6: b.draw_e6,
            }),
            Body::CallRefused(b) if !b.route_policy.is_empty() => Some(Decided {
                facts: b.facts.unwrap_or_default(),
                sell: b.sell,
                tiers: b.tiers,
                policy: b.route_policy,
                choices: b.choices,
                quality_snapshot: b.quality_snapshot,
                draw_e6: b.draw_e6,
            }),
            _ => None,
        }
    }
}

/// Decides a call again by its event, the provisioning its proxy had, and the verdict it names. Which carriers were blocked or full then
/// is taken from the event: nothing else remembers it.
fn replay(shared: &Shared, call: Id, root_account: &str, at_us: i64) -> anyhow::Result<Option<Replayed>> {
    let log = &*shared.log;
    let partition = partition_of(root_account, log.partitions());
    let is = |record: &Record| (record.event.id() == call).then(|| (record.offset, record.event.clone()));
    let Some((offset, event)) = find(log, Topic::Calls, partition, at_us, is)? else { return Ok(None) };
    let Some(decided) = Decided::of(&event) else { return Ok(None) };
    let mut registry = shared.owner.registry_at(event.control_position)?;
    let (dest_group, snapshot) = (&decided.facts.b_dest_group, &decided.quality_snapshot);
    registry.quality = Quality::default();
    let mut lengths = None;
    if !snapshot.is_empty() {
        let verdict = verdict(log, dest_group, snapshot)?.with_context(|| format!("the log has no verdict '{snapshot}' on '{dest_group}'"))?;
        lengths = Some(durations(lengths_of(&verdict, &decided.facts.codec_class)));
        registry.quality.put(dest_group, verdict);
    }
    let plan = registry.compile(event.control_position).map_err(|p| anyhow::anyhow!("the provisioning of then does not compile: {p:?}"))?;
    let again = decide_again(&plan, &event, &decided, call);
    let agrees = again.choices == decided.choices && again.policy == decided.policy && again.quality_snapshot == decided.quality_snapshot;
    let skipped = match matches!(event.body, Some(Body::CallAttempted(_))) {
        true => skipped(log, partition, offset, &event, call)?,
        false => Vec::new(),
    };
    let number = number_of(&event, &decided.facts);
    let class = decided.facts.codec_class.as_str();
    let shown = |choices: &[RouteChoice], policy: &str, snapshot: &str| {
        let carrier = |c: &RouteChoice| {
            let mut value = choice(&registry, c, &number, event.occurred_us);
            // Its turn came, and it could not be tried.
            if let Some(skip) = skipped.iter().find(|s| c.rank > 0 && s.carrier == c.carrier) {
                value["reason"] = skip.reason.as_str().into();
            }
            value
        };
        json!({
            "codec_class": class_json(class), "policy": policy, "quality_snapshot": (!snapshot.is_empty()).then_some(snapshot), "durations": lengths, "draw": decided.draw_e6,
            "carriers": choices.iter().map(carrier).collect::<Vec<_>>(),
        })
    };
    Ok(Some(Replayed {
        then: shown(&decided.choices, &decided.policy, &decided.quality_snapshot),
        again: shown(&again.choices, &again.policy, &again.quality_snapshot),
        agrees,
        control_position: event.control_position,
    }))
}

/// Carriers that were passed over when their turn came: events of the call before it was answered or ended.
fn skipped(log: &dyn EventLog, partition: u16, from: u64, attempted: &Event, call: Id) -> anyhow::Result<Vec<CallRouteSkipped>> {
    let (mut next, mut skipped) = (from, Vec::new());
    loop {
        let records = log.read(Topic::Calls, partition, next, 1024)?;
        let Some(last) = records.last() else { return Ok(skipped) };
        next = last.offset + 1;
        for record in records.iter().filter(|r| r.event.call_id() == call) {
            match &record.event.body {
                Some(Body::CallRouteSkipped(skip)) => skipped.push(skip.clone()),
                Some(Body::CallAnswered(_) | Body::CallEnded(_)) => return Ok(skipped),
                _ => {}
            }
        }
        if records[0].event.occurred_us > attempted.occurred_us + SLACK_US {
            return Ok(skipped);
        }
    }
}

/// The number routes were looked up by.
fn number_of(event: &Event, facts: &CallFacts) -> String {
    let personal = event.personal.clone().unwrap_or_default();
    match &facts.lrn {
        lrn if !lrn.is_empty() => lrn.clone(),
        _ if facts.emergency => personal.b_raw,
        _ => personal.b_e164,
    }
}

fn decide_again(plan: &Plan, event: &Event, decided: &Decided, call: Id) -> Routes {
    let facts = &decided.facts;
    let number = number_of(event, facts);
    let mut parties = Parties::to(&number);
    if let Some(a) = event.personal.as_ref().and_then(|p| E164::parse(&p.a_e164).ok()) {
        parties = parties.from(a);
    }
    let shut: Vec<_> = decided.choices.iter().filter_map(|c| Some((plan.policy.carrier_named(&c.carrier)?, Shut::of_reason(&c.reason)?))).collect();
    plan.routing.routes(&RouteQuery {
        account: &facts.account,
        trunk: plan.policy.trunk_named(&facts.trunk).unwrap_or(TrunkIx(u32::MAX)),
        parties: &parties,
        dest_group: &facts.b_dest_group,
        at_us: event.occurred_us,
        emergency: facts.emergency,
        codec_class: CodecClass::of(&facts.codec_class),
        revenue: revenue(decided.sell.as_ref(), &decided.tiers),
        draw_e6: call.draw_e6(),
        shut: &shut,
    })
}

//! Carriers' sheets between two people: one proposes, another approves, and only then the deck changes.
//!
//! A proposal is a decision of its own, `deck_import` in topic `control`, with the rows and the preview on topic `decks` (their
//! name is the proposal's id). The deck is made when it is approved, from the same rows: what was to hold "now" holds from then.
//! If what would change is no longer what was proposed, the approval is refused.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_api::ports::{Approval, Decision, Fault, NewImport, Problem};
use tollgate_rating::{
    deck::{Deck, DeckOptions, deck_version},
    geography::BUILT_IN,
    import::{ImportRow, InForce, JUMP_PERCENT, Mode, NOTICE_DAYS, Order, Prepared, prepare, read_rows},
};
use tollgate_schemas::{
    control::{self, Kind},
    currency,
    event::Body,
    log::{Append, Topic},
    time::{format_rfc3339, parse_rfc3339},
    v1::ControlApplied,
};

use super::{Owner, spec_without_sheet};
use crate::plan::{Registry, read};

/// The kind in topic `control`: no document that a person writes.
const KIND: &str = "deck_import";
/// Proposals that wait; beyond, a new one is refused.
const MAX_OPEN: usize = 100;
/// Decided ones that are remembered, the newest; all of them stay in the log.
const MAX_DECIDED: usize = 1000;

/// A proposal as the log has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Import {
    pub deck: String,
    /// `proposed`, `approved`, `rejected`.
    pub state: String,
    pub mode: Mode,
    /// Name of the file it came from.
    pub file: String,
    /// Version of the deck it changes; none for a first sheet.
    pub base_version: Option<String>,
    /// What the deck becomes; once approved, what it became.
    pub version: String,
    /// Hashes of rows and preview on topic decks.
    pub rows_version: String,
    pub preview_version: String,
    pub counts: BTreeMap<String, u64>,
    pub flags: BTreeMap<String, u64>,
    pub proposed_by: String,
    pub proposed_at: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_reason: Option<String>,
    /// How the rows are taken.
    pub order: Taken,
    /// The deck's document, for a first sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Taken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<String>,
    pub past_now: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_notice: Option<String>,
    pub jump_percent: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// Proposals by id; ids grow with time.
#[derive(Default)]
pub(super) struct Imports {
    all: BTreeMap<String, (u64, Arc<Import>)>,
    /// Counts what was noted, to know which is newest.
    noted: u64,
}

impl Imports {
    /// Takes in a decision about an import; others are passed over.
    pub fn note(&mut self, applied: &ControlApplied) -> anyhow::Result<()> {
        if applied.kind != KIND {
            return Ok(());
        }
        let import: Import = serde_json::from_str(&applied.spec_json)?;
        self.noted += 1;
        // Its place among others is that of its proposal.
        let place = self.all.get(&applied.name).map_or(self.noted, |(place, _)| *place);
        self.all.insert(applied.name.clone(), (place, Arc::new(import)));
        let mut decided: Vec<(u64, String)> = self.all.iter().filter(|(_, (_, i))| i.state != "proposed").map(|(id, (place, _))| (*place, id.clone())).collect();
        if decided.len() > MAX_DECIDED {
            decided.sort_unstable();
            for (_, id) in &decided[..decided.len() - MAX_DECIDED] {
                self.all.remove(id);
            }
        }
        Ok(())
    }
}

/// A refusal as the API tells it.
fn refused(path: &str, message: impl Into<String>) -> Refusal {
    Refusal::Problems(vec![Problem { path: path.to_owned(), message: message.into() }])
}

/// Why nothing came of it.
enum Refusal {
    Problems(Vec<Problem>),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

/// What an import comes to, or what the API is told.
fn answer(result: Result<Value, Refusal>) -> Result<Result<Value, Vec<Problem>>, Fault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Refusal::Problems(problems)) => Ok(Err(problems)),
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

impl Owner {
    /// Proposals, newest first.
    pub fn imports(&self) -> Vec<Value> {
        let state = self.lock();
        let mut all: Vec<(&String, &(u64, Arc<Import>))> = state.imports.all.iter().collect();
        all.sort_unstable_by_key(|(_, (place, _))| std::cmp::Reverse(*place));
        all.into_iter().map(|(id, (_, import))| shown(id, import)).collect()
    }

    /// One with its preview.
    pub fn import(&self, id: &str) -> Result<Option<Value>, Fault> {
        let Some(import) = self.lock().imports.all.get(id).map(|(_, i)| i.clone()) else { return Ok(None) };
        let preview = self.sheet(id, &import.preview_version)?;
        let mut value = shown(id, &import);
        value["preview"] = serde_json::from_slice(&preview).map_err(|e| Fault::Internal(e.to_string()))?;
        Ok(Some(value))
    }

    /// Stages a sheet. With `dry_run` nothing is written, and the preview is the answer.
    pub fn propose(&self, new: &NewImport) -> Result<Result<Value, Vec<Problem>>, Fault> {
        let _one = self.deciding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        answer(self.propose_one(new))
    }

    fn propose_one(&self, new: &NewImport) -> Result<Value, Refusal> {
        tollgate_schemas::name::check(&new.deck).map_err(|e| refused("deck", e.to_string()))?;
        let mode = match new.mode.as_str() {
            "full" => Mode::Full,
            "full_country" => Mode::FullCountry,
            "partial" => Mode::Partial,
            other => return Err(refused("mode", format!("'{other}': want full, full_country or partial"))),
        };
        let (rows, _) = read_rows(&new.rows).map_err(|e| refused("rows", e.to_string()))?;
        if rows.is_empty() {
            return Err(refused("rows", "no rows"));
        }
        if let Some(closes) = &new.closes {
            parse_rfc3339(closes).map_err(|e| refused("closes", e.to_string()))?;
        }
        let order = Taken {
            closes: new.closes.clone(),
            past_now: new.past_now,
            short_notice: new.short_notice.clone().filter(|r| !r.trim().is_empty()),
            jump_percent: new.jump_percent.unwrap_or(JUMP_PERCENT),
            currency: new.currency.clone(),
        };
        let proposed_us = (self.clock)().utc_us;
        for _ in 0..8 {
            let (registry, based_on) = self.begin();
            unknown_groups(&registry, &rows)?;
            let mut merged = self.merge(&registry, &new.deck, new.spec.as_ref(), &rows, mode, &order, proposed_us)?;
            merged.preview.left_out.clone_from(&new.left_out);
            let preview = serde_json::to_value(&merged.preview).map_err(|e| Fault::Internal(e.to_string()))?;
            if new.dry_run {
                return Ok(json!({ "dry_run": true, "deck": new.deck, "preview": preview }));
            }
            if !merged.preview.changes() {
                return Err(refused("", "the sheet says nothing that is not in force already: there is nothing to approve"));
            }
            if self.lock().imports.all.values().filter(|(_, i)| i.state == "proposed").count() >= MAX_OPEN {
                return Err(refused("", format!("{MAX_OPEN} imports wait for approval already: approve or reject some first")));
            }
            let id = self.mint.mint().to_string();
            let preview_bytes = preview.to_string().into_bytes();
            let import = Import {
                deck: new.deck.clone(),
                state: "proposed".to_owned(),
                mode,
                file: new.file.clone(),
                base_version: merged.preview.base_version.clone(),
                version: merged.preview.version.clone(),
                rows_version: deck_version(new.rows.as_bytes()),
                preview_version: deck_version(&preview_bytes),
                counts: merged.preview.counts.clone(),
                flags: merged.preview.flags.clone(),
                proposed_by: new.actor.clone(),
                proposed_at: format_rfc3339(proposed_us),
                reason: new.reason.clone(),
                decided_by: None,
                decided_at: None,
                decision_reason: None,
                order: order.clone(),
                spec: new.spec.as_ref().map(spec_without_sheet),
            };
            let mut events = self.sheet_events(&id, &import.rows_version, new.rows.as_bytes(), rows.len() as u64);
            events.extend(self.sheet_events(&id, &import.preview_version, &preview_bytes, 0));
            events.push(self.import_event(&id, &import, &new.actor, &new.reason));
            let plan = self.plan_of(&registry, based_on + 1)?;
            if self.commit(registry, plan, events, based_on)?.is_some() {
                let mut value = shown(&id, &import);
                value["preview"] = preview;
                return Ok(value);
            }
        }
        Err(Fault::Unavailable("others are changing the provisioning at the same time: ask again".to_owned()).into())
    }

    /// Approves or rejects.
    pub fn decide_import(&self, id: &str, approval: &Approval) -> Result<Result<Value, Vec<Problem>>, Fault> {
        let _one = self.deciding.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        answer(self.decide_one(id, approval))
    }

    fn decide_one(&self, id: &str, approval: &Approval) -> Result<Value, Refusal> {
        for _ in 0..8 {
            let (mut registry, based_on) = self.begin();
            let found = self.lock().imports.all.get(id).map(|(_, i)| i.clone());
            let Some(import) = found else { return Err(refused("", format!("there is no import '{id}'"))) };
            if import.state != "proposed" {
                let by = import.decided_by.as_deref().unwrap_or("somebody");
                return Err(refused("", format!("it is {} already, by {by}", import.state)));
            }
            if approval.approve && approval.actor == import.proposed_by {
                return Err(refused("", format!("'{}' proposed it: somebody else approves it, with a key of their own (R-14)", approval.actor)));
            }
            let now_us = (self.clock)().utc_us;
            let mut decided = Import {
                state: if approval.approve { "approved" } else { "rejected" }.to_owned(),
                decided_by: Some(approval.actor.clone()),
                decided_at: Some(format_rfc3339(now_us)),
                decision_reason: Some(approval.reason.clone()),
                ..(*import).clone()
            };
            let mut events = Vec::new();
            if approval.approve {
                events.extend(self.approve(id, &mut registry, &import, &mut decided, approval, now_us)?);
            }
            events.push(self.import_event(id, &decided, &approval.actor, &approval.reason));
            let count = events.iter().filter(|a| a.topic == Topic::Control).count() as u64;
            let plan = self.plan_of(&registry, based_on + count)?;
            if let Some(Decision::Accepted { position }) = self.commit(registry, plan, events, based_on)? {
                let mut value = shown(id, &decided);
                value["position"] = position.into();
                return Ok(value);
            }
        }
        Err(Fault::Unavailable("others are changing the provisioning at the same time: ask again".to_owned()).into())
    }

    /// The deck as the proposal makes it now, put into `registry`; its events.
    fn approve(&self, id: &str, registry: &mut Registry, import: &Import, decided: &mut Import, approval: &Approval, now_us: i64) -> Result<Vec<Append>, Refusal> {
        let name = &import.deck;
        let in_force = registry.decks.get(name).map(|d| d.version().to_owned());
        if in_force != import.base_version {
            let (was, is) = (import.base_version.as_deref().unwrap_or("none"), in_force.as_deref().unwrap_or("none"));
            return Err(refused("", format!("deck '{name}' has changed since (it was {was}, it is {is}): reject this import and import the sheet again")));
        }
        let rows = self.sheet(id, &import.rows_version)?;
        let rows = std::str::from_utf8(&rows).map_err(|e| Fault::Internal(e.to_string()))?;
        let (rows, _) = read_rows(rows).map_err(|e| Fault::Internal(e.to_string()))?;
        // Notice counts from now, as if the sheet were imported now: who waits with the approval shortens it. What its proposer took
        // for a reason stays taken.
        let mut order = import.order.clone();
        order.short_notice = order.short_notice.or_else(|| approval.short_notice.clone());
        let merged = self.merge(registry, name, import.spec.as_ref(), &rows, import.mode, &order, now_us)?;
        decided.order = order;
        if merged.preview.counts != import.counts {
            return Err(refused("", "what would change is no longer what was proposed, since time has passed: reject this import and import the sheet again"));
        }
        decided.version.clone_from(&merged.preview.version);
        let mut spec = match registry.documents.get(&(Kind::Deck, name.clone())) {
            Some(spec) => spec.clone(),
            None => import.spec.clone().unwrap_or_else(|| json!({})),
        };
        spec["version"] = merged.preview.version.clone().into();
        let mut events = self.sheet_events(name, &merged.preview.version, &merged.csv, merged.preview.rows);
        let body = Body::ControlApplied(ControlApplied {
            kind: Kind::Deck.name().to_owned(),
            name: name.clone(),
            spec_json: spec.to_string(),
            actor: approval.actor.clone(),
            reason: format!("import {id} of {}, proposed by {}", import.file, import.proposed_by),
            ..ControlApplied::default()
        });
        events.push(Append { topic: Topic::Control, partition: 0, event: self.born(name, body) });
        registry.documents.insert((Kind::Deck, name.clone()), spec);
        registry.decks.insert(name.clone(), Arc::new(merged.deck));
        Ok(events)
    }

    /// The rows over the deck in force, at an instant: notice counts from it.
    #[expect(clippy::too_many_arguments, reason = "a proposal's fields, of two forms")]
    fn merge(&self, registry: &Registry, name: &str, first: Option<&Value>, rows: &[ImportRow], mode: Mode, taken: &Taken, now_us: i64) -> Result<Prepared, Refusal> {
        let document = registry.documents.get(&(Kind::Deck, name.to_owned()));
        let Some(spec) = document.or(first) else {
            return Err(refused("deck", format!("there is no deck '{name}': for its first sheet say its currency and time zone with --new")));
        };
        let spec: control::Deck = read(Kind::Deck, name, &spec_without_sheet(spec)).map_err(|p| refused("spec", p.message))?;
        let options = DeckOptions::from_spec(&spec).map_err(|e| refused("spec", e.to_string()))?;
        if document.is_none() {
            currency::minor_units(&spec.currency).map_err(|e| refused("spec.currency", e.to_string()))?;
        }
        let csv = match (document, registry.decks.get(name)) {
            (Some(_), Some(deck)) => Some((deck.clone(), self.sheet(name, deck.version())?)),
            _ => None,
        };
        let in_force = csv.as_ref().map(|(deck, csv)| InForce { deck, csv, timezone: options.timezone });
        let order = Order {
            closes_us: taken.closes.as_deref().and_then(|t| parse_rfc3339(t).ok()),
            past_now: taken.past_now,
            notice_days: spec.notice_days.unwrap_or(NOTICE_DAYS),
            short_notice: taken.short_notice.clone(),
            jump_percent: taken.jump_percent,
            currency: taken.currency.clone(),
            ..Order::new(mode, now_us)
        };
        let carriers: Vec<(String, Arc<Deck>)> = registry
            .documents
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Carrier)
            .filter_map(|((_, carrier), spec)| Some((carrier.clone(), spec["deck"].as_str().filter(|d| *d != name)?)))
            .filter_map(|(carrier, deck)| Some((carrier, registry.decks.get(deck)?.clone())))
            .collect();
        // What others break out matters for what a carrier charges, not for what a customer pays.
        let buys = registry.documents.iter().any(|((kind, _), spec)| *kind == Kind::Carrier && spec["deck"].as_str() == Some(name));
        let others: Vec<(&str, &Deck)> = if buys { carriers.iter().map(|(n, d)| (n.as_str(), &**d)).collect() } else { Vec::new() };
        prepare(name, &options, in_force, rows, &order, &others).map_err(|bad| {
            let mut problems: Vec<Problem> = bad
                .problems
                .into_iter()
                .map(|p| Problem { path: if p.source.is_empty() { p.prefix.clone() } else { format!("{} {}", p.source, p.prefix) }, message: p.problem })
                .collect();
            if bad.more > 0 {
                problems.push(Problem { path: String::new(), message: format!("and {} more problems", bad.more) });
            }
            Refusal::Problems(problems)
        })
    }

    fn plan_of(&self, registry: &Registry, position: u64) -> Result<tollgate_proxy::routing::SharedPlan, Refusal> {
        let plan = registry.compile(position).map_err(|problems| {
            Refusal::Problems(problems.iter().map(|p| Problem { path: String::new(), message: p.to_string() }).collect())
        })?;
        Ok(Arc::new(plan))
    }

    fn import_event(&self, id: &str, import: &Import, actor: &str, reason: &str) -> Append {
        let body = Body::ControlApplied(ControlApplied {
            kind: KIND.to_owned(),
            name: id.to_owned(),
            spec_json: serde_json::to_string(import).unwrap_or_default(),
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            ..ControlApplied::default()
        });
        Append { topic: Topic::Control, partition: 0, event: self.born(id, body) }
    }
}

/// A sheet whose rows are for callers of a group that no document has would price nobody by them.
fn unknown_groups(registry: &Registry, rows: &[ImportRow]) -> Result<(), Refusal> {
    let known = |group: &str| BUILT_IN.contains(&group) || registry.documents.contains_key(&(Kind::OriginGroup, group.to_owned()));
    let mut first: BTreeMap<&str, &ImportRow> = BTreeMap::new();
    for row in rows.iter().filter(|r| !r.origin_group.is_empty() && !known(&r.origin_group)) {
        first.entry(&row.origin_group).or_insert(row);
    }
    let problem = |(group, row): (&str, &ImportRow)| Problem {
        path: format!("{} {}", row.source, row.prefix.digits()),
        message: format!("there is no origin group '{group}': apply a document of kind origin_group first, or use one of {}", BUILT_IN.join(", ")),
    };
    if first.is_empty() { Ok(()) } else { Err(Refusal::Problems(first.into_iter().map(problem).collect())) }
}

fn shown(id: &str, import: &Import) -> Value {
    let mut value = serde_json::to_value(import).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_insert(0, "import_id".to_owned(), id.into());
        for inner in ["rows_version", "preview_version"] {
            fields.remove(inner);
        }
    }
    value
}

//! `POST /v1/rerates`: a page of calls priced again, and ordered.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_api::ports::Fault;
use tollgate_proxy::routing::SharedPlan;
use tollgate_rating::{
    corrections::rerate::{Planned, Scope, Side, plan},
    mediation::MAX_RECENT,
};
use tollgate_schemas::{
    cdr::{self, Cdr},
    event::Body,
    id::Id,
    log::{Append, Claim, Topic, Urgency},
    money::format_amount,
    store::{CdrFilter, CdrQuery, RowKey},
    time::{format_rfc3339, parse_rfc3339},
    v1::Terms,
};

use crate::plan::again::{self, By};

use super::{Inner, PATIENCE, Stop, pages, pages::Pages, problem};

/// An attempt begins at most so long after its call.
const HUNT_US: i64 = 30 * 60_000_000;
const LIMIT: usize = 500;
const MOST: usize = 5_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    since: Option<String>,
    until: Option<String>,
    account: Option<String>,
    carrier: Option<String>,
    deck: Option<String>,
    call_uuid: Option<String>,
    /// `sell`, `cost` or `both`.
    side: Option<String>,
    /// Prices as they were known then; else as they are known now.
    known_at: Option<String>,
    /// By the decks that accounts and carriers have now, not those that calls were priced by.
    #[serde(default)]
    reassign: bool,
    #[serde(default)]
    batch: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    apply: bool,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// How many orders each partition got in each second lately: the rater remembers a limited number of them. And which calls those
/// were, with the versions they follow: a second order that follows the same would only be refused.
#[derive(Default)]
pub struct Pace {
    counts: HashMap<u32, VecDeque<(i64, usize)>>,
    ordered: HashMap<Id, (i64, u64)>,
}

/// Seconds that orders are remembered for: as long as the rater does, and some more.
const WINDOW_S: i64 = tollgate_rating::mediation::RECENT_US / 1_000_000 + 5;

impl Pace {
    /// Whether an order of a call that follows these versions was written lately.
    fn is_ordered(&mut self, rows: &[Cdr], now_s: i64) -> bool {
        self.ordered.retain(|_, (at, _)| *at >= now_s - WINDOW_S);
        rows.first().is_some_and(|last| self.ordered.get(&Id::of(&last.call_uuid)).is_some_and(|(_, follows)| *follows == versions(rows)))
    }

    fn note(&mut self, planned: &[&Planned], now_s: i64) {
        self.ordered.extend(planned.iter().map(|p| (Id::of(&p.old[0].call_uuid), (now_s, versions(&p.old)))));
    }

    fn forget(&mut self, planned: &[&Planned]) {
        planned.iter().for_each(|p| _ = self.ordered.remove(&Id::of(&p.old[0].call_uuid)));
    }

    /// Notes orders, or says in how many seconds there is room for them.
    fn take(&mut self, wanted: &BTreeMap<u32, usize>, now_s: i64) -> Result<(), i64> {
        for (partition, count) in wanted {
            let lately = self.counts.entry(*partition).or_default();
            while lately.front().is_some_and(|(at, _)| *at < now_s - WINDOW_S) {
                lately.pop_front();
            }
            let sum: usize = lately.iter().map(|(_, n)| n).sum();
            // Some room is left for versions that late facts make.
            if sum + count > MAX_RECENT * 9 / 10 {
                return Err(lately.front().map_or(1, |(at, _)| (at + WINDOW_S - now_s).max(1)));
            }
        }
        for (partition, count) in wanted {
            self.counts.entry(*partition).or_default().push_back((now_s, *count));
        }
        Ok(())
    }
}

impl Inner {
    pub fn rerate(&self, order: &Order, actor: &str) -> Result<Value, Stop> {
        let time = |path: &str, text: &Option<String>| text.as_deref().map(parse_rfc3339).transpose().map_err(|e| problem(path, e.to_string()));
        let (since_us, until_us) = (time("since", &order.since)?, time("until", &order.until)?);
        let call_uuid = order.call_uuid.as_deref().map(str::parse::<Id>).transpose().map_err(|_| problem("call_uuid", "is no id"))?;
        if call_uuid.is_none() && (since_us.is_none() || until_us.is_none()) {
            return Err(problem("since", "a re-rating is of a period (since and until) or of one call (call_uuid)"));
        }
        if order.apply && (order.reason.trim().is_empty() || order.batch.is_empty()) {
            return Err(problem("reason", "an order says why (reason) and which re-rating it is part of (batch)"));
        }
        let side = match order.side.as_deref() {
            None => Side::Both,
            Some(name) => Side::from_name(name).ok_or_else(|| problem("side", "want sell, cost or both"))?,
        };
        let scope = Scope { side, deck: order.deck.clone(), carrier: order.carrier.clone(), account: order.account.clone() };
        let prices = match time("known_at", &order.known_at)? {
            Some(at_us) => self.plan_known_at(at_us)?,
            None => self.shared.owner.plan(),
        };
        self.as_of()?;
        let read_us = (self.shared.clock)().utc_us;
        let filter = CdrFilter { record_type: cdr::FINAL.to_owned(), since_us, until_us, payer: order.account.clone(), call_uuid, ..CdrFilter::default() };
        let after = order.cursor.as_deref().map(cursor).transpose()?;
        if after.is_none() {
            self.are_known(order, &prices, &filter)?;
        }
        let limit = order.limit.unwrap_or(LIMIT).clamp(1, MOST);
        let finals = tokio::runtime::Handle::current().block_on(self.cdrs.cdrs(CdrQuery { filter, after, limit }))?;
        let next = finals.last().filter(|_| finals.len() == limit).map(|r| RowKey::of(r));
        let calls = self.with_attempts(order, &finals)?;

        let by_switch = Cell::new(false);
        let by = if order.reassign { By::Assigned } else { By::ItsDeck };
        let noted = |terms: Result<Terms, String>| terms.inspect(|t| by_switch.set(by_switch.get() || again::by_switch(&prices, t)));
        let (sell, cost) = (|payer: &str, deck: &str, row: &Cdr| noted(again::sell(&prices, by, payer, deck, row)), |row: &Cdr| noted(again::cost(&prices, by, row)));
        let mut by_ani = 0u64;
        let (mut planned, mut problems): (Vec<(&Cdr, Planned)>, Vec<Value>) = (Vec::new(), Vec::new());
        for rows in &calls {
            match plan(rows, &scope, &sell, &cost) {
                Ok(Some(found)) => planned.push((&rows[0], found)),
                Ok(None) => {}
                Err(why) => problems.push(json!({ "call_uuid": Id::of(&rows[0].call_uuid), "problem": why })),
            }
            by_ani += u64::from(by_switch.take());
        }
        let busy = if order.apply && !planned.is_empty() { self.order(order, &planned, actor, read_us)? } else { 0 };
        let rows: Vec<Value> = planned.iter().flat_map(|(last, p)| p.changes.iter().map(|c| {
            json!({
                "call_uuid": Id::of(&last.call_uuid), "invite_ts": format_rfc3339(last.invite_ts), "side": if c.sells { "sell" } else { "cost" },
                "attempt_no": c.attempt_no, "cdr_version": last.cdr_version, "account": c.account, "carrier": c.carrier, "destination": c.destination,
                "currency": c.currency, "old_deck_version": c.old_deck_version, "new_deck_version": c.new_deck_version,
                "old_amount": format_amount(c.old_e8), "new_amount": format_amount(c.new_e8), "delta": format_amount(c.delta_e8()),
            })
        })).collect();
        Ok(json!({
            "calls": calls.len(), "changed": planned.len(), "busy": busy, "by_ani": by_ani, "applied": order.apply, "rows": rows, "problems": problems,
            "next_cursor": next.map(|k| format!("{}_{}_{}", k.invite_us, k.call, k.attempt_no)),
        }))
    }

    /// Refuses names that nothing is of: they are misspelt. What was taken away since may still have calls.
    fn are_known(&self, order: &Order, prices: &SharedPlan, filter: &CdrFilter) -> Result<(), Stop> {
        let has_rows = |filter: CdrFilter| -> Result<bool, Stop> {
            let rows = tokio::runtime::Handle::current().block_on(self.cdrs.cdrs(CdrQuery { filter, after: None, limit: 1 }))?;
            Ok(!rows.is_empty())
        };
        if let Some(account) = order.account.as_ref().filter(|a| prices.policy.account_named(a).is_none())
            && !has_rows(filter.clone())?
        {
            return Err(problem("account", format!("there is no account '{account}', nor a call of one")));
        }
        if let Some(carrier) = order.carrier.as_ref().filter(|c| prices.policy.carrier_named(c).is_none())
            && !has_rows(CdrFilter { record_type: cdr::ATTEMPT.to_owned(), carrier: Some(carrier.clone()), payer: None, ..filter.clone() })?
        {
            return Err(problem("carrier", format!("there is no carrier '{carrier}', nor an attempt with one")));
        }
        match &order.deck {
            Some(deck) if !prices.routing.has_deck(deck) => Err(problem("deck", format!("there is no deck '{deck}'"))),
            _ => Ok(()),
        }
    }

    /// Each call's rows, its final first. Attempts are looked for in the time their calls span.
    fn with_attempts(&self, order: &Order, finals: &[Arc<Cdr>]) -> Result<Vec<Vec<Cdr>>, Stop> {
        let (Some(first), Some(last)) = (finals.iter().map(|r| r.invite_ts).min(), finals.iter().map(|r| r.invite_ts).max()) else { return Ok(Vec::new()) };
        let mut calls: Vec<Vec<Cdr>> = finals.iter().map(|r| vec![(**r).clone()]).collect();
        let place: HashMap<Vec<u8>, usize> = finals.iter().enumerate().map(|(i, r)| (r.call_uuid.clone(), i)).collect();
        // Attempts that were not answered do not tell who above their caller's account pays.
        let one = |of: fn(&Cdr) -> &String| finals.first().map(|r| of(r)).filter(|name| !name.is_empty() && finals.iter().all(|r| of(r) == *name)).cloned();
        let filter = CdrFilter {
            record_type: cdr::ATTEMPT.to_owned(),
            since_us: Some(first),
            until_us: Some(last.saturating_add(HUNT_US)),
            account: one(|r| &r.account).filter(|_| order.account.is_some()),
            tenant: one(|r| &r.root_account).filter(|_| order.account.is_some()),
            ..CdrFilter::default()
        };
        let filters: Vec<CdrFilter> = match order.call_uuid.is_some() {
            true => vec![CdrFilter { call_uuid: finals.first().map(|r| Id::of(&r.call_uuid)), since_us: None, until_us: None, ..filter }],
            false => vec![filter],
        };
        for filter in filters {
            let walk = Pages::of(self.cdrs.clone(), filter);
            let failure = walk.failure();
            for row in walk {
                if let Some(i) = place.get(&row.call_uuid) {
                    calls[*i].push((*row).clone());
                }
            }
            pages::check(&failure)?;
        }
        for rows in &mut calls {
            rows[1..].sort_by_key(|r| r.attempt_no);
        }
        Ok(calls)
    }

    /// Writes the orders, each into its call's partition; gives how many were written by another already.
    fn order(&self, order: &Order, planned: &[(&Cdr, Planned)], actor: &str, read_us: i64) -> Result<usize, Stop> {
        let now_s = (self.shared.clock)().utc_us / 1_000_000;
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh: Vec<&(&Cdr, Planned)> = planned.iter().filter(|(_, p)| !pace.is_ordered(&p.old, now_s)).collect();
        let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
        for (last, _) in &fresh {
            *wanted.entry(last.partition).or_default() += 1;
        }
        let room = pace.take(&wanted, now_s);
        let noted: Vec<&Planned> = fresh.iter().map(|(_, p)| p).collect();
        if room.is_ok() {
            pace.note(&noted, now_s);
        }
        drop(pace);
        room.map_err(|seconds| Fault::Unavailable(format!("as many calls as the rater keeps in mind are being rated again: ask again in {seconds} s")))?;
        let log = &self.shared.log;
        let partitions = log.partitions();
        let mut batch = Vec::with_capacity(fresh.len());
        for (last, found) in &fresh {
            let partition = u16::try_from(last.partition).ok().filter(|p| *p < partitions);
            let partition = partition.ok_or_else(|| Fault::Internal(format!("a CDR is of partition {}, the log has {partitions}", last.partition)))?;
            let key = if last.root_account.is_empty() { &last.trunk } else { &last.root_account };
            let body = Body::CallRerated(found.order(&order.batch, &order.reason, actor, read_us));
            batch.push(Append { topic: Topic::Calls, partition, event: self.born(key, body) });
        }
        let written = log.append(batch, Urgency::Group, Claim::Reserved).and_then(|ticket| log.wait(ticket, PATIENCE));
        if let Err(e) = written {
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).forget(&noted);
            return Err(Fault::Unavailable(e.to_string()).into());
        }
        Ok(planned.len() - fresh.len())
    }

    fn plan_known_at(&self, at_us: i64) -> Result<SharedPlan, Stop> {
        let position = self.shared.owner.plan().control_position;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made, plan)) = &*known
            && (*at, *made) == (at_us, position)
        {
            return Ok(plan.clone());
        }
        let plan = self.shared.owner.plan_known_at(at_us).map_err(|e| problem("known_at", e.to_string()))?;
        *known = Some((at_us, position, plan.clone()));
        Ok(plan)
    }
}

fn versions(rows: &[Cdr]) -> u64 {
    rows.iter().map(|r| u64::from(r.cdr_version)).sum()
}

fn cursor(text: &str) -> Result<RowKey, Stop> {
    let bad = || problem("cursor", "is not the `next_cursor` of the page before");
    let mut parts = text.split('_');
    let mut part = || parts.next().ok_or_else(bad);
    let invite_us = part()?.parse().map_err(|_| bad())?;
    let call = part()?.parse().map_err(|_| bad())?;
    Ok(RowKey { invite_us, call, attempt_no: part()?.parse().map_err(|_| bad())? })
}

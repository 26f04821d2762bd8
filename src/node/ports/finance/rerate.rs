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

use crate::plan::again;

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
    #[serde(default)]
    batch: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    apply: bool,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// How many orders each partition got in each second lately: the rater remembers a limited number of them.
#[derive(Default)]
pub struct Pace(HashMap<u32, VecDeque<(i64, usize)>>);

impl Pace {
    /// Notes orders, or says in how many seconds there is room for them.
    fn take(&mut self, wanted: &BTreeMap<u32, usize>, now_s: i64) -> Result<(), i64> {
        let window_s = tollgate_rating::mediation::RECENT_US / 1_000_000 + 5;
        for (partition, count) in wanted {
            let lately = self.0.entry(*partition).or_default();
            while lately.front().is_some_and(|(at, _)| *at < now_s - window_s) {
                lately.pop_front();
            }
            let sum: usize = lately.iter().map(|(_, n)| n).sum();
            // Some room is left for versions that late facts make.
            if sum + count > MAX_RECENT * 9 / 10 {
                return Err(lately.front().map_or(1, |(at, _)| (at + window_s - now_s).max(1)));
            }
        }
        for (partition, count) in wanted {
            self.0.entry(*partition).or_default().push_back((now_s, *count));
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
        let limit = order.limit.unwrap_or(LIMIT).clamp(1, MOST);
        let finals = tokio::runtime::Handle::current().block_on(self.cdrs.cdrs(CdrQuery { filter, after, limit }))?;
        let next = finals.last().filter(|_| finals.len() == limit).map(|r| RowKey::of(r));
        let calls = self.with_attempts(order, &finals)?;

        let by_switch = Cell::new(false);
        let noted = |terms: Option<Terms>| terms.inspect(|t| by_switch.set(by_switch.get() || again::by_switch(&prices, t)));
        let (sell, cost) = (|payer: &str, row: &Cdr| noted(again::sell(&prices, payer, row)), |row: &Cdr| noted(again::cost(&prices, row)));
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
        if order.apply && !planned.is_empty() {
            self.order(order, &planned, actor, read_us)?;
        }
        let rows: Vec<Value> = planned.iter().flat_map(|(last, p)| p.changes.iter().map(|c| {
            json!({
                "call_uuid": Id::of(&last.call_uuid), "invite_ts": format_rfc3339(last.invite_ts), "side": if c.sells { "sell" } else { "cost" },
                "attempt_no": c.attempt_no, "cdr_version": last.cdr_version, "account": c.account, "carrier": c.carrier, "destination": c.destination,
                "currency": c.currency, "old_deck_version": c.old_deck_version, "new_deck_version": c.new_deck_version,
                "old_amount": format_amount(c.old_e8), "new_amount": format_amount(c.new_e8), "delta": format_amount(c.delta_e8()),
            })
        })).collect();
        Ok(json!({
            "calls": calls.len(), "changed": planned.len(), "by_ani": by_ani, "applied": order.apply, "rows": rows, "problems": problems,
            "next_cursor": next.map(|k| format!("{}_{}_{}", k.invite_us, k.call, k.attempt_no)),
        }))
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

    /// Writes the orders, each into its call's partition.
    fn order(&self, order: &Order, planned: &[(&Cdr, Planned)], actor: &str, read_us: i64) -> Result<(), Stop> {
        let mut wanted: BTreeMap<u32, usize> = BTreeMap::new();
        for (last, _) in planned {
            *wanted.entry(last.partition).or_default() += 1;
        }
        let now_s = (self.shared.clock)().utc_us / 1_000_000;
        let room = self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(&wanted, now_s);
        room.map_err(|seconds| Fault::Unavailable(format!("as many calls as the rater keeps in mind are being rated again: ask again in {seconds} s")))?;
        let log = &self.shared.log;
        let partitions = log.partitions();
        let mut batch = Vec::with_capacity(planned.len());
        for (last, found) in planned {
            let partition = u16::try_from(last.partition).ok().filter(|p| *p < partitions);
            let partition = partition.ok_or_else(|| Fault::Internal(format!("a CDR is of partition {}, the log has {partitions}", last.partition)))?;
            let key = if last.root_account.is_empty() { &last.trunk } else { &last.root_account };
            let body = Body::CallRerated(found.order(&order.batch, &order.reason, actor, read_us));
            batch.push(Append { topic: Topic::Calls, partition, event: self.born(key, body) });
        }
        let ticket = log.append(batch, Urgency::Group, Claim::Reserved).map_err(|e| Fault::Unavailable(e.to_string()))?;
        log.wait(ticket, PATIENCE).map_err(|e| Fault::Unavailable(e.to_string()))?;
        Ok(())
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

fn cursor(text: &str) -> Result<RowKey, Stop> {
    let bad = || problem("cursor", "is not the `next_cursor` of the page before");
    let mut parts = text.split('_');
    let mut part = || parts.next().ok_or_else(bad);
    let invite_us = part()?.parse().map_err(|_| bad())?;
    let call = part()?.parse().map_err(|_| bad())?;
    Ok(RowKey { invite_us, call, attempt_no: part()?.parse().map_err(|_| bad())? })
}

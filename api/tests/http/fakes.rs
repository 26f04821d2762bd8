//! Simple parts behind the API's ports, for tests and for looking at the portal: provisioning in a map, live calls in a
//! list, blocks that go straight into the views, a CDR store that is a sorted list.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use tollgate_api::{
    ApiState, CountFrom, KeyConfig, Keys, Limits, Metrics, Parts, Views,
    ports::{
        Approval, Backups, Blocks, CallFilter, Calls, Command, Control, Decision, Decks, Document, EndResult, Fault, Finance, FinanceVerb, Kind, Ledger, LiftResult,
        LiveCall, Money, NewBlock, NewImport, NewPayment, NodeStats, Paid, Pieces, Problem, Readiness, Replayed, RouteAsk, Routing, Told,
    },
};
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event, Origin},
    id::{Id, Mint},
    log::Topic,
    store::{Answer, CdrFilter, CdrQuery, CdrStore, GroupBy, Positions, RowKey, StoreError, TallyBy, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
    tiers,
    time::{Now, format_rfc3339},
    v1::{BlockLifted, BlockPlaced, BlockScope, RequestKey},
};

pub const ADMIN_KEY: &str = "admin-key-of-the-tests";

pub fn now_us() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

pub struct Fakes {
    pub documents: Mutex<BTreeMap<(Kind, String), Value>>,
    pub live: Mutex<Vec<LiveCall>>,
    /// What was ordered, in words.
    pub orders: Mutex<Vec<String>>,
    /// Newest first.
    pub imports: Mutex<Vec<Value>>,
    pub rows: Mutex<Vec<Arc<Cdr>>>,
    pub views: Arc<Views>,
    mint: Mint,
    offset: AtomicU64,
}

impl Fakes {
    pub fn new() -> Arc<Fakes> {
        Arc::new(Fakes {
            documents: Mutex::default(),
            live: Mutex::default(),
            orders: Mutex::default(),
            imports: Mutex::default(),
            rows: Mutex::default(),
            views: Arc::new(Views::new(CountFrom::Calls)),
            mint: Mint::new(0x0a0b_0c0d_0e0f, 1),
            offset: AtomicU64::new(0),
        })
    }

    pub fn state(self: &Arc<Fakes>, keys: Vec<KeyConfig>, limits: Limits) -> ApiState {
        ApiState::new(Parts {
            control: self.clone(),
            calls: self.clone(),
            blocks: self.clone(),
            routing: self.clone(),
            decks: self.clone(),
            backups: self.clone(),
            finance: self.clone(),
            ledger: self.clone(),
            cdrs: self.clone(),
            views: self.views.clone(),
            keys: Keys::new(ADMIN_KEY, keys).expect("keys"),
            render_metrics: Arc::new(|| "# EOF\n".to_owned()),
            ready: Arc::new(|| Readiness { ready: true, waiting_for: Vec::new() }),
            metrics: Metrics::default(),
            limits,
            clock: Arc::new(now_us),
        })
    }

    pub fn id(&self) -> Id {
        self.mint.mint()
    }

    /// Writes a fact of `at_us` and lets the views see it.
    pub fn tell(&self, topic: Topic, key: &str, at_us: i64, body: Body) -> Event {
        let origin = Origin { mint: &self.mint, boot_id: 1, now: Now { utc_us: at_us, mono_ns: 0 }, control_position: 0 };
        let event = Event::born(origin, key, body);
        self.views.apply(topic, 0, self.offset.fetch_add(1, Ordering::Relaxed), &event);
        event
    }

    /// Stores a row and lets the views see it.
    pub fn store(&self, cdr: Cdr) {
        let cdr = Arc::new(cdr);
        self.views.apply_cdr(0, self.offset.fetch_add(1, Ordering::Relaxed), &cdr);
        self.rows.lock().expect("rows").push(cdr);
    }

    fn root_of(&self, account: &str) -> String {
        let documents = self.documents.lock().expect("documents");
        let mut name = account.to_owned();
        while let Some(parent) = documents.get(&(Kind::Account, name.clone())).and_then(|d| d["parent"].as_str()) {
            name = parent.to_owned();
        }
        name
    }

    fn order(&self, order: String) {
        self.orders.lock().expect("orders").push(order);
    }
}

impl Control for Fakes {
    fn submit(&self, command: Command) -> BoxFuture<'_, Result<Decision, Fault>> {
        let Command { kind, name, spec, actor, reason, dry_run } = command;
        let mut documents = self.documents.lock().expect("documents");
        let position = documents.len() as u64;
        let bad = kind == Kind::Trunk && spec.as_ref().is_some_and(|s| s["account"].is_null());
        let decision = if bad {
            Decision::Refused { problems: vec![Problem { path: "account".to_owned(), message: "is missing".to_owned() }] }
        } else {
            if !dry_run {
                self.order(format!("{actor} sets {} {name}: {reason}", kind.name()));
                match spec {
                    Some(spec) => documents.insert((kind, name), spec),
                    None => documents.remove(&(kind, name)),
                };
            }
            Decision::Accepted { position: position + u64::from(!dry_run) }
        };
        async move { Ok(decision) }.boxed()
    }

    fn get(&self, kind: Kind, name: &str) -> Option<Document> {
        let spec = self.documents.lock().expect("documents").get(&(kind, name.to_owned())).cloned()?;
        Some(Document { kind, name: name.to_owned(), spec })
    }

    fn list(&self, kind: Kind) -> Vec<Document> {
        let documents = self.documents.lock().expect("documents");
        let own = documents.iter().filter(|((k, _), _)| *k == kind);
        own.map(|((_, name), spec)| Document { kind, name: name.clone(), spec: spec.clone() }).collect()
    }
}

impl Calls for Fakes {
    fn live(&self, filter: &CallFilter) -> Vec<LiveCall> {
        self.live.lock().expect("live").iter().filter(|c| filter.admits(c)).cloned().collect()
    }

    fn end(&self, call: Id, actor: &str, reason: &str) -> BoxFuture<'_, Result<EndResult, Fault>> {
        let mut live = self.live.lock().expect("live");
        let found = live.iter_mut().find(|c| c.call_uuid == call);
        let result = if let Some(found) = found {
            found.state = "ending";
            self.order(format!("{actor} ends {call}: {reason}"));
            EndResult::Ending
        } else {
            EndResult::Unknown
        };
        async move { Ok(result) }.boxed()
    }

    fn stats(&self) -> NodeStats {
        let live = self.live.lock().expect("live");
        NodeStats {
            node_id: self.mint.node_name(),
            uptime_s: 8_040,
            calls_up: live.len() as u64,
            calls_answered: live.iter().filter(|c| c.answer_us.is_some()).count() as u64,
            cps_1s: 41,
            cps_10s_tenths: 398,
            draining: false,
            log_health: "good".to_owned(),
        }
    }
}

/// Answers with what it was asked, in the forms of the document.
impl Routing for Fakes {
    fn quality(&self, dest_group: Option<&str>) -> Vec<Value> {
        let of = |name: &str| {
            let carrier = json!({
                "carrier": "cheap", "state": "demoted", "false_answer_suspected": false, "false_answer_until": null, "samples": 40, "window_s": 300,
                "asr": "12.50", "ner": "50.00", "ccr": "90.00", "acd_s": "61.5", "acd_counted_s": "60.0", "pdd_s": null, "setup_s": null,
                "short": "2.00", "false_answer_score": "0.00", "answered": 5, "talk_s": "307.5", "bad": 2, "good": 0,
                "demoted_at": "2026-06-01T00:00:00.000000Z",
                "by_window": [{ "window_s": 300, "attempts": 40, "answered": 5, "asr": "12.50", "ner": "50.00", "acd_s": "61.5", "pdd_s": null, "short": "2.00" }],
            });
            json!({
                "dest_group": name, "name": "q-1-0", "at": "2026-06-01T00:00:00.000000Z", "asr": "40.00", "later": "100.00", "pdd_s": "2.1",
                "carriers": [carrier.clone()], "durations": [{ "mean_s": "61.5", "calls": 5 }],
                "classes": [{
                    "codec_class": "wideband", "samples": 40, "asr": "40.00", "later": "100.00", "pdd_s": null, "carriers": [carrier], "durations": [],
                }],
            })
        };
        ["Somalia", "UK", "USA"].into_iter().filter(|name| dest_group.is_none_or(|d| d == *name)).map(of).collect()
    }

    fn explain(&self, ask: RouteAsk) -> BoxFuture<'_, Result<Result<Value, String>, Fault>> {
        let known = ask.account != "nobody";
        let found = json!({
            "account": ask.account, "from": ask.from, "to": ask.to, "at": tollgate_schemas::time::format_rfc3339(ask.at_us), "emergency": false,
            "codec_class": Some(ask.codec_class.name()).filter(|c| !c.is_empty()),
            "routed": false, "why_not": "every carrier is left out", "policy": "lcr", "quality_snapshot": ask.quality, "durations": null, "draw": ask.draw_e6, "sell": null,
            "carriers": [{
                "rank": null, "carrier": "cheap", "reason": "suspended", "expected_cost": null, "prefix": null, "destination": null, "rate": null,
                "connect_fee": null, "initial": null, "increment": null, "currency": null, "covered_by_parent_prefix": false, "quality": "good",
                "quality_class": null,
                "score": null, "asr": "50.00", "ner": "90.00", "samples": 100, "acd_s": "60.0",
            }],
        });
        async move { Ok(if known { Ok(found) } else { Err(format!("the documents have no account '{}'", ask.account)) }) }.boxed()
    }

    fn replay(&self, call: Id, root_account: &str, _: i64) -> BoxFuture<'_, Result<Option<Replayed>, Fault>> {
        let decision = json!({ "codec_class": null, "policy": root_account, "quality_snapshot": null, "durations": [{ "mean_s": "9.0", "calls": 4 }], "draw": call.draw_e6(), "carriers": [] });
        async move { Ok(Some(Replayed { then: decision.clone(), again: decision, agrees: true, control_position: 7 })) }.boxed()
    }
}

impl Ledger for Fakes {
    /// What was paid, and that a call of 0.05 is up.
    fn money(&self, _root: &str, account: &str) -> Vec<Money> {
        let orders = self.orders.lock().expect("orders");
        let paid: i64 = orders.iter().filter_map(|o| o.strip_prefix(&format!("pay {account} "))?.parse::<i64>().ok()).sum();
        if paid == 0 { Vec::new() } else { vec![Money { currency: "USD".to_owned(), owed_e8: -paid, held_e8: 5_000_000, deposits_e8: 0 }] }
    }

    fn pay(&self, payment: NewPayment) -> BoxFuture<'_, Result<Paid, Fault>> {
        let paid = match payment.reference.as_str() {
            "used" => Paid::ReferenceUsed("it is of payment 1".to_owned()),
            "other" => Paid::KeyReused("it was used for payment 1".to_owned()),
            _ => Paid::Booked { id: self.mint.mint(), currency: payment.currency },
        };
        let mut orders = self.orders.lock().expect("orders");
        orders.push(format!("pay {} {}", payment.account, payment.amount_e8));
        orders.extend(payment.request.map(|r| format!("key {}", Id::of(&r.id))));
        async move { Ok(paid) }.boxed()
    }
}

impl Backups for Fakes {
    fn begin(&self, secrets: bool) -> BoxFuture<'_, Result<Pieces, Fault>> {
        let (pieces, all) = tokio::sync::mpsc::channel(4);
        let words = ["log", if secrets { " and keys" } else { "" }, "."];
        words.into_iter().for_each(|word| pieces.try_send(Ok(word.into())).expect("room"));
        async move { Ok(all) }.boxed()
    }
}

/// Proposals are in memory; what a sheet changes is told by the program's own part.
impl Decks for Fakes {
    fn propose(&self, import: NewImport) -> BoxFuture<'_, Result<Told, Fault>> {
        let told = if import.rows.is_empty() {
            Err(vec![Problem { path: "rows".to_owned(), message: "no rows".to_owned() }])
        } else {
            let value = serde_json::json!({
                "import_id": self.id().to_string(), "deck": import.deck, "state": "proposed", "mode": import.mode, "file": import.file, "base_version": null, "version": "00",
                "counts": { "new": 1 }, "flags": {}, "proposed_by": import.actor, "proposed_at": format_rfc3339(now_us()), "reason": import.reason, "order": {},
            });
            if !import.dry_run {
                self.imports.lock().expect("imports").insert(0, value.clone());
            }
            Ok(value)
        };
        async move { Ok(told) }.boxed()
    }

    fn decide(&self, import_id: String, approval: Approval) -> BoxFuture<'_, Result<Told, Fault>> {
        let mut imports = self.imports.lock().expect("imports");
        let one = imports.iter_mut().find(|i| i["import_id"] == import_id.as_str()).expect("import");
        let told = if approval.approve && one["proposed_by"] == approval.actor.as_str() {
            Err(vec![Problem { path: String::new(), message: "somebody else approves it".to_owned() }])
        } else {
            one["state"] = if approval.approve { "approved" } else { "rejected" }.into();
            one["decided_by"] = approval.actor.into();
            Ok(one.clone())
        };
        async move { Ok(told) }.boxed()
    }

    fn imports(&self) -> Vec<Value> {
        self.imports.lock().expect("imports").clone()
    }

    fn import(&self, import_id: String) -> BoxFuture<'_, Result<Option<Value>, Fault>> {
        let found = self.imports().into_iter().find(|i| i["import_id"] == import_id.as_str());
        async move { Ok(found) }.boxed()
    }

    fn versions(&self, deck: &str) -> Option<Value> {
        let known = self.documents.lock().expect("documents").contains_key(&(Kind::Deck, deck.to_owned()));
        known.then(|| serde_json::json!([{ "version": "00", "position": 1, "known_since": format_rfc3339(now_us()), "actor": "admin", "reason": "", "removed": false }]))
    }

    fn price(&self, deck: String, number: String, as_of_us: i64, known_us: i64) -> BoxFuture<'_, Result<Option<Value>, Fault>> {
        let found = self.versions(&deck).map(|_| {
            serde_json::json!({
                "deck": deck, "number": number, "as_of": format_rfc3339(as_of_us), "known_at": format_rfc3339(known_us), "result": "no_prefix", "currency": "USD",
                "deck_version": "00", "known_since": format_rfc3339(known_us), "position": 1, "row": null,
            })
        });
        async move { Ok(found) }.boxed()
    }

    fn sheet(&self, deck: String, _: i64) -> BoxFuture<'_, Result<Option<Vec<u8>>, Fault>> {
        let found = self.versions(&deck).map(|_| b"prefix\n".to_vec());
        async move { Ok(found) }.boxed()
    }

    fn coverage(&self, _: i64) -> BoxFuture<'_, Result<Value, Fault>> {
        async move { Ok(serde_json::json!({ "destinations": [], "gaps": 0, "single_upstream": 0 })) }.boxed()
    }
}

impl Blocks for Fakes {
    fn unknown(&self, scope: BlockScope) -> BoxFuture<'_, Result<Vec<Problem>, Fault>> {
        let unknown = scope.carrier == "nobody";
        let problem = Problem { path: "scope.carrier".to_owned(), message: "there is no carrier 'nobody'".to_owned() };
        async move { Ok(if unknown { vec![problem] } else { Vec::new() }) }.boxed()
    }

    fn place(&self, block: NewBlock) -> BoxFuture<'_, Result<Id, Fault>> {
        let (id, now) = (self.id(), now_us());
        self.order(format!("{} blocks: {}", block.actor, block.reason));
        let key = if block.scope.account.is_empty() { String::new() } else { self.root_of(&block.scope.account) };
        let body = BlockPlaced {
            block_id: id.to_vec(),
            scope: Some(block.scope),
            actor: block.actor,
            reason: block.reason,
            expires_us: block.expires_s.map_or(0, |s| now + s as i64 * 1_000_000),
            sip_code: block.sip_code.into(),
            teardown: block.teardown,
            ..BlockPlaced::default()
        };
        self.tell(Topic::Blocks, &key, now, Body::BlockPlaced(body));
        async move { Ok(id) }.boxed()
    }

    fn lift(&self, block: Id, actor: &str, reason: &str) -> BoxFuture<'_, Result<LiftResult, Fault>> {
        let known = block != Id::NIL && self.orders.lock().expect("orders").iter().any(|o| o.contains(" blocks: "));
        let result = if known {
            self.order(format!("{actor} lifts {block}: {reason}"));
            let body = BlockLifted { block_id: block.to_vec(), actor: actor.to_owned(), reason: reason.to_owned() };
            self.tell(Topic::Blocks, "", now_us(), Body::BlockLifted(body));
            LiftResult::Lifted
        } else {
            LiftResult::Unknown
        };
        async move { Ok(result) }.boxed()
    }
}

fn admits(filter: &CdrFilter, c: &Cdr) -> bool {
    let is = |want: &Option<String>, have: &str| want.as_deref().is_none_or(|w| w == have);
    filter.tenant.as_ref().is_none_or(|t| *t == c.root_account || *t == c.account)
        && filter.payer.as_ref().is_none_or(|p| *p == c.account || tiers::read(&c.tier_amounts).iter().any(|t| t.account == *p))
        && (!filter.resold || !c.tier_amounts.is_empty())
        && c.record_type == filter.record_type
        && filter.since_us.is_none_or(|t| c.invite_ts >= t)
        && filter.until_us.is_none_or(|t| c.invite_ts < t)
        && is(&filter.account, &c.account)
        && is(&filter.trunk, &c.trunk)
        && is(&filter.carrier, &c.carrier)
        && is(&filter.disposition, &c.disposition)
        && filter.call_uuid.is_none_or(|id| id == Id::of(&c.call_uuid))
        && is(&filter.sip_call_id_in, &c.sip_call_id_in)
        && is(&filter.a_number, &c.a_number_e164)
        && is(&filter.b_number, &c.b_number_e164)
}

impl Fakes {
    fn matching(&self, filter: &CdrFilter) -> Vec<Arc<Cdr>> {
        let mut rows: Vec<_> = self.rows.lock().expect("rows").iter().filter(|c| admits(filter, c)).cloned().collect();
        rows.sort_by_key(|c| std::cmp::Reverse(RowKey::of(c)));
        rows
    }

    fn report(&self, query: &TrafficQuery) -> Vec<TrafficRow> {
        let mut groups: BTreeMap<Vec<String>, TrafficRow> = BTreeMap::new();
        for c in self.matching(&query.filter) {
            let of = |g: &GroupBy| match g {
                GroupBy::Account => c.account.clone(),
                GroupBy::Trunk => c.trunk.clone(),
                GroupBy::Carrier => c.carrier.clone(),
                GroupBy::Destination => c.b_dest_group.clone(),
                GroupBy::Country => c.b_country.clone(),
                GroupBy::Hour => format_rfc3339(c.invite_ts - c.invite_ts.rem_euclid(3_600_000_000)),
                GroupBy::Day => format_rfc3339(c.invite_ts - c.invite_ts.rem_euclid(86_400_000_000)),
            };
            let group: Vec<String> = query.group_by.iter().map(of).collect();
            let r = groups.entry(group.clone()).or_insert_with(|| TrafficRow { group, currency: c.sell_currency.clone(), ..TrafficRow::default() });
            let (refused, answered) = (c.disposition == "blocked", c.disposition == "answered");
            r.bids += 1;
            r.refused += u64::from(refused);
            r.seizures += u64::from(!refused);
            r.answered += u64::from(answered);
            r.network_effective += u64::from(answered || c.disposition == "busy");
            r.duration_ms += c.duration_ms;
            r.billed_sell_s += c.billed_sec_sell;
            r.billed_cost_s += c.billed_sec_cost;
            if let Some(pdd) = c.pdd_ms {
                r.pdd_ms_sum += pdd;
                r.pdd_count += 1;
                r.pdd_ms_p50 = r.pdd_ms_p50.max(Some(pdd));
                r.pdd_ms_p95 = r.pdd_ms_p95.max(Some(pdd));
            }
            r.sell_e8 += c.sell_amount;
            r.cost_e8 += c.cost_amount;
            r.margin_e8 += c.sell_amount - c.cost_amount;
        }
        groups.into_values().collect()
    }
}

impl CdrStore for Fakes {
    fn write(&self, _: u16, rows: Vec<Arc<Cdr>>, _: u64) -> Result<(), StoreError> {
        self.rows.lock().expect("rows").extend(rows);
        Ok(())
    }

    fn positions(&self) -> Option<Positions> {
        None
    }

    fn flush(&self) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn cdrs(&self, query: CdrQuery) -> Answer<'_, Vec<Arc<Cdr>>> {
        let rows = self.matching(&query.filter).into_iter();
        let page = rows.filter(|c| query.after.is_none_or(|a| RowKey::of(c) < a)).take(query.limit).collect();
        async move { Ok(page) }.boxed()
    }

    fn traffic(&self, query: TrafficQuery) -> Answer<'_, Vec<TrafficRow>> {
        let rows = self.report(&query);
        async move { Ok(rows) }.boxed()
    }

    fn tally(&self, query: TallyQuery) -> Answer<'_, Vec<TallyRow>> {
        let mut rows: BTreeMap<[String; 3], TallyRow> = BTreeMap::new();
        for c in self.matching(&query.filter).iter().filter(|c| !c.test_call) {
            let party = if query.by == TallyBy::Account { c.account.clone() } else { c.carrier.clone() };
            let row = rows.entry([party, c.root_account.clone(), c.a_validity.clone()]).or_default();
            row.calls += c.count.max(1);
            row.delivered += if c.attempts_total > 0 { c.count.max(1) } else { 0 };
        }
        let named = |([party, root_account, a_validity], row): ([String; 3], TallyRow)| TallyRow { party, root_account, a_validity, ..row };
        let rows = rows.into_iter().map(named).collect();
        async move { Ok(rows) }.boxed()
    }
}

/// The published example.
fn short_calls(order: &Value) -> Value {
    let party = if order["by_carrier"] == true { "carrier" } else { "account" };
    let mut item = json!({ "connected": 1000, "short": 200, "short_pct": "20.00", "allowed": 150, "judged": true, "excess": 50, "breach": true });
    item[party] = "acme".into();
    if party == "account" {
        item["root_account"] = "acme".into();
        item["contract"] = json!({
            "contract": "acme-2026", "max_s": 6, "allowance_pct": "15", "min_calls": 0, "charge": "all", "fee_per_call": "0.01", "connected": 1000,
            "short": 200, "excess": 50, "fee": "2.000000", "currency": "USD", "note": null,
        });
    }
    json!({
        "by": party, "max_s": order["max_s"], "allowance_pct": order["allowance_pct"], "min_calls": order["min_calls"], "breaches": ["acme"],
        "items": [item],
    })
}

impl Finance for Fakes {
    fn ask(&self, verb: FinanceVerb, name: &str, order: serde_json::Value, actor: &str, _: Option<RequestKey>) -> BoxFuture<'_, Result<Option<Result<serde_json::Value, Vec<Problem>>>, Fault>> {
        self.order(format!("{verb:?} {name} {order} by {actor}"));
        let answer = match verb {
            FinanceVerb::AsOf => json!({ "as_of": "1.2", "key": actor }),
            FinanceVerb::Documents | FinanceVerb::Disputes => json!({ "items": [], "next_cursor": null }),
            FinanceVerb::Invoice if order["account"].is_null() => {
                let problem = Problem { path: "account".to_owned(), message: "is missing".to_owned() };
                return Box::pin(async { Ok(Some(Err(vec![problem]))) });
            }
            FinanceVerb::Accrual if order["at"].is_null() => {
                let problem = Problem { path: "at".to_owned(), message: "is missing".to_owned() };
                return Box::pin(async { Ok(Some(Err(vec![problem]))) });
            }
            FinanceVerb::ShortCalls => short_calls(&order),
            FinanceVerb::CallLedger => json!({ "call_uuid": name, "account": order["account"], "items": [], "next_cursor": null }),
            FinanceVerb::Document if name == "nobody-1" => return Box::pin(async { Ok(None) }),
            _ => json!({}),
        };
        Box::pin(async { Ok(Some(Ok(answer))) })
    }
}

//! Rows to store, the simplest model of what a store answers, and a small seeded generator.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::Duration,
};

pub use tollgate_ingest::store_suite::Rng;
use tollgate_schemas::{
    cdr::{ATTEMPT, COLUMNS, Cdr, ColumnType, FINAL, Value},
    id::Id,
    store::{CdrFilter, CdrQuery, RowKey},
};
use tollgate_store::{EmbeddedStore, Options};

/// 2026-11-21T00:00:00Z.
pub const T0: i64 = 1_795_219_200_000_000;

/// Nothing happens on its own: flushes are asked for.
pub fn options() -> Options {
    Options { flush_every: Duration::from_secs(3600), ..Options::default() }
}

pub fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(dir, options()).expect("open")
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime")
}

/// A plain answered call, or its attempt.
pub fn cdr(call: u128, record_type: &str, attempt_no: u32, version: u32) -> Cdr {
    Cdr {
        call_uuid: Id(call).to_vec(),
        record_type: record_type.to_owned(),
        attempt_no,
        cdr_version: version,
        account: "acme".into(),
        root_account: "acme".into(),
        trunk: "t1".into(),
        carrier: "alfa".into(),
        disposition: "answered".into(),
        sip_final_code: 200,
        attempts_total: 1,
        invite_ts: T0,
        count: 1,
        sell_currency: "USD".into(),
        cost_currency: "USD".into(),
        ..Cdr::default()
    }
}

/// A row with a value in each column, made from the seed; optional ones are sometimes unknown.
pub fn full_row(rng: &mut Rng, call: u128) -> Cdr {
    let mut row = Cdr::default();
    for c in COLUMNS {
        if c.optional && rng.below(3) == 0 {
            continue;
        }
        let n = rng.next();
        let text = format!("{}-{n:x} ü \"',;\n", c.name);
        let id = Id(u128::from(n) << 64 | 1).to_vec();
        let money = (n >> 5) as i64 * if n & 1 == 0 { 1 } else { -1 };
        let value = match c.ty {
            ColumnType::Uuid => Value::Uuid(&id),
            ColumnType::Str if n % 5 == 0 => Value::Str(""),
            ColumnType::Str => Value::Str(&text),
            ColumnType::Bool => Value::Bool(n & 1 == 0),
            ColumnType::U32 => Value::U32(n as u32),
            ColumnType::U64 => Value::U64(n | 1 << 63),
            ColumnType::Ts => Value::Ts(T0 + (n % 1_000_000_000_000) as i64),
            ColumnType::Money | ColumnType::Rate => Value::Money(money),
        };
        match (c.ty, value) {
            (ColumnType::Rate, Value::Money(v)) => (c.set)(&mut row, Value::Rate(v)),
            (_, v) => (c.set)(&mut row, v),
        }
    }
    row.call_uuid = Id(call).to_vec();
    row.record_type = if rng.below(2) == 0 { FINAL } else { ATTEMPT }.to_owned();
    row.cdr_version = 1;
    row
}

/// A row among few values, so that filters match some, on a call chosen among few, so that versions meet.
pub fn small_row(rng: &mut Rng) -> Cdr {
    let call = 1 + u128::from(rng.below(400));
    let kind = *rng.pick(&[FINAL, ATTEMPT]);
    let attempt = if kind == FINAL { 1 } else { 1 + rng.below(3) as u32 };
    let version = if rng.below(12) == 0 { 2 + rng.below(2) as u32 } else { 1 };
    // Everything else follows from the identity, as a row written again is the same row.
    let mut own = Rng(0x9e37 + (call as u64) * 977 + u64::from(attempt) * 31 + u64::from(version) * 7 + kind.len() as u64);
    own.next();
    let mut row = cdr(call, kind, attempt, version);
    row.invite_ts = T0 + (own.below(200) as i64) * 30_000_000;
    row.account = (*own.pick(&["acme", "globex", "it's; --"])).to_owned();
    row.root_account = (*own.pick(&["acme", "globex"])).to_owned();
    row.trunk = (*own.pick(&["t1", "t2"])).to_owned();
    row.carrier = (*own.pick(&["alfa", "beta", ""])).to_owned();
    row.disposition = (*own.pick(&["answered", "busy", "blocked", "failed"])).to_owned();
    row.sip_final_code = *own.pick(&[200, 486, 480, 487, 503, 603]);
    row.first_18x_ts = (own.below(2) == 0).then_some(row.invite_ts + 5);
    row.vendor_q850 = (own.below(4) == 0).then_some(19);
    row.attempts_total = own.below(3) as u32;
    row.count = 1 + own.below(2) * own.below(50);
    row.sip_call_id_in = format!("c{}", own.below(50));
    row.a_number_e164 = format!("4930{}", own.below(10));
    row.b_number_e164 = format!("1212{}", own.below(10));
    row.b_dest_group = (*own.pick(&["us", "de"])).to_owned();
    row.b_country = (*own.pick(&["1", "49"])).to_owned();
    row.duration_ms = own.below(100_000);
    row.billed_sec_sell = own.below(100);
    row.billed_sec_cost = own.below(100);
    row.pdd_ms = (own.below(3) > 0).then_some(own.below(900));
    row.sell_amount = own.below(1_000_000_000) as i64;
    row.cost_amount = own.below(1_000_000_000) as i64 - 300_000_000;
    row.sell_currency = (*own.pick(&["USD", "EUR", "USD", ""])).to_owned();
    row.cost_currency = (*own.pick(&["USD", "EUR", "USD"])).to_owned();
    row.margin_base = (own.below(2) == 0).then_some(row.sell_amount - row.cost_amount);
    row
}

/// Every row ever written by identity; the newest version is read.
#[derive(Default, Clone)]
pub struct Model {
    rows: BTreeMap<(String, Id, u32), BTreeMap<u32, Cdr>>,
}

impl Model {
    pub fn write(&mut self, row: &Cdr) {
        let chain = (row.record_type.clone(), Id::of(&row.call_uuid), row.attempt_no);
        self.rows.entry(chain).or_default().entry(row.cdr_version).or_insert_with(|| row.clone());
    }

    pub fn current(&self) -> impl Iterator<Item = &Cdr> {
        self.rows.values().filter_map(|versions| versions.values().next_back())
    }

    /// Every version of every row.
    pub fn written(&self) -> impl Iterator<Item = &Cdr> {
        self.rows.values().flat_map(BTreeMap::values)
    }

    pub fn has(&self, row: &Cdr) -> bool {
        let chain = (row.record_type.clone(), Id::of(&row.call_uuid), row.attempt_no);
        self.rows.get(&chain).is_some_and(|versions| versions.contains_key(&row.cdr_version))
    }

    pub fn cdrs(&self, q: &CdrQuery) -> Vec<Cdr> {
        let mut rows: Vec<Cdr> = self.current().filter(|r| matches(&q.filter, r)).cloned().collect();
        rows.sort_by_key(|r| std::cmp::Reverse(RowKey::of(r)));
        rows.retain(|r| q.after.is_none_or(|after| RowKey::of(r) < after));
        rows.truncate(q.limit);
        rows
    }
}

pub fn matches(f: &CdrFilter, r: &Cdr) -> bool {
    let is = |want: &Option<String>, got: &str| want.as_ref().is_none_or(|w| w == got);
    r.record_type == f.record_type
        && f.tenant.as_ref().is_none_or(|t| *t == r.account || *t == r.root_account)
        && f.since_us.is_none_or(|t| r.invite_ts >= t)
        && f.until_us.is_none_or(|t| r.invite_ts < t)
        && is(&f.account, &r.account)
        && is(&f.trunk, &r.trunk)
        && is(&f.carrier, &r.carrier)
        && is(&f.disposition, &r.disposition)
        && f.call_uuid.is_none_or(|id| id == Id::of(&r.call_uuid))
        && is(&f.sip_call_id_in, &r.sip_call_id_in)
        && is(&f.a_number, &r.a_number_e164)
        && is(&f.b_number, &r.b_number_e164)
}

pub fn all(record_type: &str) -> CdrQuery {
    let filter = CdrFilter { record_type: record_type.to_owned(), ..CdrFilter::default() };
    CdrQuery { filter, after: None, limit: usize::MAX }
}

pub fn random_filter(rng: &mut Rng) -> CdrFilter {
    let some = |rng: &mut Rng, values: &[&str]| (rng.below(5) == 0).then(|| (*rng.pick(values)).to_owned());
    CdrFilter {
        record_type: (*rng.pick(&[FINAL, ATTEMPT])).to_owned(),
        tenant: some(rng, &["acme", "globex", "it's; --", "nobody"]),
        since_us: (rng.below(3) == 0).then(|| T0 + rng.below(200) as i64 * 30_000_000),
        until_us: (rng.below(3) == 0).then(|| T0 + rng.below(200) as i64 * 30_000_000),
        account: some(rng, &["acme", "globex", "it's; --", "' OR 1=1 --"]),
        payer: None,
        resold: false,
        trunk: some(rng, &["t1", "t2"]),
        carrier: some(rng, &["alfa", "beta", ""]),
        disposition: some(rng, &["answered", "busy"]),
        call_uuid: (rng.below(12) == 0).then(|| Id(1 + u128::from(rng.below(400)))),
        sip_call_id_in: (rng.below(12) == 0).then(|| format!("c{}", rng.below(50))),
        a_number: (rng.below(8) == 0).then(|| format!("4930{}", rng.below(10))),
        b_number: (rng.below(8) == 0).then(|| format!("1212{}", rng.below(10))),
        as_of: None,
    }
}

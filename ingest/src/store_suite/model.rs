//! The simplest store: every row ever written by its identity, looked at one by one.

use std::collections::BTreeMap;

use tollgate_schemas::{
    cdr::{ATTEMPT, Cdr},
    id::Id,
    store::{CdrFilter, CdrQuery, GroupBy, RowKey, TallyBy, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
    tiers, time,
};

type Chain = (String, Id, u32);

#[derive(Default, Clone)]
pub struct Model {
    rows: BTreeMap<Chain, BTreeMap<u32, Cdr>>,
}

impl Model {
    pub fn write(&mut self, row: &Cdr) {
        let chain = (row.record_type.clone(), Id::of(&row.call_uuid), row.attempt_no);
        self.rows.entry(chain).or_default().entry(row.cdr_version).or_insert_with(|| row.clone());
    }

    /// The newest version of each row.
    pub fn current(&self) -> impl Iterator<Item = &Cdr> {
        self.rows.values().filter_map(|versions| versions.values().next_back())
    }

    /// Every version of every row.
    pub fn written(&self) -> impl Iterator<Item = &Cdr> {
        self.rows.values().flat_map(BTreeMap::values)
    }

    pub fn cdrs(&self, q: &CdrQuery) -> Vec<Cdr> {
        let mut rows: Vec<Cdr> = self.current().filter(|r| matches(&q.filter, r)).cloned().collect();
        rows.sort_by_key(|r| std::cmp::Reverse(RowKey::of(r)));
        rows.retain(|r| q.after.is_none_or(|after| RowKey::of(r) < after));
        rows.truncate(q.limit);
        rows
    }

    pub fn traffic(&self, q: &TrafficQuery) -> Vec<TrafficRow> {
        let mut groups: BTreeMap<(Vec<String>, String), (TrafficRow, Vec<u64>)> = BTreeMap::new();
        let attempts = q.filter.record_type == ATTEMPT;
        for r in self.current().filter(|r| matches(&q.filter, r)) {
            let group: Vec<String> = q.group_by.iter().map(|by| value(*by, r)).collect();
            let own = if attempts { &r.cost_currency } else { &r.sell_currency };
            let (t, pdd) = groups.entry((group.clone(), own.clone())).or_default();
            let n = r.count.max(1);
            let seized = attempts || r.attempts_total > 0;
            let answered = r.disposition == "answered";
            let rang = r.first_18x_ts.is_some();
            let effective = answered
                || matches!(r.sip_final_code, 486 | 600 | 603)
                || (r.sip_final_code == 487 && rang)
                || (matches!(r.sip_final_code, 480 | 408) && (rang || matches!(r.vendor_q850, Some(18 | 19 | 20))));
            let if_so = |yes: bool| if yes { n } else { 0 };
            t.bids += n;
            t.seizures += if_so(seized);
            t.answered += if_so(answered);
            t.network_effective += if_so(seized && effective);
            t.refused += if_so(r.disposition == "blocked");
            t.duration_ms += r.duration_ms;
            t.billed_sell_s += r.billed_sec_sell;
            t.billed_cost_s += r.billed_sec_cost;
            t.margin_e8 += r.margin_base.unwrap_or(0);
            pdd.extend(r.pdd_ms);
            if r.sell_amount != 0 {
                groups.entry((group.clone(), r.sell_currency.clone())).or_default().0.sell_e8 += r.sell_amount;
            }
            if r.cost_amount != 0 {
                groups.entry((group, r.cost_currency.clone())).or_default().0.cost_e8 += r.cost_amount;
            }
        }
        let finish = |((group, currency), (mut t, mut pdd)): ((Vec<String>, String), (TrafficRow, Vec<u64>))| {
            pdd.sort_unstable();
            let rank = |p: usize| (!pdd.is_empty()).then(|| pdd[(pdd.len() * p).div_ceil(100) - 1]);
            (t.pdd_ms_p50, t.pdd_ms_p95) = (rank(50), rank(95));
            (t.pdd_ms_sum, t.pdd_count) = (pdd.iter().sum(), pdd.len() as u64);
            (t.group, t.currency) = (group, currency);
            t
        };
        groups.into_iter().map(finish).collect()
    }

    pub fn tally(&self, q: &TallyQuery) -> Vec<TallyRow> {
        let mut rows: BTreeMap<[String; 3], TallyRow> = BTreeMap::new();
        for r in self.current().filter(|r| matches(&q.filter, r) && !r.test_call) {
            let (party, root) = match q.by {
                TallyBy::Account => (r.account.clone(), r.root_account.clone()),
                TallyBy::Carrier => (r.carrier.clone(), String::new()),
            };
            let t = rows.entry([party, root, r.a_validity.clone()]).or_default();
            let n = r.count.max(1);
            t.calls += n;
            t.delivered += if q.filter.record_type == ATTEMPT || r.attempts_total > 0 { n } else { 0 };
            let connected = r.answer_ts.is_some_and(|at| q.answered_us.is_none_or(|(from, until)| (from..until).contains(&at)));
            t.connected += u64::from(connected);
            t.short += u64::from(connected && r.duration_ms <= q.short_ms);
        }
        let named = |([party, root_account, a_validity], t): ([String; 3], TallyRow)| TallyRow { party, root_account, a_validity, ..t };
        rows.into_iter().map(named).collect()
    }
}

fn value(by: GroupBy, r: &Cdr) -> String {
    let hour = time::format_rfc3339(r.invite_ts);
    match by {
        GroupBy::Account => r.account.clone(),
        GroupBy::Trunk => r.trunk.clone(),
        GroupBy::Carrier => r.carrier.clone(),
        GroupBy::Destination => r.b_dest_group.clone(),
        GroupBy::Country => r.b_country.clone(),
        GroupBy::Hour => format!("{}:00:00.000000Z", &hour[..13]),
        GroupBy::Day => format!("{}T00:00:00.000000Z", &hour[..10]),
    }
}

pub fn matches(f: &CdrFilter, r: &Cdr) -> bool {
    let is = |want: &Option<String>, got: &str| want.as_ref().is_none_or(|w| w == got);
    r.record_type == f.record_type
        && f.tenant.as_ref().is_none_or(|t| *t == r.account || *t == r.root_account)
        && f.since_us.is_none_or(|t| r.invite_ts >= t)
        && f.until_us.is_none_or(|t| r.invite_ts < t)
        && is(&f.account, &r.account)
        && f.payer.as_ref().is_none_or(|p| *p == r.account || tiers::read(&r.tier_amounts).iter().any(|t| t.account == *p))
        && (!f.resold || !r.tier_amounts.is_empty())
        && is(&f.trunk, &r.trunk)
        && is(&f.carrier, &r.carrier)
        && is(&f.disposition, &r.disposition)
        && f.call_uuid.is_none_or(|id| id == Id::of(&r.call_uuid))
        && is(&f.sip_call_id_in, &r.sip_call_id_in)
        && is(&f.a_number, &r.a_number_e164)
        && is(&f.b_number, &r.b_number_e164)
}

//! `GET /v1/reports/short-calls`: each customer's or carrier's share of short calls, and the fee of those whose contract has
//! one, counted and priced as their invoice is.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_api::ports::Kind;
use tollgate_rating::contract::{self, BadPeriod, Contract, ShortCalls, ShortCharge, ShortPolicy};
use tollgate_schemas::{
    cdr, control,
    money::{format_amount, format_scaled},
    store::{CdrFilter, TallyBy, TallyQuery},
};

use super::{
    Inner, Stop,
    calls::{Period, SETUP_US},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Root account of the key that asks.
    tenant: Option<String>,
    by_carrier: bool,
    since_us: i64,
    until_us: i64,
    account: Option<String>,
    carrier: Option<String>,
    max_s: u64,
    allowance_pct: u32,
    min_calls: u64,
}

impl Inner {
    pub fn short_report(&self, order: &Order) -> Result<Value, Stop> {
        let policy = ShortPolicy {
            short_ms: order.max_s * 1_000,
            allowance_e6: order.allowance_pct * 10_000,
            min_calls: order.min_calls,
            ..ShortPolicy::default()
        };
        let mut parties: BTreeMap<(String, String), (ShortCalls, Value)> = BTreeMap::new();
        for row in self.tallied(order, &policy)? {
            // Calls of nobody that was known.
            if !row.party.is_empty() {
                let (count, _) = parties.entry((row.party, row.root_account)).or_default();
                (count.connected, count.short) = (count.connected + row.connected, count.short + row.short);
            }
        }
        parties.retain(|_, (count, _)| count.connected > 0);
        if !order.by_carrier {
            self.add_fees(order, &mut parties)?;
        }
        let mut items: Vec<(u64, Value)> = parties.into_iter().map(|((party, root), (count, fee))| shown(order, &policy, &party, &root, count, fee)).collect();
        // Who breaches it most comes first.
        items.sort_by_key(|(excess, _)| std::cmp::Reverse(*excess));
        let breaches: Vec<Value> = items.iter().filter(|(excess, _)| *excess > 0).map(|(_, item)| item[party_name(order)].clone()).collect();
        Ok(json!({
            "by": party_name(order),
            "max_s": order.max_s,
            "allowance_pct": order.allowance_pct,
            "min_calls": order.min_calls,
            "breaches": breaches,
            "items": items.into_iter().map(|(_, item)| item).collect::<Vec<_>>(),
        }))
    }

    fn tallied(&self, order: &Order, policy: &ShortPolicy) -> Result<Vec<tollgate_schemas::store::TallyRow>, Stop> {
        let vendor = order.by_carrier || order.carrier.is_some();
        let filter = CdrFilter {
            tenant: order.tenant.clone(),
            record_type: if vendor { cdr::ATTEMPT } else { cdr::FINAL }.to_owned(),
            since_us: Some(order.since_us.saturating_sub(SETUP_US)),
            until_us: Some(order.until_us),
            account: order.account.clone(),
            carrier: order.carrier.clone(),
            ..CdrFilter::default()
        };
        let by = if order.by_carrier { TallyBy::Carrier } else { TallyBy::Account };
        let query = TallyQuery { filter, by, answered_us: Some((order.since_us, order.until_us)), short_ms: policy.short_ms };
        Ok(tokio::runtime::Handle::current().block_on(self.cdrs.tally(query))?)
    }

    /// What contracts with a fee make of the period; an account with one is there also where it has no call of its own.
    fn add_fees(&self, order: &Order, parties: &mut BTreeMap<(String, String), (ShortCalls, Value)>) -> Result<(), Stop> {
        if order.carrier.is_some() {
            return Ok(());
        }
        let specs: BTreeMap<String, control::Contract> = self.documents(Kind::Contract);
        let mut of_account: BTreeMap<String, Vec<Contract>> = BTreeMap::new();
        for (name, spec) in specs.iter().filter(|(_, spec)| spec.short_calls.is_some()) {
            // They compiled when they were provisioned.
            if let Ok(contract) = Contract::compile(name, spec) {
                of_account.entry(spec.account.clone()).or_default().push(contract);
            }
        }
        for (account, contracts) in of_account {
            let root = self.shared.owner.plan().policy.root_of(&account).to_owned();
            let seen = order.tenant.as_ref().is_none_or(|t| *t == account || *t == root) && order.account.as_ref().is_none_or(|a| *a == account);
            if !seen {
                continue;
            }
            if let Some(fee) = self.fee(order, &account, &contracts)? {
                parties.entry((account, root)).or_default().1 = fee;
            }
        }
        Ok(())
    }

    /// None: no contract of these holds in the period.
    fn fee(&self, order: &Order, account: &str, contracts: &[Contract]) -> Result<Option<Value>, Stop> {
        let (found, note) = match contract::in_force(contracts, order.since_us, order.until_us, Tz::UTC) {
            Ok(None) => return Ok(None),
            Ok(Some((contract, _))) => (Some(contract), None),
            Err(e) => {
                // Other days than its cycle's are counted all the same; a period of which a part has other terms is not.
                let of_other_days = contracts.iter().find(|c| matches!(&e, BadPeriod::NoCycle { contract, .. } if *contract == c.name));
                (of_other_days, Some(e.to_string()))
            }
        };
        let Some((contract, policy)) = found.and_then(|c| Some((c, c.short_calls.as_ref()?))) else { return Ok(Some(json!({ "note": note }))) };
        let count = self.short_calls(policy, &Period { account, from_us: order.since_us, until_us: order.until_us }, "", Tz::UTC)?;
        Ok(Some(json!({
            "contract": contract.name,
            "max_s": policy.short_ms / 1_000,
            "allowance_pct": format_scaled(i64::from(policy.allowance_e6), 4, 0),
            "min_calls": policy.min_calls,
            "charge": if policy.charge == ShortCharge::All { "all" } else { "excess" },
            "fee_per_call": format_scaled(policy.fee_e8, 8, 2),
            "connected": count.connected,
            "short": count.short,
            "excess": count.excess(policy),
            "fee": format_amount(count.line(policy).map_or(0, |line| line.amount_e8)),
            "currency": contract.currency,
            "note": note,
        })))
    }
}

fn party_name(order: &Order) -> &'static str {
    if order.by_carrier { "carrier" } else { "account" }
}

fn shown(order: &Order, policy: &ShortPolicy, party: &str, root: &str, count: ShortCalls, fee: Value) -> (u64, Value) {
    let excess = count.excess(policy);
    // Half away from zero, in 1e-2 of a percent.
    let pct = |whole: u64| i64::try_from((u128::from(count.short) * 20_000 + u128::from(whole)) / (2 * u128::from(whole))).unwrap_or(i64::MAX);
    let mut out = json!({
        "connected": count.connected,
        "short": count.short,
        "short_pct": (count.connected > 0).then(|| format_scaled(pct(count.connected), 2, 2)),
        "allowed": count.allowed(policy),
        "judged": count.is_judged(policy),
        "excess": excess,
        "breach": excess > 0,
    });
    out[party_name(order)] = party.into();
    if !order.by_carrier {
        out["root_account"] = root.into();
        out["contract"] = fee;
    }
    (excess, out)
}

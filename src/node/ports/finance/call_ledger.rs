//! `GET /v1/cdrs/{call_uuid}/ledger` (C-098): a call's postings with the balance before and after each, from the ledger.

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_api::ports::Fault;
use tollgate_rating::ledger::{Moved, OfCall};
use tollgate_schemas::{
    id::{Id, partition_of},
    log::Topic,
    money::format_amount,
    time::format_rfc3339,
};

use super::{Inner, Stop, problem};
use crate::node::quality;

/// Records read at a time.
const PAGE: usize = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    root_account: String,
    /// Of the CDR.
    account: String,
    invite_us: i64,
    reservation: Option<String>,
    /// Root account of the key that asks.
    tenant: Option<String>,
}

impl Inner {
    pub fn call_ledger(&self, name: &str, order: &Order) -> Result<Option<Value>, Stop> {
        let Ok(call) = name.parse::<Id>() else { return Ok(None) };
        let log = &*self.shared.log;
        let partition = partition_of(&order.root_account, log.partitions());
        let (end, balances) = self.accounts.of_root(log, partition, &order.root_account).map_err(|e| Stop::Fault(Fault::Unavailable(e)))?;
        let reservation = match &order.reservation {
            Some(id) => Some(id.parse::<Id>().map_err(|_| problem("reservation", format!("'{id}' is no id")))?),
            None => None,
        };
        let fault = |e: anyhow::Error| Stop::Fault(Fault::Unavailable(format!("{e:#}")));
        let from = quality::seek(log, Topic::Ledger, partition, order.invite_us.saturating_sub(quality::SLACK_US)).map_err(fault)?;
        let mut of_call = self.read_ledger(call, order, partition, from, end)?;
        if !of_call.has(reservation) && from > 0 {
            // Postings of calls whose node was lost are not in the order of time.
            of_call = self.read_ledger(call, order, partition, log.first(Topic::Ledger, partition), end)?;
        }
        let moved = of_call.finish(|account, currency| balances.get(&(account.to_owned(), currency.to_owned())).copied().unwrap_or(0));
        let seen = |m: &&Moved| order.tenant.as_ref().is_none_or(|t| *t == m.account || *t == order.root_account);
        Ok(Some(json!({ "call_uuid": call, "account": order.account, "items": moved.iter().filter(seen).map(shown).collect::<Vec<_>>(), "next_cursor": null })))
    }

    fn read_ledger(&self, call: Id, order: &Order, partition: u16, from: u64, end: u64) -> Result<OfCall, Stop> {
        let mut of_call = OfCall::new(call, &order.root_account);
        let mut next = from;
        while next < end {
            let records = self.shared.log.read(Topic::Ledger, partition, next, PAGE).map_err(|e| Fault::Unavailable(e.to_string()))?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            records.iter().filter(|r| r.offset < end).for_each(|r| of_call.apply(&r.event));
        }
        Ok(of_call)
    }
}

/// A balance is what the account has: owing makes it negative, as in `/v1/balances`.
fn shown(m: &Moved) -> Value {
    let has = |owed_e8: i64| format_amount(owed_e8.saturating_neg());
    json!({
        "account": m.account,
        "kind": m.kind,
        "at": format_rfc3339(m.occurred_us),
        "posting_id": m.posting,
        "cdr_version": m.cdr_version,
        "currency": m.currency,
        "balance_before": has(m.owed_before_e8),
        "balance_after": has(m.owed_after_e8),
        "held_before": format_amount(m.held_before_e8),
        "held_after": format_amount(m.held_after_e8),
    })
}

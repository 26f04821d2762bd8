//! Reads the whole log and says what is wrong with it.

use std::collections::BTreeMap;

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::{Body, Event},
    log::{EventLog, LogError, Topic},
    v1::LedgerPosted,
};

use crate::runner::{
    partitions,
    repeats::{Repeats, Seen},
};

/// Problems listed; more are only counted, and after as many the log is given up as damaged through and through.
const LISTED: usize = 1000;
const BATCH: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub topic: Topic,
    pub partition: u16,
    pub offset: u64,
    pub what: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub events: u64,
    pub cdrs: u64,
    pub postings: u64,
    /// On a shared log: events that stand there again, since a sender was killed; readers drop them.
    pub repeats: u64,
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    pub fn sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks every durable event: offsets and `partition_seq` without gaps (on a shared log each node's), readable by this program, CDRs as their hash
/// says, ledger postings that sum to zero in each currency, and customers' balances that can be counted in 64 bits of 1e-8 (FN-08). `seen` is told of
/// progress, events so far.
///
/// Fails only when the log cannot be read at all; what is wrong in it is in the report.
pub fn verify(log: &dyn EventLog, mut seen: impl FnMut(u64)) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::default();
    let mut balances = Balances::new();
    for (topic, partition) in Topic::ALL.into_iter().flat_map(|t| partitions(log, t)) {
        let end = log.end(topic, partition);
        let mut next = log.first(topic, partition);
        let mut seq = None;
        let mut nodes = log.shared().then(Repeats::default);
        while next < end {
            if report.problems.len() >= LISTED {
                return Ok(report);
            }
            let mut note = |offset, what| report.problems.push(Problem { topic, partition, offset, what });
            let records = match log.read(topic, partition, next, BATCH) {
                Ok(records) => records,
                Err(LogError::Corrupt { offset, problem, .. }) => {
                    note(offset, problem);
                    next = offset.max(next) + 1;
                    seq = None;
                    continue;
                }
                Err(e) => return Err(e),
            };
            if records.is_empty() {
                note(next, format!("the log says it goes on to {end} and gives nothing"));
                break;
            }
            for record in &records {
                if record.offset != next && nodes.is_none() {
                    note(next, format!("offset {} follows", record.offset));
                }
                let event = &*record.event;
                match &mut nodes {
                    // Only what nodes forward is numbered by them.
                    Some(nodes) if topic == Topic::Calls => match nodes.see(event) {
                        Seen::Next => {}
                        Seen::Again => {
                            report.repeats += 1;
                            next = record.offset + 1;
                            continue;
                        }
                        Seen::Gap { node, expected } => {
                            note(record.offset, format!("event {} of node {node:012x} where {expected} is due", event.partition_seq));
                        }
                    },
                    Some(_) => {}
                    None => {
                        if let Some(want) = seq.filter(|want| event.partition_seq != *want) {
                            note(record.offset, format!("partition_seq {} where {want} is due", event.partition_seq));
                        }
                        seq = Some(event.partition_seq + 1);
                    }
                }
                if let Some(what) = wrong_with(event) {
                    note(record.offset, what);
                }
                match &event.body {
                    Some(Body::CdrWritten(_)) => report.cdrs += 1,
                    Some(Body::LedgerPosted(posting)) => {
                        report.postings += 1;
                        beyond(&mut balances, posting).into_iter().for_each(|what| note(record.offset, what));
                    }
                    _ => {}
                }
                next = record.offset + 1;
            }
            report.events += records.len() as u64;
            seen(report.events);
        }
    }
    Ok(report)
}

/// Sums by account and currency; ours, which are not named for anybody, have no bound.
type Balances = BTreeMap<(String, String), i128>;

/// What this posting brings beyond what can be shown of a customer.
fn beyond(balances: &mut Balances, posting: &LedgerPosted) -> Vec<String> {
    let fits = |e8: i128| i64::try_from(e8).is_ok();
    let mut found = Vec::new();
    for entry in posting.entries.iter().filter(|e| e.account.contains(':')) {
        let balance = balances.entry((entry.account.clone(), entry.currency.clone())).or_default();
        let before = *balance;
        *balance += i128::from(entry.amount_e8);
        if fits(before) && !fits(*balance) {
            found.push(format!("the balance of {} comes to {balance}e-8 {}: more than can be counted", entry.account, entry.currency));
        }
    }
    found
}

fn wrong_with(event: &Event) -> Option<String> {
    match &event.body {
        Some(Body::CdrWritten(written)) => match Cdr::decode(&*written.cdr) {
            Ok(cdr) if cdr.content_hash()[..] == written.content_hash[..] => None,
            Ok(cdr) => Some(format!("the CDR's content is not what its hash says: call {}", tollgate_schemas::id::Id::of(&cdr.call_uuid))),
            Err(e) => Some(format!("the CDR cannot be decoded: {e}")),
        },
        Some(Body::LedgerPosted(posting)) => {
            let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
            for entry in &posting.entries {
                *sums.entry(&entry.currency).or_default() += i128::from(entry.amount_e8);
            }
            let (currency, sum) = sums.into_iter().find(|(_, sum)| *sum != 0)?;
            Some(format!("the posting's entries sum to {sum}e-8 {currency} instead of zero"))
        }
        None => Some("the event has no body this program knows".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::v1::LedgerEntry;

    use super::*;

    #[test]
    fn fn_08_a_balance_that_cannot_be_counted_is_told_once_and_ours_has_no_bound() {
        let mut balances = Balances::new();
        let entry = |account: &str, amount_e8| LedgerEntry { account: account.into(), amount_e8, currency: "USD".into() };
        let pay = |amount: i64| LedgerPosted { entries: vec![entry("account:a/a", -amount), entry("cash/1", amount)], ..LedgerPosted::default() };
        assert_eq!(beyond(&mut balances, &pay(i64::MAX)), [""; 0]);
        assert_eq!(beyond(&mut balances, &pay(5)).len(), 1);
        assert_eq!(beyond(&mut balances, &pay(5)), [""; 0], "told where it happened");
    }
}

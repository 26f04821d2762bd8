//! What an operator is woken for, counted from the log as it is written (since this process started).

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use prost::Message;
use tollgate_schemas::{cdr::Cdr, event::Body, v1::Event};

#[derive(Default)]
pub struct Figures {
    /// Finals that carry no price though they should.
    unrated: AtomicU64,
    node_lost: AtomicU64,
    /// Answered calls that cost more than they brought.
    negative_margin: AtomicU64,
    quarantined: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    /// Sum of all postings by currency: anything but zero is an error (FN-08).
    ledger: Mutex<BTreeMap<String, i128>>,
}

impl Figures {
    pub fn see(&self, event: &Event) {
        match &event.body {
            Some(Body::CallRefused(refused)) => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(refused.reason.clone()).or_insert(0) += refused.count.max(1);
            }
            Some(Body::CdrWritten(written)) => {
                let Ok(cdr) = Cdr::decode(&*written.cdr) else { return };
                if cdr.is_final() {
                    self.unrated.fetch_add(u64::from(matches!(cdr.rating_status.as_str(), "unrated" | "error")), Ordering::Relaxed);
                    self.negative_margin.fetch_add(u64::from(cdr.margin_base.is_some_and(|m| m < 0)), Ordering::Relaxed);
                    self.node_lost.fetch_add(u64::from(cdr.end_reason == "node_lost"), Ordering::Relaxed);
                }
            }
            Some(Body::LedgerPosted(posted)) => {
                let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                for entry in &posted.entries {
                    *ledger.entry(entry.currency.clone()).or_insert(0) += i128::from(entry.amount_e8);
                }
            }
            Some(Body::Quarantined(_)) => drop(self.quarantined.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    pub fn unrated(&self) -> u64 {
        self.unrated.load(Ordering::Relaxed)
    }

    pub fn negative_margin(&self) -> u64 {
        self.negative_margin.load(Ordering::Relaxed)
    }

    pub fn node_lost(&self) -> u64 {
        self.node_lost.load(Ordering::Relaxed)
    }

    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> BTreeMap<String, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The largest difference of any currency, 1e-8.
    pub fn ledger_difference_e8(&self) -> i64 {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.values().map(|sum| i64::try_from(sum.unsigned_abs()).unwrap_or(i64::MAX)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::v1::{CallRefused, LedgerEntry, LedgerPosted};

    use super::*;

    #[test]
    fn fn_08_a_posting_that_does_not_sum_to_zero_shows() {
        let figures = Figures::default();
        let entry = |account: &str, amount_e8| LedgerEntry { account: account.to_owned(), amount_e8, currency: "USD".to_owned() };
        let post = |entries| Event { body: Some(Body::LedgerPosted(LedgerPosted { entries, ..LedgerPosted::default() })), ..Event::default() };
        figures.see(&post(vec![entry("a", 5), entry("b", -5)]));
        assert_eq!(figures.ledger_difference_e8(), 0);
        figures.see(&post(vec![entry("a", 5), entry("b", -7)]));
        assert_eq!(figures.ledger_difference_e8(), 2);
        let cdr = |margin| Cdr { record_type: "final".into(), margin_base: margin, rating_status: "rated".into(), ..Cdr::default() }.encode_to_vec();
        for margin in [None, Some(5), Some(0), Some(-1)] {
            let written = tollgate_schemas::v1::CdrWritten { cdr: cdr(margin), ..Default::default() };
            figures.see(&Event { body: Some(Body::CdrWritten(written)), ..Event::default() });
        }
        assert_eq!(figures.negative_margin(), 1, "R-41: a realised loss shows");
        let refused = CallRefused { reason: "blocked".to_owned(), count: 17, ..CallRefused::default() };
        figures.see(&Event { body: Some(Body::CallRefused(refused)), ..Event::default() });
        assert_eq!(figures.refused()["blocked"], 17);
    }
}

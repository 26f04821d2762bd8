//! Rows and postings on their way out: versions, hashes, ids.

use prost::Message;
use tollgate_schemas::{
    cdr::Cdr,
    event::Body,
    log::Topic,
    stage::Outputs,
    v1::{CdrWritten, DocumentPosted, Event, LedgerEntry, LedgerPosted, PaymentPosted},
};

use super::{
    NAME,
    charge::cost_charge,
    fold::Touched,
    record,
    state::{Call, Stamp, Written},
    text, tiers,
};
use crate::ledger::{self, posting};

/// What every row of this stage shares, and the names of its accounts.
#[derive(Clone)]
pub(super) struct Desk {
    partition: u16,
    rating_version: u32,
    holds: String,
    revenue: String,
    cost: String,
}

/// A row as bytes, with the hash over it.
struct Encoded {
    cdr: Vec<u8>,
    hash: [u8; 32],
}

impl Desk {
    pub fn new(partition: u16, rating_version: u32) -> Desk {
        Desk { partition, rating_version, holds: ledger::holds(partition), revenue: ledger::revenue(partition), cost: ledger::cost(partition) }
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// Writes every row that is complete for the first time, and every touched row that has changed. `trigger` is the
    /// event that touched them; None for a flush.
    pub fn settle(&self, call: &mut Call, touched: Touched, trigger: Option<Stamp>, out: &mut Outputs) {
        let Some(mut row) = call.head.take() else { return };
        for at in 0..call.attempts.len() {
            let attempt = &call.attempts[at];
            let touches = match touched {
                Touched::Nothing | Touched::Hold => false,
                Touched::Attempt(no) => no == attempt.no,
                // A first end says nothing new about an attempt that failed before it.
                Touched::Call => call.flushed || call.was_lost || !call.earlier_ends.is_empty() || call.is_answered(attempt),
            };
            let due = match attempt.written {
                None => call.flushed || call.lost || call.attempt_complete(attempt),
                Some(_) => touches && trigger.is_some(),
            };
            if due {
                self.write_attempt(call, at, trigger, &mut row, out);
            }
        }
        let due = match call.written {
            None => call.flushed || call.lost || call.complete(),
            Some(_) => trigger.is_some(),
        };
        if due {
            self.write_final(call, trigger, "new_version", &mut row, out);
        } else if call.written.is_none() {
            self.hold(call, trigger, out);
        }
        call.head = Some(row);
    }

    /// Writes the rows a re-rating has given other terms, and the final.
    pub fn rerate(&self, call: &mut Call, order: Stamp, out: &mut Outputs) {
        let Some(mut row) = call.head.take() else { return };
        for at in 0..call.attempts.len() {
            if call.attempts[at].rerated.is_some() && call.attempts[at].written.is_some() {
                self.write_attempt(call, at, Some(order), &mut row, out);
            }
        }
        self.write_final(call, Some(order), "rerate", &mut row, out);
        call.head = Some(row);
    }

    /// A row and the hash over it, as this partition writes it.
    pub fn encoded(&self, row: &mut Cdr) -> (Vec<u8>, [u8; 32]) {
        let Encoded { cdr, hash } = self.encode(row);
        (cdr, hash)
    }

    fn write_attempt(&self, call: &mut Call, at: usize, trigger: Option<Stamp>, row: &mut Cdr, out: &mut Outputs) {
        let attempt = &call.attempts[at];
        let end = call.end_of(attempt).map(|e| e.stamp).or(call.ended.as_ref().map(|e| e.stamp));
        record::attempt_row(call, attempt, row);
        let Some((encoded, written, cause)) = self.version(row, attempt.written, end, trigger) else { return };
        // One event may close several attempts, so the attempt is part of the id.
        let ordinal = attempt.no << 16 | written.version;
        call.attempts[at].written = Some(written);
        self.push_row(call, &cause, "attempt", ordinal, encoded, out);
    }

    /// `again`: why, where it is not the first version.
    fn write_final(&self, call: &mut Call, trigger: Option<Stamp>, again: &str, row: &mut Cdr, out: &mut Outputs) {
        let end = call.ended.as_ref().map(|e| e.stamp);
        record::final_row(call, row);
        row.attempt_no = *call.final_attempt_no.get_or_insert(row.attempt_no);
        // As decided, but for carriers that were passed over since: mostly none.
        let mut explain = text::explain_skipped(&call.explain, &call.skipped).unwrap_or_else(|| std::mem::take(&mut call.explain));
        std::mem::swap(&mut row.route_explain, &mut explain);
        let made = self.version(row, call.written, end, trigger);
        std::mem::swap(&mut row.route_explain, &mut explain);
        if call.skipped.is_empty() {
            call.explain = explain;
        }
        let Some((encoded, written, cause)) = made else { return };
        let first = call.written.is_none();
        call.written = Some(written);
        self.push_row(call, &cause, "final", written.version, encoded, out);

        // Tests are left out of billing (C-107).
        let want = if row.test_call { Vec::new() } else { self.entries(call, row) };
        let entries = posting::difference(&call.posted, &want);
        if entries.is_empty() {
            return;
        }
        let kind = match first {
            true if want.is_empty() => "void",
            true => "usage",
            false => "correction",
        };
        call.posted = want;
        let posted = LedgerPosted {
            kind: kind.to_owned(),
            call_id: call.id().to_vec(),
            attempt_no: row.attempt_no,
            cdr_version: written.version,
            entries,
            reason: if first { "final" } else { again }.to_owned(),
            ..LedgerPosted::default()
        };
        self.push(call, &cause, "ledger", written.version, Topic::Ledger, Body::LedgerPosted(posted), out);
    }

    /// Brings the ledger to what an open call holds. Its final gives all of it back, since that wants none.
    fn hold(&self, call: &mut Call, trigger: Option<Stamp>, out: &mut Outputs) {
        let Some(cause) = trigger.filter(|_| !call.holds.is_empty() && call.ended.is_none()) else { return };
        let mut want = Vec::with_capacity(2 * call.holds.len());
        for hold in &call.holds {
            posting::transfer(&mut want, self.holds.clone(), ledger::held(&call.key, &hold.account), hold.amount_e8, &hold.currency);
        }
        let entries = posting::difference(&call.posted, &want);
        if entries.is_empty() {
            return;
        }
        call.posted = want;
        let posted = LedgerPosted { kind: "hold".to_owned(), call_id: call.id().to_vec(), entries, ..LedgerPosted::default() };
        self.push(call, &cause, "hold", 0, Topic::Ledger, Body::LedgerPosted(posted), out);
    }

    /// What came or went otherwise than by calls. `None`: the payment says nothing that can be posted.
    pub fn pay(&self, event: &Event, paid: &PaymentPosted, out: &mut Outputs) -> Option<()> {
        let (root, account) = (&paid.root_account, &paid.account);
        let (from, to) = match paid.kind.as_str() {
            "payment" => (ledger::customer(root, account), ledger::cash(self.partition)),
            "deposit" => (ledger::deposit(root, account), ledger::cash(self.partition)),
            "adjustment" => (ledger::customer(root, account), ledger::adjustments(self.partition)),
            _ => return None,
        };
        let mut entries = Vec::with_capacity(2);
        posting::transfer(&mut entries, from, to, paid.amount_e8, &paid.currency);
        if entries.is_empty() {
            return None;
        }
        let posted = LedgerPosted { kind: paid.kind.clone(), entries, reason: format!("{}: {}", paid.actor, paid.reason), reference: paid.reference.clone(), request: paid.request.clone(), ..LedgerPosted::default() };
        out.push(Topic::Ledger, self.partition, Event::derived(NAME, event, "payment", 0, Body::LedgerPosted(posted)));
        Some(())
    }

    /// What an invoice or note adds to calls that are posted already. `None`: that is nothing, or does not balance.
    pub fn post_document(&self, event: &Event, document: &DocumentPosted, out: &mut Outputs) -> Option<()> {
        if document.entries.is_empty() || ledger::check(&document.entries).is_err() {
            return None;
        }
        let posted = LedgerPosted { kind: document.kind.clone(), entries: document.entries.clone(), reason: document.number.clone(), ..LedgerPosted::default() };
        out.push(Topic::Ledger, self.partition, Event::derived(NAME, event, "document", 0, Body::LedgerPosted(posted)));
        Some(())
    }

    pub fn write_refused(&self, event: &Event, mut row: Cdr, out: &mut Outputs) {
        let Encoded { cdr, hash } = self.encode(&mut row);
        let body = Body::CdrWritten(CdrWritten { cdr, content_hash: hash.to_vec() });
        out.push(Topic::Cdrs, self.partition, Event::derived(NAME, event, "final", 1, body));
    }

    /// Encodes the row as the version after `before`; None when it says what that version said. Version 1 is caused by
    /// the event that closed the record, a later one by the event that changed it.
    fn version(&self, row: &mut Cdr, before: Option<Written>, closed: Option<Stamp>, trigger: Option<Stamp>) -> Option<(Encoded, Written, Stamp)> {
        let cause = match before {
            None => closed.or(trigger),
            Some(before) => {
                row.cdr_version = before.version;
                row.event_last_offset = before.last_offset;
                let same = halves(&self.encode(row).hash) == (before.hash_high, before.hash_low);
                trigger.filter(|_| !same)
            }
        }?;
        row.cdr_version = before.map_or(1, |b| b.version.saturating_add(1));
        row.event_last_offset = cause.offset;
        let encoded = self.encode(row);
        let (hash_high, hash_low) = halves(&encoded.hash);
        Some((encoded, Written { version: row.cdr_version, last_offset: cause.offset, hash_high, hash_low }, cause))
    }

    /// As `Cdr::content_hash` of a row that has no `ingest_ts`, without its copy.
    fn encode(&self, row: &mut Cdr) -> Encoded {
        row.partition = self.partition.into();
        row.rating_version = self.rating_version;
        let cdr = row.encode_to_vec();
        let hash = *blake3::hash(&cdr).as_bytes();
        Encoded { cdr, hash }
    }

    fn push_row(&self, call: &mut Call, cause: &Stamp, rule: &str, ordinal: u32, encoded: Encoded, out: &mut Outputs) {
        let body = Body::CdrWritten(CdrWritten { cdr: encoded.cdr, content_hash: encoded.hash.to_vec() });
        self.push(call, cause, rule, ordinal, Topic::Cdrs, body, out);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an output's identity")]
    fn push(&self, call: &mut Call, cause: &Stamp, rule: &str, ordinal: u32, topic: Topic, body: Body, out: &mut Outputs) {
        let cause = cause.as_cause(std::mem::take(&mut call.key));
        out.push(topic, self.partition, Event::derived(NAME, &cause, rule, ordinal, body));
        call.key = cause.key;
    }

    /// What the ledger should hold of a call whose final is `row`.
    fn entries(&self, call: &Call, row: &Cdr) -> Vec<LedgerEntry> {
        let mut entries = Vec::with_capacity(4);
        tiers::entries(&mut entries, row, tiers::paid(call).iter().map(tiers::Paid::payment), &self.revenue);
        for attempt in &call.attempts {
            let amount = cost_charge(call, attempt).charge.amount_e8;
            if amount != 0 {
                let currency = record::cost_terms(attempt).map_or("", |t| t.currency.as_str());
                let carrier = attempt.tried.as_ref().map_or("", |t| t.carrier.as_str());
                posting::transfer(&mut entries, ledger::carrier(carrier, self.partition), self.cost.clone(), amount, currency);
            }
        }
        entries
    }
}

fn halves(hash: &[u8; 32]) -> (u64, u64) {
    let part = |at: usize| hash[at..at + 8].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    (part(0), part(8))
}

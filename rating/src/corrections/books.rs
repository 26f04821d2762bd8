//! Finance's documents as a fold over their partition of topic `ledger`: invoices, notes, disputes. A series has no gaps and no
//! doubles, also where several processes issue: a document stands only at the number its series has come to, and one overtaken
//! by another is void for every reader, as is a second invoice of a period.

use std::collections::BTreeMap;

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    v1::{DisputeChanged, InvoiceIssued, LedgerEntry, NoteIssued, RequestKey},
};

use super::{dispute::Dispute, invoice::Invoice};
use crate::lately::{Lately, REQUEST_US};

/// Requests with a key that are known; beyond it the oldest is forgotten before its day is over.
const MAX_REQUESTS: usize = 10_000;

/// Partition of topic `ledger` they are in.
pub const PARTITION: u16 = 0;

/// A document that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub series: String,
    pub number: u64,
    pub account: String,
    pub root_account: String,
    pub currency: String,
    /// `invoice`, `credit` or `debit`.
    pub kind: String,
    /// Of a note: the invoice's.
    pub invoice: Option<(String, u64)>,
    pub from_us: i64,
    pub until_us: i64,
    /// Positive.
    pub total_e8: i64,
    /// An invoice that has the account's calls in every currency.
    pub all_currencies: bool,
    pub issued_us: i64,
    /// What it posts beside calls, balanced.
    pub entries: Vec<LedgerEntry>,
    /// As issued.
    pub json: String,
    /// The position of the log that it was made at; empty where it has none.
    pub as_of: String,
    /// Which document in the order of the log.
    pub order: usize,
}

impl Document {
    /// As people see it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.series, self.number)
    }

    /// What it changes of what its account owes by documents, 1e-8.
    pub fn signed_e8(&self) -> i64 {
        if self.kind == "credit" { self.total_e8.saturating_neg() } else { self.total_e8 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Stands,
    /// Overtaken, or against a rule: as if it had not been written.
    Void,
    /// Not one of these.
    Other,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub request: RequestKey,
    /// The document as it was issued; of a dispute, as this request left it.
    pub json: String,
    /// Of a dispute.
    pub revision: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Books {
    /// The last number of each series.
    series: BTreeMap<String, u64>,
    documents: BTreeMap<(String, u64), Document>,
    disputes: BTreeMap<Id, (u64, Dispute)>,
    /// By the request's id.
    requests: Lately<Made>,
}

impl Default for Books {
    fn default() -> Books {
        Books { series: BTreeMap::new(), documents: BTreeMap::new(), disputes: BTreeMap::new(), requests: Lately::new(MAX_REQUESTS, REQUEST_US) }
    }
}

impl Books {
    pub fn apply(&mut self, event: &Event) -> Fate {
        let at_us = event.occurred_us;
        let (request, json, revision) = match &event.body {
            Some(Body::InvoiceIssued(b)) => (&b.request, &b.document, None),
            Some(Body::NoteIssued(b)) => (&b.request, &b.document, None),
            Some(Body::DisputeChanged(b)) => (&b.request, &b.document, Some(b.revision)),
            _ => return Fate::Other,
        };
        // What was asked for once is made once, also where two processes were asked.
        if request.as_ref().is_some_and(|r| self.request(r, at_us).is_some()) {
            return Fate::Void;
        }
        let fate = match &event.body {
            Some(Body::InvoiceIssued(issued)) => self.invoice(issued, at_us),
            Some(Body::NoteIssued(issued)) => self.note(issued, at_us),
            Some(Body::DisputeChanged(changed)) => self.dispute_changed(changed),
            _ => Fate::Other,
        };
        if let (Fate::Stands, Some(request)) = (fate, request) {
            self.requests.insert(Id::of(&request.id), at_us, Made { request: request.clone(), json: json.clone(), revision });
        }
        fate
    }

    /// What a request came to, as known at an instant: the same key, whatever was asked with it.
    pub fn request(&self, request: &RequestKey, now_us: i64) -> Option<&Made> {
        self.requests.get(Id::of(&request.id), now_us)
    }

    /// What the next document of a series is numbered.
    pub fn next(&self, series: &str) -> u64 {
        self.series.get(series).map_or(1, |last| last + 1)
    }

    fn invoice(&mut self, i: &InvoiceIssued, issued_us: i64) -> Fate {
        let currency = (!i.all_currencies).then_some(i.currency.as_str());
        let overtaken = i.earlier.is_some_and(|earlier| earlier as usize != self.invoices_of(&i.account).count());
        if overtaken || i.number != self.next(&i.series) || self.overlapping(&i.account, currency, i.from_us, i.until_us).is_some() {
            return Fate::Void;
        }
        self.put(Document {
            series: i.series.clone(),
            number: i.number,
            account: i.account.clone(),
            root_account: i.root_account.clone(),
            currency: i.currency.clone(),
            kind: "invoice".to_owned(),
            invoice: None,
            from_us: i.from_us,
            until_us: i.until_us,
            total_e8: i.total_e8,
            all_currencies: i.all_currencies,
            issued_us,
            entries: i.entries.clone(),
            as_of: as_of(&i.document),
            order: self.documents.len(),
            json: i.document.clone(),
        })
    }

    fn note(&mut self, n: &NoteIssued, issued_us: i64) -> Fate {
        let invoice = (n.invoice_series.clone(), n.invoice_number);
        let Some(of) = self.documents.get(&invoice).filter(|d| d.kind == "invoice") else { return Fate::Void };
        let too_much = n.kind == "credit" && n.total_e8 > self.remainder(of);
        let overtaken = !n.follows.is_empty() && n.follows != self.read_at(of);
        if n.number != self.next(&n.series) || too_much || overtaken {
            return Fate::Void;
        }
        let (from_us, until_us) = (of.from_us, of.until_us);
        self.put(Document {
            series: n.series.clone(),
            number: n.number,
            account: n.account.clone(),
            root_account: n.root_account.clone(),
            currency: n.currency.clone(),
            kind: n.kind.clone(),
            invoice: Some(invoice),
            from_us,
            until_us,
            total_e8: n.total_e8,
            all_currencies: false,
            issued_us,
            entries: n.entries.clone(),
            as_of: as_of(&n.document),
            order: self.documents.len(),
            json: n.document.clone(),
        })
    }

    fn put(&mut self, document: Document) -> Fate {
        self.series.insert(document.series.clone(), document.number);
        self.documents.insert((document.series.clone(), document.number), document);
        Fate::Stands
    }

    fn dispute_changed(&mut self, changed: &DisputeChanged) -> Fate {
        let id = Id::of(&changed.dispute_id);
        let Ok(dispute) = serde_json::from_str::<Dispute>(&changed.document) else { return Fate::Void };
        let next = self.disputes.get(&id).map_or(0, |(revision, _)| revision + 1);
        if changed.revision != next {
            return Fate::Void;
        }
        self.disputes.insert(id, (next, dispute));
        Fate::Stands
    }

    pub fn document(&self, series: &str, number: u64) -> Option<&Document> {
        self.documents.get(&(series.to_owned(), number))
    }

    /// By series and number.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// An invoice of that account whose period shares an instant with this one, and whose calls may: in that currency, or (None) in any.
    pub fn overlapping(&self, account: &str, currency: Option<&str>, from_us: i64, until_us: i64) -> Option<&Document> {
        let same = |d: &&Document| d.kind == "invoice" && d.account == account && (d.all_currencies || currency.is_none_or(|c| d.currency == c));
        self.documents().filter(same).find(|d| d.from_us < until_us && from_us < d.until_us)
    }

    pub fn invoices_of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Document> {
        self.documents().filter(move |d| d.kind == "invoice" && d.account == account)
    }

    /// Invoices of an invoice's account that were issued before it: whose late calls are on it.
    pub fn before<'a>(&'a self, invoice: &'a Document) -> impl Iterator<Item = &'a Document> {
        self.invoices_of(&invoice.account).filter(|d| d.order < invoice.order)
    }

    /// Notes about an invoice, by series and number.
    pub fn notes_of<'a>(&'a self, invoice: &'a Document) -> impl Iterator<Item = &'a Document> {
        self.documents().filter(move |d| d.invoice.as_ref().is_some_and(|(s, n)| *s == invoice.series && *n == invoice.number))
    }

    /// What an invoice comes to with its notes, 1e-8.
    pub fn remainder(&self, invoice: &Document) -> i64 {
        self.notes_of(invoice).map(Document::signed_e8).fold(invoice.total_e8, i64::saturating_add)
    }

    /// The position of the log the newest document about an invoice was made at: what changed since is for the next note. Agreed
    /// credits read no calls and do not count.
    pub fn read_at(&self, invoice: &Document) -> String {
        let all = self.notes_of(invoice).chain([invoice]).map(|d| &d.as_of).filter(|a| !a.is_empty());
        // A later one has read on.
        all.max_by_key(|a| a.split('.').filter_map(|n| n.parse::<u64>().ok()).sum::<u64>()).cloned().unwrap_or_default()
    }

    pub fn dispute(&self, id: Id) -> Option<(u64, &Dispute)> {
        self.disputes.get(&id).map(|(revision, dispute)| (*revision, dispute))
    }

    pub fn disputes(&self) -> impl Iterator<Item = (Id, u64, &Dispute)> {
        self.disputes.iter().map(|(id, (revision, dispute))| (*id, *revision, dispute))
    }

    /// An invoice as issued.
    pub fn invoice_json(&self, document: &Document) -> Option<Invoice> {
        serde_json::from_str(&document.json).ok()
    }
}

/// Of a document as issued.
fn as_of(json: &str) -> String {
    #[derive(Default, serde::Deserialize)]
    struct Made {
        #[serde(default)]
        as_of: String,
    }
    serde_json::from_str::<Made>(json).unwrap_or_default().as_of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoice(number: u64, from_us: i64, request: Option<&RequestKey>, at_us: i64) -> Event {
        let body = InvoiceIssued {
            series: "s".into(), number, account: "acme".into(), currency: "EUR".into(), from_us, until_us: from_us + 1, document: format!("{{\"number\":\"s-{number}\"}}"),
            request: request.cloned(), ..InvoiceIssued::default()
        };
        Event { occurred_us: at_us, body: Some(Body::InvoiceIssued(body)), ..Event::default() }
    }

    #[test]
    fn x_08_what_was_asked_for_with_a_key_is_issued_once_within_a_day() {
        let mut books = Books::default();
        let key = RequestKey { id: Id(5).to_vec(), sha256: vec![1; 32] };
        assert_eq!(books.apply(&invoice(1, 10, Some(&key), 100)), Fate::Stands);
        assert_eq!(books.apply(&invoice(2, 20, Some(&key), 101)), Fate::Void, "another process was asked the same");
        let made = books.request(&key, 102).expect("known");
        assert_eq!((made.json.as_str(), &made.request), ("{\"number\":\"s-1\"}", &key));
        assert_eq!(books.apply(&invoice(2, 20, None, 102)), Fate::Stands);
        assert_eq!(books.apply(&invoice(3, 30, Some(&key), 100 + REQUEST_US)), Fate::Stands, "a day later it is another request");
    }
}

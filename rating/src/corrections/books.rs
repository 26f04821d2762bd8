//! Finance's documents as a fold over their partition of topic `ledger`: invoices, notes, disputes. A series has no gaps and no
//! doubles, also where several processes issue: a document stands only at the number its series has come to, and one overtaken
//! by another is void for every reader, as is a second invoice of a period.

use std::collections::BTreeMap;

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    v1::{DisputeChanged, InvoiceIssued, LedgerEntry, NoteIssued},
};

use super::{dispute::Dispute, invoice::Invoice};

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

#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The last number of each series.
    series: BTreeMap<String, u64>,
    documents: BTreeMap<(String, u64), Document>,
    disputes: BTreeMap<Id, (u64, Dispute)>,
}

impl Books {
    pub fn apply(&mut self, event: &Event) -> Fate {
        match &event.body {
            Some(Body::InvoiceIssued(issued)) => self.invoice(issued, event.occurred_us),
            Some(Body::NoteIssued(issued)) => self.note(issued, event.occurred_us),
            Some(Body::DisputeChanged(changed)) => self.dispute_changed(changed),
            _ => Fate::Other,
        }
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

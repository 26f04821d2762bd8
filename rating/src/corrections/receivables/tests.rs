//! FN-03 and FN-04 on books made here.

use tollgate_schemas::{
    event::{Body, Event},
    id::Id,
    v1::{DisputeChanged, InvoiceIssued, LedgerEntry, LedgerPosted, NoteIssued},
};

use super::*;
use crate::{corrections::journal::Journal, ledger};

const E8: i64 = 100_000_000;
const DAY_US: i64 = 86_400_000_000;

struct Desk {
    books: Books,
    journal: Journal,
    next: u64,
}

impl Desk {
    fn new() -> Desk {
        Desk { books: Books::default(), journal: Journal::default(), next: 0 }
    }

    fn event(&self, day: i64, body: Body) -> Event {
        Event { id: Id(u128::from(self.next) + 100).to_vec(), occurred_us: day * DAY_US, body: Some(body), ..Event::default() }
    }

    /// Issued on a day and due on another.
    fn invoice(&mut self, day: i64, due: i64, total: i64) {
        self.next += 1;
        let due = (chrono::NaiveDate::default() + chrono::Days::new(due as u64)).to_string();
        let body = InvoiceIssued {
            series: "s".into(), number: self.next, account: "acme".into(), currency: "EUR".into(), from_us: day, until_us: day + 1, total_e8: total * E8,
            document: format!("{{\"due\":\"{due}\"}}"), ..InvoiceIssued::default()
        };
        let event = self.event(day, Body::InvoiceIssued(body));
        assert_eq!(self.books.apply(&event), crate::corrections::books::Fate::Stands);
    }

    fn note(&mut self, day: i64, of: u64, kind: &str, total: i64) {
        self.next += 1;
        let body = NoteIssued {
            series: "s".into(), number: self.next, account: "acme".into(), currency: "EUR".into(), invoice_series: "s".into(), invoice_number: of, kind: kind.into(),
            total_e8: total * E8, document: "{}".into(), ..NoteIssued::default()
        };
        let event = self.event(day, Body::NoteIssued(body));
        assert_eq!(self.books.apply(&event), crate::corrections::books::Fate::Stands);
    }

    fn booked(&mut self, day: i64, kind: &str, amount: i64) {
        let entry = |account: String, e8| LedgerEntry { account, amount_e8: e8, currency: "EUR".into() };
        let from = if kind == "deposit" { ledger::deposit("acme", "acme") } else { ledger::customer("acme", "acme") };
        let body = LedgerPosted { kind: kind.into(), entries: vec![entry(ledger::cash(0), amount * E8), entry(from, -amount * E8)], reason: "bank".into(), ..LedgerPosted::default() };
        let event = self.event(day, Body::LedgerPosted(body));
        self.journal.apply(&event);
    }

    fn dispute(&mut self, invoice: &str, amount: &str, state: &str) {
        let document = serde_json::json!({
            "id": Id(9).to_string(), "carrier": "", "account": "acme", "invoice": invoice, "currency": "EUR", "bill_date": "", "deadline": "", "amount_billed": "0", "amount_expected": "0",
            "amount_disputed": amount, "reason": "rate", "state": state, "evidence": [], "evidence_sha256": "", "credit": "0",
        });
        let revision = u64::from(self.books.dispute(Id(9)).is_some());
        let body = DisputeChanged { dispute_id: Id(9).to_vec(), state: state.into(), revision, document: document.to_string(), ..DisputeChanged::default() };
        let event = self.event(0, Body::DisputeChanged(body));
        assert_eq!(self.books.apply(&event), crate::corrections::books::Fate::Stands);
    }

    fn customer(&self) -> Customer<'_> {
        Customer { books: &self.books, journal: self.journal.account("acme"), account: "acme", currency: "EUR" }
    }
}

/// 100 on day 10, 60 on day 40, a credit of 10 on the first, 50 paid, 30 disputed of the second.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.invoice(10, 40, 100);
    desk.booked(20, "payment", 50);
    desk.booked(21, "deposit", 500);
    desk.invoice(40, 70, 60);
    desk.note(41, 1, "credit", 10);
    desk.dispute("s-2", "30", "sent");
    desk
}

#[test]
fn fn_04_a_statement_goes_from_opening_to_closing_with_disputes_apart() {
    let desk = desk();
    let view = desk.customer().statement(15 * DAY_US, 50 * DAY_US).expect("kept");
    let told: Vec<_> = view.rows.iter().map(|r| (r.at_us / DAY_US, r.kind.as_str(), r.about.as_str(), r.amount_e8 / E8)).collect();
    assert_eq!(told, [(20, "payment", "bank", -50), (40, "invoice", "", 60), (41, "credit_note", "s-1", -10)]);
    let s = view.sums;
    assert_eq!([s.opening_e8, s.invoiced_e8, s.credited_e8, s.paid_e8, s.closing_e8, s.disputed_e8].map(|e8| e8 / E8), [100, 60, 10, 50, 100, 30]);
    assert_eq!((view.deposits_e8 / E8, view.disputes.len()), (500, 1));
    // One statement's closing is the next one's opening.
    let next = desk.customer().statement(50 * DAY_US, 60 * DAY_US).expect("kept");
    assert_eq!((next.sums.opening_e8, next.rows.len()), (s.closing_e8, 0));
}

#[test]
fn fn_03_payments_pay_the_oldest_and_what_is_disputed_is_not_dunned() {
    let mut desk = desk();
    let aged = |desk: &Desk, today: i64| {
        let aged = desk.customer().aged(i64::MAX, today);
        let a = aged.ageing;
        ([a.not_due_e8, a.overdue_e8[0], a.overdue_e8[1], a.overdue_e8[2], a.overdue_e8[3], a.disputed_e8].map(|e8| e8 / E8), aged.unallocated_e8 / E8, aged.owed_e8() / E8)
    };
    // 40 of the first since day 40, 30 of the second since day 70.
    assert_eq!(aged(&desk, 40), ([70, 0, 0, 0, 0, 30], 0, 100));
    assert_eq!(aged(&desk, 71), ([0, 30, 40, 0, 0, 30], 0, 100));
    assert_eq!(aged(&desk, 131), ([0, 0, 0, 30, 40, 30], 0, 100));
    desk.booked(72, "payment", 45);
    assert_eq!(aged(&desk, 71), ([0, 25, 0, 0, 0, 30], 0, 55));
    desk.dispute("s-2", "30", "rejected");
    assert_eq!(aged(&desk, 71), ([0, 55, 0, 0, 0, 0], 0, 55));
    desk.booked(73, "payment", 60);
    assert_eq!(aged(&desk, 71), ([0; 6], 5, -5), "more than was owed is a credit");
    // As it was before the payments.
    assert_eq!(desk.customer().aged(15 * DAY_US, 15).owed_e8() / E8, 100);
}

#[test]
fn fn_04_closing_is_what_ageing_says_is_owed() {
    let mut desk = desk();
    for (day, amount) in [(50, 70), (51, -20), (52, 200)] {
        desk.booked(day, "adjustment", amount);
        let closing = desk.customer().statement(0, i64::MAX).expect("kept").sums.closing_e8;
        assert_eq!(closing, desk.customer().aged(i64::MAX, 60).owed_e8(), "after {amount}");
    }
}

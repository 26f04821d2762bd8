//! `POST /v1/notes`: what was rated again of an invoiced period, or a credit that was agreed.

use std::{collections::HashSet, sync::Arc};

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use tollgate_api::ports::Fault;
use tollgate_rating::{
    contract::{Contract, Share},
    corrections::{
        books::{Books, Document},
        invoice::{self, Bill, Difference, Exchange, Ground, Invoice, Late, NoteOrder, Terms, Usage},
    },
};
use tollgate_schemas::{cdr::Cdr, event::Body, id::Id, money::parse_scaled, v1::NoteIssued};

use super::{
    Asker, Inner, Stop,
    calls::{Earlier, Into, Period},
    invoices::earlier,
    numbered, pages, posting, problem, shown,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionOrder {
    /// The invoice's number.
    invoice: String,
    reason: String,
    #[serde(default)]
    batches: Vec<String>,
    series: Option<String>,
    /// A credit that was agreed, decimal; else what was rated again.
    amount: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

impl Inner {
    pub fn note(&self, order: &CorrectionOrder, by: &Asker<'_>) -> Result<Value, Stop> {
        if order.reason.trim().is_empty() {
            return Err(problem("reason", "a note says why it is issued (FN-19)"));
        }
        let Some((series, number)) = numbered(&order.invoice) else { return Err(problem("invoice", "want an invoice's number, as 2026-41")) };
        let found: Option<(Document, Option<Invoice>, String, Vec<Earlier>)> = self.look(|books| {
            let of = |d: &Document| (d.clone(), books.invoice_json(d), books.read_at(d), books.before(d).map(earlier).collect());
            books.document(series, number).filter(|d| d.kind == "invoice").map(of)
        })?;
        let Some((document, Some(invoice), read_at, before)) = found else { return Err(problem("invoice", format!("there is no invoice {}", order.invoice))) };
        let agreed = order.amount.as_deref().map(|a| parse_scaled(a, 8)).transpose().map_err(|e| problem("amount", e.to_string()))?;
        if agreed.is_some_and(|a| a <= 0) {
            return Err(problem("amount", "a credit is given positive"));
        }
        let as_of = self.as_of()?;
        let period = Period { account: &document.account, from_us: document.from_us, until_us: document.until_us };
        let contract = contract_of(&invoice)?;
        let fx = self.fx();
        let rates = || Exchange::new(&invoice.currency, &fx, &invoice.exchange);
        let sided = || Into::new(contract.as_ref().map(|(c, share)| (Terms::new(c, *share), rates())));
        let (mut then_into, mut now_into) = (sided(), sided());
        let (mut then_usage, mut now_usage) = (Usage::of(&document.account), Usage::of(&document.account));
        if agreed.is_none() {
            let (then, now) = (self.walk(&period, &read_at), self.walk(&period, &as_of));
            let failures = [then.failure(), now.failure()];
            let late = self.became_known_since(&period, &invoice.as_of, &read_at)?;
            let of = |r: &Arc<Cdr>| (contract.is_some() || r.sell_currency == document.currency) && !late.contains(&Id::of(&r.call_uuid));
            invoice::differences(then, now, |difference| match difference {
                // It goes to the next invoice (FN-17).
                Difference::Late(_) => {}
                Difference::Same(row) if of(&row) => {
                    then_into.add(&row, &mut then_usage);
                    now_into.add(&row, &mut now_usage);
                }
                Difference::Changed(old, new) => {
                    if of(&old) {
                        then_into.add(&old, &mut then_usage);
                    }
                    if of(&new) {
                        now_into.add(&new, &mut now_usage);
                    }
                }
                Difference::Same(_) => {}
            });
            failures.iter().try_for_each(|f| pages::check(f))?;
            [&then_into, &now_into].into_iter().try_for_each(Into::check)?;
        }
        let zone = invoice.period.timezone.parse().unwrap_or(Tz::UTC);
        let has_late = agreed.is_none() && invoice.lines.iter().any(|l| !l.original_date.is_empty());
        let (mut then_late, mut now_late) = (Late::new(), Late::new());
        if has_late {
            let (account, currency) = (&document.account, &document.currency);
            let calls = self.late_calls(account, currency, contract.is_some(), &before, &invoice.as_of)?;
            then_late = self.late_at(account, currency, &before, &calls, &read_at, zone, &mut then_into)?;
            now_late = self.late_at(account, currency, &before, &calls, &as_of, zone, &mut now_into)?;
        }
        // Prices change by re-rating, not how long calls were: the fee for short ones is what it was.
        let short = match contract.as_ref().and_then(|(c, _)| c.short_calls.as_ref()).filter(|_| agreed.is_none()) {
            Some(policy) => Some(self.short_calls(policy, &period, &invoice.as_of, zone)?),
            None => None,
        };
        let contract_lines = |into: Into<'_>| into.agreed.map(|(terms, _)| terms.lines(short)).transpose().map_err(|e| problem("", e.to_string()));
        let then_bill = Bill { usage: &then_usage, late: &then_late, contract: contract_lines(then_into)?.unwrap_or_default() };
        let now_bill = Bill { usage: &now_usage, late: &now_late, contract: contract_lines(now_into)?.unwrap_or_default() };
        let own = order.series.clone().unwrap_or_else(|| series.to_owned());
        let now_us = (self.shared.clock)().utc_us;
        let make = |books: &Books| {
            let ground = match agreed {
                Some(amount_e8) => Ground::Agreed { amount_e8 },
                None => Ground::Rerated { then: &then_bill, now: &now_bill },
            };
            invoice::note(&invoice, ground, NoteOrder {
                series: &own,
                sequence: books.next(&own),
                reason: &order.reason,
                batches: order.batches.clone(),
                issued_us: now_us,
                as_of: if agreed.is_some() { "" } else { &as_of },
                actor: by.id,
                remainder_e8: books.remainder(&document),
            })
        };
        if order.dry_run {
            let made = self.look(&make)?.map_err(|e| problem("", e.to_string()))?;
            return shown(&made, true);
        }
        let at = self.posts_at(&document.account, &invoice.root_account);
        let mut refused = None;
        let issued = self.books.issue(
            &*self.shared.log,
            by.request,
            |books| {
                if agreed.is_none() && books.read_at(&document) != read_at {
                    let said = format!("another note on {} was issued meanwhile: ask again", order.invoice);
                    refused = Some(said.clone());
                    return Err(said);
                }
                let made = make(books).map_err(|e| {
                    refused = Some(e.to_string());
                    e.to_string()
                })?;
                let total_e8 = parse_scaled(&made.total, 8).map_err(|e| e.to_string())?;
                let credit = made.kind == "credit_note";
                let body = Body::NoteIssued(NoteIssued {
                    series: own.clone(),
                    number: made.sequence,
                    account: made.account.clone(),
                    root_account: made.root_account.clone(),
                    currency: made.currency.clone(),
                    invoice_series: document.series.clone(),
                    invoice_number: document.number,
                    kind: if credit { "credit" } else { "debit" }.to_owned(),
                    total_e8,
                    document: serde_json::to_string(&made).map_err(|e| e.to_string())?,
                    entries: posting::of_note(&at, &made),
                    follows: if agreed.is_none() { read_at.clone() } else { String::new() },
                    request: by.request.cloned(),
                });
                Ok((self.born(&made.root_account.clone(), body), made))
            },
            |event| self.write(event),
        );
        match issued {
            Ok(made) => {
                self.post(&own, made.sequence);
                shown(&made, false)
            }
            Err(e) => Err(refused.take().map_or_else(|| Stop::Fault(Fault::Unavailable(e)), |said| problem("", said))),
        }
    }
}

impl Inner {
    /// Calls of a period that its invoice did not know and a note's reading found: they are on later invoices, and no part of this.
    fn became_known_since(&self, period: &Period<'_>, invoiced: &str, read_at: &str) -> Result<HashSet<Id>, Stop> {
        let mut late = HashSet::new();
        if invoiced == read_at {
            return Ok(late);
        }
        let (then, now) = (self.walk(period, invoiced), self.walk(period, read_at));
        let failures = [then.failure(), now.failure()];
        invoice::differences(then, now, |difference| {
            if let Difference::Late(row) = difference {
                late.insert(Id::of(&row.call_uuid));
            }
        });
        failures.iter().try_for_each(|f| pages::check(f))?;
        Ok(late)
    }
}

/// The contract as the invoice has it, whatever is in force now.
fn contract_of(invoice: &Invoice) -> Result<Option<(Contract, Share)>, Stop> {
    let Some(used) = &invoice.contract else { return Ok(None) };
    match Contract::compile(&used.name, &used.spec) {
        Ok(contract) => Ok(Some((contract, Terms::share_of(used)))),
        Err(bad) => {
            let told: Vec<String> = bad.into_iter().map(|b| format!("{}: {}", b.path, b.problem)).collect();
            Err(Stop::Fault(Fault::Internal(format!("contract '{}' of invoice {} cannot be read: {}", used.name, invoice.number, told.join("; ")))))
        }
    }
}

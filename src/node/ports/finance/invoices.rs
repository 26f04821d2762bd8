//! `POST /v1/invoices`, `POST /v1/notes`: documents made of the store's rows at one position of the log, and issued.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tollgate_api::ports::{Fault, Kind, Problem};
use tollgate_rating::{
    corrections::{
        books::{Books, Document},
        invoice::{self, Annex, Details, Difference, Ground, Invoice, NoteOrder, Order as InvoiceOrder, Section, Usage},
    },
    ledger,
};
use tollgate_schemas::{
    cdr::{self, Cdr, Column},
    csv_text::header_line,
    event::Body,
    money::parse_scaled,
    store::CdrFilter,
    time::format_rfc3339,
    v1::{InvoiceIssued, LedgerEntry, NoteIssued},
};

use super::{Inner, Stop, numbered, pages, pages::Pages, positions, problem};

/// Days after a period's end until which its calls are waited for.
const FREEZE_DAYS: u32 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    account: String,
    since: String,
    until: String,
    timezone: Option<String>,
    currency: Option<String>,
    series: Option<String>,
    #[serde(default)]
    dry_run: bool,
    freeze_days: Option<u32>,
    #[serde(default)]
    details: Details,
    /// Instead of now, for a dry run that shows what would have been.
    as_of: Option<String>,
}

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

/// A period's calls as they stood at some position.
struct Period<'a> {
    account: &'a str,
    from_us: i64,
    until_us: i64,
}

impl Inner {
    fn walk(&self, of: &Period<'_>, as_of: &str) -> Pages {
        let filter = CdrFilter {
            record_type: cdr::FINAL.to_owned(),
            account: Some(of.account.to_owned()),
            since_us: Some(of.from_us),
            until_us: Some(of.until_us),
            as_of: Some(positions(as_of)),
            ..CdrFilter::default()
        };
        Pages::of(self.cdrs.clone(), filter)
    }

    pub fn invoice(&self, order: &Order, actor: &str) -> Result<Value, Stop> {
        let zone = zone(order.timezone.as_deref())?;
        let instant = |path: &str, text: &str| invoice::instant(text, zone).map_err(|e| problem(path, e));
        let (from_us, until_us) = (instant("since", &order.since)?, instant("until", &order.until)?);
        let now_us = (self.shared.clock)().utc_us;
        let mut wrong: Vec<Problem> = invoice::check(&order.details).into_iter().map(|(path, message)| Problem { path: format!("details.{path}"), message }).collect();
        let mut also = |path: &str, message: String| wrong.push(Problem { path: path.to_owned(), message });
        if self.shared.owner.get(Kind::Account, &order.account).is_none() {
            also("account", format!("there is no account '{}'", order.account));
        }
        if from_us >= until_us {
            also("until", "must be after 'since'".to_owned());
        }
        // FN-17: a period is frozen some days after its end; what comes later is late usage of the next.
        let frozen_us = until_us.saturating_add(i64::from(order.freeze_days.unwrap_or(FREEZE_DAYS)) * 86_400_000_000);
        if !order.dry_run && now_us < frozen_us {
            also("until", format!("the period is frozen at {}: its calls may still come in (freeze_days)", format_rfc3339(frozen_us)));
        }
        let series = order.series.clone().unwrap_or_else(|| invoice::day(now_us, zone)[..4].to_owned());
        if tollgate_schemas::name::check(&series).is_err() {
            also("series", format!("'{series}' is no name for a series"));
        }
        if order.as_of.is_some() && !order.dry_run {
            also("as_of", "an invoice is issued of now; a dry run can look back".to_owned());
        }
        if !wrong.is_empty() {
            return Err(Stop::Problems(wrong));
        }
        let as_of = match &order.as_of {
            Some(as_of) => as_of.clone(),
            None => self.as_of()?,
        };
        let period = Period { account: &order.account, from_us, until_us };
        let (by_currency, annex) = self.usage(&period, &as_of)?;
        let currency = match (&order.currency, by_currency.len()) {
            (Some(currency), _) => currency.clone(),
            (None, 0) => self.deck_currency(&order.account),
            (None, 1) => by_currency.keys().next().cloned().unwrap_or_default(),
            (None, _) => {
                let all: Vec<&str> = by_currency.keys().map(String::as_str).collect();
                return Err(problem("currency", format!("the calls are in {}: one invoice each", all.join(", "))));
            }
        };
        let usage = by_currency.get(&currency).cloned().unwrap_or_default();
        let earlier: Vec<(i64, i64, String)> = self.look(|books| {
            if let Some(other) = books.overlapping(&order.account, &currency, from_us, until_us) {
                return Err(problem("since", format!("invoice {}-{} has some of this period already: a change is a note", other.series, other.number)));
            }
            Ok(books.invoices_of(&order.account, &currency).map(|d| (d.from_us, d.until_us, as_of_of(d))).collect())
        })??;
        let late = self.late(&order.account, &currency, &earlier, &as_of, zone)?;
        let root = self.shared.owner.plan().policy.root_of(&order.account).to_owned();
        let query = format!("account={}&since={}&until={}&record_type=final&view=customer&as_of={as_of}&format=csv", order.account, format_rfc3339(from_us), format_rfc3339(until_us));
        let make = |sequence: u64| {
            invoice::invoice(&usage, &late, InvoiceOrder {
                series: &series,
                sequence,
                account: &order.account,
                root_account: &root,
                currency: &currency,
                from_us,
                until_us,
                timezone: zone,
                issued_us: now_us,
                details: &order.details,
                as_of: &as_of,
                annex: Annex { query: query.clone(), ..annex.clone() },
                actor,
            })
        };
        if order.dry_run {
            let next = self.look(|books| books.next(&series))?;
            return shown(&make(next), true);
        }
        let mut overtaken = None;
        let issued = self.books.issue(
            &*self.shared.log,
            |books| {
                if let Some(other) = books.overlapping(&order.account, &currency, from_us, until_us) {
                    let said = format!("invoice {}-{} has some of this period already", other.series, other.number);
                    overtaken = Some(said.clone());
                    return Err(said);
                }
                let made = make(books.next(&series));
                let body = Body::InvoiceIssued(InvoiceIssued {
                    series: series.clone(),
                    number: made.sequence,
                    account: order.account.clone(),
                    root_account: root.clone(),
                    currency: currency.clone(),
                    from_us,
                    until_us,
                    total_e8: parse_scaled(&made.total, 8).map_err(|e| e.to_string())?,
                    document: serde_json::to_string(&made).map_err(|e| e.to_string())?,
                    entries: entries(&made),
                });
                Ok((self.born(&root, body), made))
            },
            |event| self.write(event),
        );
        match issued {
            Ok(made) => shown(&made, false),
            Err(e) => Err(overtaken.take().map_or_else(|| Stop::Fault(Fault::Unavailable(e)), |said| problem("since", said))),
        }
    }

    /// The calls of a period by currency, and the hash of the file that has them all.
    fn usage(&self, period: &Period<'_>, as_of: &str) -> Result<(BTreeMap<String, Usage>, Annex), Stop> {
        let columns: Vec<&'static Column> = tollgate_api::customer_columns();
        let (mut hash, mut text, mut rows) = (Sha256::new(), String::new(), 0);
        header_line(columns.iter().map(|c| c.name), &mut text);
        let mut by_currency: BTreeMap<String, Usage> = BTreeMap::new();
        let walk = self.walk(period, as_of);
        let failure = walk.failure();
        for row in walk {
            row.csv_row(&columns, &mut text);
            hash.update(text.as_bytes());
            text.clear();
            rows += 1;
            if invoice::is_billed(&row) && (row.sell_amount != 0 || row.billed_sec_sell != 0) {
                by_currency.entry(row.sell_currency.clone()).or_default().add(&row);
            }
        }
        pages::check(&failure)?;
        hash.update(text.as_bytes());
        Ok((by_currency, Annex { query: String::new(), rows, sha256: hex(&hash.finalize()) }))
    }

    /// Calls of periods invoiced before that became known since the newest of those invoices, by day.
    fn late(&self, account: &str, currency: &str, earlier: &[(i64, i64, String)], as_of: &str, zone: Tz) -> Result<BTreeMap<String, Usage>, Stop> {
        let mut late: BTreeMap<String, Usage> = BTreeMap::new();
        let newest = earlier.iter().map(|(.., at)| at).max_by_key(|at| positions(at).iter().sum::<u64>());
        let Some(newest) = newest else { return Ok(late) };
        for (from_us, until_us, _) in earlier {
            let period = Period { account, from_us: *from_us, until_us: *until_us };
            let (then, now) = (self.walk(&period, newest), self.walk(&period, as_of));
            let failures = [then.failure(), now.failure()];
            invoice::differences(then, now, |difference| {
                if let Difference::Late(row) = difference
                    && row.sell_currency == currency
                    && invoice::is_billed(&row)
                    && (row.sell_amount != 0 || row.billed_sec_sell != 0)
                {
                    late.entry(invoice::day(row.invite_ts, zone)).or_default().add_named(&row);
                }
            });
            failures.iter().try_for_each(|f| pages::check(f))?;
        }
        Ok(late)
    }

    fn deck_currency(&self, account: &str) -> String {
        let deck = self.shared.owner.get(Kind::Account, account).and_then(|a| a.spec["sell_deck"].as_str().map(str::to_owned));
        let deck = deck.and_then(|d| self.shared.owner.get(Kind::Deck, &d));
        deck.and_then(|d| d.spec["currency"].as_str().map(str::to_owned)).unwrap_or_else(|| "USD".to_owned())
    }

    pub fn note(&self, order: &CorrectionOrder, actor: &str) -> Result<Value, Stop> {
        if order.reason.trim().is_empty() {
            return Err(problem("reason", "a note says why it is issued (FN-19)"));
        }
        let Some((series, number)) = numbered(&order.invoice) else { return Err(problem("invoice", "want an invoice's number, as 2026-41")) };
        let found: Option<(Document, Option<Invoice>, String)> = self.look(|books| {
            books.document(series, number).filter(|d| d.kind == "invoice").map(|d| (d.clone(), books.invoice_json(d), books.read_at(d)))
        })?;
        let Some((document, Some(invoice), read_at)) = found else { return Err(problem("invoice", format!("there is no invoice {}", order.invoice))) };
        let agreed = order.amount.as_deref().map(|a| parse_scaled(a, 8)).transpose().map_err(|e| problem("amount", e.to_string()))?;
        if agreed.is_some_and(|a| a <= 0) {
            return Err(problem("amount", "a credit is given positive"));
        }
        let as_of = self.as_of()?;
        let (mut then_usage, mut now_usage) = (Usage::default(), Usage::default());
        if agreed.is_none() {
            let period = Period { account: &document.account, from_us: document.from_us, until_us: document.until_us };
            let (then, now) = (self.walk(&period, &read_at), self.walk(&period, &as_of));
            let failures = [then.failure(), now.failure()];
            let of = |r: &Arc<Cdr>| r.sell_currency == document.currency;
            invoice::differences(then, now, |difference| match difference {
                // It goes to the next invoice (FN-17).
                Difference::Late(_) => {}
                Difference::Same(row) if of(&row) => {
                    then_usage.add(&row);
                    now_usage.add(&row);
                }
                Difference::Changed(old, new) => {
                    if of(&old) {
                        then_usage.add(&old);
                    }
                    if of(&new) {
                        now_usage.add(&new);
                    }
                }
                Difference::Same(_) => {}
            });
            failures.iter().try_for_each(|f| pages::check(f))?;
        }
        let own = order.series.clone().unwrap_or_else(|| series.to_owned());
        let now_us = (self.shared.clock)().utc_us;
        let make = |books: &Books| {
            let ground = match agreed {
                Some(amount_e8) => Ground::Agreed { amount_e8 },
                None => Ground::Rerated { then: &then_usage, now: &now_usage },
            };
            invoice::note(&invoice, ground, NoteOrder {
                series: &own,
                sequence: books.next(&own),
                reason: &order.reason,
                batches: order.batches.clone(),
                issued_us: now_us,
                as_of: if agreed.is_some() { "" } else { &as_of },
                actor,
                remainder_e8: books.remainder(&document),
            })
        };
        if order.dry_run {
            let made = self.look(&make)?.map_err(|e| problem("", e.to_string()))?;
            return shown(&made, true);
        }
        let mut refused = None;
        let issued = self.books.issue(
            &*self.shared.log,
            |books| {
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
                    entries: note_entries(&made),
                });
                Ok((self.born(&made.root_account.clone(), body), made))
            },
            |event| self.write(event),
        );
        match issued {
            Ok(made) => shown(&made, false),
            Err(e) => Err(refused.take().map_or_else(|| Stop::Fault(Fault::Unavailable(e)), |said| problem("", said))),
        }
    }
}

fn shown(document: &impl serde::Serialize, draft: bool) -> Result<Value, Stop> {
    let mut value = serde_json::to_value(document).map_err(|e| Fault::Internal(e.to_string()))?;
    if draft {
        value["draft"] = true.into();
    }
    Ok(value)
}

fn zone(name: Option<&str>) -> Result<Tz, Stop> {
    let name = name.unwrap_or("UTC");
    name.parse().map_err(|_| problem("timezone", format!("'{name}' is not a time zone of the IANA list")))
}

fn as_of_of(document: &Document) -> String {
    serde_json::from_str::<Value>(&document.json).ok().and_then(|v| v["as_of"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// What a document posts beside usage: calls and their fees are posted already (FN-08).
fn posted(root: &str, account: &str, currency: &str, lines: impl Iterator<Item = (Section, i64)>) -> Vec<LedgerEntry> {
    let (mut own, mut tax) = (0i64, 0i64);
    for (section, amount_e8) in lines {
        match section {
            Section::Usage | Section::LateUsage | Section::Fees => {}
            Section::Taxes => tax = tax.saturating_add(amount_e8),
            Section::Recurring | Section::Contract | Section::Credits | Section::Rounding => own = own.saturating_add(amount_e8),
        }
    }
    let entry = |account: String, amount_e8: i64| LedgerEntry { account, amount_e8, currency: currency.to_owned() };
    let mut entries = vec![entry(ledger::customer(root, account), own.saturating_add(tax)), entry(ledger::revenue(0), -own), entry("tax/0".to_owned(), -tax)];
    entries.retain(|e| e.amount_e8 != 0);
    entries
}

fn entries(made: &Invoice) -> Vec<LedgerEntry> {
    let lines = made.lines.iter().filter_map(|l| Some((l.section?, parse_scaled(&l.amount, 8).ok()?)));
    posted(&made.root_account, &made.account, &made.currency, lines)
}

fn note_entries(made: &invoice::Note) -> Vec<LedgerEntry> {
    let lines = made.lines.iter().filter_map(|l| Some((l.section, parse_scaled(&l.amount, 8).ok()?)));
    posted(&made.root_account, &made.account, &made.currency, lines)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::money::format_amount;

    use super::*;

    #[test]
    fn fn_08_what_an_invoice_posts_is_balanced_and_leaves_usage_out() {
        let lines = [(Section::Usage, 500), (Section::Recurring, 100), (Section::Taxes, 126), (Section::Rounding, -6), (Section::Credits, -20)];
        let entries = posted("acme", "acme", "EUR", lines.into_iter());
        assert_eq!(entries.iter().map(|e| e.amount_e8).sum::<i64>(), 0);
        assert_eq!(entries[0].amount_e8, 200, "100 + 126 − 6 − 20");
        assert_eq!(format_amount(entries[2].amount_e8), "-0.00000126");
    }
}

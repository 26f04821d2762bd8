//! `GET /v1/statements`, `/v1/ageing`, `/v1/accrual`, `/v1/netting`: what is owed by the node's books and ledger, and what is not invoiced yet.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_api::ports::{Fault, Kind};
use tollgate_rating::{
    corrections::{
        books::{Books, Document},
        invoice::{day, instant, local},
        journal::Journal,
        receivables::{Aged, Customer, View, day_number},
        statement::{accrual, net},
    },
    fx,
    ledger::Balances,
};
use tollgate_schemas::{
    cdr,
    money::{format_amount, format_rate, parse_scaled},
    store::{CdrFilter, GroupBy, TrafficQuery},
    tiers,
};

use super::{Inner, Stop, pages, pages::Pages, problem, zone};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementOrder {
    account: String,
    since: String,
    until: String,
    timezone: Option<String>,
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgeingOrder {
    account: Option<String>,
    /// The end of this day; now by default.
    at: Option<String>,
    timezone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccrualOrder {
    /// Before this instant.
    at: String,
    timezone: Option<String>,
    account: Option<String>,
    /// Convert into this one.
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NettingOrder {
    account: String,
    carrier: String,
    /// What the carrier's bills come to.
    payable: String,
    currency: Option<String>,
}

/// Amounts of 128 bits that no account has are shown at the limit.
fn narrow(e8: i128) -> i64 {
    i64::try_from(e8).unwrap_or(if e8 < 0 { i64::MIN } else { i64::MAX })
}

impl Inner {
    /// Looks at books and ledger as they are now.
    fn owed<T>(&self, look: impl FnOnce(&Books, &Journal, &Balances) -> T) -> Result<T, Stop> {
        let both = self.look(|books| self.accounts.read(&*self.shared.log, |journal, balances| look(books, journal, balances)))?;
        both.map_err(|e| Stop::Fault(Fault::Unavailable(e)))
    }

    fn known(&self, account: &str) -> Result<String, Stop> {
        if self.shared.owner.get(Kind::Account, account).is_none() {
            return Err(problem("account", format!("there is no account '{account}'")));
        }
        Ok(self.shared.owner.plan().policy.root_of(account).to_owned())
    }

    /// FN-04, one for each currency the account has documents or payments in.
    pub fn statement(&self, order: &StatementOrder) -> Result<Value, Stop> {
        let zone = zone(order.timezone.as_deref())?;
        let at = |path: &str, text: &str| instant(text, zone).map_err(|e| problem(path, e));
        let (from_us, until_us) = (at("since", &order.since)?, at("until", &order.until)?);
        if from_us >= until_us {
            return Err(problem("until", "must be after 'since'"));
        }
        let root = self.known(&order.account)?;
        let own = self.deck_currency(&order.account);
        self.owed(|books, journal, _| {
            let mut currencies = currencies(books, journal, &order.account);
            currencies.insert(own);
            currencies.retain(|c| order.currency.as_ref().is_none_or(|wanted| wanted == c));
            if let Some(none) = order.currency.as_ref().filter(|_| currencies.is_empty()) {
                return Err(problem("currency", format!("account '{}' has no documents and no payments in {none}", order.account)));
            }
            let of = |currency: &String| {
                let customer = Customer { books, journal: journal.account(&order.account), account: &order.account, currency };
                customer.statement(from_us, until_us).map(|view| shown(&view, currency, zone)).map_err(|e| problem("since", e.to_string()))
            };
            let items = currencies.iter().map(of).collect::<Result<Vec<Value>, Stop>>()?;
            Ok(json!({
                "account": order.account, "root_account": root,
                "period": { "from": local(from_us, zone), "until": local(until_us, zone), "timezone": zone.name() },
                "items": items,
            }))
        })?
    }

    /// FN-03: every account that has documents or payments, or one.
    pub fn ageing(&self, order: &AgeingOrder) -> Result<Value, Stop> {
        let zone = zone(order.timezone.as_deref())?;
        let now_us = (self.shared.clock)().utc_us;
        let (until_us, today) = match &order.at {
            None => (i64::MAX, day(now_us, zone)),
            Some(text) => {
                let number = day_number(text).ok_or_else(|| problem("at", format!("'{text}' is no day: want yyyy-mm-dd")))?;
                let next = chrono::NaiveDate::default() + chrono::Duration::days(number + 1);
                (instant(&next.to_string(), zone).map_err(|e| problem("at", e))?, text.clone())
            }
        };
        let number = day_number(&today).unwrap_or(0);
        if let Some(account) = &order.account {
            self.known(account)?;
        }
        let names: Vec<String> = match &order.account {
            Some(one) => vec![one.clone()],
            None => self.shared.owner.list(Kind::Account).into_iter().map(|d| d.name).collect(),
        };
        self.owed(|books, journal, balances| {
            let mut items = Vec::new();
            // By account, under whatever root it was booked; an account that is gone still owes what it owes.
            let mut owed: BTreeMap<&str, BTreeMap<&str, i128>> = BTreeMap::new();
            for (name, currency, e8) in balances.iter() {
                let account = name.strip_prefix("account:").and_then(|n| n.split_once('/')).map(|(_, account)| account);
                if let Some(account) = account {
                    *owed.entry(account).or_default().entry(currency).or_default() += e8;
                }
            }
            let open = owed.iter().filter(|(_, by)| by.values().any(|e8| *e8 != 0)).map(|(account, _)| (*account).to_owned());
            let gone = books.documents().map(|d| d.account.clone()).chain(open).filter(|_| order.account.is_none());
            let accounts: BTreeSet<String> = names.iter().cloned().chain(gone).collect();
            for account in &accounts {
                for currency in currencies(books, journal, account) {
                    let customer = Customer { books, journal: journal.account(account), account, currency: &currency };
                    let now_owed = customer.aged(i64::MAX, number).owed_e8();
                    let ledger_e8 = narrow(owed.get(account.as_str()).and_then(|by| by.get(currency.as_str())).copied().unwrap_or(0));
                    items.push(aged(&customer.aged(until_us, number), account, &currency, ledger_e8, ledger_e8.saturating_sub(now_owed)));
                }
            }
            json!({ "at": today, "timezone": zone.name(), "items": items, "next_cursor": null })
        })
    }

    /// FN-09: Σ rated − Σ invoiced of calls before an instant, by account and currency of the calls; of calls of accounts below what the
    /// account pays for them. Invoiced is what documents issued before
    /// it say of calls. As the calls are priced now: what was rated again and has no note yet is in the difference.
    pub fn accrual(&self, order: &AccrualOrder) -> Result<Value, Stop> {
        let zone = zone(order.timezone.as_deref())?;
        let at_us = instant(&order.at, zone).map_err(|e| problem("at", e))?;
        let as_of = self.as_of()?;
        let filter = CdrFilter { record_type: cdr::FINAL.to_owned(), until_us: Some(at_us), account: order.account.clone(), ..CdrFilter::default() };
        let query = TrafficQuery { filter, group_by: vec![GroupBy::Account] };
        let rows = tokio::runtime::Handle::current().block_on(self.cdrs.traffic(query))?;
        let is_test = |account: &str| self.shared.owner.get(Kind::Account, account).is_some_and(|a| a.spec["test"] == true);
        let mut sums: BTreeMap<(String, String), (i128, i128)> = BTreeMap::new();
        for row in rows.iter().filter(|r| !r.currency.is_empty() && r.sell_e8 != 0) {
            let account = row.group.first().cloned().unwrap_or_default();
            if !is_test(&account) {
                sums.entry((account, row.currency.clone())).or_default().0 += i128::from(row.sell_e8);
            }
        }
        // What accounts above the callers' pay is in the rows' tiers.
        let resold = CdrFilter { record_type: cdr::FINAL.to_owned(), until_us: Some(at_us), payer: order.account.clone(), resold: true, ..CdrFilter::default() };
        let walk = Pages::of(self.cdrs.clone(), resold);
        let failure = walk.failure();
        for row in walk.filter(|r| !is_test(&r.account)) {
            for tier in tiers::read(&row.tier_amounts) {
                let wanted = order.account.as_ref().is_none_or(|a| *a == tier.account);
                if wanted && !tier.currency.is_empty() && tier.amount_e8 != 0 {
                    sums.entry((tier.account, tier.currency)).or_default().0 += i128::from(tier.amount_e8);
                }
            }
        }
        pages::check(&failure)?;
        self.look(|books| {
            for document in books.documents().filter(|d| d.issued_us < at_us && order.account.as_ref().is_none_or(|a| *a == d.account)) {
                for (currency, e8) in invoiced(document) {
                    sums.entry((document.account.clone(), currency)).or_default().1 += i128::from(e8);
                }
            }
        })?;
        let rates = self.fx();
        let (mut items, mut total) = (Vec::new(), 0i128);
        for ((account, currency), (rated, billed)) in &sums {
            let left = narrow(accrual(*rated, *billed));
            let mut item = json!({
                "account": account, "currency": currency, "rated": format_amount(narrow(*rated)), "invoiced": format_amount(narrow(*billed)), "accrual": format_amount(left),
            });
            if let Some(into) = &order.currency {
                let mut converted = left;
                if into != currency {
                    let none = || problem("currency", format!("there is no rate of {currency}/{into} for {} nor the 7 days before: provision one (kind fx_rate)", day(at_us, Tz::UTC)));
                    let used = rates.rate(currency, into, at_us).ok_or_else(none)?;
                    converted = fx::convert(left, used.rate_e12);
                    (item["fx_rate"], item["fx_source"], item["fx_date"]) = (format_rate(used.rate_e12).into(), used.source.into(), used.date.into());
                }
                item["converted"] = format_amount(converted).into();
                total += i128::from(converted);
            }
            items.push(item);
        }
        let mut answer = json!({ "at": local(at_us, zone), "timezone": zone.name(), "as_of": as_of, "items": items, "next_cursor": null });
        if let Some(into) = &order.currency {
            (answer["currency"], answer["total"]) = (into.as_str().into(), format_amount(narrow(total)).into());
        }
        Ok(answer)
    }

    /// FN-03: both directions set off, what is disputed left out. It says what to book, and books nothing.
    pub fn netting(&self, order: &NettingOrder) -> Result<Value, Stop> {
        self.known(&order.account)?;
        if self.shared.owner.get(Kind::Carrier, &order.carrier).is_none() {
            return Err(problem("carrier", format!("there is no carrier '{}'", order.carrier)));
        }
        let payable = parse_scaled(&order.payable, 8).ok().filter(|e8| *e8 >= 0).ok_or_else(|| problem("payable", format!("'{}' is no amount of 0 or more", order.payable)))?;
        let currency = order.currency.clone().unwrap_or_else(|| self.deck_currency(&order.account));
        let today = day_number(&day((self.shared.clock)().utc_us, Tz::UTC)).unwrap_or(0);
        self.owed(|books, journal, _| {
            let customer = Customer { books, journal: journal.account(&order.account), account: &order.account, currency: &currency };
            let aged = customer.aged(i64::MAX, today);
            let theirs = books.disputes().filter(|(_, _, d)| d.carrier == order.carrier && d.currency == currency && d.is_open());
            let disputed = theirs.filter_map(|(_, _, d)| parse_scaled(&d.amount_disputed, 8).ok()).fold(0i64, i64::saturating_add).min(payable);
            let netting = net(aged.owed_e8().saturating_sub(aged.ageing.disputed_e8), payable - disputed);
            json!({
                "account": order.account, "carrier": order.carrier, "currency": currency,
                "receivable": format_amount(aged.owed_e8()), "receivable_disputed": format_amount(aged.ageing.disputed_e8),
                "payable": format_amount(payable), "payable_disputed": format_amount(disputed),
                "set_off": format_amount(netting.set_off_e8), "they_pay": format_amount(netting.they_pay_e8), "we_pay": format_amount(netting.we_pay_e8),
            })
        })
    }
}

fn currencies(books: &Books, journal: &Journal, account: &str) -> BTreeSet<String> {
    let of_documents = books.documents().filter(|d| d.account == account).map(|d| d.currency.clone());
    let of_payments = journal.account(account).into_iter().flat_map(|a| a.movements().map(|m| m.currency.clone()));
    of_documents.chain(of_payments).collect()
}

/// What a document says of calls, by their own currency.
fn invoiced(document: &Document) -> Vec<(String, i64)> {
    let value: Value = serde_json::from_str(&document.json).unwrap_or_default();
    let of_calls = |l: &&Value| l["section"].as_str().is_some_and(|s| matches!(s, "usage" | "late_usage" | "fees"));
    let amount = |v: &Value| v["amount"].as_str().and_then(|a| parse_scaled(a, 8).ok()).unwrap_or(0);
    let line = |l: &Value| match l["exchanged"]["currency"].as_str() {
        Some(currency) => (currency.to_owned(), amount(&l["exchanged"])),
        None => (document.currency.clone(), amount(l)),
    };
    value["lines"].as_array().into_iter().flatten().filter(of_calls).map(line).collect()
}

fn shown(view: &View, currency: &str, zone: Tz) -> Value {
    let row = |r: &tollgate_rating::corrections::receivables::Row| {
        let mut row = json!({ "date": day(r.at_us, zone), "at": local(r.at_us, zone), "kind": r.kind, "number": r.number, "about": r.about, "amount": format_amount(r.amount_e8) });
        if matches!(r.kind.as_str(), "payment" | "adjustment") {
            (row["payment_id"], row["reference"]) = (r.number.as_str().into(), r.reference.as_str().into());
        }
        row
    };
    let dispute = |(invoice, id, e8): &(String, String, i64)| json!({ "invoice": invoice, "dispute": id, "amount": format_amount(*e8) });
    let s = &view.sums;
    json!({
        "currency": currency, "opening": format_amount(s.opening_e8), "rows": view.rows.iter().map(row).collect::<Vec<_>>(),
        "invoiced": format_amount(s.invoiced_e8), "credited": format_amount(s.credited_e8), "paid": format_amount(s.paid_e8), "closing": format_amount(s.closing_e8),
        "disputed": format_amount(s.disputed_e8), "disputes": view.disputes.iter().map(dispute).collect::<Vec<_>>(), "deposits": format_amount(view.deposits_e8),
    })
}

fn aged(found: &Aged, account: &str, currency: &str, ledger_e8: i64, unbilled_e8: i64) -> Value {
    let a = &found.ageing;
    let invoices: Vec<Value> = found
        .invoices
        .iter()
        .map(|i| json!({ "number": i.number, "due": i.due, "total": format_amount(i.total_e8), "open": format_amount(i.open.amount_e8), "disputed": format_amount(i.open.disputed_e8) }))
        .collect();
    json!({
        "account": account, "currency": currency, "not_due": format_amount(a.not_due_e8), "days_1_30": format_amount(a.overdue_e8[0]), "days_31_60": format_amount(a.overdue_e8[1]),
        "days_61_90": format_amount(a.overdue_e8[2]), "days_over_90": format_amount(a.overdue_e8[3]), "disputed": format_amount(a.disputed_e8),
        "unallocated": format_amount(found.unallocated_e8), "owed": format_amount(found.owed_e8()), "dunned": format_amount(a.dunned_e8()), "invoices": invoices,
        // As the ledger has it now, calls that are not invoiced yet in it.
        "ledger": format_amount(ledger_e8), "unbilled": format_amount(unbilled_e8),
    })
}

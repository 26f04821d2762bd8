//! `POST /v1/invoices`: a document made of the store's rows at one position of the log, and issued.

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use tollgate_api::ports::{Fault, Kind, Problem};
use tollgate_rating::{
    contract::Contract,
    corrections::{
        books::Document,
        invoice::{self, Annex, Bill, Details, Exchange, Order as InvoiceOrder, TaxBasis, Terms, Usage},
    },
};
use tollgate_schemas::{control, event::Body, money::parse_scaled, time::format_rfc3339, v1::InvoiceIssued};

use super::{
    Asker, Inner, Stop,
    calls::{Earlier, Into, Period, utc_window},
    posting, problem, shown, zone,
};

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

impl Inner {
    pub fn invoice(&self, order: &Order, by: &Asker<'_>) -> Result<Value, Stop> {
        let zone = zone(order.timezone.as_deref())?;
        let instant = |path: &str, text: &str| invoice::instant(text, zone).map_err(|e| problem(path, e));
        let (from_us, until_us) = (instant("since", &order.since)?, instant("until", &order.until)?);
        let now_us = (self.shared.clock)().utc_us;
        let series = order.series.clone().unwrap_or_else(|| invoice::day(now_us, zone)[..4].to_owned());
        self.check(order, from_us, until_us, now_us, &series)?;
        let period = Period { account: &order.account, from_us, until_us };
        let agreed = self.contract(&order.account, from_us, until_us, zone)?;
        let contract = agreed.as_ref().map(|(contract, _)| contract);
        if let Some(contract) = contract {
            self.check_contract(order, contract, &period, zone, now_us)?;
        }
        let supplied = order.details.supply_date.clone().unwrap_or_else(|| invoice::day(until_us - 1, zone));
        let taxes = self.taxes(order, &supplied, &invoice::day(from_us, zone))?;
        let as_of = match &order.as_of {
            Some(as_of) => as_of.clone(),
            None => self.as_of()?,
        };
        let fx = self.fx();
        let agreed_currency = contract.map_or("", |c| c.currency.as_str());
        let mut into = Into::new(agreed.as_ref().map(|(c, share)| (Terms::new(c, *share), Exchange::new(&c.currency, &fx, &[]))));
        let (by_currency, annex) = self.usage(&period, &as_of, &mut into, agreed_currency)?;
        let currency = match (contract, &order.currency, by_currency.len()) {
            (Some(contract), ..) => contract.currency.clone(),
            (None, Some(currency), _) => currency.clone(),
            (None, None, 0) => self.deck_currency(&order.account),
            (None, None, 1) => by_currency.keys().next().cloned().unwrap_or_default(),
            (None, None, _) => {
                let all: Vec<&str> = by_currency.keys().map(String::as_str).collect();
                return Err(problem("currency", format!("the calls are in {}: one invoice each, or a contract whose currency they are converted into", all.join(", "))));
            }
        };
        let usage = by_currency.get(&currency).cloned().unwrap_or_else(|| Usage::of(&order.account));
        let had = contract.is_none().then_some(currency.as_str());
        let taken = |other: &Document| format!("invoice {} has some of this period already", other.name());
        let earlier: Vec<Earlier> = self.look(|books| {
            if let Some(other) = books.overlapping(&order.account, had, from_us, until_us) {
                return Err(problem("since", format!("{}: a change is a note", taken(other))));
            }
            Ok(books.invoices_of(&order.account).map(earlier).collect())
        })??;
        let late = self.late(&order.account, &currency, &earlier, &as_of, zone, &mut into)?;
        let short = match contract.and_then(|c| c.short_calls.as_ref()) {
            Some(policy) => Some(self.short_calls(policy, &period, &as_of, zone)?),
            None => None,
        };
        let (mut bill, mut used, mut exchange) = (Bill { late: &late, ..Bill::plain(&usage) }, None, Vec::new());
        if let Some((terms, rates)) = into.agreed {
            (used, exchange) = (Some(terms.used()), rates.days());
            bill.contract = terms.lines(short).map_err(|e| problem("until", e.to_string()))?;
        }
        let root = self.shared.owner.plan().policy.root_of(&order.account).to_owned();
        let query = format!("payer={}&since={}&until={}&record_type=final&view=customer&as_of={as_of}&format=csv", order.account, format_rfc3339(from_us), format_rfc3339(until_us));
        let make = |sequence: u64| {
            invoice::invoice(&bill, InvoiceOrder {
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
                supplied: &supplied,
                taxes: taxes.as_ref(),
                contract: used.clone(),
                exchange: exchange.clone(),
                as_of: &as_of,
                annex: Annex { query: query.clone(), ..annex.clone() },
                actor: by.id,
            })
            .map_err(|e| e.to_string())
        };
        let next = self.look(|books| books.next(&series))?;
        let draft = make(next).map_err(|e| problem("details.tax", e))?;
        if order.dry_run {
            return shown(&draft, true);
        }
        let at = self.posts_at(&order.account, &root);
        let mut overtaken = None;
        let issued = self.books.issue(
            &*self.shared.log,
            by.request,
            |books| {
                if let Some(other) = books.overlapping(&order.account, had, from_us, until_us) {
                    overtaken = Some(taken(other));
                    return Err(taken(other));
                }
                // Their late calls would be on both.
                if books.invoices_of(&order.account).count() != earlier.len() {
                    let said = "another invoice of the account was issued meanwhile: ask again".to_owned();
                    overtaken = Some(said.clone());
                    return Err(said);
                }
                let made = make(books.next(&series))?;
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
                    entries: posting::of_invoice(&at, &made),
                    all_currencies: used.is_some(),
                    earlier: u32::try_from(earlier.len()).ok(),
                    request: by.request.cloned(),
                });
                Ok((self.born(&root, body), made))
            },
            |event| self.write(event),
        );
        match issued {
            Ok(made) => {
                self.post(&series, made.sequence);
                shown(&made, false)
            }
            Err(e) => Err(overtaken.take().map_or_else(|| Stop::Fault(Fault::Unavailable(e)), |said| problem("since", said))),
        }
    }

    /// What can be known to be wrong before calls are read.
    fn check(&self, order: &Order, from_us: i64, until_us: i64, now_us: i64, series: &str) -> Result<(), Stop> {
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
        if tollgate_schemas::name::check(series).is_err() {
            also("series", format!("'{series}' is no name for a series"));
        }
        if let Some(as_of) = order.as_of.as_ref().filter(|a| super::positions(a).len() != usize::from(self.shared.log.partitions())) {
            also("as_of", format!("'{as_of}': want a position of this log, as /v1/as_of gives it"));
        }
        if order.as_of.is_some() && !order.dry_run {
            also("as_of", "an invoice is issued of now; a dry run can look back".to_owned());
        }
        if wrong.is_empty() { Ok(()) } else { Err(Stop::Problems(wrong)) }
    }

    fn check_contract(&self, order: &Order, contract: &Contract, period: &Period<'_>, zone: Tz, now_us: i64) -> Result<(), Stop> {
        if let Some(currency) = order.currency.as_ref().filter(|c| **c != contract.currency) {
            return Err(problem("currency", format!("'{currency}': contract '{}' is in {}, and its invoices are (R-30)", contract.name, contract.currency)));
        }
        let (_, window_us) = utc_window(period, zone);
        if contract.short_calls.is_some() && !order.dry_run && now_us < window_us {
            return Err(problem("until", format!("short calls are counted until {} (R-28)", format_rfc3339(window_us))));
        }
        Ok(())
    }

    /// By which tables the invoice is taxed; None: by its details alone.
    fn taxes(&self, order: &Order, supplied: &str, first: &str) -> Result<Option<TaxBasis>, Stop> {
        let details = &order.details;
        let account = self.shared.owner.get(Kind::Account, &order.account).and_then(|a| serde_json::from_value::<control::Account>(a.spec).ok());
        let profile = match (details.tax.clone().or_else(|| account.and_then(|a| a.tax)), details.customer.country.as_str()) {
            (Some(profile), _) => profile,
            (None, "") => return Ok(None),
            (None, country) => {
                let region = Some(details.customer.region.clone()).filter(|r| !r.is_empty());
                let place = control::TaxPlace { country: country.to_owned(), region, share_pct: "100".to_owned(), lines: 0 };
                let seller_country = details.supplier.country.clone();
                if seller_country.is_empty() {
                    return Err(problem("details.supplier.country", "the customer's country says how it is taxed: say the supplier's, too"));
                }
                control::TaxProfile { seller_country, places: vec![place], vat_id: None, vat_id_checked: None, certificate: None, certificate_until: None, interstate_pct: None }
            }
        };
        let wrong: Vec<Problem> = TaxBasis::check(&profile).into_iter().map(|(path, message)| Problem { path: format!("details.tax.{path}"), message }).collect();
        if !wrong.is_empty() {
            return Err(Stop::Problems(wrong));
        }
        if !details.taxes.is_empty() {
            return Err(problem("details.taxes", "the tax tables say what is charged where this customer is: leave taxes out, or its country (account, details.tax, details.customer)"));
        }
        let tables = self.documents(Kind::Tax);
        let basis = TaxBasis::new(profile, supplied, &tables);
        if details.supply_date.is_none() && basis.differs_on(first, &tables) {
            return Err(problem("until", format!("the tax tables are others on {first} than on {supplied}: make an invoice for each, or say which day counts (details.supply_date)")));
        }
        Ok(Some(basis))
    }

    pub fn deck_currency(&self, account: &str) -> String {
        let deck = self.shared.owner.get(Kind::Account, account).and_then(|a| a.spec["sell_deck"].as_str().map(str::to_owned));
        let deck = deck.and_then(|d| self.shared.owner.get(Kind::Deck, &d));
        deck.and_then(|d| d.spec["currency"].as_str().map(str::to_owned)).unwrap_or_else(|| "USD".to_owned())
    }
}

/// What later invoices need of one.
pub fn earlier(document: &Document) -> Earlier {
    let (currency, as_of) = (document.currency.clone(), document.as_of.clone());
    Earlier { from_us: document.from_us, until_us: document.until_us, currency, all_currencies: document.all_currencies, as_of }
}

//! The calls of a period that an account pays for, its own and those of accounts below it with what it pays of them, at one
//! position of the log: added up for a document, converted where its contract is in another currency, and those that became known after
//! their invoice.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write,
    sync::{Arc, Mutex},
};

use chrono_tz::Tz;
use sha2::{Digest, Sha256};
use tollgate_api::ports::{Kind, Problem};
use tollgate_rating::{
    contract::{self, BadMeter, Contract, Share, ShortCalls, ShortPolicy},
    corrections::invoice::{self, Annex, Difference, Exchange, Late, NoRate, Terms, Usage},
    fx::Fx,
};
use tollgate_schemas::{
    cdr::{self, Cdr, Column},
    control,
    csv_text::header_line,
    id::Id,
    store::{CdrFilter, StoreError, TallyBy, TallyQuery},
    tiers,
};

use super::{Inner, Stop, pages, pages::Pages, positions, problem};

/// Days without a rate that are told.
const TOLD: usize = 10;
/// A call is answered within so long of its INVITE.
pub const SETUP_US: i64 = 86_400_000_000;

/// A period's calls.
pub struct Period<'a> {
    pub account: &'a str,
    pub from_us: i64,
    pub until_us: i64,
}

/// What an invoice was, as far as later ones need it.
pub struct Earlier {
    pub from_us: i64,
    pub until_us: i64,
    pub currency: String,
    pub all_currencies: bool,
    pub as_of: String,
}

/// How rows come into a document.
pub struct Into<'c> {
    /// Under a contract: its lines, and the rates of other currencies.
    pub agreed: Option<(Terms<'c>, Exchange<'c>)>,
    missing: BTreeSet<String>,
    failed: Option<BadMeter>,
}

impl<'c> Into<'c> {
    pub fn new(agreed: Option<(Terms<'c>, Exchange<'c>)>) -> Into<'c> {
        Into { agreed, missing: BTreeSet::new(), failed: None }
    }

    /// Adds a row that is billed: to the usage, and to what the contract counts.
    pub fn add(&mut self, row: &Cdr, usage: &mut Usage) {
        if !costs(row) {
            return;
        }
        let Some((terms, exchange)) = &mut self.agreed else { return usage.add(row) };
        match exchange.of(row) {
            Ok(at) => {
                usage.add_at(row, at);
                if let Err(e) = terms.add(row, at) {
                    self.failed.get_or_insert(e);
                }
            }
            Err(e) => self.missing(&e),
        }
    }

    /// A call of an earlier period: no contract counts it.
    fn add_late(&mut self, row: &Cdr, usage: &mut Usage) {
        match self.agreed.as_mut().map(|(_, exchange)| exchange.of(row)) {
            None => usage.add_named(row, None),
            Some(Ok(at)) => usage.add_named(row, at),
            Some(Err(e)) => self.missing(&e),
        }
    }

    fn missing(&mut self, e: &NoRate) {
        if self.missing.len() <= TOLD {
            self.missing.insert(e.to_string());
        }
    }

    /// What could not be added stops the document.
    pub fn check(&self) -> Result<(), Stop> {
        if let Some(e) = &self.failed {
            return Err(problem("until", e.to_string()));
        }
        let mut told: Vec<Problem> = self.missing.iter().take(TOLD).map(|message| Problem { path: "currency".to_owned(), message: message.clone() }).collect();
        if self.missing.len() > TOLD {
            told.push(Problem { path: "currency".to_owned(), message: "and on more days".to_owned() });
        }
        if told.is_empty() { Ok(()) } else { Err(Stop::Problems(told)) }
    }
}

fn costs(row: &Cdr) -> bool {
    invoice::is_billed(row) && (row.sell_amount != 0 || row.billed_sec_sell != 0)
}

/// Rows as the account that pays may see them.
pub struct Paid {
    pages: Pages,
    payer: String,
}

impl Paid {
    /// As [`Pages::failure`].
    pub fn failure(&self) -> Arc<Mutex<Option<StoreError>>> {
        self.pages.failure()
    }
}

impl Iterator for Paid {
    type Item = Arc<Cdr>;

    fn next(&mut self) -> Option<Arc<Cdr>> {
        self.pages.by_ref().find_map(|row| tiers::paid_by(&row, &self.payer))
    }
}

impl Inner {
    pub fn walk(&self, of: &Period<'_>, as_of: &str) -> Paid {
        let filter = CdrFilter {
            record_type: cdr::FINAL.to_owned(),
            payer: Some(of.account.to_owned()),
            since_us: Some(of.from_us),
            until_us: Some(of.until_us),
            as_of: Some(positions(as_of)),
            ..CdrFilter::default()
        };
        Paid { pages: Pages::of(self.cdrs.clone(), filter), payer: of.account.to_owned() }
    }

    /// Documents of a kind, those that read.
    pub fn documents<T: serde::de::DeserializeOwned>(&self, kind: Kind) -> BTreeMap<String, T> {
        let read = |d: tollgate_api::ports::Document| Some((d.name, serde_json::from_value(d.spec).ok()?));
        self.shared.owner.list(kind).into_iter().filter_map(read).collect()
    }

    pub fn fx(&self) -> Fx {
        // They compiled when they were provisioned.
        Fx::compile(&self.documents(Kind::FxRate)).unwrap_or_default()
    }

    /// The account's contract over a period, or why there is no invoice of that period.
    pub fn contract(&self, account: &str, from_us: i64, until_us: i64, zone: Tz) -> Result<Option<(Contract, Share)>, Stop> {
        let specs: BTreeMap<String, control::Contract> = self.documents(Kind::Contract);
        let own: Vec<Contract> = specs.iter().filter(|(_, s)| s.account == account).filter_map(|(name, s)| Contract::compile(name, s).ok()).collect();
        let found = contract::in_force(&own, from_us, until_us, zone).map_err(|e| problem("since", e.to_string()))?;
        Ok(found.map(|(contract, share)| (contract.clone(), share)))
    }

    /// The calls of a period by currency (under a contract all in its), and the hash of the file that has them all.
    pub fn usage(&self, period: &Period<'_>, as_of: &str, into: &mut Into<'_>, currency: &str) -> Result<(BTreeMap<String, Usage>, Annex), Stop> {
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
            if costs(&row) {
                let of = if into.agreed.is_some() { currency } else { row.sell_currency.as_str() };
                into.add(&row, by_currency.entry(of.to_owned()).or_insert_with(|| Usage::of(period.account)));
            }
        }
        pages::check(&failure)?;
        into.check()?;
        hash.update(text.as_bytes());
        Ok((by_currency, Annex { query: String::new(), rows, sha256: hex(&hash.finalize()) }))
    }

    /// Calls of periods invoiced before that became known since, by day.
    pub fn late(&self, account: &str, currency: &str, earlier: &[Earlier], as_of: &str, zone: Tz, into: &mut Into<'_>) -> Result<Late, Stop> {
        let (mut late, all) = (Late::new(), into.agreed.is_some());
        self.each_late(account, currency, all, earlier, as_of, |row| into.add_late(row, late.entry(invoice::day(row.invite_ts, zone)).or_insert_with(|| Usage::of(account))))?;
        into.check()?;
        Ok(late)
    }

    /// The late calls that an invoice has, by their ids: those of `earlier` that were known when it was made, at `as_of`.
    pub fn late_calls(&self, account: &str, currency: &str, all: bool, earlier: &[Earlier], as_of: &str) -> Result<HashSet<Id>, Stop> {
        let mut calls = HashSet::new();
        self.each_late(account, currency, all, earlier, as_of, |row| _ = calls.insert(Id::of(&row.call_uuid)))?;
        Ok(calls)
    }

    /// These calls of periods invoiced before, as they stood at a position of the log, by day.
    pub fn late_at(&self, account: &str, currency: &str, earlier: &[Earlier], calls: &HashSet<Id>, as_of: &str, zone: Tz, into: &mut Into<'_>) -> Result<Late, Stop> {
        let (mut late, mut left) = (Late::new(), calls.clone());
        for before in earlier {
            if left.is_empty() {
                break;
            }
            let walk = self.walk(&Period { account, from_us: before.from_us, until_us: before.until_us }, as_of);
            let (failure, all) = (walk.failure(), into.agreed.is_some());
            for row in walk.filter(|row| costs(row) && (all || row.sell_currency == currency)) {
                if left.remove(&Id::of(&row.call_uuid)) {
                    into.add_late(&row, late.entry(invoice::day(row.invite_ts, zone)).or_insert_with(|| Usage::of(account)));
                }
            }
            pages::check(&failure)?;
        }
        into.check()?;
        Ok(late)
    }

    /// Late calls of a currency go to the next invoice that has that currency: so they were looked for last by the newest of the invoices
    /// that have it, and each is found once. `all`: in every currency.
    fn each_late(&self, account: &str, currency: &str, all: bool, earlier: &[Earlier], as_of: &str, mut take: impl FnMut(&Cdr)) -> Result<(), Stop> {
        let mut known: BTreeSet<&str> = earlier.iter().filter(|e| !e.all_currencies).map(|e| e.currency.as_str()).collect();
        known.insert(currency);
        for before in earlier {
            let wanted = |c: &str| (before.all_currencies || before.currency == c) && (all || c == currency);
            // Each currency by itself, then the others together.
            let single = known.iter().copied().filter(|c| wanted(c)).map(Some);
            let rest = (all && before.all_currencies).then_some(None);
            for only in single.chain(rest) {
                let has = |e: &&Earlier| e.all_currencies || only == Some(e.currency.as_str());
                let Some(newest) = earlier.iter().filter(has).map(|e| &e.as_of).max_by_key(|at| positions(at).iter().sum::<u64>()) else { continue };
                let period = Period { account, from_us: before.from_us, until_us: before.until_us };
                let (then, now) = (self.walk(&period, newest), self.walk(&period, as_of));
                let failures = [then.failure(), now.failure()];
                invoice::differences(then, now, |difference| {
                    let Difference::Late(row) = difference else { return };
                    let of = row.sell_currency.as_str();
                    if costs(&row) && only.map_or_else(|| !known.contains(of), |c| c == of) {
                        take(&row);
                    }
                });
                failures.iter().try_for_each(|f| pages::check(f))?;
            }
        }
        Ok(())
    }

    /// what the account pays for, as an invoice of the period counts it: connected calls by their answers, in the UTC days of the
    /// period. `as_of` empty = as the rows stand.
    pub fn short_calls(&self, policy: &ShortPolicy, period: &Period<'_>, as_of: &str, zone: Tz) -> Result<ShortCalls, Stop> {
        let (from_us, until_us) = utc_window(period, zone);
        let filter = CdrFilter {
            record_type: cdr::FINAL.to_owned(),
            payer: Some(period.account.to_owned()),
            since_us: Some(from_us.saturating_sub(SETUP_US)),
            until_us: Some(until_us),
            as_of: (!as_of.is_empty()).then(|| positions(as_of)),
            ..CdrFilter::default()
        };
        let query = TallyQuery { filter, by: TallyBy::Account, answered_us: Some((from_us, until_us)), short_ms: policy.short_ms };
        let rows = tokio::runtime::Handle::current().block_on(self.cdrs.tally(query))?;
        Ok(rows.iter().fold(ShortCalls::default(), |sum, row| ShortCalls { connected: sum.connected + row.connected, short: sum.short + row.short }))
    }
}

/// The same clock times in UTC: a month of any zone becomes the month of UTC.
pub fn utc_window(period: &Period<'_>, zone: Tz) -> (i64, i64) {
    let there = |us: i64| chrono::DateTime::from_timestamp_micros(us).map_or(us, |t| t.with_timezone(&zone).naive_local().and_utc().timestamp_micros());
    (there(period.from_us), there(period.until_us))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

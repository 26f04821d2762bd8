//! `tollgate statement`, `ageing`, `accrual`, `netting`: what is owed, and what is not invoiced yet (FN-03, FN-04, FN-09).

use serde_json::Value;

use super::{
    Done,
    api::{ApiArgs, Client, Shown},
    out,
};

/// Where days begin.
#[derive(clap::Args)]
struct Days {
    /// IANA zone of dates
    #[arg(long, default_value = "UTC")]
    timezone: chrono_tz::Tz,
}

/// Shows an account's statement: opening balance, invoices, notes, payments, closing balance, disputes apart
#[derive(clap::Args)]
pub struct StatementArgs {
    #[arg(long)]
    account: String,
    /// Its beginning: a date in --timezone, or an RFC 3339 time
    #[arg(long, alias = "since", value_name = "TIME")]
    from: String,
    /// Its end, which is not in it
    #[arg(long, value_name = "TIME")]
    until: String,
    #[command(flatten)]
    days: Days,
    /// Only this one
    #[arg(long)]
    currency: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// Shows what accounts owe by age: not due, 1-30, 31-60, 61-90 and more days overdue
#[derive(clap::Args)]
pub struct AgeingArgs {
    /// One account; all without it
    #[arg(long)]
    account: Option<String>,
    /// At the end of this day (yyyy-mm-dd) [default: now]
    #[arg(long, value_name = "DATE")]
    at: Option<String>,
    #[command(flatten)]
    days: Days,
    #[command(flatten)]
    shown: Shown,
}

/// Shows what calls before a day came to and is on no invoice issued before it: rated less invoiced
#[derive(clap::Args)]
pub struct AccrualArgs {
    /// Before this: a date in --timezone, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    at: String,
    #[command(flatten)]
    days: Days,
    /// One account; all without it
    #[arg(long)]
    account: Option<String>,
    /// Convert into this currency at the day's rate, and sum
    #[arg(long)]
    currency: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// Sets off what an account owes and what is owed to the same party as a carrier; books nothing
#[derive(clap::Args)]
pub struct NettingArgs {
    #[arg(long)]
    account: String,
    #[arg(long)]
    carrier: String,
    /// What the carrier's bills come to
    #[arg(long, value_name = "AMOUNT")]
    payable: String,
    /// Of both [default: the account's]
    #[arg(long)]
    currency: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

fn ask(api: &ApiArgs, path: &str, query: &[(&str, Option<&str>)]) -> anyhow::Result<Value> {
    let query: Vec<(&str, &str)> = query.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    Client::new(api)?.get(path, &query)?.ok()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or("-").to_owned()
}

fn rows(items: &Value, columns: &[&str]) -> Vec<Vec<String>> {
    items.as_array().into_iter().flatten().map(|item| columns.iter().map(|c| text(item, c)).collect()).collect()
}

pub fn statement(args: &StatementArgs) -> anyhow::Result<Done> {
    let zone = args.days.timezone.name();
    let query = [("account", Some(args.account.as_str())), ("since", Some(&args.from)), ("until", Some(&args.until)), ("timezone", Some(zone)), ("currency", args.currency.as_deref())];
    let found = ask(&args.shown.api, "/v1/statements", &query)?;
    if args.shown.json {
        out::json(&found)?;
        return Ok(Done::Yes);
    }
    for item in found["items"].as_array().into_iter().flatten() {
        let (period, currency) = (&found["period"], text(item, "currency"));
        let none = String::new;
        let mut lines = vec![vec![text(period, "from"), "opening".to_owned(), none(), none(), none(), text(item, "opening")]];
        let row = |r: &Value| {
            let reference = r["reference"].as_str().unwrap_or_default().to_owned();
            vec![text(r, "at"), text(r, "kind"), text(r, "number"), reference, text(r, "about"), text(r, "amount")]
        };
        lines.extend(item["rows"].as_array().into_iter().flatten().map(row));
        lines.push(vec![text(period, "until"), "closing".to_owned(), none(), none(), none(), text(item, "closing")]);
        out::line(&format!("{} in {currency}, {} … {} ({zone})", args.account, text(period, "from"), text(period, "until")))?;
        out::text(&out::table(&["AT", "KIND", "NUMBER", "REFERENCE", "ABOUT", "AMOUNT"], &lines))?;
        out::line(&format!("invoiced {}, credited {}, paid {}; kept as deposit {}", text(item, "invoiced"), text(item, "credited"), text(item, "paid"), text(item, "deposits")))?;
        if item["disputes"].as_array().is_some_and(|d| !d.is_empty()) {
            out::line(&format!("disputed {}, in the balance and not dunned:", text(item, "disputed")))?;
            out::text(&out::table(&["INVOICE", "DISPUTE", "AMOUNT"], &rows(&item["disputes"], &["invoice", "dispute", "amount"])))?;
        }
    }
    Ok(Done::Yes)
}

pub fn ageing(args: &AgeingArgs) -> anyhow::Result<Done> {
    let query = [("account", args.account.as_deref()), ("at", args.at.as_deref()), ("timezone", Some(args.days.timezone.name()))];
    let found = ask(&args.shown.api, "/v1/ageing", &query)?;
    if args.shown.json {
        out::json(&found["items"])?;
        return Ok(Done::Yes);
    }
    let columns = ["account", "currency", "not_due", "days_1_30", "days_31_60", "days_61_90", "days_over_90", "disputed", "unallocated", "owed", "unbilled"];
    let header = ["ACCOUNT", "CUR", "NOT DUE", "1-30", "31-60", "61-90", "OVER 90", "DISPUTED", "UNALLOCATED", "OWED", "UNBILLED NOW"];
    out::text(&out::table(&header, &rows(&found["items"], &columns)))?;
    Ok(Done::Yes)
}

pub fn accrual(args: &AccrualArgs) -> anyhow::Result<Done> {
    let query = [("at", Some(args.at.as_str())), ("timezone", Some(args.days.timezone.name())), ("account", args.account.as_deref()), ("currency", args.currency.as_deref())];
    let found = ask(&args.shown.api, "/v1/accrual", &query)?;
    if args.shown.json {
        out::json(&found)?;
        return Ok(Done::Yes);
    }
    let mut columns = vec!["account", "currency", "rated", "invoiced", "accrual"];
    let mut header = vec!["ACCOUNT", "CUR", "RATED", "INVOICED", "ACCRUAL"];
    if args.currency.is_some() {
        columns.extend(["converted", "fx_rate", "fx_source", "fx_date"]);
        header.extend(["CONVERTED", "RATE", "SOURCE", "OF"]);
    }
    out::text(&out::table(&header, &rows(&found["items"], &columns)))?;
    if args.currency.is_some() {
        out::line(&format!("{} {} before {}", text(&found, "total"), text(&found, "currency"), text(&found, "at")))?;
    }
    Ok(Done::Yes)
}

pub fn netting(args: &NettingArgs) -> anyhow::Result<Done> {
    let query = [("account", Some(args.account.as_str())), ("carrier", Some(&args.carrier)), ("payable", Some(&args.payable)), ("currency", args.currency.as_deref())];
    let found = ask(&args.shown.api, "/v1/netting", &query)?;
    if args.shown.json {
        out::json(&found)?;
        return Ok(Done::Yes);
    }
    let line = |what: &str, all: &str, disputed: &str| vec![what.to_owned(), text(&found, all), text(&found, disputed)];
    let both = [line(&format!("{} owes us", args.account), "receivable", "receivable_disputed"), line(&format!("we owe {}", args.carrier), "payable", "payable_disputed")];
    out::text(&out::table(&[&format!("IN {}", text(&found, "currency")), "ALL", "DISPUTED"], &both))?;
    out::line(&format!("set off {}: they pay {}, we pay {}", text(&found, "set_off"), text(&found, "they_pay"), text(&found, "we_pay")))?;
    Ok(Done::Yes)
}

//! `tollgate payment` and `tollgate balance`: money of accounts, and what one call did to it.

use serde_json::{Value, json};
use tollgate_schemas::id::Id;

use super::{
    Done,
    api::{Client, Shown},
    out,
};

/// Books money that came in or goes back, for an account
#[derive(clap::Args)]
pub struct PaymentArgs {
    /// Whose it is
    account: String,
    /// In the account's favour, as 25.00; with a minus sign taken back
    #[arg(allow_hyphen_values = true)]
    amount: String,
    /// Why; stays in the ledger
    #[arg(long)]
    reason: String,
    /// payment: it owes less; adjustment: the same without money; deposit: kept beside, against what it owes
    #[arg(long, default_value = "payment", value_parser = ["payment", "adjustment", "deposit"])]
    kind: String,
    /// The bank's or payer's own; booked once for the account, however often it is said
    #[arg(long, default_value = "")]
    reference: String,
    /// Of the amount; the account's own when left out
    #[arg(long)]
    currency: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// Shows what accounts have, hold and may still spend
#[derive(clap::Args)]
pub struct BalanceArgs {
    /// One account; all without it
    account: Option<String>,
    /// Instead: what this call did to balances, posting by posting
    #[arg(long, value_name = "CALL_UUID", conflicts_with = "account")]
    call: Option<Id>,
    /// Most of them
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    shown: Shown,
}

pub fn pay(args: &PaymentArgs) -> anyhow::Result<Done> {
    let mut order = json!({ "account": args.account, "amount": args.amount, "kind": args.kind, "reason": args.reason, "reference": args.reference });
    if let Some(currency) = &args.currency {
        order["currency"] = currency.as_str().into();
    }
    let done = Client::new(&args.shown.api)?.send("POST", "/v1/payments", &[], Some(&order))?.ok()?;
    if args.shown.json {
        out::json(&done)?;
    } else {
        let text = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
        out::line(&format!("{} {}: {} {} for {}", text("kind"), text("payment_id"), text("amount"), text("currency"), text("account")))?;
    }
    Ok(Done::Yes)
}

pub fn balance(args: &BalanceArgs) -> anyhow::Result<Done> {
    if let Some(call) = args.call {
        return of_call(args, call);
    }
    let query: Vec<(&str, &str)> = args.account.iter().map(|a| ("account", a.as_str())).collect();
    let rows = Client::new(&args.shown.api)?.items("/v1/balances", &query, args.limit)?;
    if let (Some(account), true) = (&args.account, rows.is_empty()) {
        anyhow::bail!("there is no account '{account}', or this key may not see it");
    }
    if args.shown.json {
        out::json(&Value::Array(rows))?;
        return Ok(Done::Yes);
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let columns = ["account", "billing", "currency", "balance", "held", "deposits", "credit_limit", "available"];
    let table: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|c| text(&row[*c])).collect()).collect();
    out::text(&out::table(&["ACCOUNT", "BILLING", "CURRENCY", "BALANCE", "HELD", "DEPOSITS", "LIMIT", "AVAILABLE"], &table))?;
    Ok(Done::Yes)
}

fn of_call(args: &BalanceArgs, call: Id) -> anyhow::Result<Done> {
    let answer = Client::new(&args.shown.api)?.get(&format!("/v1/cdrs/{call}/ledger"), &[])?.ok()?;
    if args.shown.json {
        out::json(&answer)?;
        return Ok(Done::Yes);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let columns = ["at", "kind", "account", "currency", "balance_before", "balance_after", "held_before", "held_after", "cdr_version"];
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    let table: Vec<Vec<String>> = items.iter().map(|row| columns.iter().map(|c| text(&row[*c])).collect()).collect();
    out::text(&out::table(&["AT", "KIND", "ACCOUNT", "CURRENCY", "BEFORE", "AFTER", "HELD BEFORE", "HELD AFTER", "VERSION"], &table))?;
    Ok(Done::Yes)
}

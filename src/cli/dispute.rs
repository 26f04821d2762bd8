//! `tollgate dispute`: disputes with carriers, and customers' about our invoices, in the books (R-48, FN-04, FN-05).

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_rating::corrections::dispute::{Dispute, State, deadline};
use tollgate_schemas::id::Id;

use super::{
    Done,
    api::{ApiArgs, Client},
    out,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Lists disputes
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Takes a drafted dispute (dispute.json of `tollgate reconcile`) into the books
    Draft {
        file: PathBuf,
        /// Dispute more than was billed
        #[arg(long)]
        amount_override: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Takes a customer's dispute about an invoice into the books: what is disputed is apart in statements and not dunned
    Raise {
        /// The invoice, SERIES-NUMBER
        #[arg(long)]
        invoice: String,
        /// What is disputed of it, in its currency
        #[arg(long)]
        amount: String,
        #[arg(long)]
        reason: String,
        /// Days after the invoice's date within which it may be raised
        #[arg(long, default_value_t = 30)]
        dispute_days: u32,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Moves a dispute on
    Step {
        id: Id,
        /// Its next state
        #[arg(long, value_parser = ["sent", "acknowledged", "accepted", "rejected", "escalated", "closed"])]
        to: String,
        /// What happened; stays in the log
        #[arg(long, default_value = "")]
        note: String,
        /// What the carrier credits, of one that it accepts: at most what is disputed
        #[arg(long, allow_hyphen_values = true)]
        credit: Option<String>,
        /// Send it although its last day has passed
        #[arg(long)]
        late_override: bool,
        /// Take a credit of more than is disputed
        #[arg(long)]
        amount_override: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    match command {
        Command::List { json, api } => {
            let list = Client::new(&api)?.get("/v1/disputes", &[])?.ok()?;
            if json {
                out::json(&list["items"])?;
                return Ok(Done::Yes);
            }
            let text = |v: &Value| v.as_str().map_or_else(|| if v.is_null() { String::new() } else { v.to_string() }, str::to_owned);
            let rows: Vec<Vec<String>> = list["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|d| ["id", "carrier", "invoice", "bill_date", "deadline", "state", "amount_disputed", "amount_underbilled", "currency", "reason"].iter().map(|f| text(&d[*f])).collect())
                .collect();
            out::text(&out::table(&["DISPUTE", "CARRIER", "INVOICE", "BILL", "DEADLINE", "STATE", "DISPUTED", "UNDERBILLED", "CUR", "REASON"], &rows))?;
        }
        Command::Draft { file, amount_override, api } => {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let mut dispute: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
            if amount_override {
                dispute["amount_override"] = true.into();
            }
            let taken = Client::new(&api)?.send("POST", "/v1/disputes", &[], Some(&dispute))?.ok()?;
            out::line(&format!("dispute {} is a draft, to be sent until {}", taken["id"].as_str().unwrap_or_default(), taken["deadline"].as_str().unwrap_or_default()))?;
        }
        Command::Raise { invoice, amount, reason, dispute_days, api } => {
            let client = Client::new(&api)?;
            let answer = client.get(&format!("/v1/invoices/{invoice}"), &[])?;
            if answer.status == 404 {
                anyhow::bail!("there is no invoice {invoice}");
            }
            let document = answer.ok()?;
            let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
            let id = Id::derived("dispute", Id::NIL, &format!("{invoice}\n{amount}\n{reason}"), 0);
            let dispute = Dispute {
                id: id.to_string(),
                carrier: String::new(),
                account: text("account"),
                invoice: invoice.clone(),
                currency: text("currency"),
                bill_date: text("issued"),
                deadline: deadline(&text("issued"), dispute_days)?,
                amount_billed: text("total"),
                amount_expected: String::new(),
                amount_disputed: amount,
                amount_overbilled: String::new(),
                amount_underbilled: String::new(),
                reason,
                state: State::Draft,
                evidence: Vec::new(),
                evidence_sha256: String::new(),
                credit: "0.000000".to_owned(),
            };
            client.send("POST", "/v1/disputes", &[], Some(&serde_json::to_value(&dispute)?))?.ok()?;
            out::line(&format!("dispute {id}: {} {} of invoice {invoice}", dispute.amount_disputed, dispute.currency))?;
        }
        Command::Step { id, to, note, credit, late_override, amount_override, api } => {
            let mut order = json!({ "to": to, "note": note, "late_override": late_override, "amount_override": amount_override });
            if let Some(credit) = credit {
                order["credit"] = credit.into();
            }
            let answer = Client::new(&api)?.send("POST", &format!("/v1/disputes/{id}/step"), &[], Some(&order))?;
            if answer.status == 404 {
                anyhow::bail!("there is no dispute {id}");
            }
            let moved = answer.ok()?;
            out::line(&format!("dispute {id} is {}", moved["state"].as_str().unwrap_or_default()))?;
        }
    }
    Ok(Done::Yes)
}

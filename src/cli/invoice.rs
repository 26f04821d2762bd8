//! `tollgate invoice`: invoices, notes, and their files (FN-01, FN-17, FN-19, R-46).

mod html;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tollgate_api::customer_columns;
use tollgate_rating::corrections::invoice::Details;
use tollgate_schemas::csv_text::{cell, header_line};

use super::{
    Done,
    api::{ApiArgs, Client},
    finance::{Hashed, PeriodArgs, cdrs, counter},
    out,
};
use crate::config::documents::place_of;

/// Issues an account's invoice for a period, and writes its files
///
/// An issued invoice is a fact: its number is its series' next, and it is never made again. With --dry-run it is only shown. Files:
/// NUMBER.json, NUMBER.csv, NUMBER.html for print, and NUMBER.cdrs.csv with every call, whose SHA-256 the invoice names.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    issue: IssueArgs,
}

#[derive(clap::Args)]
struct IssueArgs {
    /// Whose calls
    #[arg(long)]
    account: Option<String>,
    /// The period's beginning: a date in --timezone, or an RFC 3339 time
    #[arg(long, alias = "since", value_name = "TIME")]
    from: Option<String>,
    /// Its end, which is not in it
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// IANA zone of dates, and of the period as it is printed
    #[arg(long, default_value = "UTC")]
    timezone: chrono_tz::Tz,
    /// Series of its number [default: the year]
    #[arg(long)]
    series: Option<String>,
    /// Of calls in several currencies, this one's
    #[arg(long)]
    currency: Option<String>,
    /// Who sells and buys, recurring charges, credits, taxes, terms (YAML)
    #[arg(long, value_name = "FILE")]
    details: Option<PathBuf>,
    /// Days after the period's end until which its calls are waited for
    #[arg(long, default_value_t = 3)]
    freeze_days: u32,
    /// Show it, and issue nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    files: Files,
}

#[derive(clap::Args)]
struct Files {
    /// Folder for the files
    #[arg(long, default_value = ".", value_name = "DIR")]
    out: PathBuf,
    /// Without the file of calls
    #[arg(long)]
    no_annex: bool,
    /// Print the document as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists invoices and notes
    List {
        #[arg(long)]
        account: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Writes the files of an invoice or note again, as it was issued
    Show {
        /// SERIES-NUMBER
        number: String,
        #[command(flatten)]
        files: Files,
    },
    /// Issues the credit or debit note for what was rated again since an invoice, or for a credit that was agreed
    Note {
        /// The invoice, SERIES-NUMBER
        #[arg(long)]
        invoice: String,
        #[arg(long)]
        reason: String,
        /// Re-ratings it is about (`batch` of `tollgate rerate --json`)
        #[arg(long = "batch", value_name = "BATCH")]
        batches: Vec<String>,
        /// A credit that was agreed, instead of what was rated again
        #[arg(long)]
        amount: Option<String>,
        /// Series of its number [default: the invoice's]
        #[arg(long)]
        series: Option<String>,
        /// Show it, and issue nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        files: Files,
    },
}

pub fn run(args: Args) -> anyhow::Result<Done> {
    match args.command {
        Some(Command::List { account, json, api }) => list(account.as_deref(), json, &api),
        Some(Command::Show { number, files }) => {
            let client = Client::new(&files.api)?;
            let answer = client.get(&format!("/v1/invoices/{number}"), &[])?;
            if answer.status == 404 {
                bail!("there is no document {number}");
            }
            write(&client, &files, &answer.ok()?)
        }
        Some(Command::Note { invoice, reason, batches, amount, series, dry_run, files }) => {
            let mut order = json!({ "invoice": invoice, "reason": reason, "batches": batches, "dry_run": dry_run });
            for (name, value) in [("amount", amount), ("series", series)] {
                if let Some(value) = value {
                    order[name] = value.into();
                }
            }
            let client = Client::new(&files.api)?;
            // A credit that was agreed has nothing to tell its repetition by: it is asked for once, whatever became of the answer.
            let agreed = order.get("amount").is_some();
            let ask = if agreed { Client::send } else { Client::send_patiently };
            let note = ask(&client, "POST", "/v1/notes", &[], Some(&order))?.ok()?;
            write(&client, &files, &note)
        }
        None => issue(&args.issue),
    }
}

fn issue(args: &IssueArgs) -> anyhow::Result<Done> {
    let (Some(account), Some(from), Some(until)) = (&args.account, &args.from, &args.until) else {
        bail!("say which invoice: --account, --from and --until; or a command: list, show, note");
    };
    // Dates go as they are: the node reads them in the zone, and prints the period so.
    PeriodArgs { from: from.clone(), until: until.clone(), timezone: args.timezone }.utc()?;
    let mut order = json!({
        "account": account, "since": from, "until": until, "timezone": args.timezone.name(),
        "dry_run": args.dry_run, "freeze_days": args.freeze_days,
    });
    for (name, value) in [("series", &args.series), ("currency", &args.currency)] {
        if let Some(value) = value {
            order[name] = value.as_str().into();
        }
    }
    if let Some(file) = &args.details {
        order["details"] = details(file)?;
    }
    let client = Client::new(&args.files.api)?;
    let invoice = client.send_patiently("POST", "/v1/invoices", &[], Some(&order))?.ok()?;
    write(&client, &args.files, &invoice)
}

/// The details as they are sent, or everything that is wrong with them where it stands.
fn details(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let at = |line: u64, column: u64| format!("{}:{line}:{column}", file.display());
    let wrong = |e: &serde_yaml_ng::Error| {
        let (line, column) = e.location().map_or((1, 1), |l| (l.line() as u64, l.column() as u64));
        let told = e.to_string();
        // The place is said before; the parser says it again at the end.
        anyhow::anyhow!("{}: {}", at(line, column), told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what))
    };
    let read: Details = serde_yaml_ng::from_str(&text).map_err(|e| wrong(&e))?;
    let mistakes = tollgate_rating::corrections::invoice::check(&read);
    if !mistakes.is_empty() {
        let told: Vec<String> = mistakes
            .into_iter()
            .map(|(path, what)| {
                let (line, column) = place_of(&text, &path).unwrap_or((1, 1));
                format!("{}: {path}: {what}", at(line, column))
            })
            .collect();
        bail!("{}", told.join("\n"));
    }
    // As it was read: an amount without quotes is the text that stands there, never a float.
    Ok(serde_json::to_value(&read)?)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(account: Option<&str>, json: bool, api: &ApiArgs) -> anyhow::Result<Done> {
    let query: Vec<(&str, &str)> = account.map(|a| ("account", a)).into_iter().collect();
    let answer = Client::new(api)?.get("/v1/invoices", &query)?.ok()?;
    if json {
        out::json(&answer["items"])?;
        return Ok(Done::Yes);
    }
    let row = |d: &Value| {
        let about = if d["invoice"].is_string() { format!("of {}", text(d, "invoice")) } else { format!("{} … {}", text(&d["period"], "from"), text(&d["period"], "until")) };
        vec![text(d, "number").to_owned(), text(d, "kind").to_owned(), text(d, "account").to_owned(), text(d, "issued").to_owned(), about, text(d, "total").to_owned(), text(d, "currency").to_owned()]
    };
    let rows: Vec<Vec<String>> = answer["items"].as_array().into_iter().flatten().map(row).collect();
    out::text(&out::table(&["NUMBER", "KIND", "ACCOUNT", "ISSUED", "ABOUT", "TOTAL", "CUR"], &rows))?;
    Ok(Done::Yes)
}

/// The document's files; a draft is only shown.
fn write(client: &Client, files: &Files, document: &Value) -> anyhow::Result<Done> {
    let number = text(document, "number");
    if files.json {
        out::json(document)?;
    } else {
        out::text(&shown(document))?;
    }
    if document["draft"] == true {
        return Ok(Done::Yes);
    }
    fs::create_dir_all(&files.out).with_context(|| files.out.display().to_string())?;
    let place = |ending: &str| files.out.join(format!("{number}.{ending}"));
    put(&place("json"), &format!("{}\n", serde_json::to_string_pretty(document)?))?;
    put(&place("csv"), &lines_csv(document))?;
    put(&place("html"), &html::page(document))?;
    if document["annex"].is_object() && !files.no_annex {
        annex(client, document, &place("cdrs.csv"))?;
    }
    if !files.json {
        out::line(&format!("{} .json .csv .html in {}", number, files.out.display()))?;
    }
    Ok(Done::Yes)
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = Hashed::create(path)?;
    file.write(text.as_bytes())?;
    file.finish().map(drop)
}

/// Every call of the invoice, as they stood when it was issued; its hash must be the one the invoice names.
fn annex(client: &Client, document: &Value, path: &Path) -> anyhow::Result<()> {
    let asked = text(&document["annex"], "query");
    let query: Vec<(&str, &str)> = asked.split('&').filter_map(|p| p.split_once('=')).filter(|(name, _)| *name != "format").collect();
    let columns = customer_columns();
    let mut file = Hashed::create(path)?;
    let mut text_of = String::new();
    header_line(columns.iter().map(|c| c.name), &mut text_of);
    let bar = counter("calls");
    cdrs(client, &query, |cdr| {
        bar.inc(1);
        cdr.csv_row(&columns, &mut text_of);
        file.write(text_of.as_bytes())?;
        text_of.clear();
        Ok(())
    })?;
    file.write(text_of.as_bytes())?;
    bar.finish_and_clear();
    let sha256 = file.finish()?;
    let want = text(&document["annex"], "sha256");
    if sha256 != want {
        bail!("{}: its SHA-256 is {sha256}, the invoice names {want}: these are not the calls it was made of", path.display());
    }
    Ok(())
}

const LINE: [&str; 16] = [
    "no", "section", "description", "sub_account", "destination", "rate", "calls", "minutes", "original_date", "original_currency", "original_amount", "fx_rate", "fx_source", "fx_date",
    "contract", "amount",
];
/// Columns that are fields of `exchanged`.
const EXCHANGED: [(&str, &str); 5] = [("original_currency", "currency"), ("original_amount", "amount"), ("fx_rate", "rate"), ("fx_source", "source"), ("fx_date", "date")];

fn lines_csv(document: &Value) -> String {
    let note = document["invoice"].is_string();
    let columns: Vec<&str> = if note { vec!["no", "invoice_line", "section", "description", "sub_account", "destination", "rate", "was", "is", "amount"] } else { LINE.to_vec() };
    let mut csv = String::new();
    header_line(columns.iter().copied(), &mut csv);
    let mut row = |value: &dyn Fn(&str) -> String| {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                csv.push(',');
            }
            cell(&value(column), matches!(*column, "description" | "destination" | "fx_source"), &mut csv);
        }
        csv.push_str("\r\n");
    };
    for line in document["lines"].as_array().into_iter().flatten() {
        let cell = |column: &str| match EXCHANGED.iter().find(|(name, _)| *name == column) {
            Some((_, field)) => &line["exchanged"][*field],
            None => &line[column],
        };
        row(&|column| match cell(column) {
            Value::Null => String::new(),
            Value::String(s) => s.clone(),
            other => other.to_string(),
        });
    }
    row(&|column| match column {
        "section" => "total".to_owned(),
        "description" => format!("total {}", text(document, "currency")),
        // Of a note the amounts of lines are signed; its total is, too, here.
        "amount" if text(document, "kind") == "credit_note" => format!("-{}", text(document, "total")),
        "amount" => text(document, "total").to_owned(),
        _ => String::new(),
    });
    csv
}

fn shown(document: &Value) -> String {
    let mut all = format!(
        "{}{} {} for {}, {} … {} ({})\n",
        if document["draft"] == true { "draft: " } else { "" }, text(document, "kind").replace('_', " "), text(document, "number"), text(document, "account"),
        text(&document["period"], "from"), text(&document["period"], "until"), text(&document["period"], "timezone"),
    );
    let row = |line: &Value| {
        let mut cells: Vec<String> =
            ["section", "description", "destination", "rate", "calls", "minutes", "amount"].iter().map(|c| line[*c].as_str().map_or_else(|| if line[*c].is_null() { String::new() } else { line[*c].to_string() }, str::to_owned)).collect();
        if !text(line, "sub_account").is_empty() {
            cells[1].push_str(&format!(", {}", text(line, "sub_account")));
        }
        cells
    };
    let rows: Vec<Vec<String>> = document["lines"].as_array().into_iter().flatten().map(row).collect();
    all.push_str(&out::table(&["SECTION", "WHAT", "DESTINATION", "RATE", "CALLS", "MINUTES", "AMOUNT"], &rows));
    all.push_str(&format!("total {} {}\n", text(document, "total"), text(document, "currency")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fn_01_a_mistake_in_the_details_is_told_with_file_line_and_column() {
        let dir = tempfile::tempdir().expect("folder");
        let file = dir.path().join("acme.yaml");
        let told = |text: &str| {
            fs::write(&file, text).expect("file");
            details(&file).expect_err(text).to_string().replace(&format!("{}", file.display()), "F")
        };
        assert!(told("supplier: { name: X }\nrecuring: []\n").starts_with("F:2:1: unknown field `recuring`"), "{}", told("supplier: { name: X }\nrecuring: []\n"));
        let wrong = told("due_days: 30\nrecurring:\n  - description: trunk\n    amount: many\n");
        assert_eq!(wrong, "F:4:13: recurring[0].amount: 'many' is not a decimal number (digits with at most one '.')");
        let typed = told("supplier: { name: X }\ndue_days: soon\n");
        assert!(typed.starts_with("F:2:11: due_days: invalid type"), "{typed}");
        fs::write(&file, "recurring: [{ description: trunk, amount: 50.10 }]\nplaces: 0\n").expect("file");
        let read = details(&file).expect("right");
        assert_eq!((&read["recurring"], &read["places"]), (&json!([{ "description": "trunk", "amount": "50.10" }]), &json!(0)), "as it stands there");
    }
}

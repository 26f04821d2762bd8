//! `tollgate export`: CDRs as files that can be made again (FN-11, FN-12).

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::bail;
use serde_json::{Value, json};
use tollgate_schemas::{
    cdr::{COLUMNS, Cdr, Column},
    csv_text::header_line,
    money::format_scaled,
};
use tollgate_store::cdr_file::CdrWriter;

use super::{
    Done,
    api::{ApiArgs, Client},
    finance::{Hashed, PeriodArgs, cdrs, counter, sha256},
    out,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Writes CDRs of a period to a file, and a manifest beside it
    ///
    /// The manifest says what was asked, as of which position of the log, how many rows and how much money there are, and the
    /// file's SHA-256. With the manifest's as_of the same file comes again, whatever was rated again since.
    Cdrs(Args),
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    period: PeriodArgs,
    /// Of this account
    #[arg(long)]
    account: Option<String>,
    /// With this carrier
    #[arg(long)]
    carrier: Option<String>,
    /// Calls (final), or each carrier tried (attempt)
    #[arg(long, default_value = "final", value_parser = ["final", "attempt"])]
    record_type: String,
    /// Every column, or those a customer may see
    #[arg(long, default_value = "full", value_parser = ["full", "customer"])]
    view: String,
    /// csv, parquet or jsonl [default: by the file's ending]
    #[arg(long, value_parser = ["csv", "parquet", "jsonl"])]
    format: Option<String>,
    /// The file; its manifest is FILE.manifest.json
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// As the rows stood at this position of the log, as a manifest has it
    #[arg(long, value_name = "POSITION")]
    as_of: Option<String>,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(command: Command) -> anyhow::Result<Done> {
    let Command::Cdrs(args) = command;
    let ending = args.out.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let format = match args.format.as_deref().or(ending.as_deref()) {
        Some(known @ ("csv" | "parquet" | "jsonl")) => known.to_owned(),
        _ => bail!("{} does not say its form: give --format csv, parquet or jsonl", args.out.display()),
    };
    let (since, until) = args.period.utc()?;
    let client = Client::new(&args.api)?;
    let now = client.get("/v1/as_of", &[])?.ok()?;
    let newest = now["as_of"].as_str().unwrap_or_default().to_owned();
    let as_of = match &args.as_of {
        Some(as_of) => reached(as_of, &newest)?.to_owned(),
        None => newest,
    };
    for (kind, name) in [("account", &args.account), ("carrier", &args.carrier)] {
        if let Some(name) = name {
            known(&client, kind, name)?;
        }
    }
    let mut query = vec![("since", since.as_str()), ("until", until.as_str()), ("record_type", args.record_type.as_str()), ("view", args.view.as_str()), ("as_of", as_of.as_str())];
    query.extend(args.account.as_deref().map(|a| ("account", a)));
    query.extend(args.carrier.as_deref().map(|c| ("carrier", c)));
    let columns: Vec<&'static Column> = if args.view == "customer" { tollgate_api::customer_columns() } else { COLUMNS.iter().collect() };

    let bar = counter("rows");
    let mut sums = Sums::default();
    let mut sink = Sink::create(&format, &args.out, &columns)?;
    let rows = cdrs(&client, &query, |cdr| {
        bar.inc(1);
        sums.add(&cdr);
        sink.write(cdr, &columns)
    })?;
    let sha256 = sink.finish(&args.out)?;
    bar.finish_and_clear();
    let asked: serde_json::Map<String, Value> = query.iter().filter(|(n, _)| *n != "as_of").map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
    let manifest = json!({
        "file": args.out.file_name().map(|n| n.to_string_lossy()),
        "format": format,
        "query": asked,
        "as_of": as_of,
        "rows": rows,
        "sums": sums.json(args.view == "customer"),
        "sha256": sha256,
        "actor": now["key"],
    });
    let mut beside = args.out.clone().into_os_string();
    beside.push(".manifest.json");
    let mut file = Hashed::create(&PathBuf::from(beside))?;
    file.write(format!("{}\n", serde_json::to_string_pretty(&manifest)?).as_bytes())?;
    file.finish()?;
    if args.json {
        out::json(&manifest)?;
    } else {
        out::line(&format!("{}: {rows} rows, sha256 {}", args.out.display(), manifest["sha256"].as_str().unwrap_or_default()))?;
    }
    Ok(Done::Yes)
}

/// A position of this log that it has reached.
fn reached<'a>(as_of: &'a str, newest: &str) -> anyhow::Result<&'a str> {
    let parts = |text: &str| text.split('.').map(str::parse::<u64>).collect::<Result<Vec<u64>, _>>();
    let (Ok(wanted), Ok(now)) = (parts(as_of), parts(newest)) else { bail!("--as-of {as_of}: want a position as a manifest has it, as {newest}") };
    if wanted.len() != now.len() {
        bail!("--as-of {as_of} has {} partitions, this log has {}: it is a position of another log", wanted.len(), now.len());
    }
    if wanted.iter().zip(&now).any(|(wanted, now)| wanted > now) {
        bail!("--as-of {as_of} is beyond what is rated and stored, {newest}: the same file would not come again");
    }
    Ok(as_of)
}

/// A name nobody has, and no call ever had, is a mistake and no empty file. One that is gone may have calls.
fn known(client: &Client, kind: &str, name: &str) -> anyhow::Result<()> {
    tollgate_schemas::name::check(name).map_err(|e| anyhow::anyhow!("--{kind}: {e}"))?;
    if client.get(&format!("/v1/{kind}s/{name}"), &[])?.status != 404 {
        return Ok(());
    }
    let record_type = if kind == "carrier" { "attempt" } else { "final" };
    let rows = client.get("/v1/cdrs", &[(kind, name), ("record_type", record_type), ("limit", "1")])?.ok()?;
    if rows["items"].as_array().is_none_or(Vec::is_empty) {
        bail!("there is no {kind} '{name}', and no call of one");
    }
    Ok(())
}

/// Amounts by currency; 1e-8, wide enough for any file.
#[derive(Default)]
struct Sums(BTreeMap<String, (u64, i128, i128)>);

impl Sums {
    fn add(&mut self, cdr: &Cdr) {
        if !cdr.sell_currency.is_empty() {
            let sum = self.0.entry(cdr.sell_currency.clone()).or_default();
            sum.0 += 1;
            sum.1 += i128::from(cdr.sell_amount);
        }
        if !cdr.cost_currency.is_empty() {
            self.0.entry(cdr.cost_currency.clone()).or_default().2 += i128::from(cdr.cost_amount);
        }
    }

    fn json(&self, customer: bool) -> Value {
        let text = |e8: i128| i64::try_from(e8).map_or_else(|_| format!("{e8}e-8"), |e8| format_scaled(e8, 8, 6));
        let one = |(currency, (rows, sell, cost)): (&String, &(u64, i128, i128))| {
            let mut sum = json!({ "rows": rows, "sell_amount": text(*sell) });
            if !customer {
                sum["cost_amount"] = text(*cost).into();
            }
            (currency.clone(), sum)
        };
        Value::Object(self.0.iter().map(one).collect())
    }
}

enum Sink {
    Text { file: Hashed, csv: bool, text: String },
    Parquet { writer: CdrWriter, waiting: Vec<Arc<Cdr>> },
}

impl Sink {
    fn create(format: &str, path: &std::path::Path, columns: &[&'static Column]) -> anyhow::Result<Sink> {
        if format == "parquet" {
            return Ok(Sink::Parquet { writer: CdrWriter::create(&out::target(path, &[])?, columns)?, waiting: Vec::new() });
        }
        let mut text = String::new();
        if format == "csv" {
            header_line(columns.iter().map(|c| c.name), &mut text);
        }
        Ok(Sink::Text { file: Hashed::create(path)?, csv: format == "csv", text })
    }

    fn write(&mut self, cdr: Cdr, columns: &[&'static Column]) -> anyhow::Result<()> {
        match self {
            Sink::Text { file, csv, text } => {
                if *csv {
                    cdr.csv_row(columns, text);
                } else {
                    let row: serde_json::Map<String, Value> = columns.iter().map(|c| (c.name.to_owned(), (c.get)(&cdr).json())).collect();
                    text.push_str(&Value::Object(row).to_string());
                    text.push('\n');
                }
                file.write(text.as_bytes())?;
                text.clear();
            }
            Sink::Parquet { writer, waiting } => {
                waiting.push(Arc::new(cdr));
                if waiting.len() == 8_192 {
                    writer.write(waiting)?;
                    waiting.clear();
                }
            }
        }
        Ok(())
    }

    fn finish(self, path: &std::path::Path) -> anyhow::Result<String> {
        match self {
            Sink::Text { mut file, text, .. } => {
                file.write(text.as_bytes())?;
                file.finish()
            }
            Sink::Parquet { mut writer, waiting } => {
                writer.write(&waiting)?;
                writer.finish()?;
                sha256(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fn_12_a_position_of_another_log_or_of_the_future_is_refused() {
        assert_eq!(reached("3.4", "5.4").expect("reached"), "3.4");
        for (bad, why) in [("1.2.3", "has 3 partitions, this log has 2"), ("5.5", "is beyond"), ("x.1", "want a position")] {
            let told = reached(bad, "5.4").expect_err(bad).to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}

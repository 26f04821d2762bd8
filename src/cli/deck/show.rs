//! `tollgate deck show`: the rows of a sheet, or the one that prices a number.

use std::path::PathBuf;

use serde_json::{Value, json};
use tollgate_rating::deck::{Lookup, RowRef};
use tollgate_schemas::{
    money::format_rate,
    number::E164,
    time::format_rfc3339,
};

use super::{Done, SheetArgs, load, out};
use crate::cli::{now_us, parse_time};

/// Shows a rate sheet's rows as pricing has them, or the row that prices a number
#[derive(clap::Args)]
pub struct Args {
    file: PathBuf,
    /// The row that prices this number; exit code 1 when none does
    #[arg(long, value_parser = E164::parse)]
    number: Option<E164>,
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, value_parser = parse_time, requires = "number")]
    at: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: SheetArgs,
}

const HEADER: [&str; 10] =
    ["prefix", "destination", "rate", "connect_fee", "initial", "increment", "effective_from", "effective_to", "route_class", "blocked"];

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let deck = load(&args.file, &args.options.options()?)?;
    super::warn(&args.file, &deck);
    let Some(number) = args.number else {
        if args.json {
            out::json(&Value::Array(deck.rows().map(|r| row_json(&r)).collect()))?;
        } else {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(HEADER)?;
            for row in deck.rows() {
                writer.write_record(cells(&row))?;
            }
            out::text(&String::from_utf8(writer.into_inner()?)?)?;
        }
        return Ok(Done::Yes);
    };
    let at = args.at.unwrap_or_else(now_us);
    let (result, row) = match deck.lookup(number.digits(), at) {
        Lookup::Row(row) => ("priced", Some(row)),
        Lookup::Blocked(row) => ("blocked", Some(row)),
        Lookup::NotEffective => ("not_effective", None),
        Lookup::NoPrefix => ("no_prefix", None),
    };
    if args.json {
        out::json(&json!({
            "number": number.to_string(), "at": format_rfc3339(at), "result": result, "currency": deck.currency(),
            "deck_version": deck.version(), "row": row.map(|r| row_json(&r)),
        }))?;
    } else {
        match row {
            Some(row) => out::text(&out::table(&HEADER, &[cells(&row).to_vec()]))?,
            None if result == "not_effective" => {
                eprintln!("{number}: the sheet has prefixes of it, none is in force at {}", format_rfc3339(at));
            }
            None => eprintln!("{number}: the sheet has no prefix of it"),
        }
    }
    Ok(Done::when(result == "priced"))
}

fn cells(row: &RowRef<'_>) -> [String; 10] {
    let time = |t: Option<i64>| t.map(format_rfc3339).unwrap_or_default();
    [
        row.prefix(),
        row.destination().to_owned(),
        row.rate_text(),
        format_rate(row.connect_fee_e12()),
        row.initial_s().to_string(),
        row.increment_s().to_string(),
        time(row.effective_from_us()),
        time(row.effective_to_us()),
        row.route_class().to_owned(),
        row.blocked().to_string(),
    ]
}

fn row_json(row: &RowRef<'_>) -> Value {
    json!({
        "prefix": row.prefix(), "destination": row.destination(), "rate": row.rate_text(),
        "connect_fee": format_rate(row.connect_fee_e12()), "initial": row.initial_s(), "increment": row.increment_s(),
        "effective_from": row.effective_from_us().map(format_rfc3339), "effective_to": row.effective_to_us().map(format_rfc3339),
        "route_class": row.route_class(), "blocked": row.blocked(),
    })
}

//! `tollgate deck show`: the rows of a sheet, or the one that prices a number.

use std::path::PathBuf;

use serde_json::{Value, json};
use tollgate_rating::deck::{Deck, Lookup, RowRef};
use tollgate_schemas::{
    money::format_rate,
    number::E164,
    time::format_rfc3339,
};

use super::{Done, SheetArgs, load, out};
use crate::cli::{
    api::{ApiArgs, Client},
    now_us, parse_time,
};

/// Shows a rate sheet's rows as pricing has them, or the row that prices a number
///
/// What is no file is a deck of a running node. There a price has two times: --as-of, when the call was, and --known-at, what was
/// known of the deck then: a correction since does not change what a past call cost.
#[derive(clap::Args)]
pub struct Args {
    /// A file, or the name of a deck on a running node
    #[arg(value_name = "FILE|DECK")]
    file: PathBuf,
    /// The row that prices this number; exit code 1 when none does
    #[arg(long, value_parser = E164::parse)]
    number: Option<E164>,
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, visible_alias = "as-of", value_parser = parse_time, requires = "number")]
    at: Option<i64>,
    /// As known then; of a deck on a node [default: at --as-of, or now]
    #[arg(long, value_parser = parse_time)]
    known_at: Option<i64>,
    /// The sheets the deck had, and since when that was known; of a deck on a node
    #[arg(long, conflicts_with = "number")]
    versions: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: SheetArgs,
    #[command(flatten)]
    api: ApiArgs,
}

const HEADER: [&str; 14] = [
    "prefix", "destination", "rate", "connect_fee", "initial", "increment", "effective_from", "effective_to", "interrate", "intrarate", "ijrate", "route_class",
    "origin_group", "blocked",
];

pub fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(name) = args.file.to_str().filter(|n| !args.file.exists() && tollgate_schemas::name::check(n).is_ok()) {
        return on_node(args, name);
    }
    let deck = load(&args.file, &args.options.options()?)?;
    super::warn(&args.file, &deck);
    let Some(number) = args.number else {
        if args.json {
            out::json(&Value::Array(rows(&deck).map(|r| row_json(&r)).collect()))?;
        } else {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(HEADER)?;
            for row in rows(&deck) {
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

/// A deck of a running node.
fn on_node(args: &Args, name: &str) -> anyhow::Result<Done> {
    let client = Client::new(&args.api)?;
    let known = args.known_at.map(format_rfc3339);
    let mut query: Vec<(&str, &str)> = known.iter().map(|t| ("known_at", t.as_str())).collect();
    if args.versions {
        let found = client.get(&format!("/v1/decks/{name}/versions"), &[])?.ok()?;
        if args.json {
            out::json(&found)?;
            return Ok(Done::Yes);
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let rows = found["items"].as_array().into_iter().flatten().map(|v| {
            let version = if v["removed"] == true { "removed".to_owned() } else { text(&v["version"]) };
            vec![version, text(&v["known_since"]), v["position"].to_string(), text(&v["actor"]), text(&v["reason"])]
        });
        out::text(&out::table(&["VERSION", "KNOWN SINCE", "POSITION", "BY", "REASON"], &rows.collect::<Vec<_>>()))?;
        return Ok(Done::Yes);
    }
    let Some(number) = args.number else {
        // The file as it is: pricing's rows are its rows.
        let sheet = client.text(&format!("/v1/decks/{name}/sheet"), &query)?;
        out::text(&sheet)?;
        return Ok(Done::Yes);
    };
    let as_of = args.at.map(format_rfc3339);
    query.push(("number", number.digits()));
    query.extend(as_of.iter().map(|t| ("as_of", t.as_str())));
    let found = client.get(&format!("/v1/decks/{name}/price"), &query)?.ok()?;
    let priced = found["result"] == "priced";
    if args.json {
        out::json(&found)?;
        return Ok(Done::when(priced));
    }
    let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
    let row = &found["row"];
    if row.is_null() {
        eprintln!("{number}: {} in deck '{name}' at {}, as known at {}", text(&found["result"]), text(&found["as_of"]), text(&found["known_at"]));
    } else {
        let cells = HEADER.iter().map(|h| row[*h].as_str().map_or_else(|| if row[*h].is_null() { String::new() } else { row[*h].to_string() }, str::to_owned));
        out::text(&out::table(&HEADER, &[cells.collect()]))?;
        out::line(&format!("version {} of '{name}', known since {}", text(&found["deck_version"]), text(&found["known_since"])))?;
    }
    Ok(Done::when(priced))
}

/// Every row: those for all callers, then those of origin groups.
fn rows(deck: &Deck) -> impl Iterator<Item = RowRef<'_>> {
    deck.rows().chain(deck.origin_rows().map(|(row, _)| row))
}

fn cells(row: &RowRef<'_>) -> [String; 14] {
    let time = |t: Option<i64>| t.map(format_rfc3339).unwrap_or_default();
    let by = row.jurisdiction_rates().unwrap_or_default();
    let rate = |r: Option<i64>| r.map(format_rate).unwrap_or_default();
    [
        row.prefix(),
        row.destination().to_owned(),
        row.rate_text(),
        format_rate(row.connect_fee_e12()),
        row.initial_s().to_string(),
        row.increment_s().to_string(),
        time(row.effective_from_us()),
        time(row.effective_to_us()),
        rate(by.inter_e12),
        rate(by.intra_e12),
        rate(by.indeterminate_e12),
        row.route_class().to_owned(),
        row.origin_group().to_owned(),
        row.blocked().to_string(),
    ]
}

fn row_json(row: &RowRef<'_>) -> Value {
    let by = row.jurisdiction_rates().unwrap_or_default();
    json!({
        "prefix": row.prefix(), "destination": row.destination(), "rate": row.rate_text(),
        "connect_fee": format_rate(row.connect_fee_e12()), "initial": row.initial_s(), "increment": row.increment_s(),
        "effective_from": row.effective_from_us().map(format_rfc3339), "effective_to": row.effective_to_us().map(format_rfc3339),
        "interrate": by.inter_e12.map(format_rate), "intrarate": by.intra_e12.map(format_rate), "ijrate": by.indeterminate_e12.map(format_rate),
        "route_class": row.route_class(), "origin_group": row.origin_group(), "blocked": row.blocked(),
    })
}

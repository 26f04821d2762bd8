//! `tollgate route`: where a call would go and why, by the plan a node would have.

use std::path::PathBuf;

use serde_json::{Value, json};
use tollgate_proxy::{
    admission::{Sell, TrunkIx},
    routing::RouteQuery,
};
use tollgate_rating::deck::{Lookup, RowRef};
use tollgate_schemas::{
    control::{Carrier, Kind, Trunk},
    money::{format_amount, format_rate},
    number::E164,
    parties::{Parties, revenue},
    time::format_rfc3339,
    v1::RouteChoice,
};

use super::{Done, Problems, get::parse_name, now_us, out, parse_time};
use crate::config::{
    Config,
    documents::{Compiled, check_together, read_documents},
};

/// Shows where a call would go: candidates in order with price and cost, and why each other carrier is left out
///
/// Decided from provisioning documents, with no node running. Exit code 1 when there is no route.
#[derive(clap::Args)]
pub struct Args {
    /// Who pays
    #[arg(long, value_parser = parse_name)]
    account: String,
    /// Calling number
    #[arg(long, value_name = "NUMBER")]
    from: String,
    /// Called number: E.164 digits with or without +, or a dialled string that is an emergency call on the account's trunks
    #[arg(long, value_name = "NUMBER")]
    to: String,
    /// When, RFC 3339 with an offset [default: now]
    #[arg(long, value_parser = parse_time)]
    at: Option<i64>,
    /// Provisioning documents
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., conflicts_with = "config")]
    files: Vec<PathBuf>,
    /// The configuration whose provisioning documents count
    #[arg(short, long, value_name = "FILE", default_value = "tollgate.toml")]
    config: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The answer: what the call sells for, and every carrier with its place or reason.
struct Explanation {
    emergency: bool,
    sell: Sell,
    policy: &'static str,
    choices: Vec<RouteChoice>,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let files = if args.files.is_empty() { Config::load(&args.config).map_err(Problems)?.provision } else { args.files.clone() };
    let documents = read_documents(&files).map_err(Problems)?;
    let compiled = check_together(&documents).map_err(Problems)?;
    let at = args.at.unwrap_or_else(now_us);
    let found = explain(&compiled, args, at)?;
    let priced = found.emergency || matches!(found.sell, Sell::Terms(_));
    let routed = priced && found.choices.iter().any(|c| c.rank > 0);
    if args.json { print_json(&compiled, args, at, &found, routed)? } else { print_text(&compiled, args, at, &found)? }
    if !routed && !args.json {
        eprintln!("no route: {}", why_not(&found));
    }
    Ok(Done::when(routed))
}

/// Asks the plan what a node would ask it.
fn explain(compiled: &Compiled, args: &Args, at_us: i64) -> anyhow::Result<Explanation> {
    let Compiled { registry, plan } = compiled;
    if plan.policy.account_named(&args.account).is_none() {
        let known = registry.documents.keys().filter(|(k, _)| *k == Kind::Account).map(|(_, n)| n.as_str());
        let meant = crate::config::nearest(&args.account, known).map_or(String::new(), |m| format!(": did you mean '{m}'?"));
        anyhow::bail!("the documents have no account '{}'{meant}", args.account);
    }
    let emergency = is_emergency(compiled, &args.account, &args.to);
    let called = if emergency { None } else { Some(E164::parse(&args.to).map_err(|e| anyhow::anyhow!("--to {e}"))?) };
    let mut parties = Parties::to(called.as_ref().map_or(args.to.as_str(), E164::digits));
    if let Ok(a) = E164::parse(&args.from) {
        parties = parties.from(a);
    }
    let sale = if emergency { Sell::None.into() } else { plan.routing.sell(&args.account, &parties, at_us) };
    let terms = match &sale.sell {
        Sell::Terms(terms) => Some(terms),
        Sell::Blocked(_) | Sell::None => None,
    };
    // Routes do not hang on the trunk a call came in on.
    let revenue = revenue(terms, &sale.tiers);
    let query = RouteQuery { account: &args.account, trunk: TrunkIx(0), parties: &parties, at_us, emergency, revenue, draw_e6: 0 };
    let routes = plan.routing.routes(&query);
    Ok(Explanation { emergency, sell: sale.sell, policy: routes.policy, choices: routes.choices })
}

/// Whether a trunk of the account takes this dialled string for an emergency call.
fn is_emergency(compiled: &Compiled, account: &str, dialled: &str) -> bool {
    let trunks = compiled.registry.documents.iter().filter(|((kind, _), _)| *kind == Kind::Trunk);
    trunks
        .filter_map(|(_, spec)| serde_json::from_value::<Trunk>(spec.clone()).ok())
        .any(|trunk| trunk.account == account && trunk.emergency.iter().any(|e| e == dialled))
}

fn why_not(found: &Explanation) -> &'static str {
    match found.sell {
        Sell::Blocked(_) => "the account's deck does not sell this destination",
        Sell::None if !found.emergency => "the account's deck has no price for this number at this time",
        _ => "every carrier is left out",
    }
}

/// The row a choice was made by, for what the choice does not carry; none where no row had a say.
fn row<'c>(compiled: &'c Compiled, choice: &RouteChoice, number: &str, at_us: i64) -> Option<RowRef<'c>> {
    let spec = compiled.registry.documents.get(&(Kind::Carrier, choice.carrier.clone()))?;
    let carrier: Carrier = serde_json::from_value(spec.clone()).ok()?;
    match compiled.registry.decks.get(&carrier.deck)?.lookup(number, at_us) {
        Lookup::Row(row) | Lookup::Blocked(row) => Some(row).filter(|r| r.prefix() == choice.prefix),
        Lookup::NotEffective | Lookup::NoPrefix => None,
    }
}

fn print_text(compiled: &Compiled, args: &Args, at: i64, found: &Explanation) -> anyhow::Result<()> {
    out::line(&format!("{} -> {} of account '{}' at {}", args.from, args.to, args.account, format_rfc3339(at)))?;
    out::line(&match &found.sell {
        Sell::Terms(t) => format!(
            "sells at {} {} a minute, {}/{} s, connect fee {} ('{}', prefix {}, deck '{}' {})",
            format_rate(t.rate_e12), t.currency, t.initial_s, t.increment_s, format_rate(t.connect_fee_e12), t.destination, t.prefix, t.deck,
            t.deck_version
        ),
        Sell::Blocked(t) => format!("not sold: prefix {} is blocked in deck '{}'", t.prefix, t.deck),
        Sell::None if found.emergency => "an emergency call: no price, limit or margin stops it".to_owned(),
        Sell::None => "not sold: no price".to_owned(),
    })?;
    let rows: Vec<Vec<String>> = found
        .choices
        .iter()
        .map(|c| {
            let row = row(compiled, c, &args.to, at);
            let of = |text: fn(&RowRef<'_>) -> String| row.as_ref().map_or_else(|| "-".to_owned(), text);
            let cost = if c.expected_cost_e8 == 0 && c.rank == 0 { "-".to_owned() } else { format_amount(c.expected_cost_e8) };
            vec![
                if c.rank == 0 { "-".to_owned() } else { c.rank.to_string() },
                c.carrier.clone(),
                of(|r| r.prefix()),
                of(|r| r.destination().to_owned()),
                of(|r| r.rate_text()),
                of(|r| format!("{}/{}", r.initial_s(), r.increment_s())),
                of(|r| r.deck().currency().to_owned()),
                cost,
                format!("{}{}", c.reason, if c.covered_by_parent_prefix { " (another carrier lists a longer prefix)" } else { "" }),
            ]
        })
        .collect();
    out::text(&out::table(&["RANK", "CARRIER", "PREFIX", "DESTINATION", "RATE/MIN", "INCR", "CUR", "EXPECTED", "REASON"], &rows))
}

fn print_json(compiled: &Compiled, args: &Args, at: i64, found: &Explanation, routed: bool) -> anyhow::Result<()> {
    let sell = match &found.sell {
        Sell::Terms(t) | Sell::Blocked(t) => json!({
            "deck": t.deck, "deck_version": t.deck_version, "prefix": t.prefix, "destination": t.destination, "currency": t.currency,
            "rate": format_rate(t.rate_e12), "connect_fee": format_rate(t.connect_fee_e12), "initial": t.initial_s, "increment": t.increment_s,
            "blocked": matches!(found.sell, Sell::Blocked(_)),
        }),
        Sell::None => Value::Null,
    };
    let carriers: Vec<Value> = found
        .choices
        .iter()
        .map(|c| {
            let row = row(compiled, c, &args.to, at);
            json!({
                "rank": (c.rank > 0).then_some(c.rank), "carrier": c.carrier, "reason": c.reason,
                "expected_cost": (c.rank > 0 || c.expected_cost_e8 != 0).then(|| format_amount(c.expected_cost_e8)),
                "prefix": row.map(|r| r.prefix()), "destination": row.map(|r| r.destination().to_owned()),
                "rate": row.map(|r| r.rate_text()), "connect_fee": row.map(|r| format_rate(r.connect_fee_e12())),
                "initial": row.map(|r| r.initial_s()), "increment": row.map(|r| r.increment_s()),
                "currency": row.map(|r| r.deck().currency().to_owned()), "covered_by_parent_prefix": c.covered_by_parent_prefix,
            })
        })
        .collect();
    out::json(&json!({
        "account": args.account, "from": args.from, "to": args.to, "at": format_rfc3339(at), "emergency": found.emergency,
        "routed": routed, "policy": found.policy, "sell": sell, "carriers": carriers,
    }))
}

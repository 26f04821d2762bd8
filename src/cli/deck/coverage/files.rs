//! The same of provisioning documents, with no node: each prefix for each account.

use std::{collections::BTreeMap, io::IsTerminal};

use indicatif::ProgressBar;
use serde_json::{Value, json};
use tollgate_rating::coverage::{Buyer, Gap, cover};
use tollgate_schemas::control::{Account, Kind};

use super::{Args, Done, out};
use crate::{
    cli::{Problems, now_us},
    config::{
        Config,
        documents::{check_together, read_documents},
    },
};

pub fn run(args: &Args) -> anyhow::Result<Done> {
    let files = match &args.config {
        Some(config) => Config::load(config).map_err(Problems)?.provision,
        None => args.files.clone(),
    };
    let documents = read_documents(&files).map_err(Problems)?;
    let registry = check_together(&documents).map_err(Problems)?.registry;
    let at_us = args.at.unwrap_or_else(now_us);
    let accounts: BTreeMap<String, Account> = registry
        .documents
        .iter()
        .filter(|((kind, name), _)| *kind == Kind::Account && args.account.as_ref().is_none_or(|a| a == name))
        .filter_map(|((_, name), spec)| Some((name.clone(), serde_json::from_value(spec.clone()).ok()?)))
        .collect();
    if let (Some(account), true) = (&args.account, accounts.is_empty()) {
        anyhow::bail!("the documents have no account '{account}'");
    }
    let carriers = crate::coverage::carriers(&registry);
    let reach: Vec<_> = carriers.iter().map(crate::coverage::Owned::reach).collect();
    let (mut lines, mut uncovered) = (Vec::new(), 0u64);
    for (name, account) in &accounts {
        let Some(deck) = registry.decks.get(&account.sell_deck) else { continue };
        let mut sold: Vec<(String, String)> = deck
            .rows()
            .filter(|r| !r.blocked() && r.effective_from_us().is_none_or(|f| f <= at_us) && r.effective_to_us().is_none_or(|t| at_us < t))
            .map(|r| (r.prefix(), r.destination().to_owned()))
            .collect();
        sold.dedup();
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(sold.len() as u64) } else { ProgressBar::hidden() };
        let buyer = Buyer { carriers: &account.carriers, classes: &account.route_classes };
        let prefixes = sold.iter().map(|(prefix, destination)| (prefix.as_str(), destination.as_str()));
        cover(prefixes, &reach, buyer, at_us, |found| {
            bar.inc(1);
            let gap = Gap::of(found.upstreams);
            uncovered += u64::from(gap == Some(Gap::NoCarrier));
            if gap.is_none() && args.warnings {
                return;
            }
            lines.push(json!({
                "account": name, "prefix": found.prefix, "destination": found.destination, "upstreams": found.upstreams,
                "carriers": found.carriers.iter().map(|(carrier, class)| json!({ "carrier": carrier, "route_class": class })).collect::<Vec<_>>(),
                "gap": gap.map(Gap::name),
            }));
        });
        bar.finish_and_clear();
    }
    if args.json {
        out::json(&Value::Array(lines))?;
    } else {
        let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
        let carrier = |c: &Value| if c["route_class"] == "" { text(&c["carrier"]) } else { format!("{} ({})", text(&c["carrier"]), text(&c["route_class"])) };
        let row = |l: &Value| {
            let carriers: Vec<String> = l["carriers"].as_array().into_iter().flatten().map(carrier).collect();
            vec![text(&l["account"]), text(&l["prefix"]), text(&l["destination"]), l["upstreams"].to_string(), text(&l["gap"]), carriers.join(", ")]
        };
        let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
        out::text(&out::table(&["ACCOUNT", "PREFIX", "DESTINATION", "NETWORKS", "GAP", "CARRIERS"], &rows))?;
    }
    Ok(Done::when(uncovered == 0))
}

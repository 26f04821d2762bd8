//! What `tollgate rate` knows beside decks: provisioning documents, number tables, ported numbers; and how a caller's
//! number is read, which is the way a trunk reads it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use tollgate_proxy::admission::{Tables, caller};
use tollgate_rating::{
    deck::{Deck, LookupFees, link},
    portability::PortedFile,
    rate_file::{Callers, Decks, ReadCaller},
};
use tollgate_schemas::control::{self, Kind, NumberPlan};

use super::Args;
use crate::{
    cli::Problems,
    config::documents::{Document, placed, read_documents, registry},
    plan::{PlanProblem, compile_number_table, read},
};

/// Documents that bear on what an account pays.
const KINDS: [Kind; 5] = [Kind::Deck, Kind::Account, Kind::OriginGroup, Kind::Surcharge, Kind::NumberTable];

/// Adds the decks of documents to those given by themselves, and what prices go by beside the called number, where anything
/// does: a file that nothing asks callers of is rated without looking at them.
pub fn add(args: &Args, named: Decks) -> anyhow::Result<Decks> {
    let mut documents = if args.files.is_empty() { Vec::new() } else { read_documents(&args.files).map_err(Problems)? };
    documents.retain(|d| KINDS.contains(&d.kind));
    let mut registry = registry(&documents);
    let linked = link(&registry.decks).map_err(|bad| {
        let told = |(name, b): (String, tollgate_rating::deck::BadTariff)| PlanProblem { kind: Kind::Deck, name, path: b.path, message: b.problem };
        Problems(placed(&documents, &bad.into_iter().map(told).collect::<Vec<_>>()))
    })?;
    let decks = assign(&documents, &linked, named, args.decks.is_empty())?;
    for file in &args.number_tables {
        let table = compile_number_table("", &bytes(file)?).map_err(|bad| told(file, bad.into_iter().map(|p| p.message)))?;
        registry.number_tables.insert(format!("{}", file.display()), table);
    }
    let ported = match &args.lrn {
        Some(file) => Some(Arc::new(PortedFile::read(&bytes(file)?).map_err(|bad| told(file, bad))?)),
        None => None,
    };
    let all: Vec<Arc<Deck>> = linked.values().chain(decks.iter()).cloned().collect();
    let places = registry.places(&all).map_err(|bad| Problems(placed(&documents, &bad)))?;
    let asks = !places.is_empty() || ported.is_some() || decks.iter().any(|d| d.lookup_fees() != LookupFees::default());
    Ok(if asks { decks.with_callers(Callers::new(Arc::new(places), ported, reader())) } else { decks })
}

/// Who buys from which deck of the documents.
fn assign(documents: &[Document], linked: &BTreeMap<String, Arc<Deck>>, mut decks: Decks, alone: bool) -> anyhow::Result<Decks> {
    let accounts: Vec<&Document> = documents.iter().filter(|d| d.kind == Kind::Account).collect();
    let mut wrong = Vec::new();
    for document in &accounts {
        let account: control::Account = read(Kind::Account, &document.name, &document.spec).map_err(|p| anyhow!("{p}"))?;
        match linked.get(&account.sell_deck) {
            Some(deck) => decks.add(Some(&document.name), deck.clone())?,
            None => wrong.push(document.problem("sell_deck", format!("there is no deck '{}'", account.sell_deck))),
        }
    }
    if !wrong.is_empty() {
        return Err(Problems(wrong).into());
    }
    match linked.len() {
        _ if !accounts.is_empty() || !alone => {}
        1 => decks.add(None, linked.values().next().context("one deck")?.clone())?,
        0 => bail!("the documents have no deck: give one with --deck [ACCOUNT=]FILE"),
        many => bail!("the documents have {many} decks and no account: add documents of kind account with their sell_deck, or give --deck ACCOUNT=FILE"),
    }
    Ok(decks)
}

/// E.164, with or without a plus.
fn reader() -> Arc<ReadCaller> {
    let (tables, plan) = (Tables::builtin(), NumberPlan::default());
    Arc::new(move |from| caller(&tables, &plan, Some(from)))
}

fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn told(file: &Path, problems: impl IntoIterator<Item = String>) -> anyhow::Error {
    let all: Vec<String> = problems.into_iter().map(|p| format!("{}: {p}", file.display())).collect();
    anyhow!("{}", all.join("\nerror: "))
}

#[cfg(test)]
mod tests;

//! `--deck` by a provisioning document: a deck with its tariff, and the decks that tariff names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use tollgate_rating::deck::{Deck, DeckOptions, link};
use tollgate_schemas::control::Kind;

use super::super::{Problems, deck};
use crate::config::documents::{Document, read_documents};

/// Endings of documents; all else is a sheet.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

pub fn is_document(file: &Path) -> bool {
    file.extension().is_some_and(|e| ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// The first deck of a file, linked. Decks its tariff names are documents of the same file, else files of that name beside it:
/// documents, or a CSV sheet in the currency of the deck that names it, with dates in UTC.
pub fn load(file: &Path) -> anyhow::Result<Deck> {
    let mut decks: BTreeMap<String, Arc<Deck>> = BTreeMap::new();
    let documents = decks_of(file)?;
    let Some(first) = documents.first() else {
        anyhow::bail!("{} has no document of kind deck", file.display());
    };
    let name = first.name.clone();
    for document in documents {
        decks.insert(document.name.clone(), document.deck.with_context(|| format!("{} has no sheet", file.display()))?);
    }
    // A deck that is found may name further ones; what is nowhere is told when all are linked.
    let mut nowhere: Vec<String> = Vec::new();
    while let Some((by, other)) = missing(&decks, &nowhere) {
        let Some(beside) = find(file, &other) else {
            nowhere.push(other);
            continue;
        };
        let found = if is_document(&beside) {
            let document = decks_of(&beside)?.into_iter().find(|d| d.name == other);
            document.and_then(|d| d.deck).with_context(|| format!("{} has no deck '{other}'", beside.display()))?
        } else {
            let options = DeckOptions { currency: by.currency().to_owned(), places: by.places(), rounding: by.rounding(), ..DeckOptions::default() };
            Arc::new(deck::load(&beside, &options)?)
        };
        decks.insert(other, found);
    }
    let linked = link(&decks).map_err(|bad| {
        let told: Vec<String> = bad.iter().map(|(name, b)| format!("{}: deck '{name}', {b}", file.display())).collect();
        anyhow::anyhow!("{}", told.join("\nerror: "))
    })?;
    linked.get(&name).map(|deck| Deck::clone(deck)).context("a deck that was read")
}

/// A deck that is named and not there yet, and one that names it.
fn missing(decks: &BTreeMap<String, Arc<Deck>>, nowhere: &[String]) -> Option<(Arc<Deck>, String)> {
    let named = decks.values().flat_map(|d| d.tariff().into_iter().flat_map(|t| t.names()).map(move |(_, other)| (d, other)));
    let mut open = named.filter(|(_, other)| !decks.contains_key(*other) && !nowhere.iter().any(|n| n == other));
    open.next().map(|(by, other)| (by.clone(), other.to_owned()))
}

fn decks_of(file: &Path) -> anyhow::Result<Vec<Document>> {
    let documents = read_documents(&[file.to_owned()]).map_err(Problems)?;
    Ok(documents.into_iter().filter(|d| d.kind == Kind::Deck).collect())
}

/// A file of this name in the same folder.
fn find(document: &Path, name: &str) -> Option<PathBuf> {
    let folder = document.parent().unwrap_or(Path::new(""));
    ENDINGS.iter().chain(&["csv"]).map(|ending| folder.join(format!("{name}.{ending}"))).find(|path| path.is_file())
}

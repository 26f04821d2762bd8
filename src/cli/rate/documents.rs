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

#[cfg(test)]
mod tests {
    use std::fs;

    use tollgate_rating::deck::Lookup;

    use super::*;

    const SHEET: &str = "prefix,destination,rate,connect_fee,initial,increment,effective_from\n";
    /// 2026-11-21T12:00:00Z, a Saturday, and the day before.
    const SATURDAY: i64 = 1_795_262_400_000_000;
    const FRIDAY: i64 = SATURDAY - 86_400_000_000;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("file");
        }
        folder
    }

    fn cost(deck: &Deck, at_us: i64) -> i64 {
        match deck.lookup("442071838750", at_us) {
            Lookup::Row(row) => row.charge(at_us, 60_000).amount_e8,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn r_18_a_deck_document_finds_its_sheet_and_other_decks_beside_it() {
        let (main, cheap) = (format!("{SHEET}44,UK,0.60,0,1,1,\n"), format!("{SHEET}4420,London,0.30,0,1,1,\n"));
        let yaml = "kind: deck\nname: main\nspec:\n  file: sheets.csv\n  tariff:\n    call_fee: '0.01'\n    profiles:\n      - { name: weekend, deck: cheap, weekdays: [sat, sun] }\n";
        // As a sheet beside it, as a document beside it, and as a document of the same file.
        let document = "kind: deck\nname: cheap\nspec:\n  file: other.csv\n";
        let (beside, together) = (format!("---\n{document}"), format!("{yaml}---\n{document}"));
        for files in [
            vec![("main.yaml", yaml), ("sheets.csv", main.as_str()), ("cheap.csv", cheap.as_str())],
            vec![("main.yaml", yaml), ("sheets.csv", main.as_str()), ("cheap.yaml", beside.as_str()), ("other.csv", cheap.as_str())],
            vec![("main.yaml", together.as_str()), ("sheets.csv", main.as_str()), ("other.csv", cheap.as_str())],
        ] {
            let folder = folder(&files);
            let deck = load(&folder.path().join("main.yaml")).expect("loads");
            assert_eq!((cost(&deck, FRIDAY), cost(&deck, SATURDAY)), (61_000_000, 31_000_000), "{files:?}");
        }
    }

    #[test]
    fn decks_that_are_nowhere_or_do_not_fit_are_all_told() {
        let main = format!("{SHEET}44,UK,0.60,0,1,1,\n");
        let yaml = "kind: deck\nname: main\nspec:\n  file: sheets.csv\n  tariff:\n    steps:\n      - { after_s: 60, deck: gone }\n      - { after_s: 90, deck: lost }\n";
        let folder = folder(&[("main.yaml", yaml), ("sheets.csv", &main)]);
        let told = load(&folder.path().join("main.yaml")).map(drop).expect_err("problems").to_string();
        assert!(told.contains("tariff.steps[0].deck: there is no deck 'gone'") && told.contains("tariff.steps[1].deck: there is no deck 'lost'"), "{told}");
    }
}

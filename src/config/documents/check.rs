//! Whether a document is right by itself: its schema, its type, what its part of the house says of it, its sheet.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use serde_json::Value;
use tollgate_proxy::admission::NumberLists;
use tollgate_rating::{
    contract::Contract,
    deck::{BadOption, Deck, DeckOptions, DeckProblems},
    geography::NumberTable,
    import::{NotWhole, is_rows, read_rows, whole_sheet},
};
use tollgate_schemas::control::{self, Kind};

use crate::plan::currencies;

use super::{ConfigProblem, Document, beside, locate::{self, Step, Target}, schema, validate};

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::schema);

/// Takes in the sheet of a deck, too.
pub fn check(document: &mut Document, problems: &mut Vec<ConfigProblem>) {
    let mistakes = validate::validate(&SCHEMA, document.kind.name(), &document.spec);
    if !mistakes.is_empty() {
        problems.extend(mistakes.into_iter().map(|m| place(document, m)));
        return;
    }
    let foreign = currencies::check(document.kind, &document.spec, None);
    problems.extend(foreign.into_iter().map(|(path, message)| document.problem(&path, message)));
    let spec = document.spec.clone();
    let wrong = match document.kind {
        Kind::Deck => return deck(document, problems),
        Kind::NumberTable => return number_table(document, problems),
        Kind::OriginGroup => serde_json::from_value::<control::OriginGroup>(spec).err(),
        Kind::Surcharge => serde_json::from_value::<control::Surcharge>(spec).err(),
        Kind::NumberList => match serde_json::from_value::<control::NumberList>(spec) {
            Ok(list) => return number_list(document, list, problems),
            Err(e) => Some(e),
        },
        Kind::FxRate => serde_json::from_value::<control::FxRate>(spec).err(),
        Kind::Tax => serde_json::from_value::<control::Tax>(spec).err(),
        Kind::FraudPolicy => match serde_json::from_value::<control::FraudPolicy>(spec) {
            Ok(policy) => return fraud_policy(document, &policy, problems),
            Err(e) => Some(e),
        },
        Kind::RoutePolicy => serde_json::from_value::<control::RoutePolicy>(spec).err(),
        Kind::Carrier => serde_json::from_value::<control::Carrier>(spec).err(),
        Kind::Account => serde_json::from_value::<control::Account>(spec).err(),
        Kind::Trunk => serde_json::from_value::<control::Trunk>(spec).err(),
        Kind::Contract => match serde_json::from_value::<control::Contract>(spec) {
            Ok(spec) => return contract(document, &spec, problems),
            Err(e) => Some(e),
        },
    };
    problems.extend(wrong.map(|e| document.problem("", e.to_string())));
}

fn place(document: &Document, mistake: validate::Mistake) -> ConfigProblem {
    if !mistake.key {
        return document.problem(&mistake.path, mistake.message);
    }
    let mut path = vec![Step::Key("spec".to_owned())];
    path.extend(locate::steps(&mistake.path));
    let message = format!("{} '{}': {}: {}", document.kind.name(), document.name, mistake.path, mistake.message);
    document.source.problem(document.index, &path, Target::Key, message)
}

fn fraud_policy(document: &Document, policy: &control::FraudPolicy, problems: &mut Vec<ConfigProblem>) {
    for wrong in tollgate_fraud::Policy::compile(policy).err().into_iter().flat_map(|bad| bad.0) {
        let text = wrong.to_string();
        // Each names its field first.
        let (field, what) = text.split_once(": ").unwrap_or(("", &text));
        problems.push(document.problem(field, what));
    }
}

fn number_list(document: &Document, list: control::NumberList, problems: &mut Vec<ConfigProblem>) {
    let lists = std::collections::BTreeMap::from([(document.name.clone(), list)]);
    problems.extend(NumberLists::compile(&lists).err().into_iter().flatten().map(|bad| document.problem(&bad.field, bad.message)));
}

fn contract(document: &Document, spec: &control::Contract, problems: &mut Vec<ConfigProblem>) {
    let bad = Contract::compile(&document.name, spec).err().unwrap_or_default();
    problems.extend(bad.into_iter().map(|b| document.problem(&b.path, b.problem)));
}

fn deck(document: &mut Document, problems: &mut Vec<ConfigProblem>) {
    let spec: control::Deck = match serde_json::from_value(document.spec.clone()) {
        Ok(spec) => spec,
        Err(e) => return problems.push(document.problem("", e.to_string())),
    };
    let options = match DeckOptions::from_spec(&spec) {
        Ok(options) => options,
        Err(BadOption::Tariff(bad)) => return problems.extend(bad.iter().map(|b| document.problem(&b.path, b.problem.clone()))),
        Err(e) => {
            let field = match e {
                BadOption::Tariff(_) => "tariff",
                BadOption::Currency(_) => "currency",
                BadOption::Timezone(_) => "timezone",
                BadOption::Places(_) => "places",
                BadOption::Rounding(_) => "rounding",
                BadOption::Jurisdiction(_) => "jurisdiction",
                BadOption::LookupFee { .. } => "lookup_fees",
            };
            return problems.push(document.problem(field, e.to_string()));
        }
    };
    let Some((sheet, csv)) = read_sheet(document, spec.file, spec.csv, problems) else { return };
    let csv = match of_rows(&document.name, &csv, &options) {
        None => csv,
        Some(Ok(csv)) => csv,
        Some(Err(wrong)) => {
            let place = sheet.as_deref().map_or(String::new(), |s| format!("{}: ", s.display()));
            return problems.extend(wrong.iter().map(|w| document.problem("file", format!("{place}{w}"))));
        }
    };
    match Deck::compile(&document.name, csv.as_bytes(), &options) {
        Ok(deck) => {
            let foreign = currencies::check(Kind::Deck, &document.spec, Some(&deck));
            problems.extend(foreign.into_iter().map(|(path, message)| document.problem(&path, message)));
            document.deck = Some(Arc::new(deck));
        }
        Err(bad) => sheet_problems(document, sheet.as_deref(), &bad, problems),
    }
    take_in(document, csv);
}

/// The sheet that a converted carrier's sheet comes to; none where it is a sheet itself.
fn of_rows(name: &str, csv: &str, options: &DeckOptions) -> Option<Result<String, Vec<String>>> {
    if !is_rows(csv.as_bytes()) {
        return None;
    }
    let (rows, currency) = match read_rows(csv) {
        Ok(read) => read,
        Err(e) => return Some(Err(vec![e.to_string()])),
    };
    if let Some(other) = currency.filter(|c| *c != options.currency) {
        return Some(Err(vec![format!("the sheet is in {other}, the document in {}", options.currency)]));
    }
    Some(match whole_sheet(name, options, &rows, None) {
        Ok(prepared) => Ok(String::from_utf8_lossy(&prepared.csv).into_owned()),
        Err(NotWhole(bad)) => Err(bad.problems.iter().map(ToString::to_string).collect()),
    })
}

/// The rows of a document that are in a file or in its text; None when they cannot be read, which is then reported.
fn read_sheet(document: &Document, file: Option<String>, csv: Option<String>, problems: &mut Vec<ConfigProblem>) -> Option<(Option<PathBuf>, String)> {
    let Some(path) = file.map(|file| beside(&document.file, &file)) else { return Some((None, csv.unwrap_or_default())) };
    match std::fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => return Some((Some(path), text)),
        Ok(Err(e)) if e.as_bytes().starts_with(b"PK\x03\x04") => {
            let text = format!("{} is a workbook: `tollgate deck convert` reads it and writes the sheet to name here", path.display());
            problems.push(document.problem("file", text));
        }
        Ok(Err(e)) => {
            let at = e.utf8_error().valid_up_to();
            problems.push(ConfigProblem::at_byte(&path, &String::from_utf8_lossy(&e.as_bytes()[..at]), at, "is no UTF-8 text from here on"));
        }
        Err(e) => problems.push(document.problem("file", format!("{} cannot be read: {e}", path.display()))),
    }
    None
}

fn take_in(document: &mut Document, csv: String) {
    if let Value::Object(fields) = &mut document.spec {
        fields.remove("file");
        fields.insert("csv".to_owned(), csv.into());
    }
}

fn number_table(document: &mut Document, problems: &mut Vec<ConfigProblem>) {
    let spec: control::NumberTable = match serde_json::from_value(document.spec.clone()) {
        Ok(spec) => spec,
        Err(e) => return problems.push(document.problem("", e.to_string())),
    };
    let Some((sheet, csv)) = read_sheet(document, spec.file, spec.csv, problems) else { return };
    match NumberTable::compile(csv.as_bytes()) {
        Ok(table) => document.number_table = Some(Arc::new(table)),
        Err(bad) => problems.extend(bad.into_iter().map(|p| match &sheet {
            Some(path) => {
                let column = if p.column.is_empty() { String::new() } else { format!("{}: ", p.column) };
                ConfigProblem { file: path.clone(), line: p.line, column: 0, message: format!("{column}{}", p.problem) }
            }
            None => document.problem("csv", p.to_string()),
        })),
    }
    take_in(document, csv);
}

fn sheet_problems(document: &Document, sheet: Option<&Path>, bad: &DeckProblems, problems: &mut Vec<ConfigProblem>) {
    for problem in &bad.problems {
        let column = if problem.column.is_empty() { String::new() } else { format!("{}: ", problem.column) };
        let message = format!("{column}{}", problem.problem);
        problems.push(match sheet {
            Some(path) => ConfigProblem { file: path.to_owned(), line: problem.line, column: 0, message },
            None => document.problem("csv", format!("line {} of the sheet: {message}", problem.line)),
        });
    }
    if bad.more > 0 {
        problems.push(document.problem("", format!("its sheet has {} more problems", bad.more)));
    }
}

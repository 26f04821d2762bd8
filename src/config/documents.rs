//! Provisioning documents: YAML (several in a file, parted by `---`) or JSON, each `{kind, name, spec}`. Read with
//! every mistake and its place, rate sheets taken in, in the order they are to be applied.

pub mod schema;

mod check;
mod locate;
mod together;
mod validate;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;
use tollgate_rating::{deck::Deck, geography::NumberTable};
use tollgate_schemas::{control::Kind, name};

use super::{ConfigProblem, nearest};
use locate::{Step, Target};

pub use together::{Compiled, check_together, placed, registry};

/// One document, right by itself: its spec reads as its kind. Whether what it names exists is another question
/// ([`check_together`]).
#[derive(Debug, Clone)]
pub struct Document {
    pub kind: Kind,
    pub name: String,
    /// As written; a deck's `file` has become `csv`.
    pub spec: Value,
    pub file: PathBuf,
    /// Of the file, from 1, where the document begins.
    pub line: u64,
    source: Arc<Source>,
    /// Which of the file's documents.
    index: usize,
    /// A deck's sheet, compiled.
    pub deck: Option<Arc<Deck>>,
    /// A number table's rows, compiled.
    pub number_table: Option<Arc<NumberTable>>,
}

/// A file that was read.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Document {
    /// A mistake at a field of the spec (`dial.max_rate`, `rules[0].feature`; empty: the whole), where it was written.
    pub fn problem(&self, field: &str, message: impl AsRef<str>) -> ConfigProblem {
        let mut path = vec![Step::Key("spec".to_owned())];
        path.extend(locate::steps(field));
        let at = if field.is_empty() { String::new() } else { format!("{field}: ") };
        let message = format!("{} '{}': {at}{}", self.kind.name(), self.name, message.as_ref());
        self.source.problem(self.index, &path, Target::Value, message)
    }
}

impl Source {
    /// At the place of a path, or of the longest part of it that is there.
    fn problem(&self, index: usize, path: &[Step], target: Target, message: impl Into<String>) -> ConfigProblem {
        let found = locate::find(&self.text, index, path, target);
        let found = found.or_else(|| (0..path.len()).rev().find_map(|n| locate::find(&self.text, index, &path[..n], Target::Value)));
        let (line, column) = found.unwrap_or((0, 0));
        ConfigProblem { file: self.path.clone(), line, column, message: message.into() }
    }
}

/// Reads files; gives the documents in the order of [`Kind::ALL`] and within a kind as written, or every mistake.
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<Document>, Vec<ConfigProblem>> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => read_file(Arc::new(Source { path: path.clone(), text }), &mut documents, &mut problems),
                Err(e) => problems.push(ConfigProblem::of_file(path, format!("is no UTF-8 text at byte {}", e.utf8_error().valid_up_to()))),
            },
            Err(e) => problems.push(ConfigProblem::of_file(path, format!("cannot be read: {e}"))),
        }
    }
    twice(&documents, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    documents.sort_by_key(|d| Kind::ALL.iter().position(|k| *k == d.kind));
    Ok(documents)
}

/// Two documents of one name: which holds would hang on their order.
fn twice(documents: &[Document], problems: &mut Vec<ConfigProblem>) {
    let mut seen: HashMap<(Kind, &str), &Document> = HashMap::new();
    for document in documents {
        if let Some(first) = seen.get(&(document.kind, document.name.as_str())) {
            let message = format!("is there already, at {}:{}: keep one of them", first.file.display(), first.line);
            problems.push(document.problem("", message));
        } else {
            seen.insert((document.kind, &document.name), document);
        }
    }
}

fn read_file(source: Arc<Source>, documents: &mut Vec<Document>, problems: &mut Vec<ConfigProblem>) {
    let before = (documents.len(), problems.len());
    for (index, yaml) in serde_yaml_ng::Deserializer::from_str(&source.text).enumerate() {
        let value = serde_yaml_ng::Value::deserialize(yaml).and_then(|mut value| {
            value.apply_merge()?;
            Ok(value)
        });
        let value = match value {
            Ok(serde_yaml_ng::Value::Null) => continue,
            Ok(value) => value,
            Err(e) => {
                problems.push(syntax(&source, &e));
                // The parser cannot go on behind it.
                break;
            }
        };
        match serde_json::to_value(value) {
            Ok(value) => read_one(&source, index, value, documents, problems),
            Err(e) => problems.push(source.problem(index, &[], Target::Value, format!("is nothing JSON could say: {e}"))),
        }
    }
    if before == (documents.len(), problems.len()) {
        problems.push(ConfigProblem::of_file(&source.path, "holds no document: want {kind, name, spec}"));
    }
}

fn syntax(source: &Source, error: &serde_yaml_ng::Error) -> ConfigProblem {
    let (line, column) = error.location().map_or((0, 0), |l| (l.line() as u64, l.column() as u64));
    let text = error.to_string();
    // The place is said before; the parser says it again at the end.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    ConfigProblem { file: source.path.clone(), line, column, message: text.to_owned() }
}

fn read_one(source: &Arc<Source>, index: usize, value: Value, documents: &mut Vec<Document>, problems: &mut Vec<ConfigProblem>) {
    let Value::Object(mut fields) = value else {
        problems.push(source.problem(index, &[], Target::Value, "is no document: want {kind, name, spec}"));
        return;
    };
    let key = |k: &str| [Step::Key(k.to_owned())];
    let count = problems.len();
    for unknown in fields.keys().filter(|k| !["kind", "name", "spec"].contains(&k.as_str())) {
        let meant = nearest(unknown, ["kind", "name", "spec"]).map_or(String::new(), |m| format!("did you mean '{m}'? "));
        let message = format!("a document has no '{unknown}': {meant}there are kind, name and spec");
        problems.push(source.problem(index, &key(unknown), Target::Key, message));
    }
    let kinds = Kind::ALL.map(Kind::name);
    let kind = match fields.get("kind") {
        Some(Value::String(text)) => Kind::from_name(text).or_else(|| {
            let meant = nearest(text, kinds).map_or(String::new(), |m| format!("did you mean '{m}'? "));
            let message = format!("there is no kind '{text}': {meant}there are {}", kinds.join(", "));
            problems.push(source.problem(index, &key("kind"), Target::Value, message));
            None
        }),
        other => {
            let what = if other.is_some() { "kind is no text" } else { "the document has no kind" };
            problems.push(source.problem(index, &key("kind"), Target::Value, format!("{what}: want one of {}", kinds.join(", "))));
            None
        }
    };
    let mut written = String::new();
    let called = match fields.get("name") {
        Some(Value::String(text)) => match name::check(text) {
            Ok(name) => Some(name.to_owned()),
            Err(e) => {
                problems.push(source.problem(index, &key("name"), Target::Value, e.to_string()));
                written.clone_from(text);
                None
            }
        },
        other => {
            let what = if other.is_some() { "name is no text: put it in quotes" } else { "the document has no name: give it one" };
            problems.push(source.problem(index, &key("name"), Target::Value, what));
            None
        }
    };
    let spec = match fields.remove("spec") {
        Some(spec @ Value::Object(_)) => Some(spec),
        other => {
            let what = if other.is_some() { "spec is no set of fields" } else { "the document has no spec" };
            problems.push(source.problem(index, &key("spec"), Target::Value, format!("{what}: put the fields of the kind under it")));
            None
        }
    };
    let (Some(kind), Some(spec)) = (kind, spec) else { return };
    let line = locate::find(&source.text, index, &[], Target::Value).map_or(1, |(line, _)| line);
    let (file, source) = (source.path.clone(), source.clone());
    let named = called.is_some();
    let mut document = Document { kind, name: called.unwrap_or(written), spec, file, line, source, index, deck: None, number_table: None };
    check::check(&mut document, problems);
    if named && problems.len() == count {
        documents.push(document);
    }
}

/// Line and column, from 1, of a field (`recurring[0].amount`) in a YAML file's first document.
pub fn place_of(text: &str, field: &str) -> Option<(u64, u64)> {
    locate::find(text, 0, &locate::steps(field), Target::Value)
}

/// A path written in a file, as seen from that file's folder.
fn beside(file: &Path, written: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(written)
}

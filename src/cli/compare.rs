//! Whether two specs mean the same, and where they differ: by their types, so that a default and its absence are alike,
//! and sheets by their hash.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tollgate_rating::deck::deck_version;
use tollgate_schemas::control::{self, Kind};

/// The spec with every default filled in; a deck has `version` in place of its sheet.
pub fn canonical(kind: Kind, spec: &Value) -> Value {
    let full = match kind {
        Kind::NumberTable => typed::<control::NumberTable>(spec),
        Kind::OriginGroup => typed::<control::OriginGroup>(spec),
        Kind::Surcharge => typed::<control::Surcharge>(spec),
        Kind::NumberList => typed::<control::NumberList>(spec),
        Kind::FxRate => typed::<control::FxRate>(spec),
        Kind::Tax => typed::<control::Tax>(spec),
        Kind::Deck => typed::<control::Deck>(spec),
        Kind::FraudPolicy => typed::<control::FraudPolicy>(spec),
        Kind::Carrier => typed::<control::Carrier>(spec),
        Kind::RoutePolicy => typed::<control::RoutePolicy>(spec),
        Kind::Account => typed::<control::Account>(spec),
        Kind::Trunk => typed::<control::Trunk>(spec),
        Kind::Contract => typed::<control::Contract>(spec),
    };
    let mut full = full.unwrap_or_else(|| spec.clone());
    if let (Kind::Deck | Kind::NumberTable, Some(fields)) = (kind, full.as_object_mut()) {
        if let Some(Value::String(csv)) = fields.remove("csv") {
            fields.insert("version".to_owned(), deck_version(csv.as_bytes()).into());
        }
        fields.remove("file");
    }
    full
}

fn typed<T: DeserializeOwned + Serialize>(spec: &Value) -> Option<Value> {
    serde_json::to_value(serde_json::from_value::<T>(spec.clone()).ok()?).ok()
}

/// A field that differs: its path, what it was and what it would be; null = not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    pub path: String,
    pub from: Value,
    pub to: Value,
}

pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut out = Vec::new();
    walk("", from, to, &mut out);
    out
}

fn walk(path: &str, from: &Value, to: &Value, out: &mut Vec<Change>) {
    if from == to {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (from, to) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))).collect();
        keys.sort_unstable();
        for key in keys {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            walk(&inner, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), out);
        }
        return;
    }
    out.push(Change { path: path.to_owned(), from: from.clone(), to: to.clone() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_default_and_its_absence_are_the_same() {
        let short = json!({ "account": "acme", "sources": ["10.0.0.1"] });
        let long = json!({ "account": "acme", "sources": ["10.0.0.1"], "channels": 10, "dial": { "international": false } });
        assert_eq!(canonical(Kind::Trunk, &short), canonical(Kind::Trunk, &long));
        let other = json!({ "account": "acme", "sources": ["10.0.0.1"], "dial": { "international": true } });
        let found = changes(&canonical(Kind::Trunk, &short), &canonical(Kind::Trunk, &other));
        assert_eq!(found, [Change { path: "dial.international".to_owned(), from: json!(false), to: json!(true) }]);
    }

    #[test]
    fn sheets_are_compared_by_their_hash() {
        let sheet = "prefix,destination\n";
        let ours = canonical(Kind::Deck, &json!({ "csv": sheet }));
        let theirs = canonical(Kind::Deck, &json!({ "version": deck_version(sheet.as_bytes()), "currency": "USD" }));
        assert_eq!(changes(&ours, &theirs), []);
        assert!(!changes(&ours, &canonical(Kind::Deck, &json!({ "version": "00" }))).is_empty());
    }
}

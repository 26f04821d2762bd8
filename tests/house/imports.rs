//! `cargo metadata` against the import table.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What each package may import of ours. Everyone imports `schemas`; the parts meet in `src/` only.
const TABLE: [(&str, &[&str]); 10] = [
    ("tollgate-schemas", &[]),
    ("tollgate-rating", &["tollgate-schemas"]),
    ("tollgate-fraud", &["tollgate-schemas"]),
    ("tollgate-ingest", &["tollgate-schemas"]),
    // Beside the contracts, the suites that every backend runs.
    ("tollgate-kafka", &["tollgate-schemas", "tollgate-ingest"]),
    ("tollgate-store", &["tollgate-schemas", "tollgate-ingest"]),
    ("tollgate-clickhouse", &["tollgate-schemas", "tollgate-ingest"]),
    ("tollgate-proxy", &["tollgate-schemas"]),
    ("tollgate-api", &["tollgate-schemas"]),
    (
        "tollgate",
        &["tollgate-schemas", "tollgate-rating", "tollgate-fraud", "tollgate-ingest", "tollgate-kafka", "tollgate-store", "tollgate-clickhouse", "tollgate-proxy", "tollgate-api"],
    ),
];

/// What the pure parts may not reach, however far down: a runtime and sockets.
const IMPURE: [&str; 5] = ["tokio", "mio", "async-std", "socket2", "ureq"];
/// And what they may not name themselves: randomness and the system. (Libraries bring these along without using them.)
const NOT_NAMED: [&str; 5] = ["rand", "getrandom", "fastrand", "libc", "tempfile"];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(ROOT)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The workspace's packages by name.
fn members(metadata: &Value) -> BTreeMap<&str, &Value> {
    let ids: BTreeSet<&str> = array(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    array(&metadata["packages"]).filter(|p| ids.contains(text(p, "id"))).map(|p| (text(p, "name"), p)).collect()
}

#[test]
fn design_1_nobody_imports_whom_the_table_does_not_name() {
    let metadata = metadata();
    let members = members(&metadata);
    let named: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(members.keys().copied().collect::<BTreeSet<_>>(), named, "a package is not in the table");
    for (name, may) in TABLE {
        // Of every kind: what tests import, they know too.
        for dependency in array(&members[name]["dependencies"]) {
            let imported = text(dependency, "name");
            assert!(!named.contains(imported) || may.contains(&imported), "{name} imports {imported}");
        }
    }
}

#[test]
fn design_1_rating_and_fraud_reach_no_runtime_no_socket_and_no_randomness() {
    let metadata = metadata();
    let names: BTreeMap<&str, &str> = array(&metadata["packages"]).map(|p| (text(p, "id"), text(p, "name"))).collect();
    let nodes: BTreeMap<&str, &Value> = array(&metadata["resolve"]["nodes"]).map(|n| (text(n, "id"), n)).collect();
    for pure in ["tollgate-rating", "tollgate-fraud", "tollgate-schemas"] {
        let start = *names.iter().find(|(_, name)| **name == pure).expect("a member").0;
        let (mut reached, mut open) = (BTreeSet::from([start]), vec![start]);
        while let Some(id) = open.pop() {
            for dependency in array(&nodes[id]["deps"]) {
                // Normal ones, for this kind of machine; not what builds or tests it.
                let normal = array(&dependency["dep_kinds"]).any(|k| k["kind"].is_null() && !text(k, "target").contains("windows") && !text(k, "target").contains("wasm"));
                let to = text(dependency, "pkg");
                if normal && reached.insert(to) {
                    open.push(to);
                }
            }
        }
        let found: Vec<&str> = reached.iter().map(|id| names[id]).filter(|n| IMPURE.contains(n)).collect();
        assert!(found.is_empty(), "{pure} reaches {found:?}");
        assert!(reached.len() > 5, "the graph was read");
        let named: Vec<&str> = array(&members(&metadata)[pure]["dependencies"])
            .filter(|d| d["kind"].is_null())
            .map(|d| text(d, "name"))
            .filter(|n| NOT_NAMED.contains(n))
            .collect();
        assert!(named.is_empty(), "{pure} names {named:?}");
    }
}

#[test]
fn design_1_the_seven_folders_are_there() {
    for folder in ["schemas", "proxy", "rating", "fraud", "ingest", "api", "tests", "src"] {
        assert!(Path::new(ROOT).join(folder).is_dir(), "{folder}/ is missing");
    }
}

//! Rules of the sources' text.

use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every Rust file below a folder of the repository.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![Path::new(ROOT).join(folder)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Lines of code of a file with their numbers: no comments, and nothing from its tests on, which stand last.
fn code(file: &Path) -> Vec<(usize, String)> {
    let is_test = file.file_name().is_some_and(|n| n == "tests.rs") || file.components().any(|c| c.as_os_str() == "tests");
    if is_test {
        return Vec::new();
    }
    let text = std::fs::read_to_string(file).expect("source");
    let lines = text.lines().enumerate().take_while(|(_, l)| l.trim() != "#[cfg(test)]");
    lines.map(|(n, l)| (n + 1, l.to_owned())).filter(|(_, l)| !l.trim_start().starts_with("//")).collect()
}

/// Where one of these words stands in the code of a folder.
fn found(folder: &str, words: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    for file in sources(folder) {
        for (line, text) in code(&file) {
            if let Some(word) = words.iter().find(|w| text.contains(**w)) {
                places.push(format!("{}:{line}: {word}", file.strip_prefix(ROOT).unwrap_or(&file).display()));
            }
        }
    }
    places
}

/// Computing on threads that end with the call (`thread::scope`), their number an argument, is no effect; any other thread is.
#[test]
fn design_1_rating_and_fraud_know_no_clock_no_files_and_keep_no_threads() {
    const WORDS: [&str; 12] = [
        "SystemTime", "Instant::", "Utc::now", "Local::now", "std::fs", "std::net", "std::env", "thread::spawn", "thread::sleep",
        "thread::Builder", "available_parallelism", "tokio",
    ];
    for folder in ["rating/src", "fraud/src", "schemas/src"] {
        assert_eq!(found(folder, &WORDS), [""; 0]);
    }
}

/// A workbook keeps every number as a float: where its cells are read, each becomes decimal text before anything is counted.
#[test]
fn design_4_no_float_near_money() {
    for folder in ["rating/src", "fraud/src"] {
        let mut places = found(folder, &["f64", "f32"]);
        places.retain(|p| !p.starts_with("rating/src/sheet/"));
        assert_eq!(places, [""; 0]);
    }
}

#[test]
fn design_1_the_sip_core_reads_no_clock_and_no_socket() {
    assert_eq!(found("proxy/src/sip", &["SystemTime", "Instant::", "UdpSocket", "std::fs", "std::thread", "tokio"]), [""; 0]);
}

/// S1-75: a limiter that refuses writes an event. In the proxy's core refusals go through one function that does; a bare
/// status that a limiter could give may stand only where no limiter is: each place here says why.
#[test]
fn s1_75_no_refusal_is_a_bare_status() {
    const KNOWN: [(&str, &str); 4] = [
        ("invite.rs", "Some(Party::Carrier(_)) =>"),      // a carrier is no customer: nothing was limited
        ("request.rs", "Method::Options if draining =>"), // OPTIONS is no call
        ("in_dialog.rs", "403, phrase_of(403)"),          // REFER inside a call
        ("in_dialog.rs", "500, phrase_of(500)"),          // CSeq that runs backwards (RFC 3261 §12.2.2)
    ];
    let mut places = Vec::new();
    for file in sources("proxy/src/sip/core") {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        for (line, text) in code(&file) {
            let bare = text.contains("reply_stateless(") && ["402", "403", "480", "486", "500", "503", "603"].iter().any(|s| text.contains(&format!("from, {s}")));
            if bare && !KNOWN.iter().any(|(file, part)| *file == name && text.contains(part)) {
                places.push(format!("{name}:{line}: {}", text.trim()));
            }
        }
    }
    assert_eq!(places, [""; 0], "refuse with an event, or say here why not");
}

#[test]
fn no_test_is_ignored_and_no_module_is_a_mod_rs() {
    let ignored = concat!("#[", "ignore");
    for folder in ["schemas", "proxy", "rating", "fraud", "ingest", "api", "src", "tests"] {
        for file in sources(folder) {
            assert!(file.file_name().is_some_and(|n| n != "mod.rs"), "{}", file.display());
            let text = std::fs::read_to_string(&file).expect("source");
            assert!(!text.contains(ignored), "{} ignores a test", file.display());
        }
    }
}

//! Standard output: whole texts, JSON, tables. A reader that goes away ends the command quietly.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::bail;
use serde_json::Value;

/// Standard output was closed by its reader.
#[derive(Debug)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Where a file that is put in place whole is to be put: the path, or what it links to. Refused: one of the files that are read
/// for it, and what is no file, which would be replaced by one.
pub fn target(path: &Path, inputs: &[&Path]) -> anyhow::Result<PathBuf> {
    let Ok(there) = fs::metadata(path) else { return Ok(path.to_owned()) };
    if !there.is_file() {
        let what = if there.is_dir() { "a folder" } else { "no file, and a file put in its place would replace it: write to standard output (-), where the command can, and redirect that" };
        bail!("{} is {what}", path.display());
    }
    let same = |input: &&&Path| fs::metadata(input).is_ok_and(|i| (i.dev(), i.ino()) == (there.dev(), there.ino()));
    if let Some(input) = inputs.iter().find(same) {
        bail!("{} is what is read ({}): name another file", path.display(), input.display());
    }
    Ok(fs::canonicalize(path)?)
}

/// What a write to standard output came to.
pub fn wrote(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => other.map_err(|e| anyhow::anyhow!("cannot write to standard output: {e}")),
    }
}

pub fn text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    wrote(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

pub fn line(line: &str) -> anyhow::Result<()> {
    text(&format!("{line}\n"))
}

/// Indented: people read it, too.
pub fn json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Columns as wide as their widest cell, parted by two spaces.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    let mut put = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(padded.join("  ").trim_end());
        out.push('\n');
    };
    put(header.to_vec());
    for row in rows {
        put(row.iter().map(String::as_str).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_written_over_and_what_is_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("calls.csv"), "calls").expect("file");
        fs::write(at("old.csv"), "old").expect("file");
        std::os::unix::fs::symlink(at("old.csv"), at("link.csv")).expect("link");
        std::os::unix::fs::symlink(at("calls.csv"), at("calls-link.csv")).expect("link");
        fs::hard_link(at("calls.csv"), at("calls-hard.csv")).expect("link");
        let calls = at("calls.csv");
        let said = |name: &str| target(&at(name), &[Path::new("missing"), &calls]).map_err(|e| e.to_string());
        for name in ["calls.csv", "calls-link.csv", "calls-hard.csv", "../".to_owned().as_str()] {
            let why = said(name).expect_err(name);
            assert!(why.contains(if name == "../" { "is a folder" } else { "is what is read" }), "{why}");
        }
        assert_eq!(said("new.csv"), Ok(at("new.csv")));
        assert_eq!(said("link.csv"), fs::canonicalize(at("old.csv")).map_err(|e| e.to_string()), "what it links to is replaced, the link stays");
        assert!(target(Path::new("/dev/null"), &[]).expect_err("a device").to_string().contains("no file"));
    }
}

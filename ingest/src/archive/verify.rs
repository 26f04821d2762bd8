//! Reads the whole archive and says what is wrong with it.

use std::{
    io,
    path::{Path, PathBuf},
};

use tollgate_schemas::log::Topic;

use super::{place, segment, starts};

/// Problems listed; after as many the rest is not looked at.
const LISTED: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    pub what: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub partitions: u64,
    pub segments: u64,
    pub events: u64,
    /// As they are on disk, and as the events were encoded.
    pub bytes: u64,
    pub raw_bytes: u64,
    pub problems: Vec<Problem>,
}

impl Report {
    pub fn sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks every segment: its hash, that its events can be read and their offsets grow, that it names the one before it, and that
/// no offsets are missing between the two. `seen` is told of progress, events so far.
///
/// Fails only when the folder cannot be read at all; what is wrong in it is in the report.
pub fn verify(dir: &Path, mut seen: impl FnMut(u64)) -> io::Result<Report> {
    let mut report = Report::default();
    let root = dir.join(Topic::Calls.name());
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    folders.sort();
    for folder in folders.iter().filter(|f| f.is_dir()) {
        report.partitions += 1;
        let number = folder.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<u16>().ok());
        // The segment before: its name, and where it ends; None after one that cannot be read.
        let mut before = Some(([0; 32], None));
        for from in starts(folder)? {
            if report.problems.len() >= LISTED {
                return Ok(report);
            }
            let file = place(folder, from);
            report.segments += 1;
            let (header, hash) = match segment::check(&file, from) {
                Ok(sound) => sound,
                Err(bad) => {
                    report.problems.push(Problem { file, what: bad.to_string() });
                    before = None;
                    continue;
                }
            };
            let mut note = |what| report.problems.push(Problem { file: file.clone(), what });
            if number != Some(header.partition) {
                note(format!("it is of partition {}", header.partition));
            }
            if let Some((name, end)) = before {
                if header.previous != name {
                    note("it does not name the segment before it: one was changed, added or taken away".to_owned());
                }
                if let Some(end) = end.filter(|end| *end != from) {
                    note(format!("offsets {end} to {from} are missing before it, or there twice"));
                }
            }
            before = Some((hash, Some(header.next())));
            report.events += header.count;
            report.raw_bytes += header.raw;
            report.bytes += std::fs::metadata(&file)?.len();
            seen(report.events);
        }
    }
    Ok(report)
}

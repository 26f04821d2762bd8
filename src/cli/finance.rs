//! What the commands of finance share: periods, files with their hash, rows of a running node.

use std::{
    fs::{self, File},
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tollgate_rating::corrections::invoice::instant;
use tollgate_schemas::{
    cdr::{COLUMNS, Cdr, ColumnType, Value as Cell},
    id::Id,
    money::parse_scaled,
    time::{format_rfc3339, parse_rfc3339},
};

use super::api::Client;

/// A period, as people say it.
#[derive(Debug, Clone, clap::Args)]
pub struct PeriodArgs {
    /// Its beginning: a date in --timezone, or an RFC 3339 time
    #[arg(long, alias = "since", value_name = "TIME")]
    pub from: String,
    /// Its end, which is not in it
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// IANA zone of dates
    #[arg(long, default_value = "UTC")]
    pub timezone: Tz,
}

impl PeriodArgs {
    /// Both ends as RFC 3339 in UTC.
    pub fn utc(&self) -> anyhow::Result<(String, String)> {
        let at = |name: &str, text: &str| instant(text, self.timezone).map_err(|e| anyhow::anyhow!("--{name}: {e}"));
        let (from, until) = (at("from", &self.from)?, at("until", &self.until)?);
        if from >= until {
            bail!("--until {} is not after --from {}", self.until, self.from);
        }
        Ok((format_rfc3339(from), format_rfc3339(until)))
    }
}

/// A file that appears under its name when it is whole, and the SHA-256 of what was written.
pub struct Hashed {
    path: PathBuf,
    part: PathBuf,
    file: io::BufWriter<File>,
    hash: Sha256,
    pub bytes: u64,
}

impl Hashed {
    pub fn create(path: &Path) -> anyhow::Result<Hashed> {
        let path = &super::out::target(path, &[])?;
        let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?.to_string_lossy();
        let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = File::create(&part).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Hashed { path: path.to_owned(), part, file: io::BufWriter::with_capacity(1 << 18, file), hash: Sha256::new(), bytes: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| self.path.display().to_string())
    }

    /// Puts the file in its place; gives its hash in hex.
    pub fn finish(mut self) -> anyhow::Result<String> {
        let mut whole = || -> anyhow::Result<()> {
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.part, &self.path)?;
            Ok(())
        };
        whole().with_context(|| self.path.display().to_string())?;
        Ok(hex(&std::mem::take(&mut self.hash).finalize()))
    }
}

impl Drop for Hashed {
    /// Half a file under any name would be taken for a whole one some day; one that is in its place is not under this one.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// A counter where a person looks on.
pub fn counter(what: &str) -> ProgressBar {
    use std::io::IsTerminal;
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {what} {{per_sec}} {{elapsed}}")) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar of known length where a person looks on.
pub fn bar(length: u64) -> ProgressBar {
    use std::io::IsTerminal;
    if length == 0 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Every CDR of a query to `/v1/cdrs`, as it comes.
pub fn cdrs(client: &Client, query: &[(&str, &str)], mut take: impl FnMut(Cdr) -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut query = query.to_vec();
    query.push(("format", "jsonl"));
    let mut rows = 0;
    client.lines("/v1/cdrs", &query, |line| {
        let value: Value = serde_json::from_str(line).context("the node's answer is cut short")?;
        rows += 1;
        take(cdr_of(&value)?)
    })?;
    Ok(rows)
}

/// A CDR from the JSON the API shows; columns that are not there stay empty.
pub fn cdr_of(value: &Value) -> anyhow::Result<Cdr> {
    let mut cdr = Cdr::default();
    for column in COLUMNS {
        let cell = &value[column.name];
        let wrong = || anyhow::anyhow!("column {} is {cell}", column.name);
        match (cell, column.ty) {
            (Value::Null, _) => {}
            (Value::Bool(b), ColumnType::Bool) => (column.set)(&mut cdr, Cell::Bool(*b)),
            (Value::Number(n), ColumnType::U32) => (column.set)(&mut cdr, Cell::U32(n.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(wrong)?)),
            (Value::Number(n), ColumnType::U64) => (column.set)(&mut cdr, Cell::U64(n.as_u64().ok_or_else(wrong)?)),
            (Value::String(s), ColumnType::Str) => (column.set)(&mut cdr, Cell::Str(s)),
            (Value::String(s), ColumnType::Uuid) => {
                let id: Id = s.parse().map_err(|_| wrong())?;
                (column.set)(&mut cdr, Cell::Uuid(&id.to_vec()));
            }
            (Value::String(s), ColumnType::Ts) => (column.set)(&mut cdr, Cell::Ts(parse_rfc3339(s)?)),
            (Value::String(s), ColumnType::Money) => (column.set)(&mut cdr, Cell::Money(parse_scaled(s, 8)?)),
            (Value::String(s), ColumnType::Rate) => (column.set)(&mut cdr, Cell::Rate(parse_scaled(s, 12)?)),
            _ => return Err(wrong()),
        }
    }
    Ok(cdr)
}

/// Lines of a stream, one at a time.
pub fn each_line(stream: impl Read, mut take: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut reader = io::BufReader::with_capacity(1 << 18, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).context("the node's answer broke off")? == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') {
            bail!("the node's answer broke off in the middle of a row");
        }
        take(line.trim_end_matches(['\r', '\n']))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fn_11_a_cdr_comes_back_from_the_apis_json_as_it_was() {
        let mut cdr = Cdr { call_uuid: vec![7; 16], sell_amount: -123_456_789, sell_rate: Some(12_500_000_000), invite_ts: 1_772_323_200_000_001, answer_ts: None, emergency_flag: true, account: "=cmd".into(), ..Cdr::default() };
        cdr.block_id = Some(vec![9; 16]);
        assert_eq!(cdr_of(&cdr.json()).expect("its own JSON"), cdr);
    }
}

//! `tollgate deck convert`: a carrier's sheet as the rows an import takes.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use serde_json::json;
use tollgate_rating::import::write_rows;

use super::{Done, out, sheet::{BadCarrierSheet, SheetOptions}};

/// Reads a carrier's sheet (XLSX, or CSV of any separator and encoding) and prints its rows in one form
///
/// Everything that is wrong is told with its sheet, row and column, and then nothing is printed.
#[derive(clap::Args)]
pub struct Args {
    file: PathBuf,
    /// Where the rows go [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// IANA zone of dates without a time
    #[arg(long, default_value = "UTC")]
    timezone: Tz,
    /// Print what was detected, and the problems, as JSON rather than the rows
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: SheetOptions,
}

pub fn run(args: &Args) -> anyhow::Result<Done> {
    for input in [Some(&args.file), args.options.mapping.as_ref()].into_iter().flatten() {
        if let Some(out) = args.out.as_ref().filter(|out| is_same(input, out)) {
            bail!("{} is read and would be overwritten: give --out another name", out.display());
        }
    }
    let read = args.options.read(&args.file, args.timezone);
    if args.json {
        let (value, ok) = match read {
            Ok(sheet) => (json!({ "file": args.file, "ok": true, "codes": sheet.rows.len(), "currency": sheet.currency, "left_out": sheet.explained.left_out(), "explained": sheet.explained, "warnings": sheet.warnings, "problems": [] }), true),
            Err(error) => match error.downcast::<BadCarrierSheet>() {
                Ok(bad) => (bad.json(), false),
                Err(other) => return Err(other),
            },
        };
        out::json(&value)?;
        return Ok(Done::when(ok));
    }
    let sheet = read?;
    let rows = write_rows(&sheet.rows, sheet.currency.as_deref());
    match &args.out {
        Some(path) => std::fs::write(path, rows).with_context(|| format!("{} cannot be written", path.display()))?,
        None => out::text(&rows)?,
    }
    Ok(Done::Yes)
}

/// One file under two names, or one name twice.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    id(one).is_some_and(|one| Some(one) == id(other))
}

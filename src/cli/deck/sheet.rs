//! Carriers' sheets as files: which reader takes them, and what the command line says of them.

use std::{
    fs::File,
    io::{IsTerminal, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use chrono_tz::Tz;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tollgate_rating::{
    import::{is_rows, read_rows},
    sheet::{Canonical, DateOrder, DecimalSign, Explained, Mapping, Remark, SheetProblems, SheetReader, feed_csv},
};

use super::xlsx;

/// What is looked at to know a file by.
const HEAD: usize = 512;
/// Largest CSV file.
const MAX_CSV: u64 = 2 << 30;

/// What a carrier's sheet does not say itself.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The sheet")]
pub struct SheetOptions {
    /// Mapping file (YAML): sheets, header_row, columns, ignore, units, codes, dates, decimal, currency … (docs/tariffs.md)
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// Sheet of the workbook; more than once for several [default: every visible one with rates]
    #[arg(long, value_name = "NAME")]
    pub sheet: Vec<String>,
    /// Day or month first in dates as 01/02/2027 [default: the file tells, or is refused]
    #[arg(long, value_parser = ["dmy", "mdy"])]
    pub dates: Option<String>,
    /// The decimal sign [default: the file tells]
    #[arg(long, value_parser = ["point", "comma"])]
    pub decimal: Option<String>,
    /// First/next seconds of rows that name none, as 60/60
    #[arg(long, value_name = "FIRST/NEXT")]
    pub increments: Option<String>,
    /// When rows without a date come into force: a date, or now
    #[arg(long, value_name = "DATE")]
    pub effective: Option<String>,
    /// Print what was detected to standard error
    #[arg(long)]
    pub explain: bool,
}

impl SheetOptions {
    /// The mapping file with what the command line says over it.
    fn mapping(&self) -> anyhow::Result<Mapping> {
        let mut mapping = match &self.mapping {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
                serde_yaml_ng::from_str(&text).with_context(|| format!("{} is no mapping", path.display()))?
            }
            None => Mapping::default(),
        };
        if !self.sheet.is_empty() {
            mapping.sheets.clone_from(&self.sheet);
        }
        if let Some(order) = &self.dates {
            mapping.dates = Some(if order == "dmy" { DateOrder::Dmy } else { DateOrder::Mdy });
        }
        if let Some(sign) = &self.decimal {
            mapping.decimal = Some(if sign == "point" { DecimalSign::Point } else { DecimalSign::Comma });
        }
        for (said, field) in [(&self.increments, &mut mapping.increments), (&self.effective, &mut mapping.effective_from)] {
            if said.is_some() {
                field.clone_from(said);
            }
        }
        Ok(mapping)
    }

    /// Reads a sheet. `zone`: of its dates, where the mapping names none.
    pub fn read(&self, file: &Path, zone: Tz) -> anyhow::Result<Canonical> {
        let mut reader = SheetReader::new(self.mapping()?, zone);
        let mut head = [0u8; HEAD];
        let mut input = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let size = input.metadata()?.len();
        let mut seen = 0;
        while seen < HEAD {
            match input.read(&mut head[seen..]).with_context(|| format!("{} cannot be read", file.display()))? {
                0 => break,
                more => seen += more,
            }
        }
        match &head[..seen] {
            head if is_rows(head) => return converted(file, size),
            [b'P', b'K', 3, 4, ..] => xlsx::feed(file, &mut reader)?,
            [0xd0, 0xcf, 0x11, 0xe0, ..] => bail!("{} is an old .xls file, or a workbook with a password: save it as .xlsx without one, or as CSV", file.display()),
            _ => {
                if size > MAX_CSV {
                    bail!("{} has {size} bytes: a sheet may have {MAX_CSV}; split it", file.display());
                }
                let bar = if size > 8 << 20 && std::io::stderr().is_terminal() { ProgressBar::new(size) } else { ProgressBar::hidden() };
                if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
                    bar.set_style(style);
                }
                feed_csv(bar.wrap_read(std::io::Cursor::new(head[..seen].to_vec()).chain(input)), &mut reader).with_context(|| format!("{} cannot be read", file.display()))?;
                bar.finish_and_clear();
            }
        }
        let sheet = reader.finish().map_err(|problems| BadCarrierSheet { file: file.to_owned(), problems })?;
        if self.explain {
            eprint!("{}", explained(&sheet.explained));
        }
        for warning in &sheet.warnings {
            eprintln!("warning: {}", place(file, warning));
        }
        let left_out = sheet.explained.left_out();
        if !left_out.is_empty() {
            eprintln!("warning: {}: columns left out: {}", file.display(), left_out.join(", "));
        }
        Ok(sheet)
    }
}

/// Whether a file is a carrier's sheet and no deck: a workbook, an old one, or what `deck convert` writes.
pub fn is_carriers(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'K', 3, 4, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..]) || is_rows(bytes)
}

/// What `deck convert` wrote: everything was decided then.
fn converted(file: &Path, size: u64) -> anyhow::Result<Canonical> {
    if size > MAX_CSV {
        bail!("{} has {size} bytes: a sheet may have {MAX_CSV}; split it", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (rows, currency) = read_rows(&text).with_context(|| format!("{} is not as `deck convert` writes it", file.display()))?;
    if rows.is_empty() {
        bail!("{} has a header and no rows", file.display());
    }
    Ok(Canonical { rows, explained: Explained { currency: currency.clone(), ..Explained::default() }, currency, warnings: Vec::new() })
}

/// `sheet.xlsx:Rates!C12 (Rate): text`.
fn place(file: &Path, remark: &Remark) -> String {
    format!("{}:{}{remark}", file.display(), if remark.place().is_empty() { " " } else { "" })
}

/// A carrier's sheet that was refused, with every problem at its place.
#[derive(Debug)]
pub struct BadCarrierSheet {
    pub file: PathBuf,
    pub problems: SheetProblems,
}

impl std::fmt::Display for BadCarrierSheet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, problem) in self.problems.problems.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "\nerror: " }, place(&self.file, problem))?;
        }
        let total = self.problems.total();
        write!(f, "\n{total} problem{} in {}: nothing of it was taken", if total == 1 { "" } else { "s" }, self.file.display())?;
        if self.problems.more > 0 { write!(f, " ({} not told here)", self.problems.more) } else { Ok(()) }
    }
}

impl std::error::Error for BadCarrierSheet {}

impl BadCarrierSheet {
    pub fn json(&self) -> serde_json::Value {
        let told = self.problems.problems.iter().map(|p| json!({ "place": p.place(), "sheet": p.sheet, "row": p.row, "column": p.column, "header": p.header, "problem": p.text }));
        json!({ "file": self.file, "ok": false, "problems": told.collect::<Vec<_>>(), "more": self.problems.more })
    }
}

/// What was detected, for people.
fn explained(found: &Explained) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    if let Some(encoding) = found.encoding {
        let separator = match found.separator {
            Some('\t') => "tab".to_owned(),
            Some(c) => format!("'{c}'"),
            None => "none".to_owned(),
        };
        line(format!("encoding {encoding}, separator {separator}"));
    }
    let word = |w: Option<serde_json::Value>| w.and_then(|w| w.as_str().map(str::to_owned)).unwrap_or_else(|| "not told".to_owned());
    let (decimal, dates) = (found.decimal.and_then(|d| serde_json::to_value(d).ok()), found.dates.and_then(|d| serde_json::to_value(d).ok()));
    line(format!("decimal sign {}, dates {}, currency {}", word(decimal), word(dates), found.currency.as_deref().unwrap_or("not told")));
    for sheet in &found.sheets {
        let name = if sheet.name.is_empty() { "the file".to_owned() } else { format!("sheet '{}'", sheet.name) };
        if !matches!(sheet.used_as, "rates" | "codes") {
            line(format!("{name}: {}, not read", sheet.used_as));
            continue;
        }
        line(format!("{name}: {}, header in row {}; {} rows, {} blank, {} remarks", sheet.used_as, sheet.header_row, sheet.rows, sheet.blank, sheet.remarks));
        for column in &sheet.columns {
            let meaning = column.column.map_or("not used", |c| c.name());
            line(format!("  {} '{}': {meaning}", column.letter, column.header));
        }
    }
    out
}

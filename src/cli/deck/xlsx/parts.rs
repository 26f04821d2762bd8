//! A workbook's parts, looked through before they are unpacked into memory: no cell, no text and no part is larger than any
//! spreadsheet makes it, and what each cell's format shows beside its number is known (ECMA-376 part 1, 18.3, 18.4, 18.8).

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use zip::ZipArchive;

use super::format::label;

/// Bytes of one cell's text. A spreadsheet has 32,767 characters, of up to seven bytes each as XML writes them.
const MAX_TEXT: u64 = 256 << 10;
const MAX_TAG: u64 = 64 << 10;
/// Texts that cells share are held in memory, all of them.
const MAX_SHARED: u64 = 256 << 20;
const MAX_SHARED_TEXTS: u64 = 4_000_000;
/// Bytes of one sheet.
const MAX_SHEET: u64 = 2 << 30;

pub struct Parts {
    zip: ZipArchive<BufReader<File>>,
    /// Names of parts, in small letters.
    names: HashMap<String, String>,
    /// By sheet.
    paths: HashMap<String, String>,
    /// By a cell's style.
    labels: Vec<Option<Arc<str>>>,
}

/// What formats of a sheet show, by row and column from 0, in the sheet's order.
#[derive(Default)]
pub struct Shown {
    at: Vec<(u32, u32, u32)>,
    next: usize,
    labels: Vec<Option<Arc<str>>>,
}

impl Shown {
    /// Of the cell; cells are asked for in the sheet's order.
    pub fn of(&mut self, row: u32, column: u32) -> Option<&Arc<str>> {
        while self.at.get(self.next).is_some_and(|(r, c, _)| (*r, *c) < (row, column)) {
            self.next += 1;
        }
        let (_, _, style) = self.at.get(self.next).filter(|(r, c, _)| (*r, *c) == (row, column))?;
        self.labels.get(*style as usize)?.as_ref()
    }
}

impl Parts {
    /// Looks through what is shared by all sheets.
    pub fn open(path: &Path) -> anyhow::Result<Parts> {
        let zip = ZipArchive::new(BufReader::new(File::open(path)?))?;
        let names = zip.file_names().map(|n| (n.to_lowercase().replace('\\', "/"), n.to_owned())).collect();
        let mut parts = Parts { zip, names, paths: HashMap::new(), labels: Vec::new() };
        let mut texts = 0u64;
        parts.walk("xl/sharedstrings.xml", MAX_SHARED, |tag, _| {
            texts += u64::from(tag.opens("si"));
            if texts > MAX_SHARED_TEXTS { bail!("it has more than {MAX_SHARED_TEXTS} texts: save the sheet of rates as CSV") } else { Ok(()) }
        })?;
        parts.read_paths()?;
        parts.read_labels()?;
        Ok(parts)
    }

    fn read_paths(&mut self) -> anyhow::Result<()> {
        let mut targets: HashMap<String, String> = HashMap::new();
        self.walk("xl/_rels/workbook.xml.rels", MAX_SHARED, |tag, _| {
            if tag.opens("Relationship")
                && let (Some(id), Some(target)) = (tag.attribute("Id"), tag.attribute("Target"))
            {
                let path = target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned);
                targets.insert(id, path.to_lowercase());
            }
            Ok(())
        })?;
        let mut paths = HashMap::new();
        self.walk("xl/workbook.xml", MAX_SHARED, |tag, _| {
            if tag.opens("sheet")
                && let (Some(name), Some(id)) = (tag.attribute("name"), tag.attribute("id"))
                && let Some(path) = targets.get(&id)
            {
                paths.insert(name, path.clone());
            }
            Ok(())
        })?;
        self.paths = paths;
        Ok(())
    }

    fn read_labels(&mut self) -> anyhow::Result<()> {
        let mut own: HashMap<u32, Option<Arc<str>>> = HashMap::new();
        let (mut of_cells, mut labels) = (false, Vec::new());
        self.walk("xl/styles.xml", MAX_SHARED, |tag, _| {
            let id = || tag.attribute("numFmtId").and_then(|id| id.parse::<u32>().ok());
            if tag.opens("numFmt")
                && let (Some(id), Some(code)) = (id(), tag.attribute("formatCode"))
            {
                own.insert(id, label(&code).map(Arc::from));
            } else if tag.is("cellXfs") {
                of_cells = tag.opens("cellXfs");
            } else if of_cells && tag.opens("xf") {
                labels.push(match id() {
                    // Amounts of money in the currency of whoever opens the workbook (18.8.30).
                    Some(5..=8 | 42 | 44) => Some(Arc::from("¤")),
                    Some(id) => own.get(&id).cloned().flatten(),
                    None => None,
                });
            }
            Ok(())
        })?;
        self.labels = labels;
        Ok(())
    }

    /// Looks through a sheet.
    pub fn sheet(&mut self, name: &str) -> anyhow::Result<Shown> {
        let path = self.paths.get(name).cloned().context("its part of the file is missing")?;
        if !self.names.contains_key(&path) {
            bail!("its part of the file is missing");
        }
        let labels = self.labels.clone();
        let any = labels.iter().any(Option::is_some);
        let mut at = Vec::new();
        let (mut row, mut column) = (0u32, 0u32);
        self.walk(&path, MAX_SHEET, |tag, _| {
            if tag.opens("row") {
                row = tag.attribute("r").and_then(|r| r.parse().ok()).unwrap_or(row + 1);
                column = 0;
            } else if any && tag.opens("c") {
                column = tag.attribute("r").and_then(|place| column_of(&place)).unwrap_or(column + 1);
                let style = tag.attribute("s").and_then(|s| s.parse::<u32>().ok()).unwrap_or(0);
                if labels.get(style as usize).is_some_and(Option::is_some) {
                    at.push((row.saturating_sub(1), column - 1, style));
                }
            }
            Ok(())
        })?;
        // In the order they are asked for, whatever the file's.
        at.sort_unstable();
        Ok(Shown { at, next: 0, labels })
    }

    /// Every tag of a part, with how many bytes of text stand before it. A part that is not there has none.
    fn walk(&mut self, path: &str, most: u64, mut each: impl FnMut(&Tag<'_>, u64) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(name) = self.names.get(path) else { return Ok(()) };
        let part = self.zip.by_name(name)?;
        let mut input = BufReader::with_capacity(64 << 10, part);
        let (mut tag, mut read, mut place) = (Vec::new(), 0u64, String::new());
        // Bytes of text in the cell, or the shared text, that is open.
        let (mut text, mut inside) = (0u64, false);
        loop {
            let before = (&mut input).take(MAX_TEXT + 1).skip_until(b'<')? as u64;
            text = if inside { text + before } else { before };
            if text > MAX_TEXT {
                let place = if place.is_empty() { String::new() } else { format!(", cell {place},") };
                bail!("{name}{place} has a text of more than {MAX_TEXT} bytes: no spreadsheet makes cells as large; take it out");
            }
            tag.clear();
            tag.push(b'<');
            // A tag may have a '>' between quotes, and a comment anywhere.
            loop {
                let more = (&mut input).take(MAX_TAG + 1).read_until(b'>', &mut tag)?;
                if tag.len() as u64 > MAX_TAG {
                    bail!("{name} has a tag of more than {MAX_TAG} bytes: no spreadsheet makes them as large");
                }
                if more == 0 || is_whole(&tag) {
                    break;
                }
            }
            read += before + tag.len() as u64;
            if read > most {
                bail!("{name} has more than {most} bytes unpacked: save the sheet of rates as CSV, which may be larger");
            }
            if tag.len() < 2 {
                return Ok(());
            }
            let found = Tag(&tag);
            if found.is("si") || found.is("c") {
                text = 0;
                inside = !found.name().1 && !tag.ends_with(b"/>");
                if found.opens("c") {
                    place = found.attribute("r").unwrap_or_default();
                }
            }
            each(&found, before)?;
        }
    }
}

/// Whether a tag is read to its end.
fn is_whole(tag: &[u8]) -> bool {
    match tag {
        [b'<', b'!', b'-', b'-', ..] => tag.len() > 6 && tag.ends_with(b"-->"),
        [b'<', b'!', b'[', ..] => tag.ends_with(b"]]>"),
        _ => tag.ends_with(b">") && tag.iter().filter(|b| **b == b'"').count() % 2 == 0,
    }
}

/// One tag, from `<` to `>`.
struct Tag<'t>(&'t [u8]);

impl Tag<'_> {
    /// Its name without a namespace's prefix, and whether it closes an element.
    fn name(&self) -> (&[u8], bool) {
        let inner = &self.0[1..];
        let (inner, closes) = inner.strip_prefix(b"/").map_or((inner, false), |rest| (rest, true));
        let end = inner.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')).unwrap_or(inner.len());
        let name = &inner[..end];
        (name.iter().position(|b| *b == b':').map_or(name, |at| &name[at + 1..]), closes)
    }

    fn is(&self, name: &str) -> bool {
        self.name().0 == name.as_bytes()
    }

    fn opens(&self, name: &str) -> bool {
        self.name() == (name.as_bytes(), false)
    }

    /// The value of an attribute, whatever namespace it is of.
    fn attribute(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(self.0).ok()?;
        let mut rest = &text[text.find(|c: char| c.is_ascii_whitespace())?..];
        loop {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|q| matches!(q, '"' | '\''))?;
            let (value, next) = after[1..].split_once(quote)?;
            let key = key.trim();
            if key.rsplit(':').next() == Some(name) {
                return Some(plain(value));
            }
            rest = next;
        }
    }
}

/// An attribute's text without references (XML 1.0, 4.6).
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, next)) = after.split_once(';') else { break };
        let of_number = || {
            let number = name.strip_prefix('#')?;
            let code = number.strip_prefix(['x', 'X']).map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
            char::from_u32(code?)
        };
        match name {
            "quot" => out.push('"'),
            "amp" => out.push('&'),
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "apos" => out.push('\''),
            _ => out.extend(of_number()),
        }
        rest = next;
    }
    out.push_str(rest);
    out
}

/// The column of `AB12`, from 1.
fn column_of(place: &str) -> Option<u32> {
    let letters = place.bytes().take_while(u8::is_ascii_alphabetic);
    let column = letters.fold(0u32, |n, b| n.saturating_mul(26).saturating_add(u32::from(b.to_ascii_uppercase() - b'A') + 1));
    (1..=16_384).contains(&column).then_some(column)
}

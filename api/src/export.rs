//! CSV and JSON Lines (FN-11): every matching row, page by page from the store, never all in memory.
//!
//! CSV is RFC 4180: CRLF, a header line, UTF-8, quotes where needed; times RFC 3339 in UTC, decimal point. *Formula
//! guard*: a cell of a text column that begins with `=`, `+`, `-`, `@`, tab or CR gets an apostrophe before it, so that no
//! spreadsheet runs what a caller wrote in a SIP header. A cell that is nothing but a signed number (`+4930123`, `-12.50`)
//! cannot be a formula and stays as it is; number, time and id columns are never touched.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use tollgate_schemas::{
    cdr::{Cdr, Column, ColumnType},
    store::{CdrFilter, CdrQuery, CdrStore, RowKey, StoreError},
};

use crate::{problem::Error, render};

/// Rows asked of the store at a time.
const PAGE: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    JsonLines,
}

/// Streams every row of `filter`. The first page is read before the answer begins, so that a store that is away is an
/// error and not a broken file; a fault later breaks the stream off, which a reader of chunked HTTP notices.
pub(crate) async fn cdrs(store: Arc<dyn CdrStore>, filter: CdrFilter, columns: Vec<&'static Column>, format: Format) -> Result<Response, Error> {
    let first = store.cdrs(CdrQuery { filter: filter.clone(), after: None, limit: PAGE }).await?;
    let mut head = String::new();
    if format == Format::Csv {
        header_line(columns.iter().map(|c| c.name), &mut head);
    }
    struct Walk {
        store: Arc<dyn CdrStore>,
        filter: CdrFilter,
        columns: Vec<&'static Column>,
        /// Rows read and not yet written; none = read on after `last`.
        page: Option<Vec<Arc<Cdr>>>,
        last: Option<RowKey>,
        head: String,
    }
    let walk = Walk { store, filter, columns, page: Some(first), last: None, head };
    let chunks = stream::try_unfold(Some(walk), move |walk| async move {
        let Some(mut walk) = walk else { return Ok::<_, StoreError>(None) };
        let rows = match walk.page.take() {
            Some(rows) => rows,
            None => {
                let query = CdrQuery { filter: walk.filter.clone(), after: walk.last, limit: PAGE };
                walk.store.cdrs(query).await.inspect_err(|error| tracing::error!(%error, "an export broke off"))?
            }
        };
        let mut text = std::mem::take(&mut walk.head);
        for row in &rows {
            match format {
                Format::Csv => csv_row(row, &walk.columns, &mut text),
                Format::JsonLines => {
                    text.push_str(&render::cdr(row, &walk.columns).to_string());
                    text.push('\n');
                }
            }
        }
        walk.last = rows.last().map(|r| RowKey::of(r)).or(walk.last);
        let more = rows.len() == PAGE;
        Ok(Some((Bytes::from(text), more.then_some(walk))))
    });
    let (media_type, file) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"cdrs.csv\""),
        Format::JsonLines => ("application/jsonl; charset=utf-8", "attachment; filename=\"cdrs.jsonl\""),
    };
    let mut response = render::typed(media_type, Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(file));
    Ok(response)
}

fn csv_row(cdr: &Cdr, columns: &[&'static Column], out: &mut String) {
    let mut text = String::new();
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        text.clear();
        (column.get)(cdr).text(&mut text);
        cell(&text, column.ty == ColumnType::Str, out);
    }
    out.push_str("\r\n");
}

pub(crate) fn header_line<'a>(names: impl Iterator<Item = &'a str>, out: &mut String) {
    let names: Vec<&str> = names.collect();
    out.push_str(&names.join(","));
    out.push_str("\r\n");
}

/// Writes one cell; `free` = text that somebody else chose.
pub(crate) fn cell(text: &str, free: bool, out: &mut String) {
    let guard = free && text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_signed_number(text);
    let quote = text.contains(['"', ',', '\n', '\r']);
    if quote {
        out.push('"');
    }
    if guard {
        out.push('\'');
    }
    if quote {
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

fn is_signed_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['+', '-']) else { return false };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell_of(text: &str) -> String {
        let mut out = String::new();
        cell(text, true, &mut out);
        out
    }

    #[test]
    fn x_11_formulas_are_disarmed_and_numbers_left_alone() {
        for (text, want) in [
            ("=cmd()", "'=cmd()"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"), ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("\tx", "'\tx"), ("\r=1", "\"'\r=1\""), ("+", "'+"), ("-", "'-"), ("-1.", "'-1."), ("+1e5", "'+1e5"),
            ("+4930123", "+4930123"), ("-12.50", "-12.50"), ("plain", "plain"), ("a=b", "a=b"), ("", ""),
        ] {
            assert_eq!(cell_of(text), want, "{text:?}");
        }
        let mut out = String::new();
        cell("-5", false, &mut out);
        assert_eq!(out, "-5");
    }

    #[test]
    fn fn_11_quotes_as_rfc_4180_has_them() {
        assert_eq!(cell_of("a,b"), "\"a,b\"");
        assert_eq!(cell_of("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(cell_of("two\r\nlines"), "\"two\r\nlines\"");
        assert_eq!(cell_of("=1,2"), "\"'=1,2\"");
    }
}

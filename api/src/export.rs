//! CSV and JSON Lines (FN-11): every matching row, page by page from the store, never all in memory.
//!
//! CSV is as [`tollgate_schemas::csv_text`] has it: RFC 4180, and no cell that a spreadsheet would run.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use tollgate_schemas::{
    cdr::Cdr,
    csv_text::header_line,
    store::{CdrFilter, CdrQuery, CdrStore, RowKey, StoreError},
};

use crate::{
    problem::Error,
    render::{self, Seen},
};

/// Rows asked of the store at a time.
const PAGE: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    JsonLines,
}

/// Streams every row of `filter`. The first page is read before the answer begins, so that a store that is away is an
/// error and not a broken file; a fault later breaks the stream off, which a reader of chunked HTTP notices.
pub(crate) async fn cdrs(store: Arc<dyn CdrStore>, filter: CdrFilter, seen: Seen, format: Format) -> Result<Response, Error> {
    let first = store.cdrs(CdrQuery { filter: filter.clone(), after: None, limit: PAGE }).await?;
    let mut head = String::new();
    if format == Format::Csv {
        header_line(seen.columns.iter().map(|c| c.name), &mut head);
    }
    struct Walk {
        store: Arc<dyn CdrStore>,
        filter: CdrFilter,
        seen: Seen,
        /// Rows read and not yet written; none = read on after `last`.
        page: Option<Vec<Arc<Cdr>>>,
        last: Option<RowKey>,
        head: String,
    }
    let walk = Walk { store, filter, seen, page: Some(first), last: None, head };
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
        for row in rows.iter().filter_map(|r| walk.seen.row(r)) {
            match format {
                Format::Csv => row.csv_row(&walk.seen.columns, &mut text),
                Format::JsonLines => {
                    text.push_str(&render::cdr(&row, &walk.seen.columns).to_string());
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

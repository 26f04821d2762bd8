//! The store's rows one after the other, a page in memory at a time, for code that does not wait for futures.

use std::sync::Arc;

use tollgate_schemas::{
    cdr::Cdr,
    store::{CdrFilter, CdrQuery, CdrStore, RowKey, StoreError},
};

/// Rows of one question to the store.
const PAGE: usize = 5_000;

/// Every row of a filter, newest first. Ends at an error, which [`Pages::failed`] then has.
pub struct Pages {
    store: Arc<dyn CdrStore>,
    filter: CdrFilter,
    rows: std::vec::IntoIter<Arc<Cdr>>,
    after: Option<RowKey>,
    more: bool,
    failure: Arc<std::sync::Mutex<Option<StoreError>>>,
}

impl Pages {
    pub fn of(store: Arc<dyn CdrStore>, filter: CdrFilter) -> Pages {
        Pages { store, filter, rows: Vec::new().into_iter(), after: None, more: true, failure: Arc::default() }
    }

    /// Where an error of this walk is found when it is over.
    pub fn failure(&self) -> Arc<std::sync::Mutex<Option<StoreError>>> {
        self.failure.clone()
    }
}

/// The error a walk ended with.
pub fn check(failure: &std::sync::Mutex<Option<StoreError>>) -> Result<(), StoreError> {
    failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().map_or(Ok(()), Err)
}

impl Iterator for Pages {
    type Item = Arc<Cdr>;

    fn next(&mut self) -> Option<Arc<Cdr>> {
        if let Some(row) = self.rows.next() {
            return Some(row);
        }
        if !self.more {
            return None;
        }
        let query = CdrQuery { filter: self.filter.clone(), after: self.after, limit: PAGE };
        // Orders are carried out on a thread of the API's runtime that may block.
        match tokio::runtime::Handle::current().block_on(self.store.cdrs(query)) {
            Ok(rows) => {
                self.more = rows.len() == PAGE;
                self.after = rows.last().map(|r| RowKey::of(r)).or(self.after);
                self.rows = rows.into_iter();
                self.rows.next()
            }
            Err(e) => {
                self.more = false;
                *self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(e);
                None
            }
        }
    }
}

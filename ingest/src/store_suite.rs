//! What every [`CdrStore`] promises, as cases a backend's tests run against it: the same rows, the same questions, the
//! answers of the simplest model to the last digit. A broken promise panics.

mod cases;
mod model;
mod reports;
mod rows;
mod tallies;

use std::{future::Future, pin::Pin, sync::Arc};

use tollgate_schemas::{
    cdr::Cdr,
    store::{Answer, CdrFilter, CdrQuery, CdrStore, StoreError, TallyQuery, TallyRow, TrafficQuery, TrafficRow},
};

pub use model::Model;
pub use rows::{Rng, T0, cdr, full_row, small_row};

/// A store to try: fresh and empty, of at least 4 partitions.
pub struct Bed {
    pub store: Arc<dyn CdrStore>,
    /// Closes the store and puts what it left, opened again, in its place.
    pub reopen: Reopen,
    /// Drives a future to its end, as the backend's queries want it.
    pub block: Block,
}

pub type Reopen = Box<dyn FnMut(&mut Arc<dyn CdrStore>) + Send + Sync>;
pub type Block = Box<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send + '_>>) + Send + Sync>;

pub type Case = (&'static str, fn(&mut Bed));

pub const CASES: &[Case] = &[
    ("an empty store answers with nothing", cases::empty),
    ("what is read is what was written, in every column", cases::every_column),
    ("decimals keep their last digit, and null is not zero", cases::decimals),
    ("a row can be queried when write returns", cases::at_once),
    ("rows that come again, in any batches and order, change nothing", cases::repeats),
    ("only the highest version is read, whatever it changed and whenever it came", cases::versions),
    ("FN-12: rows as of a position are those of events before it, in the version they had then", cases::as_of),
    ("lists are newest first, and pages join without gap or overlap", cases::pages),
    ("every condition narrows, alone and with others", cases::filters),
    ("a tenant sees its own rows and its sub-accounts', by no name another's", cases::tenants),
    ("times include since and not until, at the borders of hours, days and months", cases::borders),
    ("rows that cannot be kept are refused, and their batch with them", cases::refusals),
    ("what was flushed is there after a reopening", cases::reopening),
    ("reports equal the sum over a list, in any mix of summed and fresh rows", reports::sums),
    ("M-05: quantiles are the nearest rank", reports::quantiles),
    ("M-01, M-03: the worked fixture gives ASR 48 and NER 80", reports::worked_fixture),
    ("one refusal event for many calls counts as many", reports::counted_refusals),
    ("amounts of two currencies never meet", reports::currencies),
    ("R-26, R-28: tallies equal a count over a list, by account and by carrier", tallies::counts),
    ("R-28: short calls are a share of those answered in the window, whenever they were asked for", tallies::short_calls),
    ("R-26: a class of calling numbers is counted as often as its rows stand for, delivered or not", tallies::calling_numbers),
    ("sums that do not fit are refused, not wrapped", reports::too_large),
    ("a report sees every row whose write returned, while others write and flush", reports::while_writing),
];

/// Runs every case on a fresh bed; panics at the end with the names of those that failed.
pub fn run(make: impl Fn() -> Bed) {
    run_some(make, |_| true);
}

/// Those whose name is `wanted`.
pub fn run_some(make: impl Fn() -> Bed, wanted: impl Fn(&str) -> bool) {
    let failed: Vec<&str> = CASES
        .iter()
        .filter(|(name, _)| wanted(name))
        .filter(|(name, case)| {
            let began = std::time::Instant::now();
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut make()))).is_err();
            println!("store suite: {name}: {} in {:.1} s", if failed { "FAILED" } else { "ok" }, began.elapsed().as_secs_f32());
            failed
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "broken promises: {failed:#?}");
}

impl Bed {
    fn wait<T: Send>(&self, answer: Answer<'_, T>) -> Result<T, StoreError> {
        let mut done = None;
        (self.block)(Box::pin(async { done = Some(answer.await) }));
        done.expect("block drives a future to its end")
    }

    fn write(&self, partition: u16, rows: &[Cdr], next: u64) {
        let rows = rows.iter().cloned().map(Arc::new).collect();
        self.store.write(partition, rows, next).expect("write");
    }

    fn flush(&self) {
        self.wait(self.store.flush()).expect("flush");
    }

    fn cdrs(&self, query: CdrQuery) -> Vec<Arc<Cdr>> {
        self.wait(self.store.cdrs(query)).expect("cdrs")
    }

    fn all(&self, record_type: &str) -> Vec<Arc<Cdr>> {
        self.cdrs(CdrQuery { filter: only(record_type), after: None, limit: 100_000 })
    }

    fn traffic(&self, query: &TrafficQuery) -> Vec<TrafficRow> {
        self.wait(self.store.traffic(query.clone())).expect("traffic")
    }

    fn tally(&self, query: &TallyQuery) -> Vec<TallyRow> {
        self.wait(self.store.tally(query.clone())).expect("tally")
    }
}

/// Everything of one record type.
pub fn only(record_type: &str) -> CdrFilter {
    CdrFilter { record_type: record_type.to_owned(), ..CdrFilter::default() }
}

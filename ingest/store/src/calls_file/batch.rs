//! Some rows of a call file, cell by cell.

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray},
    compute::cast,
    datatypes::{DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use tollgate_schemas::time;

use super::BadRow;

/// The cells of a row that a price hangs on. Texts of columns that the file does not have, and null ones, are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCells<'b> {
    /// `None`: not empty, that much is known without reading it.
    pub call_id: Option<&'b str>,
    pub account: &'b str,
    pub to: &'b str,
    pub lrn: &'b str,
    /// These four are read by [`super::CallsFile::with_callers`] only.
    pub from: &'b str,
    pub jip: &'b str,
    pub lrn_source: &'b str,
    pub cnam_source: &'b str,
    /// UTC microseconds.
    pub setup_us: Option<i64>,
    pub answer_us: Option<i64>,
    pub end_us: Option<i64>,
    pub duration_ms: Option<u64>,
}

/// Rows that follow each other.
pub struct CallBatch {
    first_row: u64,
    rows: usize,
    call_id: Option<Texts>,
    account: Texts,
    to: Texts,
    lrn: Texts,
    from: Texts,
    jip: Texts,
    lrn_source: Texts,
    cnam_source: Texts,
    setup: Times,
    answer: Times,
    end: Times,
    duration: Durations,
}

impl CallBatch {
    pub(super) fn new(first_row: u64, batch: &RecordBatch) -> CallBatch {
        let text = |name| batch.column_by_name(name).map_or(Texts::Absent, Texts::of);
        let times = |name| batch.column_by_name(name).map_or(Times::Text(Texts::Absent), Times::of);
        CallBatch {
            first_row,
            rows: batch.num_rows(),
            call_id: batch.column_by_name("call_id").map(Texts::of),
            account: text("account"),
            to: text("to"),
            lrn: text("lrn"),
            from: text("from"),
            jip: text("jip"),
            lrn_source: text("lrn_source"),
            cnam_source: text("cnam_source"),
            setup: times("setup"),
            answer: times("answer"),
            end: times("end"),
            duration: batch.column_by_name("duration_ms").map_or(Durations::Text(Texts::Absent), Durations::of),
        }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The row's number in the file, from 1.
    pub fn row(&self, at: usize) -> u64 {
        self.first_row + at as u64
    }

    /// A row of the batch, from 0; the first cell that cannot be read is told.
    pub fn cells(&self, at: usize) -> Result<CallCells<'_>, BadRow> {
        let bad = |column| move |problem| BadRow { row: self.row(at), column, problem };
        Ok(CallCells {
            call_id: self.call_id.as_ref().map(|ids| ids.get(at)),
            account: self.account.get(at),
            to: self.to.get(at),
            lrn: self.lrn.get(at),
            from: self.from.get(at),
            jip: self.jip.get(at),
            lrn_source: self.lrn_source.get(at),
            cnam_source: self.cnam_source.get(at),
            setup_us: self.setup.get(at).map_err(bad("setup"))?,
            answer_us: self.answer.get(at).map_err(bad("answer"))?,
            end_us: self.end.get(at).map_err(bad("end"))?,
            duration_ms: self.duration.get(at).map_err(bad("duration_ms"))?,
        })
    }
}

enum Texts {
    Absent,
    View(StringViewArray),
    Plain(StringArray),
    Numbered(Int32Array, StringArray),
}

impl Texts {
    fn of(array: &ArrayRef) -> Texts {
        if let Some(numbered) = array.as_dictionary_opt::<Int32Type>()
            && let Some(values) = numbered.values().as_string_opt::<i32>()
        {
            return Texts::Numbered(numbered.keys().clone(), values.clone());
        }
        if let Some(view) = array.as_string_view_opt() {
            return Texts::View(view.clone());
        }
        array.as_string_opt::<i32>().map_or(Texts::Absent, |plain| Texts::Plain(plain.clone()))
    }

    fn get(&self, at: usize) -> &str {
        match self {
            Texts::View(array) if array.is_valid(at) => array.value(at),
            Texts::Plain(array) if array.is_valid(at) => array.value(at),
            Texts::Numbered(keys, values) if keys.is_valid(at) => values.value(keys.value(at) as usize),
            _ => "",
        }
    }
}

enum Times {
    Text(Texts),
    Micros(TimestampMicrosecondArray),
}

impl Times {
    fn of(array: &ArrayRef) -> Times {
        match micros(array) {
            Some(micros) => Times::Micros(micros),
            None => Times::Text(Texts::of(array)),
        }
    }

    fn get(&self, at: usize) -> Result<Option<i64>, String> {
        match self {
            Times::Micros(array) => Ok(array.is_valid(at).then(|| array.value(at))),
            Times::Text(texts) => parse_time(texts.get(at)),
        }
    }
}

/// Timestamps of any unit as UTC microseconds; `None` for text.
pub(super) fn micros(array: &ArrayRef) -> Option<TimestampMicrosecondArray> {
    let DataType::Timestamp(..) = array.data_type() else { return None };
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    cast(array, &utc).ok()?.as_primitive_opt::<TimestampMicrosecondType>().cloned()
}

pub(super) fn parse_time(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    time::parse_rfc3339(text).map(Some).map_err(|e| e.to_string())
}

enum Durations {
    Text(Texts),
    Whole(Int64Array),
}

impl Durations {
    fn of(array: &ArrayRef) -> Durations {
        let whole = array.data_type().is_integer().then(|| cast(array, &DataType::Int64).ok()).flatten();
        match whole.as_ref().and_then(|whole| whole.as_primitive_opt::<Int64Type>()) {
            Some(whole) => Durations::Whole(whole.clone()),
            None => Durations::Text(Texts::of(array)),
        }
    }

    fn get(&self, at: usize) -> Result<Option<u64>, String> {
        match self {
            Durations::Whole(array) if array.is_null(at) => Ok(None),
            Durations::Whole(array) => {
                let n = array.value(at);
                u64::try_from(n).map(Some).map_err(|_| format!("{n} is negative"))
            }
            Durations::Text(texts) => match texts.get(at) {
                "" => Ok(None),
                text => text.parse().map(Some).map_err(|_| format!("'{text}' is not a whole number")),
            },
        }
    }
}

/// Digits as numbers, for writing them anew; what was no number has been left out.
pub(super) fn whole_text(array: &ArrayRef) -> Int64Array {
    let texts = Texts::of(array);
    (0..array.len()).map(|at| texts.get(at).parse().ok()).collect()
}

/// Times as text, for writing them anew; what was no time has been left out.
pub(super) fn time_text(array: &ArrayRef) -> TimestampMicrosecondArray {
    let texts = Texts::of(array);
    (0..array.len()).map(|at| parse_time(texts.get(at)).ok().flatten()).collect()
}

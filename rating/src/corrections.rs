//! What is done after a call was rated (R-45 … R-48, FN-01 … FN-20): it is priced again, billed, compared with what a
//! carrier bills, disputed. Nothing here edits what was written: a correction is a new version, a note, an entry.

pub mod books;
pub mod dispute;
pub mod invoice;
pub mod journal;
pub mod receivables;
pub mod reconcile;
pub mod rerate;
pub mod statement;

//! Imports.
mod row;
pub use row::{Action, BadRow, CLAIMS, ImportRow, Start, read_rows, write_rows};
pub(crate) use row::Shared;

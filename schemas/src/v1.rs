//! The protobuf messages of `proto/`, as prost renders them.
#![allow(missing_docs, clippy::large_enum_variant, clippy::derive_partial_eq_without_eq)]

use std::fmt;

include!(concat!(env!("OUT_DIR"), "/tollgate.v1.rs"));

/// Personal fields stay out of logs and panics: only their presence is shown.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal { .. }")
    }
}

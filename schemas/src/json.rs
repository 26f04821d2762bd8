//! The JSON mapping of events: what people see in `tollgate log tail` and the API. Ids in UUID shape, times RFC 3339,
//! SIP bytes as text (lossy where they are not UTF-8).

use serde::{Serialize, Serializer, ser::SerializeSeq};

use crate::{id::Id, time};

pub fn id<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    if bytes.is_empty() { s.serialize_none() } else { s.collect_str(&Id::of(bytes)) }
}

pub fn ts<S: Serializer>(us: &i64, s: S) -> Result<S::Ok, S::Error> {
    if *us == 0 { s.serialize_none() } else { s.serialize_str(&time::format_rfc3339(*us)) }
}

pub fn hex<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
    s.serialize_str(&out)
}

pub fn text<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&String::from_utf8_lossy(bytes))
}

pub fn texts<S: Serializer>(items: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
    let mut seq = s.serialize_seq(Some(items.len()))?;
    for item in items {
        seq.serialize_element(&String::from_utf8_lossy(item))?;
    }
    seq.end()
}

/// A CDR inside its event, as the object the API shows.
pub fn cdr<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    use prost::Message;
    match crate::cdr::Cdr::decode(bytes) {
        Ok(cdr) => cdr.event_json().serialize(s),
        Err(e) => s.serialize_str(&format!("unreadable: {e}")),
    }
}

/// Several of them.
pub fn cdrs<S: Serializer>(rows: &[Vec<u8>], s: S) -> Result<S::Ok, S::Error> {
    struct Row<'a>(&'a [u8]);
    impl Serialize for Row<'_> {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            cdr(self.0, s)
        }
    }
    s.collect_seq(rows.iter().map(|r| Row(r)))
}

/// Whether a field added later has nothing to say.
pub fn unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

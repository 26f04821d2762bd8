//! The field names of a struct that serde reads, so that lists of known keys cannot drift from it.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Names in the order of the struct; empty for what is no struct.
pub fn names_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It always fails, once it has been asked for the struct.
    let _ = T::deserialize(Asked(&mut names));
    names
}

struct Asked<'n>(&'n mut &'static [&'static str]);

/// The question is the answer: nothing is ever read.
#[derive(Debug)]
struct Enough;

impl fmt::Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only asked for names")
    }
}

impl std::error::Error for Enough {}

impl de::Error for Enough {
    fn custom<T: fmt::Display>(_: T) -> Enough {
        Enough
    }
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Enough;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Enough> {
        Err(Enough)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], _: V) -> Result<V::Value, Enough> {
        *self.0 = fields;
        Err(Enough)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

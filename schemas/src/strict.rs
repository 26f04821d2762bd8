//! JSON that says one thing only, and errors that say where. What people send is an object without a key twice, at any depth; where a
//! set of fields is wanted, a list is none (serde would take its items for the fields, in their order).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor, value::StrDeserializer},
};
use serde_json::{Error, Map, Value};
use thiserror::Error;

/// Something that is not what is wanted, and where (`dial.max_rate`, `rules[0].feature`; empty = the whole).
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{}{}{message}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct BadField {
    pub path: String,
    pub message: String,
}

/// Why a body is none.
#[derive(Debug, Error)]
pub enum BadBody {
    /// No JSON at all.
    #[error("the body is not JSON: {0}")]
    Syntax(Error),
    /// JSON that says nothing, or two things.
    #[error(transparent)]
    Field(BadField),
}

/// A body as people send it.
pub fn parse(bytes: &[u8]) -> Result<Value, BadBody> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let once = serde_path_to_error::deserialize::<_, Once>(&mut reader).map_err(|e| {
        let path = place(e.path());
        match e.into_inner() {
            e if e.is_data() => {
                let message = without_place(&e);
                // The place is the object's; meant is its field.
                let path = match message.strip_prefix('\'').and_then(|m| m.split_once(TWICE)) {
                    Some((key, _)) if path.is_empty() => key.to_owned(),
                    Some((key, _)) => format!("{path}.{key}"),
                    None => path,
                };
                BadBody::Field(BadField { path, message })
            }
            e => BadBody::Syntax(e),
        }
    })?;
    reader.end().map_err(BadBody::Syntax)?;
    match once.0 {
        value @ Value::Object(_) => Ok(value),
        other => Err(BadBody::Field(BadField { path: String::new(), message: format!("want an object with named fields, not {}", kind(&other)) })),
    }
}

/// A value as a type; sets of fields are objects, keys of maps text.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, BadField> {
    serde_path_to_error::deserialize(Fields(value)).map_err(|e| BadField { path: place(e.path()), message: e.inner().to_string() })
}

fn place(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    if text == "." { String::new() } else { text }
}

/// The parser says line and column at the end; the field is said instead.
fn without_place(error: &Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

const TWICE: &str = "' is there twice";

/// A value in which no object has a key twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let Once(value) = map.next_value()?;
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("'{key}{TWICE}: which of them is meant?")));
            }
            fields.insert(key, value);
        }
        Ok(fields.into())
    }
}

/// A value for serde, that gives sets of fields as objects only.
struct Fields<'v>(&'v Value);

struct Items<'v>(std::slice::Iter<'v, Value>);

struct Entries<'v> {
    entries: serde_json::map::Iter<'v>,
    value: Option<&'v Value>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Fields(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(StrDeserializer::<Error>::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(Fields(self.value.take().unwrap_or(&Value::Null)))
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items(items.iter())),
            Value::Object(fields) => visitor.visit_map(Entries { entries: fields.iter(), value: None }),
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::String(text) => visitor.visit_str(text),
            Value::Number(_) => self.0.clone().deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(de::Error::custom("want an object with named fields, not a list")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(_) => visitor.visit_enum(Variant { name: self.0, content: None }),
            Value::Object(fields) if fields.len() == 1 => {
                let Some((name, content)) = fields.iter().next() else { return Err(de::Error::custom("want one field")) };
                visitor.visit_enum(Variant { name: &Value::from(name.as_str()), content: Some(content) })
            }
            other => Err(de::Error::custom(format!("want one of its names, not {}", kind(other)))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
        ignored_any
    }
}

struct Variant<'v> {
    name: &'v Value,
    content: Option<&'v Value>,
}

impl<'de, 'v> EnumAccess<'de> for Variant<'v> {
    type Error = Error;
    type Variant = Content<'v>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'v>), Error> {
        Ok((seed.deserialize(Fields(self.name))?, Content(self.content)))
    }
}

struct Content<'v>(Option<&'v Value>);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(de::Error::custom(format!("want the name alone, not with {}", kind(other)))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(Fields(self.0.unwrap_or(&Value::Null)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Fields(self.0.unwrap_or(&Value::Null)).deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        Fields(self.0.unwrap_or(&Value::Null)).deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        amount: String,
        #[serde(default)]
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Plain,
        Steps(Vec<u32>),
        By { seconds: u64 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        name: String,
        items: Vec<Inner>,
        inner: Option<Inner>,
        by_code: BTreeMap<String, bool>,
        mode: Mode,
        least: i64,
    }

    impl Default for Outer {
        fn default() -> Outer {
            Outer { name: String::new(), items: Vec::new(), inner: None, by_code: BTreeMap::new(), mode: Mode::Plain, least: 0 }
        }
    }

    #[test]
    fn x_08_a_body_says_each_thing_once_and_is_an_object() {
        let wrong = |text: &str| match parse(text.as_bytes()) {
            Err(BadBody::Field(bad)) => (bad.path, bad.message),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(wrong(r#"["a", "1.00"]"#), (String::new(), "want an object with named fields, not a list".into()));
        assert_eq!(wrong("5").1, "want an object with named fields, not a number");
        assert_eq!(wrong(r#"{"amount":"1","amount":"2"}"#), ("amount".into(), "'amount' is there twice: which of them is meant?".into()));
        assert_eq!(wrong(r#"{"a":{"b":[{},{"c":1,"d":2,"c":3}]}}"#).0, "a.b[1].c");
        assert!(matches!(parse(b"{"), Err(BadBody::Syntax(_))) && matches!(parse(b"{} x"), Err(BadBody::Syntax(_))));
        let right = r#"{"a":[1,-2,1.5,null,true,"x\u00e9"],"b":{"c":{}}}"#;
        assert_eq!(parse(right.as_bytes()).expect("right"), serde_json::from_str::<Value>(right).expect("JSON"));
    }

    #[test]
    fn x_08_what_is_wrong_is_told_with_its_place() {
        let wrong = |value: Value| {
            let bad = read::<Outer>(&value).expect_err("wrong");
            (bad.path, bad.message)
        };
        assert_eq!(wrong(json!({ "name": 5 })), ("name".into(), "invalid type: integer `5`, expected a string".into()));
        assert_eq!(wrong(json!({ "items": [{ "amount": "1" }, { "amount": 2.5 }] })).0, "items[1].amount");
        assert_eq!(wrong(json!({ "items": [["1", "x"]] })), ("items[0]".into(), "want an object with named fields, not a list".into()));
        assert_eq!(wrong(json!({ "inner": ["1", "x"] })).0, "inner");
        assert!(wrong(json!({ "inner": { "amount": "1", "noet": "x" } })).1.starts_with("unknown field `noet`"));
        assert!(wrong(json!({ "items": [{}] })).1.starts_with("missing field `amount`"));
        assert_eq!(wrong(json!(["x"])).1, "want an object with named fields, not a list");
    }

    #[test]
    fn what_is_right_reads_as_serde_json_reads_it() {
        for value in [
            json!({}),
            json!({ "name": "x", "items": [{ "amount": "1", "note": null }], "inner": { "amount": "2", "note": "n" }, "least": -5 }),
            json!({ "by_code": { "200": true, "404": false }, "mode": "plain" }),
            json!({ "mode": { "steps": [1, 2] }, "inner": null }),
            json!({ "mode": { "by": { "seconds": 3 } } }),
        ] {
            assert_eq!(read::<Outer>(&value), Ok(serde_json::from_value(value.clone()).expect("serde_json")), "{value}");
        }
    }
}

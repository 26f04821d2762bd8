//! Checks a spec by the published schema: every mistake, with its path and the mend. Knows the words of JSON Schema that
//! [`super::schema`] uses, and no others.

use std::net::SocketAddr;

use serde_json::{Map, Value};
use tollgate_proxy::admission::Source;
use tollgate_schemas::{
    money::{RATE_PLACES, parse_scaled},
    name,
};

use super::super::nearest;

/// A mistake at a path of the spec, as `dial.max_rate` or `sources[2]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub path: String,
    /// The key itself is wrong, not its value.
    pub key: bool,
    pub message: String,
}

/// `schema`: the whole document of [`super::schema::schema`]; `part`: one of its `$defs`.
pub fn validate(schema: &Value, part: &str, value: &Value) -> Vec<Mistake> {
    let mut check = Check { parts: &schema["$defs"], mistakes: Vec::new() };
    check.value("", &check.parts[part], value);
    check.mistakes
}

struct Check<'s> {
    parts: &'s Value,
    mistakes: Vec<Mistake>,
}

impl<'s> Check<'s> {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake { path: path.to_owned(), key: false, message: message.into() });
    }

    fn value(&mut self, path: &str, schema: &'s Value, value: &Value) {
        if let Some(part) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            return self.value(path, &self.parts[part], value);
        }
        if !has_type(schema, value) {
            return self.wrong(path, wrong_type(schema, value));
        }
        match value {
            Value::Object(fields) => self.object(path, schema, fields),
            Value::Array(items) => self.array(path, schema, items),
            Value::String(text) => self.text(path, schema, text),
            Value::Number(_) => {
                let number = |n: &Value| n.as_u64().map(i128::from).or_else(|| n.as_i64().map(i128::from));
                let range = number(&schema["minimum"]).unwrap_or(0)..=number(&schema["maximum"]).unwrap_or(u64::MAX.into());
                if !number(value).is_some_and(|n| range.contains(&n)) {
                    self.wrong(path, format!("is {value}: want {} to {}", range.start(), range.end()));
                }
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn object(&mut self, path: &str, schema: &'s Value, fields: &Map<String, Value>) {
        let Some(properties) = schema["properties"].as_object() else { return };
        for (key, value) in fields {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if let Some(property) = properties.get(key) {
                self.value(&inner, property, value);
                continue;
            }
            let known: Vec<&str> = properties.keys().map(String::as_str).collect();
            let mend = match nearest(key, known.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => format!("there are {}", known.join(", ")),
            };
            self.mistakes.push(Mistake { path: inner, key: true, message: format!("there is no such field: {mend}") });
        }
        for needed in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(needed) {
                let about = properties[needed]["description"].as_str().unwrap_or_default();
                self.wrong(path, format!("{needed} is missing: {about}"));
            }
        }
        if let Some(ways) = schema["oneOf"].as_array() {
            let ways: Vec<&str> = ways.iter().filter_map(|w| w["required"][0].as_str()).collect();
            // Null is as good as not there.
            if ways.iter().filter(|w| fields.get(**w).is_some_and(|v| !v.is_null())).count() != 1 {
                self.wrong(path, format!("want one of {}", ways.join(" and ")));
            }
        }
    }

    fn array(&mut self, path: &str, schema: &'s Value, items: &[Value]) {
        if let Some(least) = schema["minItems"].as_u64().filter(|n| items.len() < *n as usize) {
            self.wrong(path, format!("has {} items: want {least} or more", items.len()));
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|n| items.len() > *n as usize) {
            self.wrong(path, format!("has {} items: want {most} or fewer", items.len()));
        }
        for (i, item) in items.iter().enumerate() {
            self.value(&format!("{path}[{i}]"), &schema["items"], item);
        }
    }

    fn text(&mut self, path: &str, schema: &'s Value, text: &str) {
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            if !words.contains(&text) {
                let meant = nearest(text, words.iter().copied()).map_or(String::new(), |m| format!("did you mean '{m}'? "));
                self.wrong(path, format!("is '{text}': {meant}want one of {}", words.join(", ")));
            }
        }
        if let Some(problem) = schema["format"].as_str().and_then(|format| wrong_format(format, text)) {
            self.wrong(path, problem);
        }
    }
}

fn has_type(schema: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        // Negative numbers are whole, too, and out of range.
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        _ => false,
    };
    match &schema["type"] {
        Value::String(one) => is(one),
        Value::Array(some) => some.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn wrong_type(schema: &Value, value: &Value) -> String {
    let wanted = match &schema["type"] {
        Value::Array(some) => some[0].as_str(),
        one => one.as_str(),
    };
    let is = match value {
        Value::Null => "is empty".to_owned(),
        Value::Bool(b) => format!("is {b}"),
        Value::Number(n) => format!("is the number {n}"),
        Value::String(s) => format!("is the text '{s}'"),
        Value::Array(_) => "is a list".to_owned(),
        Value::Object(_) => "is a set of fields".to_owned(),
    };
    match (wanted, value) {
        (Some("string"), Value::Number(_) | Value::Bool(_)) => format!("{is}: put it in quotes"),
        (Some("string"), _) => format!("{is}: want text"),
        (Some("array"), Value::String(s)) => format!("{is}: want a list, as [\"{s}\"]"),
        (Some("array"), _) => format!("{is}: want a list"),
        (Some("integer"), Value::String(_)) => format!("{is}: want a whole number, without quotes"),
        (Some("integer"), _) => format!("{is}: want a whole number"),
        (Some("boolean"), _) => format!("{is}: want true or false"),
        _ => format!("{is}: want a set of fields"),
    }
}

/// What is wrong with a text of a format, and what to write.
fn wrong_format(format: &str, text: &str) -> Option<String> {
    let want = |right: bool, want: &str| (!right).then(|| format!("is '{text}': want {want}"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    match format {
        "tollgate-name" => name::check(text).err().map(|e| e.to_string()),
        "decimal" => match parse_scaled(text, RATE_PLACES) {
            Ok(n) if n < 0 => Some(format!("is '{text}': want 0 or more")),
            Ok(_) => None,
            // More than a price can hold may still be an amount; whoever uses it has the last word.
            Err(tollgate_schemas::money::BadDecimal::TooLarge(_)) if parse_scaled(text, 8).is_ok() => None,
            Err(e) => Some(e.to_string()),
        },
        "source" => Source::parse(text).err().map(|e| e.to_string()),
        "ip-port" => want(text.parse::<SocketAddr>().is_ok_and(|a| a.port() > 0), "IP:PORT, as 192.0.2.7:5060"),
        "number-prefix" => {
            let plain = text.strip_prefix('+').unwrap_or(text);
            want((1..=15).contains(&plain.len()) && digits(plain), "1 to 15 digits")
        }
        "dial-prefix" => want(text.bytes().all(|b| b.is_ascii_digit() || b"+*#".contains(&b)), "digits, '+', '*' or '#'"),
        "dialled" => {
            let plain = text.bytes().filter(|b| !b"-.() ".contains(b));
            want(plain.clone().count() > 0 && plain.clone().all(|b| b.is_ascii_digit() || b"*#".contains(&b)), "digits, '*' or '#'")
        }
        "currency" => want(text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()), "three letters, as USD"),
        "day" => {
            let shaped = text.len() == 10 && text.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
            want(shaped, "a day as 2026-12-25")
        }
        "clock" => {
            let parts: Vec<&str> = text.split(':').collect();
            want((2..=3).contains(&parts.len()) && parts.iter().all(|p| p.len() == 2 && digits(p)), "a time of day as 18:00")
        }
        "timezone" => want(text.parse::<chrono_tz::Tz>().is_ok(), "a name of the IANA list, as Europe/Amsterdam"),
        _ => None,
    }
}

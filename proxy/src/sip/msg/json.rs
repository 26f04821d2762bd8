//! A message as JSON, for people.

use serde_json::{Value, json};

use super::{Kind, Msg, ParseOrHeaderError};

/// A message as `{kind, method, uri, status, reason, headers: [{name, value}], body_bytes}`. Fields that do not apply
/// are null; header names are as written, values unfolded to single spaces; bytes that are no UTF-8 are shown as
/// U+FFFD; `body_bytes` is the length of the framed body in octets. The bytes are taken as they are.
///
/// # Errors
/// The first fault of framing, or of the checks a server makes before it acts on the message.
pub fn sip_json(bytes: &[u8]) -> Result<Value, ParseOrHeaderError> {
    let msg = Msg::parse(bytes)?;
    if msg.is_request() {
        msg.check_request()?
    } else {
        msg.check_response()?
    }
    let headers: Vec<Value> = msg
        .headers()
        .map(|(name, value)| json!({ "name": text(name), "value": text(&unfolded(value)) }))
        .collect();
    let (kind, method, uri, status, reason) = match msg.kind() {
        Kind::Request { method, uri } => (
            "request",
            json!(text(method.as_bytes())),
            json!(text(uri)),
            Value::Null,
            Value::Null,
        ),
        Kind::Response { status, reason } => (
            "response",
            Value::Null,
            Value::Null,
            json!(status),
            json!(text(reason)),
        ),
    };
    Ok(json!({
        "kind": kind,
        "method": method,
        "uri": uri,
        "status": status,
        "reason": reason,
        "headers": headers,
        "body_bytes": msg.body().len(),
    }))
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

/// Each fold, with the blanks before and after it, becomes one space; other blanks stay.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        out.extend_from_slice(rest[..at].trim_ascii_end());
        out.push(b' ');
        rest = rest[at..].trim_ascii_start();
    }
    out.extend_from_slice(rest);
    out
}

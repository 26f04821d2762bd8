//! Rows to and from the server's format RowBinary: fixed integers little-endian, texts with a varint length, a byte 1 for
//! null before a nullable column, 0 before its value. Columns are those of [`STORED`], in its order; nothing is rounded.

use tollgate_schemas::{
    cdr::{Cdr, Column, ColumnType, Value},
    id::Id,
};

use crate::layout::{AS_IS, Form, LENGTH, Near, SAME, STORED, Stored};

/// Appends one row.
pub fn encode(row: &Cdr, out: &mut Vec<u8>) {
    for stored in STORED.iter() {
        let value = (stored.column.get)(row);
        match stored.form {
            Form::Plain => plain(stored.column, value, out),
            Form::Halves => {
                let id = Id::of(&row.call_uuid).0;
                out.extend_from_slice(&((id >> 64) as u64).to_le_bytes());
                out.extend_from_slice(&(id as u64).to_le_bytes());
            }
            Form::Near(near) => {
                let value = integer(value);
                if stored.column.optional {
                    out.push(u8::from(value.is_none()));
                    if value.is_none() {
                        continue;
                    }
                }
                let value = value.unwrap_or(0);
                out.extend_from_slice(&value.wrapping_sub((near.expect)(row)).to_le_bytes());
            }
            Form::Ending(base) => relative(text(value), text((base.get)(row)), ending, out),
            Form::Begun(base) => relative(text(value), text((base.get)(row)), begun, out),
        }
    }
}

fn text<'a>(value: Value<'a>) -> &'a str {
    if let Value::Str(s) = value { s } else { "" }
}

/// A number or time as the 64 bits it is counted in.
fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::U32(n) => Some(i64::from(n)),
        Value::U64(n) => Some(n as i64),
        Value::Ts(n) | Value::Money(n) | Value::Rate(n) => Some(n),
        _ => None,
    }
}

fn plain(column: &Column, value: Value<'_>, out: &mut Vec<u8>) {
    if column.optional {
        let null = matches!(value, Value::Null);
        out.push(u8::from(null));
        if null {
            return;
        }
    }
    match value {
        Value::Null => {}
        Value::Uuid(bytes) => {
            let id = Id::of(bytes).0;
            out.extend_from_slice(&((id >> 64) as u64).to_le_bytes());
            out.extend_from_slice(&(id as u64).to_le_bytes());
        }
        Value::Str(s) => string(&[s], out),
        Value::Bool(b) => out.push(u8::from(b)),
        Value::U32(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::U64(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Ts(n) | Value::Money(n) => out.extend_from_slice(&n.to_le_bytes()),
        Value::Rate(n) => out.extend_from_slice(&i128::from(n).to_le_bytes()),
    }
}

fn string(parts: &[&str], out: &mut Vec<u8>) {
    let mut n: usize = parts.iter().map(|p| p.len()).sum();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    parts.iter().for_each(|p| out.extend_from_slice(p.as_bytes()));
}

/// The short form of `value` beside `base`, if it has one.
type Shorten = fn(&str, &str, &mut Vec<u8>) -> bool;

fn relative(value: &str, base: &str, shorten: Shorten, out: &mut Vec<u8>) {
    if !value.is_empty() && !base.is_empty() && shorten(value, base, out) {
        return;
    }
    if value.ends_with([SAME, LENGTH, AS_IS]) {
        string(&[value, "\u{3}"], out);
    } else {
        string(&[value], out);
    }
}

fn ending(value: &str, base: &str, out: &mut Vec<u8>) -> bool {
    let Some(before) = value.strip_suffix(base) else { return false };
    string(&[before, "\u{1}"], out);
    true
}

fn begun(value: &str, base: &str, out: &mut Vec<u8>) -> bool {
    // The expression in SQL counts bytes as this does.
    if !base.starts_with(value) {
        return false;
    }
    let mut buffer = [0u8; 20];
    string(&[digits(value.len(), &mut buffer), "\u{2}"], out);
    true
}

fn digits(mut n: usize, buffer: &mut [u8; 20]) -> &str {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 || at == 0 {
            break;
        }
    }
    std::str::from_utf8(&buffer[at..]).unwrap_or("")
}

/// What a server sent is not what was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Broken {
    #[error("the answer ends in the middle of a value")]
    Short,
    #[error("column {0} holds what no row of ours does")]
    Value(&'static str),
    #[error("a text is not UTF-8")]
    Text,
}

/// Reads values one after another.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, n: usize) -> Result<&'a [u8], Broken> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Broken::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Broken::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Broken> {
        self.array::<1>().map(|[b]| b)
    }

    pub fn u32(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Broken> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Broken> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Result<u128, Broken> {
        self.array().map(u128::from_le_bytes)
    }

    pub fn i128(&mut self) -> Result<i128, Broken> {
        self.array().map(i128::from_le_bytes)
    }

    /// A count of bytes or items; at most what is left could hold.
    pub fn length(&mut self) -> Result<usize, Broken> {
        let mut n = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let n = usize::try_from(n).map_err(|_| Broken::Short)?;
                return if n <= self.0.len() { Ok(n) } else { Err(Broken::Short) };
            }
        }
        Err(Broken::Short)
    }

    pub fn text(&mut self) -> Result<&'a str, Broken> {
        let n = self.length()?;
        std::str::from_utf8(self.bytes(n)?).map_err(|_| Broken::Text)
    }

    /// Whether a nullable value follows.
    pub fn present(&mut self) -> Result<bool, Broken> {
        Ok(self.u8()? == 0)
    }
}

/// Every row of an answer to a select of [`columns`].
pub fn decode(bytes: &[u8]) -> Result<Vec<Cdr>, Broken> {
    let mut from = Reader(bytes);
    let mut rows = Vec::new();
    while !from.is_empty() {
        let mut row = Cdr::default();
        for stored in STORED.iter() {
            cell(&mut row, stored, &mut from)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

fn cell(row: &mut Cdr, stored: &Stored, from: &mut Reader<'_>) -> Result<(), Broken> {
    let column = stored.column;
    if column.optional && !from.present()? {
        return Ok(());
    }
    match stored.form {
        Form::Plain => set_plain(row, column, from)?,
        Form::Halves => {
            let id = (u128::from(from.u64()?) << 64) | u128::from(from.u64()?);
            (column.set)(row, Value::Uuid(&id.to_be_bytes()));
        }
        Form::Near(near) => set_near(row, column, near, from.i64()?),
        Form::Ending(base) => {
            let x = from.text()?;
            let given = match x.strip_suffix(SAME) {
                Some(before) => format!("{before}{}", text((base.get)(row))),
                None => x.strip_suffix(AS_IS).unwrap_or(x).to_owned(),
            };
            (column.set)(row, Value::Str(&given));
        }
        Form::Begun(base) => {
            let x = from.text()?;
            let given = match x.strip_suffix(LENGTH) {
                Some(length) => {
                    let length: Option<usize> = length.parse().ok();
                    let begun = length.and_then(|n| text((base.get)(row)).get(..n));
                    begun.ok_or(Broken::Value(column.name))?.to_owned()
                }
                None => x.strip_suffix(AS_IS).unwrap_or(x).to_owned(),
            };
            (column.set)(row, Value::Str(&given));
        }
    }
    Ok(())
}

fn set_near(row: &mut Cdr, column: &Column, near: &Near, difference: i64) {
    let value = difference.wrapping_add((near.expect)(row));
    let value = match column.ty {
        ColumnType::U32 => Value::U32(value as u32),
        ColumnType::U64 => Value::U64(value as u64),
        ColumnType::Ts => Value::Ts(value),
        ColumnType::Money => Value::Money(value),
        ColumnType::Rate => Value::Rate(value),
        ColumnType::Uuid | ColumnType::Str | ColumnType::Bool => Value::Null,
    };
    (column.set)(row, value);
}

fn set_plain(row: &mut Cdr, column: &Column, from: &mut Reader<'_>) -> Result<(), Broken> {
    match column.ty {
        ColumnType::Uuid => {
            let id = (u128::from(from.u64()?) << 64) | u128::from(from.u64()?);
            (column.set)(row, Value::Uuid(&id.to_be_bytes()));
        }
        ColumnType::Str => (column.set)(row, Value::Str(from.text()?)),
        ColumnType::Bool => (column.set)(row, Value::Bool(from.u8()? != 0)),
        ColumnType::U32 => (column.set)(row, Value::U32(from.u32()?)),
        ColumnType::U64 => (column.set)(row, Value::U64(from.u64()?)),
        ColumnType::Ts => (column.set)(row, Value::Ts(from.i64()?)),
        ColumnType::Money => (column.set)(row, Value::Money(from.i64()?)),
        ColumnType::Rate => {
            let e12 = i64::try_from(from.i128()?).map_err(|_| Broken::Value(column.name))?;
            (column.set)(row, Value::Rate(e12));
        }
    }
    Ok(())
}

/// The table's columns in the order of rows here, for INSERT and SELECT.
pub fn columns() -> String {
    let names: Vec<&str> = STORED.iter().flat_map(|s| s.parts.iter().map(|p| p.name.as_str())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;

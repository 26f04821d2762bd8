//! Whatever stands in a row comes back, near what was expected of it or not.

use tollgate_schemas::cdr::{COLUMNS, Cdr, ColumnType, Value};

use super::*;

fn back(row: &Cdr) -> Cdr {
    let mut bytes = Vec::new();
    encode(row, &mut bytes);
    let mut rows = decode(&bytes).expect("decode");
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// xorshift64*.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[test]
fn every_column_comes_back_at_any_value() {
    let mut seed = 7;
    for _ in 0..2_000 {
        let mut row = Cdr::default();
        for c in COLUMNS {
            let n = next(&mut seed);
            if c.optional && n % 4 == 0 {
                continue;
            }
            let extreme = [0, 1, -1, i64::MAX, i64::MIN, n as i64][(n >> 8) as usize % 6];
            let texts = ["", "12025550123", "+12025550123", "1", "12\u{1}", "\u{2}", "x\u{3}", "ü 12025550123", "0012025550123\u{1}"];
            let id = (u128::from(n) << 64 | 5).to_be_bytes();
            (c.set)(&mut row, match c.ty {
                ColumnType::Uuid => Value::Uuid(&id),
                ColumnType::Str => Value::Str(texts[(n >> 8) as usize % texts.len()]),
                ColumnType::Bool => Value::Bool(n & 1 == 0),
                ColumnType::U32 => Value::U32(extreme as u32),
                ColumnType::U64 => Value::U64(extreme as u64),
                ColumnType::Ts => Value::Ts(extreme),
                ColumnType::Money => Value::Money(extreme),
                ColumnType::Rate => Value::Rate(extreme),
            });
        }
        if row.call_uuid.is_empty() {
            row.call_uuid = vec![1; 16];
        }
        let got = back(&row);
        for c in COLUMNS {
            assert_eq!((c.get)(&got), (c.get)(&row), "{}", c.name);
        }
    }
}

#[test]
fn what_follows_from_other_columns_is_stored_as_nearly_nothing() {
    let row = Cdr {
        call_uuid: vec![3; 16],
        sip_call_id_in: "a84b4c76e66710@pc33".into(),
        sip_call_id_out: "a84b4c76e66710@pc33".into(),
        b_number_e164: "12025550123".into(),
        b_number_raw: "0012025550123".into(),
        sell_prefix: "1202".into(),
        ..Cdr::default()
    };
    let mut bytes = Vec::new();
    encode(&row, &mut bytes);
    let times = |needle: &[u8]| bytes.windows(needle.len()).filter(|w| *w == needle).count();
    assert_eq!((times(b"a84b4c76e66710"), times(b"12025550123"), times(b"1202")), (1, 1, 1));
    assert_eq!((times(b"\x0300\x01"), times(b"\x024\x02")), (1, 1));
    assert_eq!(back(&row), row);
}

#[test]
fn a_torn_answer_is_an_error_not_a_row() {
    let mut bytes = Vec::new();
    encode(&Cdr { call_uuid: vec![3; 16], account: "acme".into(), ..Cdr::default() }, &mut bytes);
    for n in 1..bytes.len() {
        assert!(decode(&bytes[..n]).is_err(), "{n}");
    }
}

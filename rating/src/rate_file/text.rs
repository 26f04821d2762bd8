//! Cells written as they will stand in the file, without a string for each.

/// A comma and a text, in quotes where CSV wants them.
pub(super) fn push_cell(to: &mut Vec<u8>, text: &str) {
    to.push(b',');
    if !text.bytes().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        return to.extend_from_slice(text.as_bytes());
    }
    to.push(b'"');
    for b in text.bytes() {
        if b == b'"' {
            to.push(b);
        }
        to.push(b);
    }
    to.push(b'"');
}

pub(super) fn push_number(to: &mut Vec<u8>, number: u64) {
    push_digits(to, number, 1);
}

/// With zeros in front up to `width` digits, at most 20.
fn push_digits(to: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    to.extend_from_slice(&digits[at..]);
}

/// As `format_scaled` of `schemas`: a count of 10^-`places`, with trailing zeros cut down to `min_places`.
pub(super) fn push_scaled(to: &mut Vec<u8>, value: i64, places: u32, min_places: u32) {
    let unit = 10u64.pow(places);
    if value < 0 {
        to.push(b'-');
    }
    push_number(to, value.unsigned_abs() / unit);
    let (mut fraction, mut kept) = (value.unsigned_abs() % unit, places);
    while kept > min_places && fraction.is_multiple_of(10) {
        fraction /= 10;
        kept -= 1;
    }
    if kept > 0 {
        to.push(b'.');
        push_digits(to, fraction, kept as usize);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tollgate_schemas::money::format_scaled;

    use super::*;

    proptest! {
        #[test]
        fn scaled_numbers_are_written_as_elsewhere(value in prop_oneof![any::<i64>(), -2_000_000i64..2_000_000], places in 0u32..13, min in 0u32..13) {
            for value in [value, value / 1000 * 1000] {
                let mut out = Vec::new();
                push_scaled(&mut out, value, places, min);
                prop_assert_eq!(String::from_utf8(out).expect("digits"), format_scaled(value, places, min));
            }
        }

        #[test]
        fn cells_are_quoted_as_the_writer_does(text in "[a,\"\r\n é]{0,8}") {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["x", &text]).expect("memory");
            let mut out = b"x".to_vec();
            push_cell(&mut out, &text);
            out.push(b'\n');
            prop_assert_eq!(writer.into_inner().expect("memory"), out);
        }
    }
}

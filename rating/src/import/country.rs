//! The country of a prefix, for sheets that replace countries whole.

use tollgate_schemas::number::E164;

/// Country codes of two digits (ITU-T E.164, list of assigned country codes); 1 and 7 apart, the rest have three.
const TWO: [&str; 43] = [
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84",
    "86", "90", "91", "92", "93", "94", "95",
];

/// The country code, and in zone 1 the area code too, since countries share it; a shorter prefix is its own.
pub(super) fn of(prefix: E164) -> String {
    of_digits(prefix.digits())
}

/// The same of digits that may be no prefix.
pub(crate) fn of_digits(digits: &str) -> String {
    let len = match digits.as_bytes() {
        [b'1', ..] => 4,
        [b'7', ..] => 1,
        [b'9', b'8', ..] => 2,
        _ if TWO.iter().any(|c| digits.starts_with(c)) => 2,
        _ => 3,
    };
    digits.chars().take(len).collect()
}

/// Whether the digits are a country's code as a whole.
pub(crate) fn is_code(digits: &str) -> bool {
    match digits {
        "1" | "7" => true,
        _ if digits.len() == 2 => TWO.contains(&digits) || digits == "98",
        _ => digits.len() == 3 && !digits.starts_with(['0', '1', '7']) && !digits.starts_with("98") && !TWO.iter().any(|c| digits.starts_with(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_15_a_prefix_belongs_to_a_country() {
        for (prefix, country) in [("447911", "44"), ("12425", "1242"), ("1", "1"), ("77", "7"), ("35312", "353"), ("9821", "98"), ("99890", "998"), ("5", "5")] {
            assert_eq!(of(E164::parse(prefix).unwrap()), country);
        }
    }
}

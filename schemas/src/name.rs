//! Names of accounts, trunks, carriers and decks: `[a-z0-9._-]{1,64}` (design §2).

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
#[error("'{0}' is not a name: want 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
pub struct BadName(pub String);

/// Checks a name and gives it back.
pub fn check(name: &str) -> Result<&str, BadName> {
    let ok = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
    if ok { Ok(name) } else { Err(BadName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_lower_case_and_short() {
        for ok in ["a", "acme-eu.1_x", &"x".repeat(64)] {
            assert!(super::check(ok).is_ok());
        }
        for bad in ["", "Acme", "a b", "ä", &"x".repeat(65), "a/b"] {
            assert!(super::check(bad).is_err());
        }
    }
}

//! Keys that everybody knows are no keys.

use sha2::{Digest, Sha256};

/// What stands in examples and on lists of first guesses.
const WELL_KNOWN: [&str; 16] = [
    "", "admin", "administrator", "changeme", "change-me", "changemechangeme", "default", "password", "passw0rd", "secret",
    "test", "tollgate", "0123456789abcdef", "1234567890123456", "tollgate-admin-key", "aaaaaaaaaaaaaaaa",
];

/// Whether this is the SHA-256, in hex, of a key that can be guessed; which one.
pub fn well_known(sha256: &str) -> Option<&'static str> {
    WELL_KNOWN.into_iter().find(|key| hex(key).eq_ignore_ascii_case(sha256))
}

fn hex(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// What is wrong with an admin key given in the environment.
pub fn admin_key_problem(key: &str) -> Option<String> {
    let length = key.chars().count();
    if WELL_KNOWN.contains(&key.to_ascii_lowercase().as_str()) {
        return Some("TOLLGATE_ADMIN_KEY is a key everybody knows: make one, as with `openssl rand -hex 24`".to_owned());
    }
    (length < 16).then(|| format!("TOLLGATE_ADMIN_KEY has {length} characters: want 16 or more, as from `openssl rand -hex 24`"))
}

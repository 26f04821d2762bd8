//! Where the next page begins: an opaque word, bound to the filter it was made for.
//!
//! Hex of: form (1 byte), the first 8 bytes of the filter's SHA-256, time (8), id (16), attempt (4), big endian. It says
//! where, never what may be seen: the tenant is taken from the key on every request.

use sha2::{Digest, Sha256};
use tollgate_schemas::id::Id;

use crate::problem::Error;

const FORM: u8 = 1;
const BYTES: usize = 37;

/// A place in a list that is sorted by time, id and attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub us: i64,
    pub id: Id,
    pub attempt_no: u32,
}

/// The mark of a filter: everything that decides which rows a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark([u8; 8]);

impl Mark {
    pub fn of(filter: &impl std::fmt::Debug) -> Mark {
        let mut mark = [0u8; 8];
        mark.copy_from_slice(&Sha256::digest(format!("{filter:?}").as_bytes())[..8]);
        Mark(mark)
    }
}

pub(crate) fn write(mark: Mark, place: Place) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(FORM);
    bytes.extend_from_slice(&mark.0);
    bytes.extend_from_slice(&place.us.to_be_bytes());
    bytes.extend_from_slice(&place.id.0.to_be_bytes());
    bytes.extend_from_slice(&place.attempt_no.to_be_bytes());
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn read(mark: Mark, text: Option<&str>) -> Result<Option<Place>, Error> {
    let Some(text) = text else { return Ok(None) };
    let bad = |why: &str| Error::bad_parameter("cursor", why);
    let bytes = decode(text).ok_or_else(|| bad("not a cursor of ours; take 'next_cursor' of the page before"))?;
    if bytes[1..9] != mark.0 {
        return Err(bad("made for another filter; begin again without it"));
    }
    let int = |from: usize, to: usize| bytes[from..to].iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
    Ok(Some(Place { us: int(9, 17) as u64 as i64, id: Id(int(17, 33)), attempt_no: int(33, 37) as u32 }))
}

fn decode(text: &str) -> Option<[u8; BYTES]> {
    let digits = text.as_bytes();
    if digits.len() != BYTES * 2 {
        return None;
    }
    let mut bytes = [0u8; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = ((pair[0] as char).to_digit(16)?, (pair[1] as char).to_digit(16)?);
        *byte = (high << 4 | low) as u8;
    }
    (bytes[0] == FORM).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_belongs_to_its_filter() {
        let place = Place { us: -5, id: Id(7 << 100 | 3), attempt_no: u32::MAX };
        let mark = Mark::of(&("acme", 1));
        let text = write(mark, place);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(read(mark, Some(&text)).ok().flatten(), Some(place));
        assert!(read(Mark::of(&("acme", 2)), Some(&text)).is_err());
        for bad in ["", "zz", &text[1..], &format!("02{}", &text[2..]), &"é".repeat(37)] {
            assert!(read(mark, Some(bad)).is_err(), "{bad}");
        }
    }
}

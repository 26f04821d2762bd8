//! Decks of the accounts that were asked for last. Most files have few accounts in no order, and finding one by its short name
//! among few is cheaper than hashing it: names of up to 16 bytes are compared as one number.

use super::Decks;
use crate::deck::Deck;

/// Accounts that are remembered; one that falls on another's place takes it.
const PLACES: usize = 128;

pub(super) struct Recent<'d> {
    places: Vec<Place<'d>>,
}

#[derive(Clone, Copy)]
struct Place<'d> {
    name: u128,
    /// 0: nobody yet, since no account's name is empty.
    len: usize,
    deck: Option<&'d Deck>,
}

impl Default for Recent<'_> {
    fn default() -> Self {
        Recent { places: vec![Place { name: 0, len: 0, deck: None }; PLACES] }
    }
}

impl<'d> Recent<'d> {
    /// As [`Decks::of`].
    #[inline]
    pub(super) fn deck_of(&mut self, decks: &'d Decks, account: &str) -> Option<&'d Deck> {
        let Some(name) = number(account.as_bytes()).filter(|_| decks.by_account()) else { return decks.of(account) };
        let mixed = (name as u64 ^ (name >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = &mut self.places[(mixed >> 57) as usize % PLACES];
        if (place.name, place.len) != (name, account.len()) {
            *place = Place { name, len: account.len(), deck: decks.of(account) };
        }
        place.deck
    }
}

/// A number that no other name of the same length has; `None` of one that is empty or longer than 16 bytes.
#[inline]
fn number(name: &[u8]) -> Option<u128> {
    match (name.len(), name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (8..=16, Some(first), Some(last)) => Some(u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << 64),
        (1..=7, ..) => Some(name.iter().fold(0, |number, b| number << 8 | u128::from(*b))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_of_one_length_have_one_number_only_if_they_are_the_same(a in "[ab\\x00]{1,18}", b in "[ab\\x00]{1,18}") {
            let (x, y) = (number(a.as_bytes()), number(b.as_bytes()));
            prop_assert_eq!(x.is_some(), a.len() <= 16);
            if a.len() == b.len() && a.len() <= 16 {
                prop_assert_eq!(x == y, a == b);
            }
        }
    }
}

//! Which deck prices which account.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use thiserror::Error;

use crate::deck::Deck;

#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum BadDecks {
    #[error("account '{0}' is given two decks")]
    AccountTwice(String),
    #[error("two decks are given without an account")]
    DefaultTwice,
}

/// Decks by account, and one for the rest.
#[derive(Debug, Clone, Default)]
pub struct Decks {
    by_account: HashMap<String, Arc<Deck>, RandomState>,
    rest: Option<Arc<Deck>>,
}

impl Decks {
    /// Every account buys from this deck.
    pub fn all(deck: Arc<Deck>) -> Decks {
        Decks { by_account: HashMap::default(), rest: Some(deck) }
    }

    /// Adds the deck of an account, or with `None` of all accounts that have none of their own.
    pub fn add(&mut self, account: Option<&str>, deck: Arc<Deck>) -> Result<(), BadDecks> {
        let (before, twice) = match account {
            Some(account) => (self.by_account.insert(account.to_owned(), deck), BadDecks::AccountTwice(account.to_owned())),
            None => (self.rest.replace(deck), BadDecks::DefaultTwice),
        };
        if before.is_some() { Err(twice) } else { Ok(()) }
    }

    pub fn of(&self, account: &str) -> Option<&Deck> {
        let own = if self.by_account.is_empty() { None } else { self.by_account.get(account) };
        own.or(self.rest.as_ref()).map(Arc::as_ref)
    }
}

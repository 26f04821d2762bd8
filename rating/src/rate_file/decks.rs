//! Which deck prices which account.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use thiserror::Error;

use super::{CallIn, CallerIn, Callers, RatedOut};
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
    callers: Option<Callers>,
}

impl Decks {
    /// Every account buys from this deck.
    pub fn all(deck: Arc<Deck>) -> Decks {
        Decks { rest: Some(deck), ..Decks::default() }
    }

    /// Adds the deck of an account, or with `None` of all accounts that have none of their own.
    pub fn add(&mut self, account: Option<&str>, deck: Arc<Deck>) -> Result<(), BadDecks> {
        let (before, twice) = match account {
            Some(account) => (self.by_account.insert(account.to_owned(), deck), BadDecks::AccountTwice(account.to_owned())),
            None => (self.rest.replace(deck), BadDecks::DefaultTwice),
        };
        if before.is_some() { Err(twice) } else { Ok(()) }
    }

    /// Prices go by the caller too.
    pub fn with_callers(self, callers: Callers) -> Decks {
        Decks { callers: Some(callers), ..self }
    }

    /// Whether prices go by the caller: then every call comes with its [`CallerIn`].
    #[inline]
    pub fn callers(&self) -> Option<&Callers> {
        self.callers.as_ref()
    }

    /// All of them, in no order; one that several accounts have comes several times.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Deck>> {
        self.by_account.values().chain(&self.rest)
    }

    /// How an amount came about, for people.
    pub fn explain(&self, call: &CallIn<'_>, caller: Option<&CallerIn<'_>>, out: &RatedOut<'_>) -> String {
        match self.callers.as_ref().zip(caller) {
            Some((callers, caller)) => callers.explain(call, caller, out),
            None => out.explain(call),
        }
    }

    /// Whether any account has a deck of its own.
    #[inline]
    pub(super) fn by_account(&self) -> bool {
        !self.by_account.is_empty()
    }

    pub fn of(&self, account: &str) -> Option<&Deck> {
        let own = if self.by_account.is_empty() { None } else { self.by_account.get(account) };
        own.or(self.rest.as_ref()).map(Arc::as_ref)
    }
}

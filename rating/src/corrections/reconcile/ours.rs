//! Which of our CDRs are what the other side bills. A carrier is owed by attempts: a call's final row sums what all its attempts cost
//! and names the carrier that it ended with, so it stands for an attempt only where it had one. A customer pays by finals.

use std::collections::BTreeMap;

use thiserror::Error;
use tollgate_schemas::cdr::{ATTEMPT, FINAL};

use super::{Billed, Problems};

/// Parties that a message lists.
const LISTED: usize = 8;

/// Why a file of ours is not compared.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoCalls {
    #[error("no call can be read")]
    Unreadable(Problems),
    #[error("there are no calls in it")]
    Empty,
    #[error("{several} of its {finals} calls were tried with more than one carrier, and a final row does not tell what each is owed: export the attempts (tollgate export cdrs --record-type attempt …)")]
    SeveralAttempts { several: u64, finals: u64 },
    #[error("its rows are finals and do not say how many carriers were tried (attempts_total): export the attempts (tollgate export cdrs --record-type attempt …)")]
    Untold,
    #[error("it has attempts only, and what a customer is charged is on finals: export those (tollgate export cdrs --record-type final …)")]
    OnlyAttempts,
    #[error("it has calls of several {what}s ({there}): say whose file it is compared with (--carrier)")]
    SeveralParties { what: &'static str, there: String },
    #[error("none of its {rows} rows is of {what} '{party}': {there}")]
    NoneOf { what: &'static str, party: String, there: String, rows: u64 },
}

/// Our side of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ours {
    pub calls: Vec<Billed>,
    /// Whose they are: as asked, else the one that all rows are of.
    pub party: Option<String>,
    /// Its rows name their party; else all of them are taken for the one asked for.
    pub party_told: bool,
}

/// Picks rows as they come: [`Picker::wants`] a row, then [`Picker::take`] its call.
pub struct Picker<'a> {
    sale: bool,
    party: Option<&'a str>,
    rows: u64,
    attempts: u64,
    finals: u64,
    several: u64,
    untold: bool,
    parties: BTreeMap<String, u64>,
    party_told: bool,
    /// What the row that is wanted now is.
    is_final: bool,
    of_finals: Vec<Billed>,
    of_attempts: Vec<Billed>,
}

impl<'a> Picker<'a> {
    /// `sale`: what a customer is charged, by account; else what a carrier is owed.
    pub fn new(sale: bool, party: Option<&'a str>) -> Picker<'a> {
        Picker {
            sale, party, rows: 0, attempts: 0, finals: 0, several: 0, untold: false, parties: BTreeMap::new(), party_told: false, is_final: false,
            of_finals: Vec::new(), of_attempts: Vec::new(),
        }
    }

    pub fn is_sale(&self) -> bool {
        self.sale
    }

    pub fn is_empty(&self) -> bool {
        self.of_finals.is_empty() && self.of_attempts.is_empty()
    }

    /// Whether a row counts. `record_type`: empty = the file has none, its rows are what is asked for. `party`: the row's carrier
    /// (account, of a sale); None = the file names none. `attempts`: carriers tried, where the file says it.
    pub fn wants(&mut self, record_type: &str, party: Option<&str>, attempts: Option<u32>) -> bool {
        self.rows += 1;
        self.is_final = if record_type.is_empty() { self.sale } else { record_type == FINAL };
        if self.is_final {
            self.finals += 1;
            self.several += u64::from(!record_type.is_empty() && attempts.is_some_and(|n| n > 1));
            self.untold |= !record_type.is_empty() && attempts.is_none();
        } else if record_type.is_empty() || record_type == ATTEMPT {
            self.attempts += 1;
        } else {
            return false;
        }
        if self.sale && !self.is_final {
            return false;
        }
        let Some(party) = party else { return self.sale || !self.is_final || attempts == Some(1) };
        self.party_told = true;
        if party.is_empty() {
            return false;
        }
        match self.parties.get_mut(party) {
            Some(count) => *count += 1,
            None => drop(self.parties.insert(party.to_owned(), 1)),
        }
        self.party.is_none_or(|wanted| wanted == party)
    }

    pub fn take(&mut self, call: Billed) {
        if self.is_final { self.of_finals.push(call) } else { self.of_attempts.push(call) }
    }

    pub fn finish(self) -> Result<Ours, NoCalls> {
        let what = if self.sale { "account" } else { "carrier" };
        if self.rows == 0 {
            return Err(NoCalls::Empty);
        }
        let by_finals = self.sale || self.attempts == 0;
        if self.sale && self.finals == 0 {
            return Err(NoCalls::OnlyAttempts);
        }
        if by_finals && !self.sale && self.several > 0 {
            return Err(NoCalls::SeveralAttempts { several: self.several, finals: self.finals });
        }
        if by_finals && !self.sale && self.untold {
            return Err(NoCalls::Untold);
        }
        let there = || {
            let mut by_calls: Vec<(&String, &u64)> = self.parties.iter().collect();
            by_calls.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), *name));
            let more = if by_calls.len() > LISTED { " …" } else { "" };
            by_calls.iter().take(LISTED).map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ") + more
        };
        if self.party.is_none() && self.parties.len() > 1 {
            return Err(NoCalls::SeveralParties { what, there: there() });
        }
        let calls = if by_finals { self.of_finals } else { self.of_attempts };
        if calls.is_empty() {
            let there = if self.parties.is_empty() { format!("they name no {what}") } else { format!("they are of {}", there()) };
            return Err(NoCalls::NoneOf { what, party: self.party.unwrap_or_default().to_owned(), there, rows: self.rows });
        }
        let party = self.party.map(str::to_owned).or_else(|| self.parties.into_keys().next());
        Ok(Ours { calls, party, party_told: self.party_told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (record type, carrier, attempts): what comes of them.
    fn picked(sale: bool, party: Option<&str>, rows: &[(&str, Option<&str>, Option<u32>)]) -> Result<usize, NoCalls> {
        let mut picker = Picker::new(sale, party);
        for (record_type, party, attempts) in rows {
            if picker.wants(record_type, *party, *attempts) {
                picker.take(Billed::default());
            }
        }
        picker.finish().map(|ours| ours.calls.len())
    }

    #[test]
    fn r_47_a_final_stands_for_its_attempt_only_where_it_had_one() {
        let (alpha, beta) = (Some("alpha"), Some("beta"));
        // Calls that no carrier was tried for are nobody's.
        assert_eq!(picked(false, alpha, &[(FINAL, alpha, Some(1)), (FINAL, beta, Some(1)), (FINAL, Some(""), Some(0))]), Ok(1));
        assert_eq!(picked(false, alpha, &[(FINAL, alpha, Some(1)), (FINAL, beta, Some(2))]), Err(NoCalls::SeveralAttempts { several: 1, finals: 2 }));
        assert_eq!(picked(false, alpha, &[(FINAL, alpha, None)]), Err(NoCalls::Untold));
        // Where attempts are in the file they are what counts.
        assert_eq!(picked(false, alpha, &[(FINAL, beta, Some(2)), (ATTEMPT, alpha, Some(1)), (ATTEMPT, beta, Some(2))]), Ok(1));
        // What a customer is charged is on the final.
        assert_eq!(picked(true, Some("acme"), &[(FINAL, Some("acme"), Some(3)), (ATTEMPT, Some("acme"), Some(1))]), Ok(1));
        assert_eq!(picked(true, Some("acme"), &[(ATTEMPT, Some("acme"), Some(1))]), Err(NoCalls::OnlyAttempts));
    }

    #[test]
    fn r_47_no_call_of_ours_is_a_refusal_that_says_what_is_there() {
        let (alpha, beta) = (Some("alpha"), Some("beta"));
        assert_eq!(picked(false, alpha, &[]), Err(NoCalls::Empty));
        let none = picked(false, Some("gamma"), &[(ATTEMPT, alpha, None), (ATTEMPT, beta, None), (ATTEMPT, beta, None)]);
        assert!(none.as_ref().is_err_and(|e| e.to_string().contains("none of its 3 rows is of carrier 'gamma': they are of beta 2, alpha 1")), "{none:?}");
        let whose = picked(false, None, &[(ATTEMPT, alpha, None), (ATTEMPT, beta, None)]);
        assert!(matches!(whose, Err(NoCalls::SeveralParties { .. })), "{whose:?}");
        assert_eq!(picked(false, None, &[(ATTEMPT, beta, None), (ATTEMPT, beta, None)]), Ok(2));
        // A file without a column of carriers is taken for the one that is asked for.
        assert_eq!(picked(false, alpha, &[("", None, None)]), Ok(1));
    }
}

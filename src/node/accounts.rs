//! Accounts' money as topic `ledger` has it, for the API: balances, and what moved them beside calls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tollgate_api::ports::Money;
use tollgate_ingest::{WorkerHandle, follow, follow::From};
use tollgate_rating::{
    corrections::journal::Journal,
    ledger::{self, Balances},
};
use tollgate_schemas::{
    event::Body,
    log::{EventLog, Topic},
};

use super::Shared;

/// How long a reader waits for what is durable.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    balances: Balances,
    journal: Journal,
    /// By partition, the next offset to read.
    next: BTreeMap<u16, u64>,
}

/// Where the ledger's partitions end now.
pub fn ends(log: &dyn EventLog) -> Vec<u64> {
    (0..log.partitions()).map(|p| log.end(Topic::Ledger, p)).collect()
}

#[derive(Default)]
pub struct Accounts(Mutex<State>);

impl Accounts {
    /// Folds the ledger from its beginning, and goes on.
    pub fn follow(self: &Arc<Accounts>, shared: &Shared) -> anyhow::Result<WorkerHandle> {
        let accounts = self.clone();
        Ok(follow::follow(shared.log.clone(), "balances", &[Topic::Ledger], From::Beginning, 20, move |_, partition, record| {
            let mut state = accounts.lock();
            if let Some(Body::LedgerPosted(posted)) = &record.event.body {
                if let Err(error) = state.balances.apply(posted) {
                    tracing::error!(%error, posting = %record.event.id(), "a posting is not in the balances");
                }
                state.journal.apply(&record.event);
            }
            state.next.insert(partition, record.offset + 1);
        })?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the ledger has been read up to these ends.
    pub fn has_read(&self, ends: &[u64]) -> bool {
        let state = self.lock();
        (0u16..).zip(ends).all(|(p, end)| state.next.get(&p).copied().unwrap_or(0) >= *end)
    }

    /// Money once everything that is durable now has been read; what comes meanwhile may be in it.
    pub fn read<T>(&self, log: &dyn EventLog, look: impl FnOnce(&Journal, &Balances) -> T) -> Result<T, String> {
        let (until, ends) = (Instant::now() + PATIENCE, ends(log));
        while !self.has_read(&ends) {
            if Instant::now() > until {
                return Err("the ledger has not been read up to its end: ask again".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let state = self.lock();
        Ok(look(&state.journal, &state.balances))
    }

    /// Everything of a hierarchy's accounts once what is durable now has been read: where its partition of the ledger was read to, and what
    /// each ledger account had there, by currency.
    pub fn of_root(&self, log: &dyn EventLog, partition: u16, root: &str) -> Result<(u64, BTreeMap<(String, String), i64>), String> {
        self.read(log, |_, _| ())?;
        let state = self.lock();
        let prefixes = [ledger::customer(root, ""), ledger::held(root, "")];
        let own = state.balances.iter().filter(|(account, _, _)| prefixes.iter().any(|p| account.starts_with(p.as_str())));
        let e8 = |sum: i128| i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX });
        let balances = own.map(|(account, currency, sum)| ((account.to_owned(), currency.to_owned()), e8(sum))).collect();
        Ok((state.next.get(&partition).copied().unwrap_or(0), balances))
    }

    /// The journal as far as it has been read.
    pub fn journal<T>(&self, look: impl FnOnce(&Journal) -> T) -> T {
        look(&self.lock().journal)
    }

    /// What the balances of a currency do not sum to zero by, as they are shown, 1e-8.
    pub fn difference_e8(&self) -> i128 {
        self.lock().balances.shown_difference()
    }

    pub fn has_posted(&self, number: &str) -> bool {
        self.lock().journal.has_posted(number)
    }

    /// By currency; empty for an account nothing was ever posted for.
    pub fn money(&self, root: &str, account: &str) -> Vec<Money> {
        let state = self.lock();
        let mut all: Vec<Money> = Vec::new();
        let names = [ledger::customer(root, account), ledger::held(root, account), ledger::deposit(root, account)];
        for (n, name) in names.iter().enumerate() {
            for (currency, e8) in state.balances.owed(name) {
                let at = all.iter().position(|m| m.currency == currency).unwrap_or_else(|| {
                    all.push(Money { currency: currency.to_owned(), ..Money::default() });
                    all.len() - 1
                });
                match n {
                    0 => all[at].owed_e8 = e8,
                    1 => all[at].held_e8 = e8,
                    // What we keep for it is credited.
                    _ => all[at].deposits_e8 = e8.saturating_neg(),
                }
            }
        }
        all
    }
}

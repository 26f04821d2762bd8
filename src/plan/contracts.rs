//! Contracts and tax profiles among the documents: they bear on invoices, not on calls, and are checked with the rest so that what is
//! in force can always be billed by.

use std::collections::BTreeMap;

use tollgate_proxy::admission::Documents;
use tollgate_rating::{contract::Contract, corrections::invoice::TaxBasis};
use tollgate_schemas::control::{self, Kind};

use super::{PlanProblem, Registry};

/// Notes every mistake.
pub(super) fn check(registry: &Registry, documents: &Documents, problems: &mut Vec<PlanProblem>) {
    let accounts = &documents.accounts;
    let specs: BTreeMap<String, control::Contract> = registry.of(Kind::Contract, problems);
    let mut wrong = |kind, name: &str, path: String, message: String| problems.push(PlanProblem { kind, name: name.to_owned(), path, message });
    let mut contracts = BTreeMap::new();
    for (name, spec) in &specs {
        match accounts.get(&spec.account) {
            None => wrong(Kind::Contract, name, "account".to_owned(), format!("there is no account '{}'", spec.account)),
            Some(account) => {
                let limited = account.credit_limit.is_some() || account.billing == control::Billing::Prepaid;
                if let Some(own) = documents.currencies.get(&account.sell_deck).filter(|own| limited && **own != spec.currency) {
                    // What is invoiced and unpaid would not count against the limit (FN-06).
                    let message = format!("'{}': account '{}' has its limit in {own}, its deck's currency, and amounts of two currencies never meet: give it a deck in {}, or no limit", spec.currency, spec.account, spec.currency);
                    wrong(Kind::Contract, name, "currency".to_owned(), message);
                }
            }
        }
        match Contract::compile(name, spec) {
            Ok(contract) => drop(contracts.insert(name.clone(), contract)),
            Err(bad) => bad.into_iter().for_each(|b| wrong(Kind::Contract, name, b.path, b.problem)),
        }
    }
    for (one, other) in Contract::overlaps(&contracts) {
        let message = format!("account '{}' has contract '{}' at the same time: end that one before this begins (from, until)", one.account, other.name);
        wrong(Kind::Contract, &one.name, "from".to_owned(), message);
    }
    for (name, account) in accounts {
        for (path, message) in account.tax.iter().flat_map(TaxBasis::check) {
            wrong(Kind::Account, name, format!("tax.{path}"), message);
        }
    }
}

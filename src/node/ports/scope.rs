//! What a block speaks of, against the documents in force: of a name that nothing has it would stop no call, while whoever placed it
//! thinks otherwise.

use std::collections::BTreeSet;

use tollgate_api::ports::Problem;
use tollgate_proxy::admission::{AccountIx, Policy};
use tollgate_schemas::v1::BlockScope;

use crate::{config::nearest, node::Shared};

/// Every name of the scope that there is not, with the one that was meant.
pub fn unknown(shared: &Shared, scope: &BlockScope) -> Vec<Problem> {
    let plan = shared.owner.plan();
    let policy = &plan.policy;
    let mut problems = Vec::new();
    let mut say = |path: &str, what: &str, of: &str, name: &str, known: &BTreeSet<&str>| {
        if name.is_empty() || known.contains(name) {
            return;
        }
        let meant = nearest(name, known.iter().copied()).map_or(String::new(), |m| format!(": did you mean '{m}'?"));
        problems.push(Problem { path: format!("scope.{path}"), message: format!("there is no {what} '{name}'{of}{meant}") });
    };
    say("account", "account", "", &scope.account, &policy.accounts().map(|(_, a)| a.name.as_str()).collect());
    say("carrier", "carrier", "", &scope.carrier, &policy.carriers().map(|(_, c)| c.name.as_str()).collect());
    // Of what is blocked for an account only what it has: its own, and that of the accounts below it.
    let root = policy.account_named(&scope.account);
    let within = |ix: AccountIx| scope.account.is_empty() || root.is_none() || root.is_some_and(|root| is_below(policy, ix, root));
    let of = if scope.account.is_empty() || root.is_none() { String::new() } else { format!(" of account '{}'", scope.account) };
    say("trunk", "trunk", &of, &scope.trunk, &policy.trunks().filter(|(_, t)| within(t.account)).map(|(_, t)| t.name.as_str()).collect());
    if !scope.dest_group.is_empty() {
        let sold: BTreeSet<&str> = policy.accounts().filter(|(ix, _)| within(*ix)).map(|(_, a)| a.sell_deck.as_str()).collect();
        let (registry, _) = shared.owner.registry();
        let rows = registry.decks.iter().filter(|(name, _)| sold.contains(name.as_str())).flat_map(|(_, deck)| deck.rows());
        say("dest_group", "destination", &of, &scope.dest_group, &rows.map(|row| row.destination()).collect());
    }
    problems
}

fn is_below(policy: &Policy, account: AccountIx, root: AccountIx) -> bool {
    let mut at = Some(account);
    while let Some(ix) = at {
        if ix == root {
            return true;
        }
        at = policy.account(ix).parent;
    }
    false
}

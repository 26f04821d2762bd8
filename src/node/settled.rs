//! Whether an account may go: its money is booked under the root it has, and where that changes, or the account is removed, what is open
//! would be looked for elsewhere. So an account goes with nothing owed, held, kept or unpaid; its history goes with it (FN-04, FN-08).
//!
//! Asked where provisioning is decided, with the ledger as it is durable then. No payment comes in between in this process; one that
//! another process books in that instant, or a call that begins in it, stays under the old root, and `ageing` has it in the account's sum.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tollgate_api::ports::Fault;
use tollgate_rating::{
    corrections::{books::Books, journal::Journal, receivables::Customer},
    ledger::{self, Balances},
};
use tollgate_schemas::{
    control::Kind,
    id::partition_of,
    log::{EventLog, Topic},
    money::format_amount,
};

use super::{Shared, accounts::Accounts, books::SharedBooks, live::Live, owner::Moved};
use crate::plan::PlanProblem;

/// How long the rater may lag behind the calls.
const PATIENCE: Duration = Duration::from_secs(10);
/// Open invoices that are named.
const NAMED: usize = 5;

/// From here on the owner asks.
pub fn watch(shared: &Arc<Shared>, books: &Arc<SharedBooks>, accounts: &Arc<Accounts>, live: &Arc<Live>) {
    let (of, books, accounts, live) = (Arc::downgrade(shared), books.clone(), accounts.clone(), live.clone());
    shared.owner.ask_settled(Box::new(move |moved| {
        let Some(shared) = of.upgrade() else { return Ok(Vec::new()) };
        rated(&*shared.log, moved)?;
        let calls = |account: &str| {
            let mut count = 0u64;
            live.each(|call| count += u64::from(call.facts().is_some_and(|f| f.account == account)));
            count
        };
        let found = books.read(&*shared.log, |books| {
            accounts.read(&*shared.log, |journal, balances| moved.iter().filter_map(|m| problem(m, &open(m, calls(&m.account), books, journal, balances))).collect())
        });
        found.and_then(|found| found).map_err(Fault::Unavailable)
    }));
}

/// Waits until what their calls and payments came to is in the ledger.
fn rated(log: &dyn EventLog, moved: &[Moved]) -> Result<(), Fault> {
    let mut partitions: Vec<u16> = moved.iter().map(|m| partition_of(&m.root, log.partitions())).collect();
    partitions.sort_unstable();
    partitions.dedup();
    let ends: Vec<(u16, u64)> = partitions.into_iter().map(|p| (p, log.end(Topic::Calls, p))).collect();
    let began = Instant::now();
    for (partition, end) in ends {
        while log.progress("rater", Topic::Calls, partition).map_err(|e| Fault::Unavailable(e.to_string()))?.unwrap_or(0) < end {
            if began.elapsed() > PATIENCE {
                return Err(Fault::Unavailable("rating lags behind the log, so it is not known what the account owes: ask again".to_owned()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// What is open of an account, in words.
fn open(moved: &Moved, calls: u64, books: &Books, journal: &Journal, balances: &Balances) -> Vec<String> {
    let (root, account) = (&moved.root, &moved.account);
    let mut open = Vec::new();
    let mut each = |name: String, words: &dyn Fn(i64, &str) -> String| {
        open.extend(balances.owed(&name).filter(|(_, e8)| *e8 != 0).map(|(currency, e8)| words(e8, currency)));
    };
    each(ledger::customer(root, account), &|e8, currency| match e8 {
        ..0 => format!("{} {currency} in its favour (pay it out: a negative payment)", format_amount(e8.saturating_neg())),
        _ => format!("{} {currency} owed", format_amount(e8)),
    });
    each(ledger::held(root, account), &|e8, currency| format!("{} {currency} held by its calls", format_amount(e8)));
    each(ledger::deposit(root, account), &|e8, currency| format!("a deposit of {} {currency} (give it back: a negative deposit)", format_amount(e8.saturating_neg())));
    if calls > 0 {
        open.push(format!("{calls} call{} up", if calls == 1 { "" } else { "s" }));
    }
    let mut currencies: Vec<&str> = books.documents().filter(|d| d.account == *account).map(|d| d.currency.as_str()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        let customer = Customer { books, journal: journal.account(account), account, currency };
        let unpaid = customer.aged(i64::MAX, 0).invoices;
        open.extend(unpaid.iter().take(NAMED).map(|i| format!("{} {currency} of invoice {} unpaid", format_amount(i.open.amount_e8), i.number)));
        if unpaid.len() > NAMED {
            open.push(format!("{} more invoices unpaid", unpaid.len() - NAMED));
        }
    }
    open
}

fn problem(moved: &Moved, open: &[String]) -> Option<PlanProblem> {
    if open.is_empty() {
        return None;
    }
    let (path, what) = match &moved.to {
        None => ("", "it is not removed".to_owned()),
        Some(to) => ("parent", format!("it does not go from the tree of '{}' to that of '{to}'", moved.root)),
    };
    let message = format!("{what} while it has {}: its money is booked where it is; settle that first", open.join(", "));
    Some(PlanProblem { kind: Kind::Account, name: moved.account.clone(), path: path.to_owned(), message })
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::{
        event::{Body, Event},
        v1::{InvoiceIssued, LedgerEntry, LedgerPosted},
    };

    use super::*;

    fn moved(to: Option<&str>) -> Moved {
        Moved { account: "shop".to_owned(), root: "acme".to_owned(), to: to.map(str::to_owned) }
    }

    #[test]
    fn fn_08_an_account_goes_nowhere_with_a_balance_a_deposit_a_hold_a_call_or_an_unpaid_invoice() {
        let (mut books, mut journal, mut balances) = (Books::default(), Journal::default(), Balances::default());
        let told = |calls: u64, books: &Books, journal: &Journal, balances: &Balances| problem(&moved(None), &open(&moved(None), calls, books, journal, balances)).map(|p| p.message);
        assert_eq!(told(0, &books, &journal, &balances), None);
        let post = |kind: &str, account: String, e8: i64, journal: &mut Journal, balances: &mut Balances| {
            let entry = |account: String, amount_e8| LedgerEntry { account, amount_e8, currency: "EUR".into() };
            let posted = LedgerPosted { kind: kind.into(), entries: vec![entry(account, e8), entry("cash/1".into(), -e8)], ..LedgerPosted::default() };
            balances.apply(&posted).expect("balanced");
            journal.apply(&Event { occurred_us: 5, body: Some(Body::LedgerPosted(posted)), ..Event::default() });
        };
        post("usage", ledger::customer("acme", "shop"), 200_000_000, &mut journal, &mut balances);
        post("hold", ledger::held("acme", "shop"), 3_000_000, &mut journal, &mut balances);
        post("deposit", ledger::deposit("acme", "shop"), -500_000_000, &mut journal, &mut balances);
        let issued = InvoiceIssued { series: "s".into(), number: 1, account: "shop".into(), currency: "EUR".into(), until_us: 1, total_e8: 200_000_000, document: "{}".into(), ..InvoiceIssued::default() };
        books.apply(&Event { body: Some(Body::InvoiceIssued(issued)), ..Event::default() });
        let all = told(1, &books, &journal, &balances).expect("refused");
        for part in ["2.000000 EUR owed", "0.030000 EUR held", "deposit of 5.000000 EUR", "1 call up", "2.000000 EUR of invoice s-1 unpaid"] {
            assert!(all.contains(part), "{part} in: {all}");
        }
        // Paid, given back and over: it goes, and with it what it paid.
        post("payment", ledger::customer("acme", "shop"), -200_000_000, &mut journal, &mut balances);
        post("void", ledger::held("acme", "shop"), -3_000_000, &mut journal, &mut balances);
        post("deposit", ledger::deposit("acme", "shop"), 500_000_000, &mut journal, &mut balances);
        assert_eq!(told(0, &books, &journal, &balances), None);
        post("payment", ledger::customer("acme", "shop"), -7, &mut journal, &mut balances);
        let to = problem(&moved(Some("globex")), &open(&moved(Some("globex")), 0, &books, &journal, &balances)).expect("refused");
        assert!(to.path == "parent" && to.message.contains("from the tree of 'acme' to that of 'globex'") && to.message.contains("0.00000007 EUR in its favour"), "{}", to.message);
    }
}

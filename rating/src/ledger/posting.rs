//! From what a call is worth to the entries that bring the ledger there.

use tollgate_schemas::v1::LedgerEntry;

/// The entries that lead from what is posted to what should be, zeros left out, in the order of `want`, then accounts
/// only `posted` names. Both sides balance, so the difference does; nothing to post gives no entries. A sum per account
/// and currency beyond `i64` saturates, on both sides of a pair alike.
pub fn difference(posted: &[LedgerEntry], want: &[LedgerEntry]) -> Vec<LedgerEntry> {
    let mut out: Vec<LedgerEntry> = Vec::with_capacity(want.len());
    for e in want {
        add(&mut out, e, e.amount_e8);
    }
    for e in posted {
        add(&mut out, e, e.amount_e8.saturating_neg());
    }
    out.retain(|e| e.amount_e8 != 0);
    out
}

/// Both sides of a transfer: `to` is debited, `from` credited. Nothing for an amount of zero.
pub fn transfer(entries: &mut Vec<LedgerEntry>, from: String, to: String, amount_e8: i64, currency: &str) {
    // The least amount has no opposite; a charge never is that low.
    let amount_e8 = amount_e8.max(-i64::MAX);
    for (account, amount_e8) in [(to, amount_e8), (from, -amount_e8)] {
        let entry = LedgerEntry { account, amount_e8, currency: currency.to_owned() };
        add(entries, &entry, amount_e8);
    }
    entries.retain(|e| e.amount_e8 != 0);
}

fn add(entries: &mut Vec<LedgerEntry>, like: &LedgerEntry, amount_e8: i64) {
    match entries.iter_mut().find(|e| e.account == like.account && e.currency == like.currency) {
        Some(e) => e.amount_e8 = e.amount_e8.saturating_add(amount_e8),
        None => entries.push(LedgerEntry { amount_e8, ..like.clone() }),
    }
}

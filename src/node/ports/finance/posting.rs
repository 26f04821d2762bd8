//! What invoices and notes add to the ledger (FN-08). Calls and their fees are posted when they are rated; a document posts only the
//! rest. It goes through topic `calls` to the rater of the account's partition, which is the one writer of the account's money
//! and posts each document once: so it is in balances and in the credit exposure (FN-06), and a replay posts the same.

use tollgate_rating::{
    corrections::invoice::{Exchanged, Invoice, Note, Section},
    ledger,
};
use tollgate_schemas::{
    id::partition_of,
    money::parse_scaled,
    v1::LedgerEntry,
};

use super::Inner;

/// Whose books a document is in.
pub struct At {
    account: String,
    root: String,
    partition: u16,
    /// The account it buys from, where that is not the house.
    seller: Option<String>,
}

impl Inner {
    pub fn posts_at(&self, account: &str, root: &str) -> At {
        let seller = self.shared.owner.get(tollgate_api::ports::Kind::Account, account).and_then(|a| a.spec["parent"].as_str().map(str::to_owned));
        At { account: account.to_owned(), root: root.to_owned(), partition: partition_of(root, self.shared.log.partitions()), seller }
    }

    /// Posts a document that has just been issued. Where that fails it is posted by and by ([`crate::node::books::Poster`]).
    pub fn post(&self, series: &str, number: u64) {
        let found = self.look(|books| books.document(series, number).cloned());
        if let Ok(Some(document)) = found
            && let Err(error) = crate::node::books::post(&self.shared, &[&document])
        {
            tracing::warn!(%error, document = document.name(), "a document is posted later");
        }
    }
}

fn posted(at: &At, currency: &str, lines: impl Iterator<Item = (Section, i64)>) -> Vec<LedgerEntry> {
    let (mut own, mut tax) = (0i64, 0i64);
    for (section, amount_e8) in lines {
        match section {
            Section::Usage | Section::LateUsage | Section::Fees => {}
            Section::Taxes => tax = tax.saturating_add(amount_e8),
            Section::Recurring | Section::Contract | Section::Credits | Section::Rounding => own = own.saturating_add(amount_e8),
        }
    }
    let entry = |account: String, amount_e8: i64| LedgerEntry { account, amount_e8, currency: currency.to_owned() };
    let mut entries = vec![entry(ledger::customer(&at.root, &at.account), own.saturating_add(tax))];
    match &at.seller {
        // What a reseller charges is its own income, taxes included, not the house's.
        Some(seller) => entries.push(entry(ledger::resale(&at.root, seller), own.saturating_add(tax).saturating_neg())),
        None => entries.extend([entry(ledger::revenue(at.partition), -own), entry(ledger::tax(at.partition), -tax)]),
    }
    entries.retain(|e| e.amount_e8 != 0);
    entries
}

/// Of an invoice.
pub fn of_invoice(at: &At, made: &Invoice) -> Vec<LedgerEntry> {
    let entries = posted(at, &made.currency, made.lines.iter().filter_map(|l| Some((l.section?, parse_scaled(&l.amount, 8).ok()?))));
    moved(entries, at, &made.currency, made.lines.iter().map(|l| (&l.exchanged, l.amount.as_str())))
}

/// Calls in another currency are posted in that: what is owed there moves to the document's currency.
fn moved<'a>(mut entries: Vec<LedgerEntry>, at: &At, currency: &str, lines: impl Iterator<Item = (&'a Option<Exchanged>, &'a str)>) -> Vec<LedgerEntry> {
    let e8 = |text: &str| parse_scaled(text, 8).unwrap_or(0);
    for (exchanged, amount) in lines {
        if let Some(exchanged) = exchanged {
            move_currency(&mut entries, at, (&exchanged.currency, e8(&exchanged.amount)), (currency, e8(amount)));
        }
    }
    entries.retain(|e| e.amount_e8 != 0);
    entries
}

/// What is owed in one currency is owed in another; the other side of both is the exchange's account.
fn move_currency(entries: &mut Vec<LedgerEntry>, at: &At, from: (&str, i64), to: (&str, i64)) {
    let owed = ledger::customer(&at.root, &at.account);
    let exchange = ledger::exchange(at.partition);
    for (account, amount_e8, currency) in [(&owed, -from.1, from.0), (&exchange, from.1, from.0), (&owed, to.1, to.0), (&exchange, -to.1, to.0)] {
        match entries.iter_mut().find(|e| e.account == *account && e.currency == currency) {
            Some(entry) => entry.amount_e8 = entry.amount_e8.saturating_add(amount_e8),
            None => entries.push(LedgerEntry { account: account.clone(), amount_e8, currency: currency.to_owned() }),
        }
    }
}

/// Of a note.
pub fn of_note(at: &At, made: &Note) -> Vec<LedgerEntry> {
    let entries = posted(at, &made.currency, made.lines.iter().filter_map(|l| Some((l.section, parse_scaled(&l.amount, 8).ok()?))));
    moved(entries, at, &made.currency, made.lines.iter().map(|l| (&l.exchanged, l.amount.as_str())))
}

#[cfg(test)]
mod tests {
    use tollgate_schemas::money::format_amount;

    use super::*;

    fn at(seller: Option<&str>) -> At {
        At { account: "acme".to_owned(), root: "acme".to_owned(), partition: 3, seller: seller.map(str::to_owned) }
    }

    #[test]
    fn fn_08_what_an_invoice_posts_is_balanced_and_leaves_usage_out() {
        let lines = [(Section::Usage, 500), (Section::Recurring, 100), (Section::Taxes, 126), (Section::Rounding, -6), (Section::Credits, -20)];
        let entries = posted(&at(None), "EUR", lines.into_iter());
        assert_eq!(entries.iter().map(|e| e.amount_e8).sum::<i64>(), 0);
        assert_eq!(entries[0].amount_e8, 200, "100 + 126 − 6 − 20");
        assert_eq!((entries[2].account.as_str(), format_amount(entries[2].amount_e8).as_str()), ("tax/3", "-0.00000126"));
        let resold = posted(&at(Some("top")), "EUR", lines.into_iter());
        assert_eq!(resold.iter().map(|e| (e.account.as_str(), e.amount_e8)).collect::<Vec<_>>(), [("account:acme/acme", 200), ("resale:acme/top", -200)]);
    }

    #[test]
    fn fn_08_r_30_what_is_converted_leaves_one_currency_for_the_other() {
        let mut entries = Vec::new();
        move_currency(&mut entries, &at(None), ("USD", 1_000), ("EUR", 900));
        move_currency(&mut entries, &at(None), ("USD", 500), ("EUR", 400));
        let told: Vec<_> = entries.iter().map(|e| (e.account.as_str(), e.currency.as_str(), e.amount_e8)).collect();
        assert_eq!(told, [("account:acme/acme", "USD", -1_500), ("exchange/3", "USD", 1_500), ("account:acme/acme", "EUR", 1_300), ("exchange/3", "EUR", -1_300)]);
        assert!(ledger::check(&entries).is_ok());
    }
}

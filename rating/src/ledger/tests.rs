use proptest::prelude::*;

use super::{posting::*, *};

fn posting(entries: Vec<LedgerEntry>) -> LedgerPosted {
    LedgerPosted { entries, ..LedgerPosted::default() }
}

fn sale(account: &str, sell_e8: i64, carrier_name: &str, cost_e8: i64) -> Vec<LedgerEntry> {
    let mut entries = Vec::new();
    transfer(&mut entries, revenue(3), customer("acme", account), sell_e8, "USD");
    transfer(&mut entries, carrier(carrier_name, 3), cost(3), cost_e8, "EUR");
    entries
}

#[test]
fn fn_08_a_sale_debits_the_customer_and_credits_the_carrier() {
    let mut balances = Balances::default();
    balances.apply(&posting(sale("shop", 600_000, "cheap", 400_000))).expect("balanced");
    balances.apply(&posting(sale("shop", 100_000, "cheap", 0))).expect("balanced");
    assert_eq!(balances.owed("account:acme/shop").collect::<Vec<_>>(), [("USD", 700_000)]);
    assert_eq!(balances.balance("revenue/3", "USD"), -700_000);
    assert_eq!(balances.balance("cost/3", "EUR"), 400_000);
    assert_eq!(balances.balance("carrier:cheap/3", "EUR"), -400_000);
    assert_eq!(balances.owed("account:acme/other").count(), 0);
}

#[test]
fn fn_08_an_unbalanced_posting_changes_nothing() {
    let mut balances = Balances::default();
    let mut entries = sale("shop", 600_000, "cheap", 400_000);
    entries[0].amount_e8 += 1;
    assert_eq!(balances.apply(&posting(entries)), Err(BadPosting::Unbalanced { currency: "USD".to_owned(), sum_e8: 1 }));
    // Opposite amounts of two currencies do not balance each other.
    let mixed = vec![
        LedgerEntry { account: "a".to_owned(), amount_e8: 5, currency: "USD".to_owned() },
        LedgerEntry { account: "b".to_owned(), amount_e8: -5, currency: "EUR".to_owned() },
    ];
    assert!(balances.apply(&posting(mixed)).is_err());
    assert_eq!(balances, Balances::default());
}

/// What others were posted is no reason to leave out a posting: our side of it has room for all of them.
#[test]
fn fn_08_no_balance_wraps_and_no_posting_is_lost_for_what_others_were_posted() {
    let mut balances = Balances::default();
    let pay = |account: &str, e8| {
        let mut entries = Vec::new();
        transfer(&mut entries, customer("acme", account), cash(3), e8, "USD");
        posting(entries)
    };
    balances.apply(&pay("junk", i64::MAX)).expect("counted");
    balances.apply(&pay("junk2", i64::MAX)).expect("counted");
    balances.apply(&pay("shop", 500)).expect("counted");
    assert_eq!((balances.balance("account:acme/shop", "USD"), balances.exact("cash/3", "USD")), (-500, 2 * i128::from(i64::MAX) + 500));
    assert_eq!((balances.totals()["USD"], balances.shown_difference()), (0, 0), "every balance can be shown");
    balances.apply(&pay("junk", i64::MAX)).expect("counted");
    assert_eq!(balances.balance("account:acme/junk", "USD"), i64::MIN);
    assert_eq!((balances.totals()["USD"], balances.shown_difference()), (0, i128::from(i64::MAX) - 1), "what cannot be shown is seen");
}

#[test]
fn fn_08_money_beyond_what_can_be_counted_and_deposits_that_are_not_there_are_not_taken() {
    assert_eq!(takes("payment", i64::MAX, 0, 0), Err(NotTaken::TooMuch));
    assert_eq!(takes("payment", MAX_PAYMENT_E8, 0, 0), Ok(()));
    assert_eq!(takes("payment", MAX_PAYMENT_E8, -MAX_BALANCE_E8, 0), Err(NotTaken::Beyond(i128::from(MAX_BALANCE_E8) + i128::from(MAX_PAYMENT_E8))));
    assert_eq!(takes("payment", -MAX_PAYMENT_E8, -MAX_BALANCE_E8, 0), Ok(()));
    assert_eq!(takes("payment", -MAX_PAYMENT_E8, i64::MIN, 0), Ok(()), "what leads back is taken");
    assert_eq!((takes("deposit", -500, 0, 500), takes("deposit", -501, 0, 500)), (Ok(()), Err(NotTaken::NotKept(500))));
    // One that is short already, by what earlier versions took, can be made whole.
    assert_eq!((takes("deposit", 200, 0, -500), takes("deposit", -1, 0, -500)), (Ok(()), Err(NotTaken::NotKept(-500))));
    assert_eq!(takes("deposit", -5, -900, 0).expect_err("not kept").to_string(), "only 0.000000 is kept as deposit: no more can be given back");
}

#[test]
fn fn_08_nothing_is_posted_for_nothing() {
    assert!(sale("shop", 0, "cheap", 0).is_empty());
    let same = sale("shop", 5, "cheap", 4);
    assert!(difference(&same, &same).is_empty());
}

fn any_sale() -> impl Strategy<Value = Vec<LedgerEntry>> {
    (0usize..3, -1_000_000i64..1_000_000_000, 0usize..3, 0i64..1_000_000_000)
        .prop_map(|(a, sell, c, cost)| sale(["a", "b", "c"][a], sell, ["x", "y", "z"][c], cost))
}

proptest! {
    #[test]
    fn fn_08_the_ledger_sums_to_zero_and_corrections_land_where_right_at_once_would(
        calls in prop::collection::vec(prop::collection::vec(any_sale(), 1..4), 0..20),
    ) {
        let (mut corrected, mut at_once) = (Balances::default(), Balances::default());
        for versions in &calls {
            let mut posted: Vec<LedgerEntry> = Vec::new();
            for want in versions {
                corrected.apply(&posting(difference(&posted, want))).expect("a correction balances");
                posted.clone_from(want);
                prop_assert!(corrected.totals().values().all(|sum| *sum == 0));
            }
            at_once.apply(&posting(versions.last().cloned().unwrap_or_default())).expect("balances");
        }
        let nonzero = |b: &Balances| b.iter().filter(|e| e.2 != 0).map(|(a, c, e8)| (a.to_owned(), c.to_owned(), e8)).collect::<Vec<_>>();
        prop_assert_eq!(nonzero(&corrected), nonzero(&at_once));
    }
}

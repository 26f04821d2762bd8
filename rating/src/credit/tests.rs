use tollgate_schemas::{
    event::{Body, Origin},
    id::Mint,
    time::Now,
    v1::{CreditDemand, LeaseDemand},
};

use super::*;

const UNIT: i64 = 100_000_000;

fn demand(applied: u64, ceiling: i64, used: i64, wanted: i64) -> CreditDemand {
    CreditDemand {
        root_account: "acme".to_owned(),
        currency: "USD".to_owned(),
        limit_e8: 100 * UNIT,
        warn_pct: vec![70, 85],
        ceiling_e8: ceiling * UNIT,
        used_e8: used * UNIT,
        wanted_e8: wanted * UNIT,
        applied_revision: applied,
        ..CreditDemand::default()
    }
}

fn ask(credit: &mut Credit, mint: &Mint, demand: CreditDemand) -> Vec<LeaseGranted> {
    let demands = vec![LeaseDemand { scope: SCOPE.to_owned(), name: "shop".to_owned(), credit: Some(demand), ..LeaseDemand::default() }];
    let asked = LeaseAsked { node: mint.node_name(), demands, credit: true, asked_ns: 7, ..LeaseAsked::default() };
    let origin = Origin { mint, boot_id: 1, now: Now { utc_us: 0, mono_ns: 0 }, control_position: 0 };
    let event = Event::born(origin, "", Body::LeaseAsked(asked.clone()));
    credit.asked(&event, &asked)
}

/// What was granted first, in whole units.
fn ceiling(grants: &[LeaseGranted]) -> i64 {
    grants[0].shares[0].ceiling_e8 / UNIT
}

fn owe(credit: &mut Credit, kind: &str, amount: i64) {
    credit.posted(&[LedgerEntry { account: format!("{kind}:acme/shop"), amount_e8: amount * UNIT, currency: "USD".to_owned() }]);
}

fn settle(credit: &mut Credit, mint: &Mint, amount: i64) {
    credit.settled(mint.mint(), "acme", &[CreditHold { account: "shop".to_owned(), amount_e8: amount * UNIT, currency: "USD".to_owned() }]);
}

#[test]
fn fn_07_a_proxy_alone_has_all_of_it() {
    let (mut credit, mint) = (Credit::default(), Mint::new(1, 1));
    assert_eq!(ceiling(&ask(&mut credit, &mint, demand(0, 0, 0, 5))), 100);
    // 60 spent and owed: the ceiling is a sum since the start, so it stays.
    settle(&mut credit, &mint, 60);
    owe(&mut credit, "account", 60);
    assert_eq!(ceiling(&ask(&mut credit, &mint, demand(1, 100, 95, 50))), 100);
    // 50 paid: 100 + 50.
    owe(&mut credit, "account", -50);
    assert_eq!(ceiling(&ask(&mut credit, &mint, demand(2, 100, 95, 100))), 150);
    let standing = credit.standing("acme", "shop", "USD").expect("known");
    assert_eq!((standing.owed_e8, standing.lent_e8), (10 * UNIT, 90 * UNIT), "and not a cent more than the limit");
}

#[test]
fn fn_07_a_second_proxy_takes_what_the_first_has_idle_and_nothing_is_lent_twice() {
    let (mut credit, one, two) = (Credit::default(), Mint::new(1, 1), Mint::new(2, 1));
    ask(&mut credit, &one, demand(0, 0, 0, 60));
    let grants = ask(&mut credit, &two, demand(0, 0, 0, 40));
    assert_eq!(ceiling(&grants), 0, "nothing is free");
    assert_eq!((grants.len(), grants[1].node.as_str(), grants[1].asked_ns), (2, "000000000001", 0));
    let lower = grants[1].shares[0].ceiling_e8;
    assert_eq!(lower, 80 * UNIT, "of 100 it wants 60: half of the rest is taken");
    assert_eq!(ceiling(&ask(&mut credit, &two, demand(2, 0, 0, 30))), 0, "the first has not said that it knows");
    ask(&mut credit, &one, CreditDemand { ceiling_e8: lower, ..demand(2, 0, 0, 10) });
    assert_eq!(ceiling(&ask(&mut credit, &two, demand(3, 0, 0, 30))), 20, "now it has");
    assert_eq!(credit.standing("acme", "shop", "USD").expect("known").lent_e8, 100 * UNIT);
}

#[test]
fn fn_07_an_old_demand_says_nothing_and_a_new_process_begins_anew() {
    let (mut credit, old, new) = (Credit::default(), Mint::new(1, 1), Mint::new(1, 2));
    ask(&mut credit, &old, demand(0, 0, 0, 50));
    settle(&mut credit, &old, 30);
    owe(&mut credit, "account", 30);
    assert_eq!(ceiling(&ask(&mut credit, &new, demand(0, 0, 0, 70))), 70);
    assert!(ask(&mut credit, &old, demand(1, 87, 80, 10)).is_empty(), "of the process that is gone");
    settle(&mut credit, &old, 20);
    assert_eq!(credit.standing("acme", "shop", "USD").expect("known").lent_e8, 70 * UNIT, "what the old one took is not taken from the new one's lease");
}

#[test]
fn fn_07_a_silent_nodes_lease_is_written_off_and_counts_again_when_it_asks() {
    let (mut credit, one, two) = (Credit::default(), Mint::new(1, 1), Mint::new(2, 1));
    ask(&mut credit, &one, demand(0, 0, 0, 90));
    credit.lose(&[1]);
    assert_eq!(ceiling(&ask(&mut credit, &two, demand(0, 0, 0, 60))), 100);
    // It comes back with what it had been given, and must give it up.
    assert_eq!(ceiling(&ask(&mut credit, &one, demand(1, 90, 20, 10))), 0, "all is lent to the other, though 20 is up");
}

#[test]
fn fn_06_waiting_charges_are_not_lent_again() {
    let (mut credit, mint) = (Credit::default(), Mint::new(1, 1));
    ask(&mut credit, &mint, demand(0, 0, 0, 100));
    settle(&mut credit, &mint, 40);
    let hold = [CreditHold { account: "shop".to_owned(), amount_e8: 40 * UNIT, currency: "USD".to_owned() }];
    credit.waits("acme", &hold, 1);
    assert_eq!(ceiling(&ask(&mut credit, &mint, demand(1, 100, 40, 100))), 100);
    owe(&mut credit, "account", 40);
    credit.waits("acme", &hold, -1);
    assert_eq!(ceiling(&ask(&mut credit, &mint, demand(2, 100, 40, 100))), 100);
}

#[test]
fn fn_06_uses_of_a_limit_are_told_once_per_crossing() {
    let (mut credit, mint) = (Credit::default(), Mint::new(1, 1));
    ask(&mut credit, &mint, demand(0, 0, 0, 1));
    let told = |credit: &mut Credit, kind: &str, amount: i64| {
        owe(credit, kind, amount);
        credit.crossings().into_iter().map(|c| c.pct).collect::<Vec<_>>()
    };
    for (what, kind, amount, pct) in [
        ("69 owed", "account", 69, vec![]),
        ("one held", "held", 1, vec![70]),
        ("given back", "held", -1, vec![]),
        ("held again: not below the mark for long enough", "held", 1, vec![]),
        ("two marks at once", "account", 40, vec![85, 100]),
        ("a deposit of 50", "deposit", -50, vec![]),
        ("and back to 90", "account", 30, vec![70, 85]),
        ("more", "account", 5, vec![]),
        ("full", "account", 5, vec![100]),
    ] {
        assert_eq!(told(&mut credit, kind, amount), pct, "{what}");
    }
}

#[test]
fn fn_06_a_prepaid_account_is_told_when_it_is_used_up_and_after_the_next_payment_again() {
    let (mut credit, mint) = (Credit::default(), Mint::new(1, 1));
    let prepaid = || CreditDemand { limit_e8: 0, prepaid: true, ..demand(0, 0, 0, 1) };
    let told = |credit: &mut Credit, amount: i64| {
        if amount != 0 {
            owe(credit, "account", amount);
        }
        ask(credit, &mint, prepaid());
        credit.crossings().into_iter().map(|c| c.pct).collect::<Vec<_>>()
    };
    for (what, amount, pct) in [("nothing was ever paid", 0, vec![]), ("paid", -10, vec![]), ("used", 9, vec![]), ("used up", 1, vec![100]), ("more", 1, vec![]), ("paid", -5, vec![]), ("used up", 4, vec![100])] {
        assert_eq!(told(&mut credit, amount), pct, "{what}");
    }
}

#[test]
fn a_snapshot_is_the_state() {
    let (mut credit, mint) = (Credit::default(), Mint::new(1, 1));
    ask(&mut credit, &mint, demand(0, 0, 0, 50));
    settle(&mut credit, &mint, 30);
    owe(&mut credit, "account", 30);
    credit.crossings();
    let mut again = Credit::restore(Saved::decode(credit.save().encode_to_vec().as_slice()).expect("reads back"));
    assert_eq!(again.save(), credit.save());
    assert_eq!(ask(&mut again, &mint, demand(1, 87, 40, 9)), ask(&mut credit, &mint, demand(1, 87, 40, 9)));
}

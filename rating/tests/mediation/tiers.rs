//! Resale tiers (R-20, FN-20) and margins across currencies (R-30), through the whole stage.

use proptest::prelude::*;
use rust_decimal::Decimal;
use tollgate_rating::{corrections::invoice::Usage, ledger::Balances};
use tollgate_schemas::v1::*;

use super::{calls::*, fold};

fn run(story: &Story) -> (Vec<tollgate_schemas::cdr::Cdr>, Vec<LedgerPosted>) {
    let out = fold(story);
    (rows(&out), postings(&out))
}

pub fn priced(deck: &str, rate_e12: i64, currency: &str) -> Terms {
    Terms { currency: currency.to_owned(), ..terms(deck, rate_e12, 1, 1) }
}

pub fn tier(account: &str, deck: &str, rate_e12: i64) -> Tier {
    Tier { account: account.to_owned(), terms: Some(priced(deck, rate_e12, "USD")) }
}

/// A minute of a call sold through these tiers.
pub fn story(seq: u32, ms: i64, sell: Terms, cost: Terms, tiers: Vec<Tier>, fx: Option<Fx>) -> Story {
    let mut story = Story::new(seq, i64::from(seq) * 10, u64::from(seq) * 100);
    story.attempted_as(facts(), Some(sell.clone()));
    story.tried_at(1, "north", Some(cost.clone()));
    story.at(1_000).answered_at(1, "north", Some(sell), Some(cost));
    if let Some((_, Event { body: Some(tollgate_schemas::event::Body::CallAttempted(b)), .. })) = story.events.first_mut() {
        b.tiers.clone_from(&tiers);
    }
    if let Some((_, Event { body: Some(tollgate_schemas::event::Body::CallAnswered(b)), .. })) = story.events.last_mut() {
        (b.tiers, b.fx) = (tiers, fx);
    }
    let mut ended = end("answered", 200, 1);
    (ended.answered_attempt, ended.duration_ms) = (1, ms as u64);
    story.at(1_000 + ms).attempt_ended(1, "north", 200, 0, ms as u64);
    story.ended(ended);
    story
}

/// The example of R-20: cost 0.0040, wholesale 0.0060, retail 0.0150 a minute.
#[test]
fn r_20_each_account_pays_the_next_and_the_house_keeps_the_difference_to_the_cost() {
    let one = story(1, 60_000, priced("retail", 15_000_000_000, "USD"), priced("north-buy", 4_000_000_000, "USD"), vec![tier("acme", "wholesale", 6_000_000_000)], None);
    let (rows, posted) = run(&one);
    let row = rows.iter().find(|r| r.is_final()).expect("a final");
    assert_eq!((row.sell_amount, row.cost_amount, row.margin_base), (1_500_000, 400_000, Some(200_000)));
    assert_eq!(row.margin_pct, "33.33");
    assert_eq!(row.tier_amounts, r#"[{"account":"acme","deck":"wholesale","amount":"0.006000","currency":"USD","rate":"0.0060","billed_sec":60}]"#);
    let mut balances = Balances::default();
    posted.iter().for_each(|p| balances.apply(p).expect("balanced"));
    for (account, e8) in [
        ("account:acme/shop", 1_500_000),
        ("resale:acme/acme", -1_500_000),
        ("account:acme/acme", 600_000),
        ("revenue/5", -600_000),
        ("cost/5", 400_000),
        ("carrier:north/5", -400_000),
    ] {
        assert_eq!(balances.balance(account, "USD"), e8, "{account}");
    }
    // What the reseller keeps: what it is owed less what it owes.
    assert_eq!(-balances.balance("resale:acme/acme", "USD") - balances.balance("account:acme/acme", "USD"), 900_000);
}

#[test]
fn r_20_tiers_of_a_call_nobody_answered_pay_nothing() {
    let mut one = Story::new(1, 0, 0);
    one.attempted().tried(1, "north");
    if let Some((_, Event { body: Some(tollgate_schemas::event::Body::CallAttempted(b)), .. })) = one.events.first_mut() {
        b.tiers = vec![tier("acme", "wholesale", 6_000_000_000)];
    }
    one.at(5_000).attempt_ended(1, "north", 486, 0, 0);
    one.ended(end("busy", 486, 1));
    let (rows, posted) = run(&one);
    let row = rows.iter().find(|r| r.is_final()).expect("a final");
    assert_eq!(row.tier_amounts, r#"[{"account":"acme","deck":"wholesale","amount":"0.000000","currency":"USD","rate":"0.0060","billed_sec":0}]"#);
    assert!(posted.is_empty());
}

#[test]
fn r_30_a_margin_across_currencies_goes_by_the_rate_of_the_answers_day() {
    let fx = Fx { from: "EUR".to_owned(), to: "USD".to_owned(), rate_e12: 1_165_000_000_000, source: "ecb".to_owned(), date: "2023-11-14".to_owned() };
    let of = |fx: Option<Fx>| {
        let one = story(1, 60_000, priced("retail", 15_000_000_000, "USD"), priced("north-buy", 4_000_000_000, "EUR"), Vec::new(), fx);
        run(&one).0.into_iter().find(|r| r.is_final()).expect("a final")
    };
    let row = of(Some(fx.clone()));
    // 0.0150 USD − 0.0040 EUR at 1.1650 = 0.0150 − 0.00466.
    assert_eq!((row.margin_base, row.fx_rate, row.fx_source.as_str(), row.fx_date.as_str()), (Some(1_034_000), Some(1_165_000_000_000), "ecb", "2023-11-14"));
    let row = of(None);
    assert_eq!((row.margin_base, row.margin_pct.as_str(), row.fx_rate, row.fx_source.as_str(), row.fx_date.as_str()), (None, "", None, "missing", "2023-11-14"));
    // A rate of another pair is none.
    assert_eq!(of(Some(Fx { from: "GBP".to_owned(), ..fx })).fx_source, "missing");
}

#[test]
fn r_29_look_ups_of_a_call_are_lines_of_their_own() {
    let fee = |name: &str, amount_e12, on: FeeOn| Fee { name: name.to_owned(), amount_e12, on: on.into() };
    let sell = Terms {
        surcharges: vec![Surcharge { name: "eea".to_owned(), per_minute_e12: 250_000_000_000 }],
        fees: vec![
            fee("lrn_dip", 300_000_000, FeeOn::Call),
            fee("cnam_dip", 2_000_000_000, FeeOn::Call),
            fee("uk", 10_000_000_000, FeeOn::Answer),
        ],
        ..priced("retail", 12_000_000_000, "USD")
    };
    let one = story(1, 75_000, sell, cost("north"), Vec::new(), None);
    let row = run(&one).0.into_iter().find(|r| r.is_final()).expect("a final");
    // R-10: 75 s at 0.0120 with 0.25 a minute = 0.327500, then three fees.
    assert_eq!(
        row.sell_lines,
        r#"[{"name":"usage","amount":"0.327500"},{"name":"lrn_dip","amount":"0.000300"},{"name":"cnam_dip","amount":"0.002000"},{"name":"uk","amount":"0.010000"}]"#
    );
    assert_eq!((row.dip_fees, row.per_call_fees, row.sell_amount), (230_000, 1_000_000, 33_980_000));
}

#[test]
fn r_05_a_toll_free_call_over_three_carriers_pays_one_query() {
    let sell = Terms { fees: vec![Fee { name: "toll_free_query".to_owned(), amount_e12: 200_000_000, on: FeeOn::Call.into() }], ..sell() };
    let mut one = Story::new(1, 0, 0);
    one.attempted_as(facts(), Some(sell.clone())).tried(1, "north").at(1_000).attempt_ended(1, "north", 503, 0, 0);
    one.tried(2, "south").at(2_000).attempt_ended(2, "south", 503, 0, 0);
    one.tried(3, "west").at(3_000);
    one.answered_at(3, "west", Some(sell), Some(cost("west")));
    let mut ended = end("answered", 200, 3);
    (ended.answered_attempt, ended.duration_ms) = (3, 6_000);
    one.at(9_000).attempt_ended(3, "west", 200, 0, 6_000);
    one.ended(ended);
    let (rows, _) = run(&one);
    assert_eq!(rows.iter().find(|r| r.is_final()).map(|r| (r.dip_fees, r.attempts_total)), Some((20_000, 3)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The ledger of any resale chain balances, and each margin is what is in the ledger.
    #[test]
    fn fn_20_a_chain_of_any_length_balances(ms in 1i64..4_000_000, rates in prop::collection::vec(0i64..1_000_000_000_000, 0..6), cost in 0i64..1_000_000_000_000) {
        let tiers: Vec<Tier> = rates.iter().enumerate().map(|(i, rate)| tier(&format!("t{i}"), &format!("d{i}"), *rate)).collect();
        let one = story(1, ms, priced("retail", 15_000_000_000, "USD"), priced("buy", cost, "USD"), tiers.clone(), None);
        let (rows, posted) = run(&one);
        let row = rows.iter().find(|r| r.is_final()).expect("a final");
        let mut balances = Balances::default();
        posted.iter().for_each(|p| balances.apply(p).expect("balanced"));
        prop_assert!(balances.totals().values().all(|sum| *sum == 0));
        let house = -balances.balance("revenue/5", "USD") - balances.balance("cost/5", "USD");
        prop_assert_eq!(Some(house), row.margin_base);
        // Every account between keeps the difference; all of them and the house together keep sell − cost.
        let kept: i64 = (0..tiers.len()).map(|i| -balances.balance(&format!("resale:acme/t{i}"), "USD") - balances.balance(&format!("account:acme/t{i}"), "USD")).sum();
        prop_assert_eq!(kept + house, row.sell_amount - row.cost_amount);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Calls of accounts at any depth: what is on each account's invoice is what the ledger says it owes, fees and all; and who resells
    /// keeps what it charges less what it pays.
    #[test]
    fn fn_20_what_each_account_is_invoiced_for_calls_is_what_the_ledger_says_it_owes(
        calls in prop::collection::vec((0usize..4, 1i64..4_000_000, 0i64..1_000_000_000_000, 0i64..50_000_000_000), 1..24)
    ) {
        const CHAIN: [&str; 4] = ["top", "mid", "low", "shop"];
        let (mut bills, mut balances) = (CHAIN.map(Usage::of), Balances::default());
        for (n, (caller, ms, rate, fee)) in calls.iter().enumerate() {
            let fees = vec![Fee { name: "cnam_dip".to_owned(), amount_e12: *fee, on: FeeOn::Call.into() }];
            let terms = |step: usize| Terms { fees: if (step + n).is_multiple_of(2) { fees.clone() } else { Vec::new() }, ..priced("d", rate / (step as i64 + 1), "USD") };
            let tiers = (0..*caller).rev().map(|at| Tier { account: CHAIN[at].to_owned(), terms: Some(terms(at)) }).collect();
            let mut one = story(n as u32 + 1, *ms, terms(*caller), priced("buy", 1, "USD"), tiers, None);
            if let Some((_, Event { body: Some(tollgate_schemas::event::Body::CallAttempted(b)), .. })) = one.events.first_mut() {
                b.facts.as_mut().expect("facts").account = CHAIN[*caller].to_owned();
            }
            let (rows, posted) = run(&one);
            posted.iter().for_each(|p| balances.apply(p).expect("balanced"));
            let row = std::sync::Arc::new(rows.into_iter().find(|r| r.is_final()).expect("a final"));
            for (at, bill) in bills.iter_mut().enumerate() {
                let seen = tollgate_schemas::tiers::paid_by(&row, CHAIN[at]);
                prop_assert_eq!(seen.is_some(), at <= *caller);
                seen.iter().for_each(|row| bill.add(row));
            }
        }
        let pays = |at: usize| bills[at].amount_e8();
        for (at, account) in CHAIN.into_iter().enumerate() {
            prop_assert_eq!(pays(at), i128::from(balances.balance(&format!("account:acme/{account}"), "USD")), "{}", account);
        }
        // Each is paid by the one below what that pays for its own calls and those below it.
        for (at, account) in CHAIN.into_iter().enumerate().take(3) {
            prop_assert_eq!(pays(at + 1), -i128::from(balances.balance(&format!("resale:acme/{account}"), "USD")), "{}", account);
        }
    }
}

/// R-20 over a million random calls: three tiers, each rounded on its own, add up to the cent against decimals.
#[test]
fn r_20_margins_reconcile_to_the_cent_over_a_million_calls() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: u64| {
        // A fixed xorshift: the same million calls each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (mut margins, mut ends) = (0i128, (0i128, 0i128));
    let mut oracle = Decimal::ZERO;
    for _ in 0..1_000_000 {
        let ms = draw(3_600_000);
        let mut amounts = [0i64; 4];
        let mut exact = [Decimal::ZERO; 4];
        for (at, amount) in amounts.iter_mut().enumerate() {
            let rate = (draw(200_000) * 1_000_000) as i64;
            let increment = [1, 6, 30, 60][draw(4) as usize];
            *amount = terms("d", rate, increment, increment).charge(0, ms).amount_e8;
            let seconds = ms.div_ceil(1000).max(1).div_ceil(u64::from(increment)) * u64::from(increment);
            exact[at] = (Decimal::new(rate, 12) * Decimal::from(seconds) / Decimal::from(60))
                .round_dp_with_strategy(6, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        }
        for (below, above) in amounts.iter().zip(&amounts[1..]) {
            margins += i128::from(*below) - i128::from(*above);
        }
        ends.0 += i128::from(amounts[0]);
        ends.1 += i128::from(amounts[3]);
        oracle += exact[0] - exact[3];
    }
    assert_eq!(margins, ends.0 - ends.1, "what the tiers keep is what the first pays less what the last is paid");
    assert_eq!(Decimal::from_i128_with_scale(margins, 8), oracle.normalize(), "and decimals say the same");
}
